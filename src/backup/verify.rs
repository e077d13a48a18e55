//! Reads keys again whose values are known, and compares.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use redis::{Connection, FromRedisValue, RedisResult, Value, cmd, from_redis_value, pipe};

use super::restore::{Batch, NotRestored, SENT};
use crate::redis_io;
use crate::snapshot::read::{BYTES_AT_ONCE, ELEMENTS_AT_ONCE, Reader};
use crate::snapshot::{Entry, Field, Member, RedisBytes, RedisValue};

/// How far a TTL can be off, on top of the time that has passed.
const TOLERANCE: Duration = Duration::from_secs(1);

/// Compares keys in steps. The server executes some while the replies to the first one are compared.
pub(super) struct Verifier<'c> {
    redis: &'c mut Connection,
    reader: Reader,
    /// When the first key was written.
    started: Instant,
    asked: VecDeque<Batch>,
}

impl<'c> Verifier<'c> {
    pub(super) fn new(redis: &'c mut Connection, started: Instant) -> RedisResult<Self> {
        let reader = Reader::new(redis, "")?;
        Ok(Self { redis, reader, started, asked: VecDeque::new() })
    }

    /// Asks for these keys, and compares those before.
    pub(super) fn add(&mut self, batch: Batch) -> Result<(), NotRestored> {
        let (small, others): (Batch, Batch) = batch.into_iter().partition(|(_, entry)| is_small(entry));
        if !others.is_empty() {
            self.finish()?;
            self.compare_others(others)?;
        }
        if !small.is_empty() {
            self.redis.send_packed_command(&questions(&small))?;
            self.asked.push_back(small);
            if self.asked.len() > SENT
                && let Some(first) = self.asked.pop_front()
            {
                self.compare(first)?;
            }
        }
        Ok(())
    }

    /// Compares those that were asked for.
    pub(super) fn finish(&mut self) -> Result<(), NotRestored> {
        while let Some(first) = self.asked.pop_front() {
            self.compare(first)?;
        }
        Ok(())
    }

    fn compare(&mut self, batch: Batch) -> Result<(), NotRestored> {
        let strings = match self.redis.recv_response()? {
            Value::ServerError(error) => return Err(NotRestored::Server(error.into())),
            // There are none.
            Value::SimpleString(_) => Vec::new(),
            reply => from_redis_value::<Vec<Option<RedisBytes>>>(reply).map_err(redis::RedisError::from)?,
        };
        let mut strings = strings.into_iter();
        for (key, written) in batch {
            let value = match &written.value {
                RedisValue::String(_) => strings.next().flatten().map(RedisValue::String),
                kind => decode(kind, self.redis.recv_response()?),
            };
            let left: i64 = from_redis_value(self.redis.recv_response()?).map_err(redis::RedisError::from)?;
            let found = value.map(|value| Entry { value, ttl: redis_io::ttl(left) }).filter(|_| left != -2);
            if !is_as_written(&written, found.as_ref(), self.started.elapsed()) {
                return Err(NotRestored::Differs(key));
            }
        }
        Ok(())
    }

    fn compare_others(&mut self, batch: Batch) -> Result<(), NotRestored> {
        let names = batch.iter().map(|(key, _)| key.clone()).collect();
        let mut read = self.reader.read(self.redis, names)?.entries;
        read.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut read = read.into_iter().peekable();
        for (key, written) in batch {
            let found = read.next_if(|(found, _)| *found == key).map(|(_, entry)| entry);
            if !is_as_written(&written, found.as_ref(), self.started.elapsed()) {
                return Err(NotRestored::Differs(key));
            }
        }
        Ok(())
    }
}

/// Whether one command reads the value.
fn is_small(entry: &Entry) -> bool {
    let is_plain = !matches!(entry.value, RedisValue::Stream(_) | RedisValue::Other(_));
    let size = entry.value.len() < ELEMENTS_AT_ONCE && entry.value.bytes() < BYTES_AT_ONCE;
    is_plain && size && !entry.value.has_field_ttls()
}

/// One command for all strings, which costs the server least, then the others, each with its TTL.
fn questions(batch: &Batch) -> Vec<u8> {
    let mut ask = pipe();
    let is_string = |entry: &Entry| matches!(entry.value, RedisValue::String(_));
    let strings: Vec<_> = batch.iter().filter(|(_, entry)| is_string(entry)).map(|(key, _)| key.as_slice()).collect();
    ask.add_command(if strings.is_empty() { cmd("PING") } else { cmd("MGET").arg(strings).take() });
    for (key, entry) in batch {
        let key = key.as_slice();
        match &entry.value {
            RedisValue::List(_) => ask.cmd("LRANGE").arg(key).arg(0).arg(-1),
            RedisValue::Set(_) => ask.cmd("SMEMBERS").arg(key),
            RedisValue::Hash(_) => ask.cmd("HGETALL").arg(key),
            RedisValue::SortedSet(_) => ask.cmd("ZRANGE").arg(key).arg(0).arg(-1).arg("WITHSCORES"),
            RedisValue::String(_) | RedisValue::Stream(_) | RedisValue::Other(_) => &mut ask,
        };
        ask.cmd("PTTL").arg(key);
    }
    ask.get_packed_pipeline()
}

/// A value that should have this type. `None` if it has not.
fn decode(kind: &RedisValue, reply: Value) -> Option<RedisValue> {
    fn all<T>(reply: Value) -> Option<Vec<T>>
    where
        Vec<T>: FromRedisValue,
    {
        from_redis_value(reply).ok()
    }
    Some(match kind {
        RedisValue::List(_) => RedisValue::List(all(reply)?),
        RedisValue::Set(_) => RedisValue::Set(all(reply)?.into_iter().collect()),
        RedisValue::Hash(_) => {
            let fields = all::<(RedisBytes, RedisBytes)>(reply)?.into_iter();
            RedisValue::Hash(fields.map(|(name, value)| (name, Field { value, ttl: None })).collect())
        }
        _ => {
            let members = all::<(RedisBytes, f64)>(reply)?.into_iter();
            RedisValue::SortedSet(members.map(|(member, score)| Member { member, score }).collect())
        }
    })
}

/// Whether a key has its value, and what is left of its TTL after that time.
fn is_as_written(written: &Entry, found: Option<&Entry>, passed: Duration) -> bool {
    let Some(found) = found else { return written.ttl.is_some_and(|ttl| ttl <= passed + TOLERANCE) };
    let is_near = |written: Option<Duration>, found: Option<Duration>| match (written, found) {
        (Some(written), Some(found)) => found <= written + TOLERANCE && written <= found + passed + TOLERANCE,
        (None, None) => true,
        _ => false,
    };
    let is_same = match (&written.value, &found.value) {
        (RedisValue::Hash(written), RedisValue::Hash(found)) => {
            let is_there = |(name, field): (&RedisBytes, &Field)| match found.get(name.as_slice()) {
                Some(other) => field.value == other.value && is_near(field.ttl, other.ttl),
                None => field.ttl.is_some_and(|ttl| ttl <= passed + TOLERANCE),
            };
            written.iter().all(is_there) && found.keys().all(|name| written.contains_key(name.as_slice()))
        }
        (written, found) => written == found,
    };
    is_same && is_near(written.ttl, found.ttl)
}
