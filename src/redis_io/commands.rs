//! Short sequences of commands.

use std::time::Duration;

use redis::{Connection, Pipeline, RedisResult, cmd};

/// Returns whether the server supports a command.
pub(crate) fn knows(redis: &mut Connection, command: &str) -> RedisResult<bool> {
    let (known,): (redis::Value,) = cmd("COMMAND").arg("INFO").arg(command).query(redis)?;
    Ok(known != redis::Value::Nil)
}

/// Returns a pipeline that runs the same commands in each database, in one round trip. Ignores the replies to SELECT.
pub(crate) fn select_each(databases: [u32; 2], mut commands: impl FnMut(&mut Pipeline)) -> Pipeline {
    let mut pipeline = redis::pipe();
    for database in databases {
        pipeline.cmd("SELECT").arg(database).ignore();
        commands(&mut pipeline);
    }
    pipeline
}

/// Returns the TTL that a reply to PTTL states. `None` if the key does not exist or never expires.
pub(crate) fn ttl(pttl: i64) -> Option<Duration> {
    u64::try_from(pttl).ok().map(Duration::from_millis)
}

/// Returns the server's time since 1970.
pub(crate) fn now(redis: &mut Connection) -> RedisResult<Duration> {
    cmd("TIME").query(redis).map(time)
}

/// Returns the time since 1970 that a reply to TIME states, in seconds and microseconds.
pub(crate) fn time((seconds, micros): (u64, u64)) -> Duration {
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}

/// Returns that time in whole milliseconds, in which the server counts TTLs.
#[cfg(feature = "snapshot")]
pub(crate) fn whole_time(reply: (u64, u64)) -> Duration {
    Duration::from_millis(milliseconds(time(reply)))
}

/// Returns a duration in milliseconds, as Redis expects it. Saturates.
pub(crate) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Whether the server publishes key events. True if it does not tell.
pub(crate) fn publishes_events(redis: &mut Connection) -> bool {
    let events = cmd("CONFIG").arg("GET").arg("notify-keyspace-events").query(redis);
    !events.is_ok_and(|(_, events): (String, String)| events.is_empty())
}
