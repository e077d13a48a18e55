//! Reads streams, with their groups.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use redis::{Connection, FromRedisValue, RedisError, RedisResult, Value, cmd, from_redis_value};

use super::RedisBytes;
use super::read::ELEMENTS_AT_ONCE;
use super::value::{Group, Pending, Stream, StreamEntry, StreamId};
use crate::error::Error;

/// Decodes the reply to XINFO STREAM FULL, which is consistent in itself. `None` if the reply was cut.
pub(super) fn decode(reply: Value, now: u64) -> RedisResult<Option<Stream>> {
    let mut reply = Named::new(reply)?;
    let entries = entries(reply.take("entries"))?;
    let mut is_whole = entries.len() == reply.read::<usize>("length")?;
    let mut groups = BTreeMap::new();
    for group in list(reply.take("groups"))? {
        let mut group = Named::new(group)?;
        let name = group.read("name")?;
        let consumers = list(group.take("consumers"))?.into_iter();
        let consumers = consumers.map(|consumer| Named::new(consumer)?.read("name"));
        // The group's own list: that of a consumer is called `pel` and is not used.
        let pending = list(group.take("pending"))?.into_iter().map(|pending| {
            let (id, consumer, delivered, deliveries): (Value, RedisBytes, u64, u64) = from_redis_value(pending)?;
            let idle = Duration::from_millis(now.saturating_sub(delivered));
            Ok(Pending { id: id_of(id)?, consumer, deliveries, idle })
        });
        let (consumers, pending) = (consumers.collect::<RedisResult<_>>()?, pending.collect::<RedisResult<Vec<_>>>()?);
        is_whole &= pending.len() == group.read::<usize>("pel-count")?;
        groups.insert(name, group.group(consumers, pending)?);
    }
    let stream = reply.stream(entries, groups)?;
    Ok(is_whole.then_some(stream))
}

/// Reads a large stream in parts.
pub(super) fn read(redis: &mut Connection, key: &[u8]) -> RedisResult<Stream> {
    let mut about = Named::new(cmd("XINFO").arg("STREAM").arg(key).query(redis)?)?;
    let mut all = Vec::<StreamEntry>::new();
    loop {
        let from = all.last().map_or_else(|| "-".to_owned(), |entry| entry.id.next().to_string());
        let range = cmd("XRANGE").arg(key).arg(from).arg("+").arg("COUNT").arg(ELEMENTS_AT_ONCE).query(redis)?;
        let mut part = entries(range)?;
        let is_last = part.len() < ELEMENTS_AT_ONCE;
        all.append(&mut part);
        if is_last {
            break;
        }
    }
    let mut groups = BTreeMap::new();
    for group in list(cmd("XINFO").arg("GROUPS").arg(key).query(redis)?)? {
        let mut group = Named::new(group)?;
        let name: RedisBytes = group.read("name")?;
        let consumers = list(cmd("XINFO").arg("CONSUMERS").arg(key).arg(name.as_slice()).query(redis)?)?.into_iter();
        let consumers = consumers.map(|consumer| Named::new(consumer)?.read("name")).collect::<RedisResult<_>>()?;
        let pending = pending(redis, key, &name)?;
        groups.insert(name, group.group(consumers, pending)?);
    }
    about.stream(all, groups)
}

fn pending(redis: &mut Connection, key: &[u8], group: &RedisBytes) -> RedisResult<Vec<Pending>> {
    let mut all = Vec::<Pending>::new();
    loop {
        let from = all.last().map_or_else(|| "-".to_owned(), |pending| pending.id.next().to_string());
        let mut ask = cmd("XPENDING");
        ask.arg(key).arg(group.as_slice()).arg(from).arg("+").arg(ELEMENTS_AT_ONCE);
        let part: Vec<(Value, RedisBytes, u64, u64)> = ask.query(redis)?;
        let is_last = part.len() < ELEMENTS_AT_ONCE;
        for (id, consumer, idle, deliveries) in part {
            all.push(Pending { id: id_of(id)?, consumer, deliveries, idle: Duration::from_millis(idle) });
        }
        if is_last {
            return Ok(all);
        }
    }
}

/// A reply of names and values: a map or, in RESP2, a flat list.
struct Named(HashMap<String, Value>);

impl Named {
    fn new(reply: Value) -> RedisResult<Self> {
        Ok(Self(from_redis_value(reply)?))
    }

    fn take(&mut self, name: &str) -> Value {
        self.0.remove(name).unwrap_or(Value::Nil)
    }

    fn read<T: FromRedisValue>(&mut self, name: &str) -> RedisResult<T> {
        Ok(from_redis_value(self.take(name))?)
    }

    fn stream(&mut self, entries: Vec<StreamEntry>, groups: BTreeMap<RedisBytes, Group>) -> RedisResult<Stream> {
        Ok(Stream {
            entries,
            groups,
            last_id: id_of(self.take("last-generated-id"))?,
            entries_added: self.read("entries-added")?,
            max_deleted_id: match self.take("max-deleted-entry-id") {
                Value::Nil => None,
                id => Some(id_of(id)?),
            },
        })
    }

    fn group(&mut self, consumers: BTreeSet<RedisBytes>, pending: Vec<Pending>) -> RedisResult<Group> {
        Ok(Group {
            last_delivered_id: id_of(self.take("last-delivered-id"))?,
            entries_read: self.read("entries-read")?,
            consumers,
            pending,
        })
    }
}

fn entries(reply: Value) -> RedisResult<Vec<StreamEntry>> {
    let entries = list(reply)?.into_iter().map(|entry| {
        let entry: [Value; 2] = list(entry)?.try_into().map_err(|_| unexpected("an entry is not a pair"))?;
        let [id, fields] = entry;
        Ok(StreamEntry { id: id_of(id)?, fields: from_redis_value(fields)? })
    });
    entries.collect()
}

fn list(reply: Value) -> RedisResult<Vec<Value>> {
    match reply {
        Value::Nil => Ok(Vec::new()),
        reply => Ok(from_redis_value(reply)?),
    }
}

fn id_of(reply: Value) -> RedisResult<StreamId> {
    from_redis_value::<String>(reply)?.parse().map_err(|error: Error| unexpected(&error.to_string()))
}

fn unexpected(detail: &str) -> RedisError {
    (redis::ErrorKind::UnexpectedReturnType, "XINFO STREAM", detail.to_owned()).into()
}
