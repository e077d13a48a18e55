//! The commands that write a value of any type.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::{Connection, RedisResult};

use super::value::{Entry, Field, Group, RedisValue, Stream, StreamEntry, StreamId};
use super::{RedisBytes, text};
use crate::provider::Server;
use crate::redis_io;
use crate::redis_io::packed_commands::{Outcome, PackedCommands};

/// How many elements are added by one command.
pub(super) const ADDED_AT_ONCE: usize = 1_000;

/// The most bytes that are added by one command, unless a single element is larger.
const BYTES_ADDED_AT_ONCE: usize = 1 << 20;

/// The properties of the server that the commands depend on.
#[derive(Clone, Copy)]
pub(crate) struct ServerFacts {
    /// The server's time in milliseconds since 1970. `None` if the times of entries are such already: TTLs are the ends
    /// of keys, and idle times are those of deliveries.
    pub(crate) now: Option<u64>,
    /// Whether streams have counters (Redis 7, Valkey).
    pub(crate) has_stream_counters: bool,
}

impl ServerFacts {
    pub(super) fn ask(server: &Server, redis: &mut Connection) -> RedisResult<Self> {
        Ok(Self {
            now: Some(redis_io::milliseconds(redis_io::now(redis)?)),
            has_stream_counters: server.is_at_least(7, 0),
        })
    }
}

/// A command that the server rejected.
pub(super) struct Failed<'a> {
    /// The database number and the key. `None` if the command was not about a key.
    pub(super) key: Option<(u32, &'a RedisBytes)>,
    /// The server's message.
    pub(super) message: String,
    /// Whether other commands of the same step were executed.
    pub(super) was_executed: bool,
}

/// Collects the commands that write values.
pub(crate) struct Writer<'a> {
    commands: PackedCommands,
    /// Each key with the number of its first command, in the order of the commands.
    keys: Vec<(usize, (u32, &'a RedisBytes))>,
    server: ServerFacts,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(server: ServerFacts) -> Self {
        Self { commands: PackedCommands::default(), keys: Vec::new(), server }
    }

    /// The commands that were collected.
    pub(crate) fn into_commands(self) -> PackedCommands {
        self.commands
    }

    /// The number of commands.
    pub(crate) fn len(&self) -> usize {
        self.commands.len()
    }

    /// The number of bytes to send.
    pub(crate) fn size(&self) -> usize {
        self.commands.size()
    }

    /// Sends the commands in one MULTI and returns the first failure.
    ///
    /// # Errors
    ///
    /// Returns an error if the server does not answer.
    pub(super) fn run(&self, redis: &mut Connection) -> RedisResult<Option<Failed<'a>>> {
        Ok(match self.commands.run(redis)? {
            Outcome::Done => None,
            Outcome::Refused(errors) => self.first(errors, false),
            Outcome::Failed { errors, .. } => self.first(errors, true),
        })
    }

    /// Returns the first command that the server would reject in a MULTI. Executes none.
    ///
    /// # Errors
    ///
    /// Returns an error if the server does not answer.
    pub(super) fn refused(&self, redis: &mut Connection) -> RedisResult<Option<Failed<'a>>> {
        Ok(self.first(self.commands.refused(redis)?, false))
    }

    /// Sends the commands as they are, without waiting for the replies.
    ///
    /// # Errors
    ///
    /// Returns an error if the server is gone.
    pub(super) fn send(&self, redis: &mut Connection) -> RedisResult<()> {
        self.commands.send(redis)
    }

    /// Reads the replies to [`send`](Self::send) and returns the first failure.
    ///
    /// # Errors
    ///
    /// Returns an error if the server does not answer.
    pub(super) fn failed(&self, redis: &mut Connection) -> RedisResult<Option<Failed<'a>>> {
        Ok(self.first(self.commands.errors(redis)?, true))
    }

    fn first(&self, errors: Vec<(usize, String)>, was_executed: bool) -> Option<Failed<'a>> {
        let (command, message) = errors.into_iter().next()?;
        // The last key that begins at or before that command.
        let key = self.keys.iter().rfind(|(first, _)| *first <= command).map(|(_, key)| *key);
        Some(Failed { key, message, was_executed })
    }

    /// Attributes the following commands to that key.
    pub(super) fn begin(&mut self, database: u32, key: &'a RedisBytes) {
        self.keys.push((self.commands.len(), (database, key)));
    }

    pub(super) fn select(&mut self, database: u32) {
        self.push([&b"SELECT"[..], number(database).as_bytes()]);
    }

    pub(crate) fn push<'b>(&mut self, arguments: impl IntoIterator<Item = &'b [u8]>) {
        self.commands.push(&arguments.into_iter().collect::<Vec<_>>());
    }

    /// Writes a key. Unless the value is a string, the key must not exist.
    pub(crate) fn write(&mut self, key: &RedisBytes, entry: &Entry) {
        match &entry.value {
            RedisValue::String(value) => {
                let ttl = entry.ttl.map(milliseconds);
                let option = self.expiry("PX", "PXAT");
                let ttl = ttl.iter().flat_map(|ttl| [option, ttl.as_bytes()]);
                return self.push([&b"SET"[..], key.as_slice(), value.as_slice()].into_iter().chain(ttl));
            }
            RedisValue::List(items) => self.add(b"RPUSH", key, items.iter().map(|item| [item.as_slice()])),
            RedisValue::Set(members) => self.add(b"SADD", key, members.iter().map(|member| [member.as_slice()])),
            RedisValue::Hash(fields) => {
                self.add(b"HSET", key, fields.iter().map(|(name, field)| [name.as_slice(), field.value.as_slice()]));
                self.field_ttls(key, fields);
            }
            RedisValue::SortedSet(members) => {
                let scores: Vec<_> = members.iter().map(|one| text::score(one.score)).collect();
                let pairs = scores.iter().zip(members).map(|(score, one)| [score.as_bytes(), one.member.as_slice()]);
                self.add(b"ZADD", key, pairs);
            }
            RedisValue::Stream(stream) => self.stream(key, stream),
            RedisValue::Other(_) => {}
        }
        if let Some(ttl) = entry.ttl {
            self.push([self.expiry("PEXPIRE", "PEXPIREAT"), key.as_slice(), milliseconds(ttl).as_bytes()]);
        }
    }

    /// The command or option for times that are left, or for moments.
    fn expiry(&self, left: &'static str, at: &'static str) -> &'static [u8] {
        if self.server.now.is_some() { left.as_bytes() } else { at.as_bytes() }
    }

    fn add<'b, const N: usize>(
        &mut self,
        command: &[u8],
        key: &RedisBytes,
        items: impl Iterator<Item = [&'b [u8]; N]>,
    ) {
        let size = |item: &[&[u8]; N]| item.iter().map(|part| part.len()).sum::<usize>();
        let mut items = items.peekable();
        while let Some(first) = items.next() {
            let mut arguments = vec![command, key.as_slice()];
            arguments.extend(first);
            let (mut count, mut bytes) = (1, size(&first));
            while let Some(item) =
                items.next_if(|item| count < ADDED_AT_ONCE && bytes + size(item) <= BYTES_ADDED_AT_ONCE)
            {
                (count, bytes) = (count + 1, bytes + size(&item));
                arguments.extend(item);
            }
            self.push(arguments);
        }
    }

    fn field_ttls(&mut self, key: &RedisBytes, fields: &BTreeMap<RedisBytes, Field>) {
        for (name, field) in fields {
            if let Some(ttl) = field.ttl {
                self.push([
                    self.expiry("HPEXPIRE", "HPEXPIREAT"),
                    key.as_slice(),
                    milliseconds(ttl).as_bytes(),
                    b"FIELDS",
                    b"1",
                    name.as_slice(),
                ]);
            }
        }
    }

    fn stream(&mut self, key: &RedisBytes, stream: &Stream) {
        // XCLAIM needs the entry of a pending id to exist. An entry that was deleted since is added and deleted again.
        let mut deleted: Vec<StreamId> =
            stream.groups.values().flat_map(|group| &group.pending).map(|one| one.id).collect();
        deleted.sort_unstable();
        deleted.dedup();
        deleted.retain(|id| stream.entries.binary_search_by_key(id, |entry| entry.id).is_err());
        let mut entries: Vec<_> = stream.entries.clone();
        let stand_in = |id: &StreamId| StreamEntry { id: *id, fields: vec![("".into(), "".into())] };
        entries.extend(deleted.iter().map(stand_in));
        entries.sort_by_key(|entry| entry.id);
        // Creating a group creates an empty stream, which stays when the group is destroyed.
        self.push([&b"XGROUP"[..], b"CREATE", key.as_slice(), b"transient-fixtures", b"$", b"MKSTREAM"]);
        self.push([&b"XGROUP"[..], b"DESTROY", key.as_slice(), b"transient-fixtures"]);
        for entry in &entries {
            let id = entry.id.to_string();
            let fields = entry.fields.iter().flat_map(|(name, value)| [name.as_slice(), value.as_slice()]);
            self.push([&b"XADD"[..], key.as_slice(), id.as_bytes()].into_iter().chain(fields));
        }
        for (name, group) in &stream.groups {
            self.group(key, name, group);
        }
        // An entry above the highest deleted id was trimmed, not deleted: XDEL would raise that id. Trimming removes
        // the oldest entries, so one XTRIM removes all of them.
        let (deleted, trimmed): (Vec<_>, Vec<_>) =
            deleted.into_iter().partition(|id| stream.max_deleted_id.is_none_or(|largest| *id <= largest));
        for id in deleted {
            self.push([&b"XDEL"[..], key.as_slice(), id.to_string().as_bytes()]);
        }
        if let Some(last) = trimmed.last() {
            self.push([&b"XTRIM"[..], key.as_slice(), b"MINID", last.next().to_string().as_bytes()]);
        }
        self.set_last_id(key, stream);
    }

    fn group(&mut self, key: &RedisBytes, name: &RedisBytes, group: &Group) {
        let at = group.last_delivered_id.to_string();
        let read = group.entries_read.filter(|_| self.server.has_stream_counters).map(number);
        let counter = read.iter().flat_map(|read| [&b"ENTRIESREAD"[..], read.as_bytes()]);
        self.push(
            [&b"XGROUP"[..], b"CREATE", key.as_slice(), name.as_slice(), at.as_bytes()].into_iter().chain(counter),
        );
        for consumer in &group.consumers {
            self.push([&b"XGROUP"[..], b"CREATECONSUMER", key.as_slice(), name.as_slice(), consumer.as_slice()]);
        }
        for pending in &group.pending {
            let idle = redis_io::milliseconds(pending.idle);
            let delivered = number(self.server.now.map_or(idle, |now| now.saturating_sub(idle)));
            let (id, deliveries) = (pending.id.to_string(), number(pending.deliveries));
            self.push([
                &b"XCLAIM"[..],
                key.as_slice(),
                name.as_slice(),
                pending.consumer.as_slice(),
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

    fn set_last_id(&mut self, key: &RedisBytes, stream: &Stream) {
        let last = stream.last_id.to_string();
        let added = stream.entries_added.filter(|_| self.server.has_stream_counters).map(number);
        let deleted = stream.max_deleted_id.filter(|_| self.server.has_stream_counters).map(|id| id.to_string());
        let added = added.iter().flat_map(|added| [&b"ENTRIESADDED"[..], added.as_bytes()]);
        let deleted = deleted.iter().flat_map(|id| [&b"MAXDELETEDID"[..], id.as_bytes()]);
        self.push([&b"XSETID"[..], key.as_slice(), last.as_bytes()].into_iter().chain(added).chain(deleted));
    }
}

fn number(number: impl Into<u64>) -> String {
    number.into().to_string()
}

fn milliseconds(ttl: Duration) -> String {
    // A TTL of 0 would delete the key.
    redis_io::milliseconds(ttl).max(1).to_string()
}
