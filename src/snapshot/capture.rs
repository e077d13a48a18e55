//! Reads the test databases in a few round trips per thousand keys, never one per key.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hmac_sha256::Hash;
use redis::{Connection, Pipeline, RedisError, RedisResult, cmd, from_redis_value, pipe};

use super::value::{Entry, Field, Group, Member, Opaque, Pending, RedisValue, Stream, StreamEntry, StreamId};
use super::{RedisBytes, Snapshot};
use crate::error::Error;
use crate::lease::guard::{MARKER, OLD_MARKER};
use crate::lease::{Database, Lease};
use crate::redis_io::{self, knows};

/// The COUNT of one SCAN.
const SCANNED_AT_ONCE: usize = 10_000;

/// How many keys are read per round trip.
const READ_AT_ONCE: usize = 1_000;

/// How often a key whose type keeps changing is read before it is left out.
const ATTEMPTS: usize = 10;

/// Captures both test databases.
///
/// # Errors
///
/// Returns an error that [`is_server`](Error::is_server) if the server does not answer.
pub(crate) fn capture(lease: &Lease) -> Result<Snapshot, Error> {
    let mut redis = lease.connect(Database::Sessions)?;
    capture_with(&mut redis, lease).map_err(|error| lease.no_answer(error))
}

fn capture_with(redis: &mut Connection, lease: &Lease) -> RedisResult<Snapshot> {
    let server: Arc<str> = lease.server.run_id().into();
    let has_field_ttls = knows(redis, "HPTTL")?;
    let mut databases = BTreeMap::new();
    let (captured, ran_for) = (Instant::now(), Some(lease.ran_for()));
    for database in lease.databases() {
        let () = cmd("SELECT").arg(database).query(redis)?;
        let (mut keys, mut entries) = (scan(redis)?.into_iter(), Vec::new());
        loop {
            let batch: Vec<_> = keys.by_ref().take(READ_AT_ONCE).collect();
            if batch.is_empty() {
                break;
            }
            let mut read = read(redis, batch, &server)?;
            if has_field_ttls {
                read_field_ttls(redis, &mut read)?;
            }
            entries.append(&mut read);
        }
        // Collecting sorted keys builds the tree in one go.
        databases.insert(database, entries.into_iter().collect());
    }
    Ok(Snapshot { databases, captured, ran_for, took: captured.elapsed() })
}

/// All keys except this crate's own marker. SCAN can return a key twice.
fn scan(redis: &mut Connection) -> RedisResult<Vec<RedisBytes>> {
    let mut keys = Vec::<RedisBytes>::new();
    let mut cursor = 0_u64;
    loop {
        let (next, mut found): (u64, Vec<RedisBytes>) =
            cmd("SCAN").arg(cursor).arg("COUNT").arg(SCANNED_AT_ONCE).query(redis)?;
        keys.append(&mut found);
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    keys.retain(|key| *key != MARKER && *key != OLD_MARKER);
    keys.sort_unstable();
    keys.dedup();
    Ok(keys)
}

/// Reads the keys that still exist.
fn read(redis: &mut Connection, keys: Vec<RedisBytes>, server: &Arc<str>) -> RedisResult<Vec<(RedisBytes, Entry)>> {
    let mut entries = Vec::with_capacity(keys.len());
    let mut open = keys;
    for _ in 0..ATTEMPTS {
        let mut ask = pipe();
        for key in &open {
            ask.cmd("TYPE").arg(key.as_slice());
        }
        let types: Vec<String> = ask.query(redis)?;
        let mut ask = pipe();
        ask.ignore_errors().cmd("TIME");
        for (key, kind) in open.iter().zip(&types) {
            ask_for(&mut ask, key, kind);
        }
        let mut replies = ask.query::<Vec<RedisResult<redis::Value>>>(redis)?.into_iter();
        let mut next = || replies.next().unwrap_or(Ok(redis::Value::Nil));
        let now = redis_io::milliseconds(redis_io::time(from_redis_value(next()?)?));
        let mut changed = Vec::new();
        for (key, kind) in open.into_iter().zip(types) {
            let (value, left) = (next(), from_redis_value::<i64>(next()?)?);
            match value {
                // The key expired between the two commands.
                Ok(_) if left == -2 => {}
                Ok(reply) => {
                    if let Some(value) = decode(kind, reply, now, server)? {
                        entries.push((key, Entry { value, ttl: milliseconds(left) }));
                    }
                }
                Err(error) if error.code() == Some("WRONGTYPE") => changed.push(key),
                Err(error) if is_gone(&error) => {}
                // DUMP is forbidden, or the module does not support it.
                Err(_) if !is_known(&kind) => {
                    entries.push((
                        key,
                        Entry { value: RedisValue::Other(Opaque::new(kind, None)), ttl: milliseconds(left) },
                    ));
                }
                Err(error) => return Err(error),
            }
        }
        open = changed;
        if open.is_empty() {
            break;
        }
    }
    Ok(entries)
}

/// Whether the commands of Redis itself can read values of that type.
fn is_known(kind: &str) -> bool {
    matches!(kind, "none" | "string" | "list" | "set" | "hash" | "zset" | "stream")
}

/// Adds two commands: one for the value, one for the TTL.
fn ask_for(ask: &mut Pipeline, key: &RedisBytes, kind: &str) {
    let key = key.as_slice();
    match kind {
        "string" => ask.cmd("GET").arg(key),
        "list" => ask.cmd("LRANGE").arg(key).arg(0).arg(-1),
        "set" => ask.cmd("SMEMBERS").arg(key),
        "hash" => ask.cmd("HGETALL").arg(key),
        "zset" => ask.cmd("ZRANGE").arg(key).arg(0).arg(-1).arg("WITHSCORES"),
        "stream" => ask.cmd("XINFO").arg("STREAM").arg(key).arg("FULL").arg("COUNT").arg(0),
        "none" => ask.cmd("PING"),
        _ => ask.cmd("DUMP").arg(key),
    };
    ask.cmd("PTTL").arg(key);
}

/// Decodes a value. `None` if the key is gone since TYPE was asked: Redis has no empty lists or sets.
fn decode(kind: String, reply: redis::Value, now: u64, server: &Arc<str>) -> RedisResult<Option<RedisValue>> {
    let value = match kind.as_str() {
        "none" => return Ok(None),
        "string" => return Ok(from_redis_value::<Option<RedisBytes>>(reply)?.map(RedisValue::String)),
        "list" => RedisValue::List(from_redis_value(reply)?),
        "set" => RedisValue::Set(from_redis_value::<Vec<RedisBytes>>(reply)?.into_iter().collect()),
        "hash" => {
            let fields = from_redis_value::<Vec<(RedisBytes, RedisBytes)>>(reply)?.into_iter();
            RedisValue::Hash(fields.map(|(name, value)| (name, Field { value, ttl: None })).collect())
        }
        "zset" => {
            let members = from_redis_value::<Vec<(RedisBytes, f64)>>(reply)?.into_iter();
            RedisValue::SortedSet(members.map(|(member, score)| Member { member, score }).collect())
        }
        "stream" => RedisValue::Stream(decode_stream(reply, now)?),
        _ => {
            let dump: Option<Vec<u8>> = from_redis_value(reply)?;
            return Ok(dump.map(|dump| RedisValue::Other(Opaque::new(kind, Some((server.clone(), Hash::hash(&dump)))))));
        }
    };
    Ok(Some(value).filter(|value| !value.is_empty()))
}

/// Decodes the reply to XINFO STREAM FULL, which is consistent in itself.
fn decode_stream(reply: redis::Value, now: u64) -> RedisResult<Stream> {
    let mut reply = Named::new(reply)?;
    let entries = list(reply.take("entries"))?.into_iter().map(|entry| {
        let (id, fields) = pair(list(entry)?)?;
        Ok(StreamEntry { id: id_of(id)?, fields: from_redis_value(fields)? })
    });
    let groups = list(reply.take("groups"))?.into_iter().map(|group| decode_group(group, now));
    Ok(Stream {
        entries: entries.collect::<RedisResult<_>>()?,
        groups: groups.collect::<RedisResult<_>>()?,
        last_id: id_of(reply.take("last-generated-id"))?,
        entries_added: from_redis_value(reply.take("entries-added"))?,
        max_deleted_id: match reply.take("max-deleted-entry-id") {
            redis::Value::Nil => None,
            id => Some(id_of(id)?),
        },
    })
}

fn decode_group(reply: redis::Value, now: u64) -> RedisResult<(RedisBytes, Group)> {
    let mut reply = Named::new(reply)?;
    let name = from_redis_value(reply.take("name"))?;
    let consumers = list(reply.take("consumers"))?.into_iter();
    let consumers = consumers.map(|consumer| Ok(from_redis_value(Named::new(consumer)?.take("name"))?));
    // The group's own list: that of a consumer is called `pel` and is not used.
    let pending = list(reply.take("pending"))?.into_iter().map(|pending| {
        let (id, consumer, delivered, deliveries): (redis::Value, RedisBytes, u64, u64) = from_redis_value(pending)?;
        let idle = Duration::from_millis(now.saturating_sub(delivered));
        Ok(Pending { id: id_of(id)?, consumer, deliveries, idle })
    });
    let group = Group {
        last_delivered_id: id_of(reply.take("last-delivered-id"))?,
        entries_read: from_redis_value(reply.take("entries-read"))?,
        consumers: consumers.collect::<RedisResult<_>>()?,
        pending: pending.collect::<RedisResult<_>>()?,
    };
    Ok((name, group))
}

/// A reply of names and values: a map or, in RESP2, a flat list.
struct Named(HashMap<String, redis::Value>);

impl Named {
    fn new(reply: redis::Value) -> RedisResult<Self> {
        Ok(Self(from_redis_value(reply)?))
    }

    fn take(&mut self, name: &str) -> redis::Value {
        self.0.remove(name).unwrap_or(redis::Value::Nil)
    }
}

fn list(reply: redis::Value) -> RedisResult<Vec<redis::Value>> {
    match reply {
        redis::Value::Nil => Ok(Vec::new()),
        reply => Ok(from_redis_value(reply)?),
    }
}

fn pair(list: Vec<redis::Value>) -> RedisResult<(redis::Value, redis::Value)> {
    let [one, other] = <[redis::Value; 2]>::try_from(list).map_err(|_| unexpected("an entry is not a pair"))?;
    Ok((one, other))
}

fn id_of(reply: redis::Value) -> RedisResult<StreamId> {
    from_redis_value::<String>(reply)?.parse().map_err(|error: Error| unexpected(&error.to_string()))
}

fn unexpected(detail: &str) -> RedisError {
    (redis::ErrorKind::UnexpectedReturnType, "XINFO STREAM", detail.to_owned()).into()
}

fn is_gone(error: &RedisError) -> bool {
    error.detail().is_some_and(|detail| detail.contains("no such key"))
}

/// Decodes the reply to PTTL. A TTL below one millisecond counts as one.
fn milliseconds(left: i64) -> Option<Duration> {
    redis_io::ttl(left).map(|ttl| ttl.max(Duration::from_millis(1)))
}

/// Reads the TTLs of hash fields. Fields that have expired since are left out, and so is a hash without other fields.
fn read_field_ttls(redis: &mut Connection, entries: &mut Vec<(RedisBytes, Entry)>) -> RedisResult<()> {
    let mut ask = pipe();
    ask.ignore_errors();
    for (key, entry) in &*entries {
        if let RedisValue::Hash(fields) = &entry.value {
            let names: Vec<&[u8]> = fields.keys().map(RedisBytes::as_slice).collect();
            ask.cmd("HPTTL").arg(key.as_slice()).arg("FIELDS").arg(names.len()).arg(names);
        }
    }
    if ask.is_empty() {
        return Ok(());
    }
    let mut replies = ask.query::<Vec<RedisResult<redis::Value>>>(redis)?.into_iter();
    for (_, entry) in &mut *entries {
        let RedisValue::Hash(fields) = &mut entry.value else { continue };
        // The key has another type by now. The hash that was read is kept.
        let Some(Ok(reply)) = replies.next() else { continue };
        let left: Option<Vec<i64>> = from_redis_value(reply)?;
        let mut left = left.unwrap_or_default().into_iter();
        fields.retain(|_, field| {
            let left = left.next().unwrap_or(-2);
            field.ttl = milliseconds(left);
            left != -2
        });
    }
    entries.retain(|(_, entry)| !entry.value.is_empty());
    Ok(())
}
