//! Small pieces of command sequences.

use std::time::Duration;

use redis::{Connection, Pipeline, RedisResult, cmd};

/// Whether the server has that command.
pub(crate) fn knows(redis: &mut Connection, command: &str) -> RedisResult<bool> {
    let (known,): (redis::Value,) = cmd("COMMAND").arg("INFO").arg(command).query(redis)?;
    Ok(known != redis::Value::Nil)
}

/// The same commands in each of the databases, in one round trip. Their replies are ignored.
pub(crate) fn select_each(databases: [u32; 2], mut commands: impl FnMut(&mut Pipeline)) -> Pipeline {
    let mut pipeline = redis::pipe();
    for database in databases {
        pipeline.cmd("SELECT").arg(database).ignore();
        commands(&mut pipeline);
    }
    pipeline
}

/// A duration as Redis takes it. Longer ones than it can express are cut.
pub(crate) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
