//! Short sequences of commands.

use std::time::Duration;

use redis::{Connection, Pipeline, RedisResult, cmd};

/// Returns whether the server supports a command.
pub(crate) fn knows(redis: &mut Connection, command: &str) -> RedisResult<bool> {
    let (known,): (redis::Value,) = cmd("COMMAND").arg("INFO").arg(command).query(redis)?;
    Ok(known != redis::Value::Nil)
}

/// Returns a pipeline that runs the same commands in each database, in one round trip, and ignores their replies.
pub(crate) fn select_each(databases: [u32; 2], mut commands: impl FnMut(&mut Pipeline)) -> Pipeline {
    let mut pipeline = redis::pipe();
    for database in databases {
        pipeline.cmd("SELECT").arg(database).ignore();
        commands(&mut pipeline);
    }
    pipeline
}

/// Returns a duration in milliseconds, as Redis expects it. Saturates.
pub(crate) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
