//! Keys and their values, read in small steps.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use transient_fixtures::redis::{Cmd, Connection, FromRedisValue, RedisResult, Value, cmd, pipe};

/// How long the first screen may collect keys. It is also to be read, and printed, within 300 ms.
const COLLECTED_WITHIN: Duration = Duration::from_millis(150);

/// How many keys one command scans. A server takes less than a millisecond for it.
const STEP: u32 = 500;

/// How much of a value is read: characters of a string, or elements.
const READ: usize = 200;
const ELEMENTS: usize = 10;

/// The fewest keys that are shown of a prefix, if there are more of them than fit.
const FEWEST: usize = 3;

/// A key as it is shown.
pub(super) struct Key {
    pub(super) name: Vec<u8>,
    pub(super) kind: String,
    /// `None` without a TTL.
    pub(super) ttl: Option<Duration>,
    /// With what the server needs beside it. `None` if the server does not tell.
    pub(super) bytes: Option<u64>,
    /// The number of characters of a string, or of elements. `None` for the types of modules, which have no value here.
    pub(super) length: Option<u64>,
    /// The beginning of the value.
    pub(super) value: Vec<Vec<u8>>,
}

/// All keys with a prefix.
pub(super) struct Group {
    pub(super) count: usize,
    pub(super) shown: Vec<Key>,
}

pub(super) struct Screen {
    /// How many keys the database has.
    pub(super) all: u64,
    /// How many of them were found, all of them if `is_whole`. With a pattern, they match it.
    pub(super) found: usize,
    pub(super) is_whole: bool,
    pub(super) has_pattern: bool,
    pub(super) groups: BTreeMap<Vec<u8>, Group>,
}

/// Calls `found` with the keys of each step until it returns false.
pub(super) fn scan(
    connection: &mut Connection,
    pattern: Option<&str>,
    mut found: impl FnMut(&mut Connection, Vec<Vec<u8>>) -> RedisResult<bool>,
) -> RedisResult<bool> {
    let mut cursor = 0_u64;
    loop {
        let mut step = cmd("SCAN");
        step.arg(cursor).arg("COUNT").arg(STEP);
        if let Some(pattern) = pattern {
            step.arg("MATCH").arg(pattern);
        }
        let (next, keys): (u64, Vec<Vec<u8>>) = step.query(connection)?;
        let goes_on = found(connection, keys)?;
        if next == 0 || !goes_on {
            return Ok(next == 0);
        }
        cursor = next;
    }
}

impl Screen {
    /// Collects keys for a moment, and reads those that are shown.
    pub(super) fn read(connection: &mut Connection, pattern: Option<&str>, limit: usize) -> RedisResult<Self> {
        let start = Instant::now();
        let all = cmd("DBSIZE").query(connection)?;
        let mut by_prefix: BTreeMap<Vec<u8>, Vec<Vec<u8>>> = BTreeMap::new();
        let is_whole = scan(connection, pattern, |_, keys| {
            for key in keys {
                by_prefix.entry(prefix(&key).to_vec()).or_default().push(key);
            }
            Ok(start.elapsed() < COLLECTED_WITHIN)
        })?;
        let share = (limit / by_prefix.len().max(1)).max(FEWEST);
        let (mut groups, mut found) = (BTreeMap::new(), 0);
        for (prefix, mut keys) in by_prefix {
            keys.sort_unstable();
            // SCAN can return a key twice.
            keys.dedup();
            let count = keys.len();
            found += count;
            keys.truncate(share);
            groups.insert(prefix, Group { count, shown: read(connection, keys)? });
        }
        Ok(Self { all, found, is_whole, has_pattern: pattern.is_some(), groups })
    }
}

/// `cart:` of `cart:1`, and nothing of a key without a colon.
fn prefix(key: &[u8]) -> &[u8] {
    key.iter().position(|byte| *byte == b':').map_or(&[], |colon| &key[..=colon])
}

/// Reads keys in two pipelines. A key that has gone in between is left out.
pub(super) fn read(connection: &mut Connection, names: Vec<Vec<u8>>) -> RedisResult<Vec<Key>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let facts = ask(
        connection,
        names.iter().flat_map(|name| {
            let memory = cmd("MEMORY").arg("USAGE").arg(name).take();
            [cmd("TYPE").arg(name).take(), cmd("PTTL").arg(name).take(), memory]
        }),
    )?;
    let mut keys: Vec<_> = names
        .into_iter()
        .zip(facts.chunks_exact(3))
        .map(|(name, facts)| Key {
            kind: of(facts[0].as_ref()).unwrap_or_default(),
            ttl: of(facts[1].as_ref()).and_then(|ttl: i64| u64::try_from(ttl).ok()).map(Duration::from_millis),
            bytes: of(facts[2].as_ref()),
            name,
            length: None,
            value: Vec::new(),
        })
        .filter(|key| key.kind != "none")
        .collect();
    let known = keys.iter_mut().filter_map(|key| Some((questions(&key.kind, &key.name)?, key)));
    let (questions, known): (Vec<_>, Vec<_>) = known.unzip();
    let values = ask(connection, questions.into_iter().flatten())?;
    for (key, values) in known.into_iter().zip(values.chunks_exact(2)) {
        key.length = of(values[0].as_ref());
        key.value = elements(values[1].as_ref());
    }
    Ok(keys)
}

/// The commands for the length of a value, and its beginning. `None` for the types of modules.
fn questions(kind: &str, name: &[u8]) -> Option<[Cmd; 2]> {
    let one = |command: &str| cmd(command).arg(name).take();
    Some(match kind {
        "string" => [one("STRLEN"), one("GETRANGE").arg(0).arg(READ - 1).take()],
        "list" => [one("LLEN"), one("LRANGE").arg(0).arg(ELEMENTS - 1).take()],
        "set" => [one("SCARD"), one("SRANDMEMBER").arg(ELEMENTS).take()],
        "zset" => [one("ZCARD"), one("ZRANGE").arg(0).arg(ELEMENTS / 2 - 1).arg("WITHSCORES").take()],
        "hash" => [one("HLEN"), one("HSCAN").arg(0).arg("COUNT").arg(ELEMENTS).take()],
        "stream" => [one("XLEN"), one("XRANGE").arg("-").arg("+").arg("COUNT").arg(ELEMENTS / 5).take()],
        _ => return None,
    })
}

/// Asks in one round trip. A reply can be an error: the key has another type by now.
fn ask(connection: &mut Connection, questions: impl Iterator<Item = Cmd>) -> RedisResult<Vec<Option<Value>>> {
    let mut pipeline = pipe();
    questions.for_each(|question| {
        pipeline.add_command(question);
    });
    if pipeline.is_empty() {
        return Ok(Vec::new());
    }
    pipeline.ignore_errors();
    let replies: Vec<RedisResult<Value>> = pipeline.query(connection)?;
    Ok(replies.into_iter().map(Result::ok).collect())
}

fn of<T: FromRedisValue>(reply: Option<&Value>) -> Option<T> {
    T::from_redis_value_ref(reply?).ok()
}

/// The strings of a reply, however it is nested, except for the cursor of HSCAN.
fn elements(reply: Option<&Value>) -> Vec<Vec<u8>> {
    fn flatten(value: &Value, found: &mut Vec<Vec<u8>>) {
        match value {
            Value::BulkString(bytes) => found.push(bytes.clone()),
            Value::SimpleString(text) => found.push(text.clone().into_bytes()),
            Value::Array(values) | Value::Set(values) => values.iter().for_each(|value| flatten(value, found)),
            Value::Map(pairs) => {
                for (key, value) in pairs {
                    flatten(key, found);
                    flatten(value, found);
                }
            }
            Value::Double(number) => found.push(number.to_string().into_bytes()),
            _ => {}
        }
    }
    let mut found = Vec::new();
    match reply {
        Some(Value::Array(parts)) if matches!(&parts[..], [Value::BulkString(_), Value::Array(_) | Value::Map(_)]) => {
            flatten(&parts[1], &mut found);
        }
        Some(value) => flatten(value, &mut found),
        None => {}
    }
    found.truncate(ELEMENTS);
    found
}
