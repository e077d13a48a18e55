//! The commands that write a value, of any type that Redis has.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::{Connection, RedisResult, cmd};

use super::value::{Entry, Field, Group, Stream, StreamEntry, StreamId, Value};
use super::{Bytes, text};
use crate::redis_io::packed_commands::{Outcome, PackedCommands};
use crate::redis_io::{self, knows};

/// How many elements one command adds.
pub(super) const ADDED_AT_ONCE: usize = 1_000;

/// What the commands depend on.
#[derive(Clone, Copy)]
pub(super) struct ServerFacts {
    /// In milliseconds since 1970.
    now: u64,
    /// Streams with counters: Redis 7, Valkey.
    has_counters: bool,
}

impl ServerFacts {
    pub(super) fn ask(redis: &mut Connection) -> RedisResult<Self> {
        // Of the same version as the counters.
        let has_counters = knows(redis, "PEXPIRETIME")?;
        let (seconds, micros): (u64, u64) = cmd("TIME").query(redis)?;
        Ok(Self { now: seconds * 1000 + micros / 1000, has_counters })
    }
}

/// What the server does not take.
pub(super) struct Failed<'a> {
    /// With its database; `None` where it is not about a key.
    pub(super) key: Option<(u32, &'a Bytes)>,
    /// In the server's words.
    pub(super) words: String,
    /// Whether other commands were executed.
    pub(super) was_executed: bool,
}

/// Values, as commands.
pub(super) struct Writer<'a> {
    commands: PackedCommands,
    /// By the number of their first command, in its order.
    keys: Vec<(usize, (u32, &'a Bytes))>,
    server: ServerFacts,
}

impl<'a> Writer<'a> {
    pub(super) fn new(server: ServerFacts) -> Self {
        Self { commands: PackedCommands::default(), keys: Vec::new(), server }
    }

    /// How many bytes will be sent.
    pub(super) fn size(&self) -> usize {
        self.commands.size()
    }

    /// In one MULTI.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
    pub(super) fn run(&self, redis: &mut Connection) -> RedisResult<Option<Failed<'a>>> {
        Ok(match self.commands.run(redis)? {
            Outcome::Done => None,
            Outcome::Refused(errors) => self.first(errors, false),
            Outcome::Failed { errors, .. } => self.first(errors, true),
        })
    }

    /// What the server would refuse in a MULTI. Nothing is executed.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
    pub(super) fn refused(&self, redis: &mut Connection) -> RedisResult<Option<Failed<'a>>> {
        Ok(self.first(self.commands.refused(redis)?, false))
    }

    /// As they are, without waiting for the replies.
    ///
    /// # Errors
    ///
    /// When the server is gone.
    pub(super) fn send(&self, redis: &mut Connection) -> RedisResult<()> {
        self.commands.send(redis)
    }

    /// Reads the replies to what was sent.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
    pub(super) fn failed(&self, redis: &mut Connection) -> RedisResult<Option<Failed<'a>>> {
        Ok(self.first(self.commands.errors(redis)?, true))
    }

    fn first(&self, errors: Vec<(usize, String)>, was_executed: bool) -> Option<Failed<'a>> {
        let (command, words) = errors.into_iter().next()?;
        // The last key that begins at or before that command.
        let key = self.keys.iter().rfind(|(first, _)| *first <= command).map(|(_, key)| *key);
        Some(Failed { key, words, was_executed })
    }

    /// The commands that follow are that key's.
    pub(super) fn begin(&mut self, database: u32, key: &'a Bytes) {
        self.keys.push((self.commands.len(), (database, key)));
    }

    pub(super) fn select(&mut self, database: u32) {
        self.push([&b"SELECT"[..], number(database).as_bytes()]);
    }

    pub(super) fn push<'b>(&mut self, arguments: impl IntoIterator<Item = &'b [u8]>) {
        self.commands.push(&arguments.into_iter().collect::<Vec<_>>());
    }

    /// A key that is not there, unless it is a string.
    pub(super) fn write(&mut self, key: &Bytes, entry: &Entry) {
        match &entry.value {
            Value::String(value) => {
                let ttl = entry.ttl.map(milliseconds);
                let ttl = ttl.iter().flat_map(|ttl| [&b"PX"[..], ttl.as_bytes()]);
                return self.push([&b"SET"[..], key, value].into_iter().chain(ttl));
            }
            Value::List(items) => self.add(b"RPUSH", key, items.iter().map(|item| [&item[..]])),
            Value::Set(members) => self.add(b"SADD", key, members.iter().map(|member| [&member[..]])),
            Value::Hash(fields) => {
                self.add(b"HSET", key, fields.iter().map(|(name, field)| [&name[..], &field.value]));
                self.field_ttls(key, fields);
            }
            Value::SortedSet(members) => {
                let scores: Vec<_> = members.iter().map(|one| text::score(one.score)).collect();
                let pairs = scores.iter().zip(members).map(|(score, one)| [score.as_bytes(), &one.member]);
                self.add(b"ZADD", key, pairs);
            }
            Value::Stream(stream) => self.stream(key, stream),
            Value::Other(_) => {}
        }
        if let Some(ttl) = entry.ttl {
            self.push([&b"PEXPIRE"[..], key, milliseconds(ttl).as_bytes()]);
        }
    }

    fn add<'b, const N: usize>(&mut self, command: &[u8], key: &[u8], items: impl Iterator<Item = [&'b [u8]; N]>) {
        let items: Vec<_> = items.collect();
        for items in items.chunks(ADDED_AT_ONCE) {
            self.push([command, key].into_iter().chain(items.iter().flatten().copied()));
        }
    }

    fn field_ttls(&mut self, key: &Bytes, fields: &BTreeMap<Bytes, Field>) {
        for (name, field) in fields {
            if let Some(ttl) = field.ttl {
                self.push([&b"HPEXPIRE"[..], key, milliseconds(ttl).as_bytes(), b"FIELDS", b"1", name]);
            }
        }
    }

    fn stream(&mut self, key: &Bytes, stream: &Stream) {
        // What is pending can be claimed only while it is there: an entry that was deleted since is deleted again.
        let mut deleted: Vec<StreamId> =
            stream.groups.values().flat_map(|group| &group.pending).map(|one| one.id).collect();
        deleted.sort_unstable();
        deleted.dedup();
        deleted.retain(|id| stream.entries.binary_search_by_key(id, |entry| entry.id).is_err());
        let mut entries: Vec<_> = stream.entries.clone();
        let stand_in = |id: &StreamId| StreamEntry { id: *id, fields: vec![("".into(), "".into())] };
        entries.extend(deleted.iter().map(stand_in));
        entries.sort_by_key(|entry| entry.id);
        // A stream without entries is made by a group, and stays without it.
        self.push([&b"XGROUP"[..], b"CREATE", key, b"transient-fixtures", b"$", b"MKSTREAM"]);
        self.push([&b"XGROUP"[..], b"DESTROY", key, b"transient-fixtures"]);
        for entry in &entries {
            let id = entry.id.to_string();
            let fields = entry.fields.iter().flat_map(|(name, value)| [&name[..], value]);
            self.push([&b"XADD"[..], key, id.as_bytes()].into_iter().chain(fields));
        }
        for (name, group) in &stream.groups {
            self.group(key, name, group);
        }
        // XDEL would raise the largest id that was ever deleted: what is above was trimmed, which is always the oldest.
        let (deleted, trimmed): (Vec<_>, Vec<_>) =
            deleted.into_iter().partition(|id| stream.max_deleted_id.is_none_or(|largest| *id <= largest));
        for id in deleted {
            self.push([&b"XDEL"[..], key, id.to_string().as_bytes()]);
        }
        if let Some(last) = trimmed.last() {
            self.push([&b"XTRIM"[..], key, b"MINID", last.next().to_string().as_bytes()]);
        }
        self.last_id(key, stream);
    }

    fn group(&mut self, key: &Bytes, name: &Bytes, group: &Group) {
        let at = group.last_delivered_id.to_string();
        let read = group.entries_read.filter(|_| self.server.has_counters).map(number);
        let counter = read.iter().flat_map(|read| [&b"ENTRIESREAD"[..], read.as_bytes()]);
        self.push([&b"XGROUP"[..], b"CREATE", key, name, at.as_bytes()].into_iter().chain(counter));
        for consumer in &group.consumers {
            self.push([&b"XGROUP"[..], b"CREATECONSUMER", key, name, consumer]);
        }
        for pending in &group.pending {
            let delivered = number(self.server.now.saturating_sub(redis_io::milliseconds(pending.idle)));
            let (id, deliveries) = (pending.id.to_string(), number(pending.deliveries));
            self.push([
                &b"XCLAIM"[..],
                key,
                name,
                &pending.consumer,
                b"0",
                id.as_bytes(),
                b"TIME",
                delivered.as_bytes(),
                b"RETRYCOUNT",
                deliveries.as_bytes(),
                b"FORCE",
                b"JUSTID",
            ]);
        }
    }

    fn last_id(&mut self, key: &Bytes, stream: &Stream) {
        let last = stream.last_id.to_string();
        let added = stream.entries_added.filter(|_| self.server.has_counters).map(number);
        let deleted = stream.max_deleted_id.filter(|_| self.server.has_counters).map(|id| id.to_string());
        let added = added.iter().flat_map(|added| [&b"ENTRIESADDED"[..], added.as_bytes()]);
        let deleted = deleted.iter().flat_map(|id| [&b"MAXDELETEDID"[..], id.as_bytes()]);
        self.push([&b"XSETID"[..], key, last.as_bytes()].into_iter().chain(added).chain(deleted));
    }
}

fn number(number: impl Into<u64>) -> String {
    number.into().to_string()
}

fn milliseconds(ttl: Duration) -> String {
    // 0 would delete the key.
    redis_io::milliseconds(ttl).max(1).to_string()
}
