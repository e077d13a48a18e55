//! Which keys have a TTL, over a run.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::branches::{error_code, is_nil, number};
use super::reader::Command;
use crate::resp::Reply;
use crate::shape::{Shape, keys_of};

/// A point in time, since 1970 in milliseconds.
type Milliseconds = i64;

/// The keys that are on the server, as the commands tell. What scripts write is not known.
pub(crate) struct Keys {
    started: SystemTime,
    living: HashMap<(u32, Vec<u8>), Key>,
    /// Keys that ended without a TTL, by the number of the shape that wrote them.
    without_ttl: HashMap<usize, WithoutTtl>,
}

struct Key {
    expires: Option<Milliseconds>,
    /// The number of the shape that has left it without a TTL.
    writer: usize,
    /// Whether it had a TTL before.
    has_lost: bool,
}

/// The keys that a shape has left without a TTL.
#[derive(Clone, Debug, Default)]
pub(crate) struct WithoutTtl {
    /// How many never had one.
    pub(crate) never: usize,
    /// How many had one before, which this shape removed.
    pub(crate) lost: usize,
    pub(crate) example: Vec<u8>,
}

/// What a command does to a key.
enum Effect {
    /// It has a new value, and this expiry.
    Replaced(Option<Milliseconds>),
    /// It has a new or changed value, and keeps its expiry.
    Changed,
    Expires(Milliseconds),
    Persists,
    Removed,
}

impl Keys {
    pub(crate) fn new(started: SystemTime) -> Self {
        Self { started, living: HashMap::new(), without_ttl: HashMap::new() }
    }

    /// Takes a command. `number` is that of its shape.
    pub(crate) fn take(&mut self, command: &Command, shape: &Shape, number: usize) {
        if command.is_queued() || command.reply.as_ref().is_some_and(|reply| error_code(reply).is_some()) {
            return;
        }
        let now = milliseconds(self.started + command.replied_at);
        match command.name.as_str() {
            "FLUSHALL" => self.end_all(|_| true),
            "FLUSHDB" => self.end_all(|database| database == command.database),
            "RENAME" | "RENAMENX" => self.rename(command),
            _ => {
                for (key, effect) in effects(command, shape, now) {
                    self.apply((command.database, key.to_vec()), &effect, number, now);
                }
            }
        }
    }

    fn apply(&mut self, key: (u32, Vec<u8>), effect: &Effect, writer: usize, now: Milliseconds) {
        let known = self.living.get_mut(&key).filter(|known| known.expires.is_none_or(|at| at > now));
        let had_ttl = known.as_ref().is_some_and(|known| known.expires.is_some());
        match (effect, known) {
            (Effect::Replaced(expires), _) => {
                self.living.insert(key, Key { expires: *expires, writer, has_lost: had_ttl });
            }
            (Effect::Changed, None) => {
                self.living.insert(key, Key { expires: None, writer, has_lost: false });
            }
            (Effect::Changed, Some(_)) | (Effect::Persists, None) => {}
            (Effect::Expires(at), Some(known)) => known.expires = Some(*at),
            (Effect::Expires(at), None) => {
                self.living.insert(key, Key { expires: Some(*at), writer, has_lost: false });
            }
            (Effect::Persists, Some(known)) => *known = Key { expires: None, writer, has_lost: had_ttl },
            (Effect::Removed, _) => self.end(key),
        }
    }

    fn end(&mut self, key: (u32, Vec<u8>)) {
        if let Some(Key { expires: None, writer, has_lost }) = self.living.remove(&key) {
            let found = self.without_ttl.entry(writer).or_default();
            if found.never + found.lost == 0 {
                found.example = key.1;
            }
            *(if has_lost { &mut found.lost } else { &mut found.never }) += 1;
        }
    }

    fn end_all(&mut self, of: impl Fn(u32) -> bool) {
        let without_ttl = self.living.iter().filter(|((database, _), key)| of(*database) && key.expires.is_none());
        // In their order, so that the same run has the same examples.
        let mut ended: Vec<_> = without_ttl.map(|(key, _)| key.clone()).collect();
        ended.sort();
        for key in ended {
            self.end(key);
        }
        self.living.retain(|(database, _), _| !of(*database));
    }

    fn rename(&mut self, command: &Command) {
        let is_refused = command.reply.as_ref().and_then(number) == Some(0);
        if let ([from, to], false) = (keys_of(&command.words).as_slice(), is_refused) {
            let [from, to] = [from, to].map(|key| (command.database, key.to_vec()));
            self.end(to.clone());
            if let Some(key) = self.living.remove(&from) {
                self.living.insert(to, key);
            }
        }
    }

    /// The keys that were left without a TTL, by the number of the shape that wrote them.
    pub(crate) fn without_ttl(mut self) -> HashMap<usize, WithoutTtl> {
        self.end_all(|_| true);
        self.without_ttl
    }
}

fn milliseconds(time: SystemTime) -> Milliseconds {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    since.as_millis().try_into().unwrap_or(Milliseconds::MAX)
}

/// What a command that was executed does to its keys.
fn effects<'words>(command: &'words Command, shape: &Shape, now: Milliseconds) -> Vec<(&'words [u8], Effect)> {
    let arguments = command.arguments();
    let keys = keys_of(&command.words);
    let has = |option: &str| shape.options().contains(&option);
    let answer = command.reply.as_ref();
    let is_refused = answer.is_some_and(|reply| is_nil(reply) || number(reply) == Some(0));
    let all = |effect: fn() -> Effect| keys.iter().map(|key| (*key, effect())).collect();
    let first = |effect: Option<Effect>| keys.first().copied().zip(effect).into_iter().collect();
    match command.name.as_str() {
        "SET" if is_refused_set(answer, &has) => Vec::new(),
        "GETEX" | "EXPIRE" | "PEXPIRE" | "EXPIREAT" | "PEXPIREAT" | "PERSIST" | "SETNX" | "MSETNX" | "HSETNX"
        | "COPY" | "SMOVE" | "LPUSHX" | "RPUSHX" | "XADD"
            if is_refused =>
        {
            Vec::new()
        }
        "SET" if has("KEEPTTL") => all(|| Effect::Changed),
        "SET" => first(Some(Effect::Replaced(expiry_option(&arguments, 2, now)))),
        "SETEX" => first(expiry(arguments.get(1), 1000, now).map(|at| Effect::Replaced(Some(at)))),
        "PSETEX" => first(expiry(arguments.get(1), 1, now).map(|at| Effect::Replaced(Some(at)))),
        "RESTORE" => {
            let start = if has("ABSTTL") { 0 } else { now };
            let at = expiry(arguments.get(1), 1, start).filter(|at| *at != start);
            first(Some(Effect::Replaced(at)))
        }
        "GETEX" if has("PERSIST") => all(|| Effect::Persists),
        "GETEX" => first(expiry_option(&arguments, 1, now).map(Effect::Expires)),
        "EXPIRE" => first(expiry(arguments.get(1), 1000, now).map(Effect::Expires)),
        "PEXPIRE" => first(expiry(arguments.get(1), 1, now).map(Effect::Expires)),
        "EXPIREAT" => first(expiry(arguments.get(1), 1000, 0).map(Effect::Expires)),
        "PEXPIREAT" => first(expiry(arguments.get(1), 1, 0).map(Effect::Expires)),
        "PERSIST" => all(|| Effect::Persists),
        "DEL" | "UNLINK" | "GETDEL" | "MOVE" => all(|| Effect::Removed),
        "SETNX" | "GETSET" | "MSET" | "MSETNX" => all(|| Effect::Replaced(None)),
        // The first key is where the result goes.
        "SDIFFSTORE" | "SINTERSTORE" | "SUNIONSTORE" | "ZDIFFSTORE" | "ZINTERSTORE" | "ZUNIONSTORE" | "ZRANGESTORE"
        | "GEOSEARCHSTORE" | "BITOP" => first(Some(Effect::Replaced(None))),
        "LMOVE" | "BLMOVE" | "RPOPLPUSH" | "BRPOPLPUSH" | "SMOVE" | "COPY" if !is_refused => {
            keys.get(1).map(|key| (*key, Effect::Changed)).into_iter().collect()
        }
        "HSET" | "HMSET" | "HSETNX" | "HSETEX" | "HINCRBY" | "HINCRBYFLOAT" | "LPUSH" | "RPUSH" | "LPUSHX"
        | "RPUSHX" | "SADD" | "ZADD" | "ZINCRBY" | "XADD" | "INCR" | "INCRBY" | "INCRBYFLOAT" | "DECR" | "DECRBY"
        | "APPEND" | "SETRANGE" | "SETBIT" | "BITFIELD" | "GEOADD" | "PFADD" | "PFMERGE" | "JSON.SET" => {
            first(Some(Effect::Changed))
        }
        _ => Vec::new(),
    }
}

/// With GET, the reply is the old value, and tells whether the condition was met.
fn is_refused_set(answer: Option<&Reply>, has: &impl Fn(&str) -> bool) -> bool {
    let had_none = answer.is_some_and(is_nil);
    if has("GET") { has("NX") && !had_none || has("XX") && had_none } else { had_none }
}

/// The expiry that the options from this index on set.
fn expiry_option(arguments: &[&[u8]], from: usize, now: Milliseconds) -> Option<Milliseconds> {
    let units = [(&b"EX"[..], 1000, now), (b"PX", 1, now), (b"EXAT", 1000, 0), (b"PXAT", 1, 0)];
    arguments.iter().enumerate().skip(from).find_map(|(index, word)| {
        let (_, unit, start) = units.iter().find(|(option, ..)| word.eq_ignore_ascii_case(option))?;
        expiry(arguments.get(index + 1), *unit, *start)
    })
}

fn expiry(argument: Option<&&[u8]>, unit: i64, start: Milliseconds) -> Option<Milliseconds> {
    let time: i64 = std::str::from_utf8(argument?).ok()?.parse().ok()?;
    Some(start.saturating_add(time.saturating_mul(unit)))
}

#[cfg(test)]
mod tests {
    use crate::record::summary::summed_up;

    /// The shapes that left keys without a TTL, and how many never had one and lost it.
    #[track_caller]
    fn assert_without_ttl(exchanges: &[(&str, &str)], expected: &[(&str, usize, usize)]) {
        let summary = summed_up(exchanges);
        let found = summary.without_ttl.iter().map(|(shape, found)| (shape.to_string(), found.never, found.lost));
        let found: Vec<_> = found.collect();
        let expected: Vec<_> =
            expected.iter().map(|(shape, never, lost)| ((*shape).to_owned(), *never, *lost)).collect();
        assert_eq!(found, expected, "{exchanges:?}");
    }

    #[test]
    fn keys_without_a_ttl_have_a_writer() {
        const OK: &str = "+OK";
        assert_without_ttl(&[("SET a 1", OK)], &[("SET a", 1, 0)]);
        for expiry in ["EXPIRE a 60", "PEXPIREAT a 60000", "GETEX a EX 60"] {
            assert_without_ttl(&[("SET a 1", OK), (expiry, ":1")], &[]);
        }
        assert_without_ttl(&[("SET a 1", OK), ("EXPIRE a 60", ":0")], &[("SET a", 1, 0)]);
        for command in ["SET a 1 EX 60", "SETEX a 60 1", "PSETEX a 9000 1", "SET a 1 PXAT 60000", "RESTORE a 9000 x"] {
            assert_without_ttl(&[(command, OK)], &[]);
            assert_without_ttl(&[(command, OK), ("SET a 2 KEEPTTL", OK)], &[]);
            assert_without_ttl(&[(command, OK), ("INCR a", ":2")], &[]);
            assert_without_ttl(&[(command, OK), ("SET a 2", OK)], &[("SET a", 0, 1)]);
            assert_without_ttl(&[(command, OK), ("PERSIST a", ":1")], &[("PERSIST a", 0, 1)]);
        }
        // What ended before it got one never had one.
        assert_without_ttl(&[("HSET a b 1", ":1"), ("DEL a", ":1")], &[("HSET a", 1, 0)]);
        assert_without_ttl(&[("HSET a b 1", ":1"), ("FLUSHDB", OK), ("EXPIRE a 60", ":0")], &[("HSET a", 1, 0)]);
        assert_without_ttl(&[("RESTORE a 0 x", OK)], &[("RESTORE a", 1, 0)]);
    }

    #[test]
    fn commands_that_changed_nothing_write_nothing() {
        for (command, reply) in [
            ("SET a 1 NX", "$-1"),
            ("SET a 1 XX GET", "$-1"),
            ("SETNX a 1", ":0"),
            ("LPUSHX a 1", ":0"),
            ("SET a 1", "-OOM no"),
            ("XADD a NOMKSTREAM * b 1", "$-1"),
        ] {
            assert_without_ttl(&[(command, reply)], &[]);
        }
        assert_without_ttl(&[("SET a 1 NX GET", "$-1")], &[("SET a NX GET", 1, 0)]);
    }

    /// Every command comes a second after the one before it.
    #[test]
    fn an_expired_key_is_a_new_one() {
        let expired = [("SET a 1 EX 1", "+OK"), ("PING", "+PONG"), ("INCR a", ":1")];
        assert_without_ttl(&expired, &[("INCR a", 1, 0)]);
        let negative = [("SET a 1", "+OK"), ("EXPIRE a -1", ":1"), ("INCR a", ":1")];
        assert_without_ttl(&negative, &[("INCR a", 1, 0)]);
    }

    #[test]
    fn a_renamed_key_keeps_its_ttl() {
        assert_without_ttl(&[("SET a 1 EX 60", "+OK"), ("RENAME a b", "+OK"), ("INCR b", ":1")], &[]);
        assert_without_ttl(&[("SET a 1", "+OK"), ("RENAME a b", "+OK"), ("EXPIRE b 60", ":1")], &[]);
        assert_without_ttl(&[("SET a 1", "+OK"), ("RENAMENX a b", ":0")], &[("SET a", 1, 0)]);
    }
}
