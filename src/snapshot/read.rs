//! Reads keys of any type: many in a few round trips, never one per key, and large values in parts.

use std::sync::Arc;
use std::time::Duration;

use hmac_sha256::Hash;
use redis::{Connection, Pipeline, RedisError, RedisResult, Value, from_redis_value, pipe};

use super::value::{Entry, Field, Member, Opaque, RedisValue};
use super::{RedisBytes, parts, streams};
use crate::redis_io::{self, knows};

/// How often a key whose type or value keeps changing is read.
pub(super) const ATTEMPTS: usize = 10;

/// How many elements, or bytes of a string, one command reads. A server takes a fraction of a millisecond for it.
pub(crate) const ELEMENTS_AT_ONCE: usize = 1_000;
pub(crate) const BYTES_AT_ONCE: usize = 1 << 16;

/// Reads keys of one server.
pub(crate) struct Reader {
    run_id: Arc<str>,
    has_field_ttls: bool,
}

/// Keys that were read.
#[derive(Default)]
pub(crate) struct Read {
    /// All TTLs are those at `time`.
    pub(crate) entries: Vec<(RedisBytes, Entry)>,
    /// The server's time since 1970.
    pub(crate) time: Duration,
    /// How many keys were gone.
    pub(crate) gone: usize,
    /// Large keys that may have changed while their parts were read.
    pub(crate) unsure: Vec<RedisBytes>,
}

/// What a reply says about a key.
enum Found {
    Value(RedisValue),
    /// There is more of the value.
    Large,
    /// An empty string, or none: GETRANGE does not tell.
    Empty,
    Gone,
}

/// Keys that need other commands.
#[derive(Default)]
struct Others {
    large: Vec<(RedisBytes, String)>,
    empty: Vec<RedisBytes>,
}

impl Reader {
    /// # Errors
    ///
    /// Returns an error if the server does not answer.
    pub(crate) fn new(redis: &mut Connection, run_id: &str) -> RedisResult<Self> {
        Ok(Self { run_id: run_id.into(), has_field_ttls: knows(redis, "HPTTL")? })
    }

    /// Reads those of the keys that still exist.
    ///
    /// # Errors
    ///
    /// Returns an error if the server does not answer, or forbids a command.
    pub(crate) fn read(&self, redis: &mut Connection, keys: Vec<RedisBytes>) -> RedisResult<Read> {
        let mut read = Read { entries: Vec::with_capacity(keys.len()), ..Read::default() };
        let (mut open, count) = (keys, read.entries.capacity());
        let mut others = Others::default();
        for _ in 0..ATTEMPTS {
            if open.is_empty() {
                break;
            }
            open = self.read_small(redis, open, &mut read, &mut others)?;
        }
        read_empty(redis, others.empty, &mut read)?;
        for (key, kind) in others.large {
            if let Some(value) = parts::read(redis, &key, &kind, read.time)? {
                if !value.is_consistent {
                    read.unsure.push(key.clone());
                }
                read.entries.push((key, value.entry));
            }
        }
        if self.has_field_ttls {
            read_field_ttls(redis, &mut read)?;
        }
        read.gone = count.saturating_sub(read.entries.len());
        Ok(read)
    }

    /// Reads values in one command each. Returns the keys that have another type by now.
    fn read_small(
        &self,
        redis: &mut Connection,
        keys: Vec<RedisBytes>,
        read: &mut Read,
        others: &mut Others,
    ) -> RedisResult<Vec<RedisBytes>> {
        let mut ask = pipe();
        for key in &keys {
            ask.cmd("TYPE").arg(key.as_slice());
        }
        let types: Vec<String> = ask.query(redis)?;
        let mut ask = pipe();
        ask.ignore_errors().cmd("TIME");
        for (key, kind) in keys.iter().zip(&types) {
            ask_for(&mut ask, key, kind);
        }
        let mut replies = ask.query::<Vec<RedisResult<Value>>>(redis)?.into_iter();
        let mut next = || replies.next().unwrap_or(Ok(Value::Nil));
        let now = redis_io::whole_time(from_redis_value(next()?)?);
        if read.time.is_zero() {
            read.time = now;
        }
        let ttl = |left| milliseconds(left).map(|ttl| ttl + now.saturating_sub(read.time));
        let mut changed = Vec::new();
        for (key, kind) in keys.into_iter().zip(types) {
            let (value, left) = (next(), from_redis_value::<i64>(next()?)?);
            match value {
                // The key expired between the two commands.
                Ok(_) if left == -2 => {}
                Ok(reply) => match self.decode(&kind, reply, redis_io::milliseconds(now))? {
                    Found::Value(value) => read.entries.push((key, Entry { value, ttl: ttl(left) })),
                    Found::Large => others.large.push((key, kind)),
                    Found::Empty => others.empty.push(key),
                    Found::Gone => {}
                },
                Err(error) if error.code() == Some("WRONGTYPE") => changed.push(key),
                Err(error) if is_gone(&error) => {}
                // DUMP is forbidden, or the module does not support it.
                Err(_) if !is_known(&kind) => {
                    let value = RedisValue::Other(Opaque::new(kind, None));
                    read.entries.push((key, Entry { value, ttl: ttl(left) }));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(changed)
    }

    fn decode(&self, kind: &str, reply: Value, now: u64) -> RedisResult<Found> {
        let (value, is_whole) = match kind {
            "none" => return Ok(Found::Gone),
            "string" => {
                let text: RedisBytes = from_redis_value(reply)?;
                if text.as_slice().is_empty() {
                    return Ok(Found::Empty);
                }
                let is_whole = text.as_slice().len() < BYTES_AT_ONCE;
                (RedisValue::String(text), is_whole)
            }
            "list" => {
                let items: Vec<_> = from_redis_value(reply)?;
                let is_whole = items.len() < ELEMENTS_AT_ONCE;
                (RedisValue::List(items), is_whole)
            }
            "set" => {
                let (cursor, members): (u64, Vec<RedisBytes>) = from_redis_value(reply)?;
                (RedisValue::Set(members.into_iter().collect()), cursor == 0)
            }
            "hash" => {
                let (cursor, fields): (u64, Vec<(RedisBytes, RedisBytes)>) = from_redis_value(reply)?;
                (hash(fields), cursor == 0)
            }
            "zset" => {
                let members: Vec<(RedisBytes, f64)> = from_redis_value(reply)?;
                let is_whole = members.len() < ELEMENTS_AT_ONCE;
                let members = members.into_iter().map(|(member, score)| Member { member, score });
                (RedisValue::SortedSet(members.collect()), is_whole)
            }
            "stream" => match streams::decode(reply, now)? {
                Some(stream) => return Ok(Found::Value(RedisValue::Stream(stream))),
                None => return Ok(Found::Large),
            },
            _ => {
                let Some(dump) = from_redis_value::<Option<Vec<u8>>>(reply)? else { return Ok(Found::Gone) };
                let digest = Some((self.run_id.clone(), Hash::hash(&dump)));
                return Ok(Found::Value(RedisValue::Other(Opaque::new(kind.to_owned(), digest))));
            }
        };
        if !is_whole {
            return Ok(Found::Large);
        }
        // Redis has no empty lists or sets.
        Ok(if value.is_empty() { Found::Gone } else { Found::Value(value) })
    }
}

pub(super) fn hash(fields: Vec<(RedisBytes, RedisBytes)>) -> RedisValue {
    RedisValue::Hash(fields.into_iter().map(|(name, value)| (name, Field { value, ttl: None })).collect())
}

/// Reads strings that were empty, or gone.
fn read_empty(redis: &mut Connection, keys: Vec<RedisBytes>, read: &mut Read) -> RedisResult<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let mut ask = pipe();
    ask.ignore_errors().cmd("TIME");
    for key in &keys {
        ask.cmd("GET").arg(key.as_slice()).cmd("PTTL").arg(key.as_slice());
    }
    let mut replies = ask.query::<Vec<RedisResult<Value>>>(redis)?.into_iter();
    let mut next = || replies.next().unwrap_or(Ok(Value::Nil));
    let later = redis_io::whole_time(from_redis_value(next()?)?).saturating_sub(read.time);
    for key in keys {
        // An error: it has another type by now.
        let value = next().ok().map(from_redis_value::<Option<RedisBytes>>).transpose()?.flatten();
        let left = from_redis_value::<i64>(next()?)?;
        if let Some(value) = value.filter(|_| left != -2) {
            let ttl = milliseconds(left).map(|ttl| ttl + later);
            read.entries.push((key, Entry { value: RedisValue::String(value), ttl }));
        }
    }
    Ok(())
}

/// Whether the commands of Redis itself can read values of that type.
fn is_known(kind: &str) -> bool {
    matches!(kind, "none" | "string" | "list" | "set" | "hash" | "zset" | "stream")
}

/// Adds two commands: one for the beginning of the value, one for the TTL.
fn ask_for(ask: &mut Pipeline, key: &RedisBytes, kind: &str) {
    let key = key.as_slice();
    match kind {
        "string" => ask.cmd("GETRANGE").arg(key).arg(0).arg(BYTES_AT_ONCE - 1),
        "list" => ask.cmd("LRANGE").arg(key).arg(0).arg(ELEMENTS_AT_ONCE - 1),
        "set" => ask.cmd("SSCAN").arg(key).arg(0).arg("COUNT").arg(ELEMENTS_AT_ONCE),
        "hash" => ask.cmd("HSCAN").arg(key).arg(0).arg("COUNT").arg(ELEMENTS_AT_ONCE),
        "zset" => ask.cmd("ZRANGE").arg(key).arg(0).arg(ELEMENTS_AT_ONCE - 1).arg("WITHSCORES"),
        "stream" => ask.cmd("XINFO").arg("STREAM").arg(key).arg("FULL").arg("COUNT").arg(ELEMENTS_AT_ONCE),
        "none" => ask.cmd("PING"),
        _ => ask.cmd("DUMP").arg(key),
    };
    ask.cmd("PTTL").arg(key);
}

pub(super) fn is_gone(error: &RedisError) -> bool {
    error.detail().is_some_and(|detail| detail.contains("no such key"))
}

/// Decodes the reply to PTTL. A TTL below one millisecond counts as one.
pub(super) fn milliseconds(left: i64) -> Option<Duration> {
    redis_io::ttl(left).map(|ttl| ttl.max(Duration::from_millis(1)))
}

/// Reads the TTLs of hash fields. Fields that have expired since are left out, and so is a hash without other fields.
fn read_field_ttls(redis: &mut Connection, read: &mut Read) -> RedisResult<()> {
    let mut ask = pipe();
    ask.ignore_errors().cmd("TIME");
    for (key, entry) in &read.entries {
        if let RedisValue::Hash(fields) = &entry.value {
            let names: Vec<&[u8]> = fields.keys().map(RedisBytes::as_slice).collect();
            for names in names.chunks(ELEMENTS_AT_ONCE) {
                ask.cmd("HPTTL").arg(key.as_slice()).arg("FIELDS").arg(names.len()).arg(names);
            }
        }
    }
    if ask.len() == 1 {
        return Ok(());
    }
    let mut replies = ask.query::<Vec<RedisResult<Value>>>(redis)?.into_iter();
    let mut next = || replies.next().unwrap_or(Ok(Value::Nil));
    let later = redis_io::whole_time(from_redis_value(next()?)?).saturating_sub(read.time);
    for (_, entry) in &mut read.entries {
        let RedisValue::Hash(fields) = &mut entry.value else { continue };
        let commands = fields.len().div_ceil(ELEMENTS_AT_ONCE);
        let replies: Vec<_> = (0..commands).map(|_| next()).collect();
        // If the key has another type by now, the hash that was read is kept.
        let Ok(replies) = replies.into_iter().collect::<RedisResult<Vec<_>>>() else { continue };
        let mut left = Vec::new();
        for reply in replies {
            left.append(&mut from_redis_value::<Option<Vec<i64>>>(reply)?.unwrap_or_default());
        }
        let mut left = left.into_iter();
        fields.retain(|_, field| {
            let left = left.next().unwrap_or(-2);
            field.ttl = milliseconds(left).map(|ttl| ttl + later);
            left != -2
        });
    }
    read.entries.retain(|(_, entry)| !entry.value.is_empty());
    Ok(())
}
