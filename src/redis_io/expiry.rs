//! Keys whose TTLs end early.

use std::time::{Duration, Instant};

use redis::{Connection, ErrorKind, RedisError, RedisResult, cmd};

use crate::report;
use crate::sync::poll_until;

/// How long a key with a TTL of one millisecond may take to expire.
const EXPIRED_WITHIN: Duration = Duration::from_secs(5);

/// `ARGV` is a pattern and databases. Returns the keys that match and have a TTL.
const KEYS_WITH_TTL: &str = "
local found = {}
for at = 2, #ARGV do
    redis.call('SELECT', ARGV[at])
    for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
        if redis.call('PTTL', key) >= 0 then
            found[#found + 1] = {tonumber(ARGV[at]), key}
        end
    end
end
return found
";

/// `ARGV` is a TTL in milliseconds, and databases and keys in turn. Shortens longer TTLs to that one, and returns how
/// many of the keys still have one.
const SHORTEN: &str = "
local left = 0
for at = 2, #ARGV, 2 do
    redis.call('SELECT', ARGV[at])
    local ttl = redis.call('PTTL', ARGV[at + 1])
    if ttl > tonumber(ARGV[1]) then
        redis.call('PEXPIRE', ARGV[at + 1], ARGV[1])
    end
    if ttl >= 0 then
        left = left + 1
    end
end
return left
";

/// Returns the keys of these databases that match a Redis glob pattern and have a TTL, each with its database. Their
/// order depends on nothing but their names.
pub(crate) fn keys_with_ttl(
    redis: &mut Connection,
    databases: [u32; 2],
    pattern: &str,
) -> RedisResult<Vec<(u32, Vec<u8>)>> {
    let mut keys: Vec<(u32, Vec<u8>)> =
        cmd("EVAL").arg(KEYS_WITH_TTL).arg(0).arg(pattern).arg(&databases).query(redis)?;
    keys.sort();
    Ok(keys)
}

/// Makes those of the keys that have a TTL expire after this one, in milliseconds, and waits until they have.
///
/// They really expire, so that clients get the event. A TTL in the past would be a deletion.
pub(crate) fn expire(redis: &mut Connection, keys: &[(u32, Vec<u8>)], ttl: u32) -> RedisResult<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let mut shorten = cmd("EVAL");
    shorten.arg(SHORTEN).arg(0).arg(ttl);
    for (database, key) in keys {
        shorten.arg(database).arg(key);
    }
    // Asking for a key whose TTL has ended removes it, which publishes the event.
    let are_gone = || match shorten.query::<usize>(redis) {
        Ok(0) => Some(Ok(())),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    };
    let ended = poll_until(Instant::now() + EXPIRED_WITHIN, Duration::from_millis(1), are_gone);
    let late = || RedisError::from((ErrorKind::Client, report::tap::NOT_EXPIRED));
    ended.unwrap_or_else(|| Err(late()))
}
