//! Reads a large value in parts, so that no command keeps the server's other clients waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use redis::{Cmd, Connection, FromRedisValue, RedisResult, cmd, pipe};

use super::read::{ATTEMPTS, BYTES_AT_ONCE, ELEMENTS_AT_ONCE, milliseconds};
use super::value::{Entry, Field, Member, RedisValue};
use super::{RedisBytes, streams};
use crate::redis_io;

/// How many bytes of a large string one command reads. The server copies them in a fraction of a millisecond.
const STRING_PART: usize = 16 * BYTES_AT_ONCE;

/// A value that was read in parts.
pub(super) struct Whole {
    pub(super) entry: Entry,
    /// Whether the key did not change meanwhile.
    pub(super) is_consistent: bool,
}

/// Reads a key of this type. `None` if it is gone or has another type. The TTL is that at `time`.
pub(super) fn read(redis: &mut Connection, key: &RedisBytes, kind: &str, time: Duration) -> RedisResult<Option<Whole>> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        // A user without the right to do so learns less.
        let is_watched = cmd("WATCH").arg(key.as_slice()).exec(redis).is_ok();
        let value = match value(redis, key.as_slice(), kind) {
            Err(error) if error.code() == Some("WRONGTYPE") || super::read::is_gone(&error) => None,
            value => Some(value?),
        };
        let mut end = pipe();
        if is_watched {
            end.atomic();
        }
        end.cmd("TIME").cmd("PTTL").arg(key.as_slice());
        let ended: Option<((u64, u64), i64)> = end.query(redis)?;
        if let Some((now, left)) = ended {
            let Some(value) = value.filter(|value| left != -2 && !value.is_empty()) else { return Ok(None) };
            let ttl = milliseconds(left).map(|ttl| ttl + redis_io::whole_time(now).saturating_sub(time));
            return Ok(Some(Whole { entry: Entry { value, ttl }, is_consistent: is_watched }));
        }
        last = value.filter(|value| !value.is_empty());
    }
    let left: i64 = cmd("PTTL").arg(key.as_slice()).query(redis)?;
    let entry = last.filter(|_| left != -2).map(|value| Entry { value, ttl: milliseconds(left) });
    Ok(entry.map(|entry| Whole { entry, is_consistent: false }))
}

fn value(redis: &mut Connection, key: &[u8], kind: &str) -> RedisResult<RedisValue> {
    Ok(match kind {
        "string" => RedisValue::String(string(redis, key)?),
        "list" => RedisValue::List(ranges(redis, "LRANGE", key, &[])?),
        "zset" => {
            let members: Vec<(RedisBytes, f64)> = ranges(redis, "ZRANGE", key, &["WITHSCORES"])?;
            RedisValue::SortedSet(members.into_iter().map(|(member, score)| Member { member, score }).collect())
        }
        "set" => {
            let mut members = BTreeSet::new();
            scan(redis, "SSCAN", key, |found: Vec<RedisBytes>| members.extend(found))?;
            RedisValue::Set(members)
        }
        "hash" => {
            let mut fields = BTreeMap::new();
            scan(redis, "HSCAN", key, |found: Vec<(RedisBytes, RedisBytes)>| {
                fields.extend(found.into_iter().map(|(name, value)| (name, Field { value, ttl: None })));
            })?;
            RedisValue::Hash(fields)
        }
        _ => RedisValue::Stream(streams::read(redis, key)?),
    })
}

fn string(redis: &mut Connection, key: &[u8]) -> RedisResult<RedisBytes> {
    let mut bytes = Vec::new();
    loop {
        let end = bytes.len() + STRING_PART - 1;
        let mut part: Vec<u8> = cmd("GETRANGE").arg(key).arg(bytes.len()).arg(end).query(redis)?;
        let is_last = part.len() < STRING_PART;
        bytes.append(&mut part);
        if is_last {
            return Ok(bytes.into());
        }
    }
}

fn ranges<T>(redis: &mut Connection, command: &str, key: &[u8], options: &[&str]) -> RedisResult<Vec<T>>
where
    Vec<T>: FromRedisValue,
{
    let mut items = Vec::new();
    loop {
        let end = items.len() + ELEMENTS_AT_ONCE - 1;
        let mut part: Vec<T> = cmd(command).arg(key).arg(items.len()).arg(end).arg(options).query(redis)?;
        let is_last = part.len() < ELEMENTS_AT_ONCE;
        items.append(&mut part);
        if is_last {
            return Ok(items);
        }
    }
}

fn scan<T>(redis: &mut Connection, command: &str, key: &[u8], mut found: impl FnMut(T)) -> RedisResult<()>
where
    T: FromRedisValue,
{
    let mut cursor = 0_u64;
    loop {
        let step: &mut Cmd = &mut cmd(command);
        let (next, part): (u64, T) = step.arg(key).arg(cursor).arg("COUNT").arg(ELEMENTS_AT_ONCE).query(redis)?;
        found(part);
        if next == 0 {
            return Ok(());
        }
        cursor = next;
    }
}
