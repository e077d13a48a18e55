//! Brings a snapshot back by typed commands, in one MULTI.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use redis::{Connection, RedisResult, cmd};

use super::value::{Field, Group, Stream, StreamEntry, StreamId, Value};
use super::{Bytes, Entry, Snapshot, text};
use crate::error::{Error, Kind};
use crate::lease::{Database, Lease};
use crate::redis_io::transaction::{Outcome, Transaction};
use crate::redis_io::{self, knows};
use crate::report;

/// How many elements one command adds.
const ADDED_AT_ONCE: usize = 1_000;

/// What becomes of the keys that are there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// Nothing stays.
    Clear,
    /// Only those go whose place is taken. With `undo`, all go where something fails when it is executed.
    Keep { undo: bool },
}

/// Errors name the file, where the snapshot is from one.
///
/// # Errors
///
/// As [`TestRequest::restore`](crate::TestRequest::restore).
pub(crate) fn restore(lease: &Lease, snapshot: &Snapshot, before: Before, file: Option<&Path>) -> Result<(), Error> {
    let (sessions, jobs) = lease.settings.databases();
    for (database, key, entry) in snapshot.entries() {
        if let Value::Other(name) = &entry.value {
            return Err(Error::new(Kind::Data, report::snapshot::unwritable(file, database, &text::key(key), name)));
        }
        if ![sessions, jobs].contains(&database) {
            return Err(Error::new(Kind::Data, report::snapshot::other_database(file, database, [sessions, jobs])));
        }
    }
    let lost = |error| lease.no_answer(error);
    let mut redis = lease.connect(Database::Sessions)?;
    let server = ServerFacts::ask(&mut redis).map_err(lost)?;
    let mut commands = Commands { transaction: Transaction::new(), keys: BTreeMap::new(), server };
    for database in [sessions, jobs] {
        commands.push([&b"SELECT"[..], number(database).as_bytes()]);
        if before == Before::Clear {
            commands.push([&b"FLUSHDB"[..]]);
        }
        for (key, entry) in snapshot.databases.get(&database).into_iter().flatten() {
            commands.keys.insert(commands.transaction.len(), (database, key.clone()));
            if before != Before::Clear {
                commands.push([&b"DEL"[..], key]);
            }
            commands.write(key, entry);
        }
    }
    let Commands { transaction, keys, .. } = commands;
    match transaction.run(&mut redis).map_err(lost)? {
        Outcome::Done => Ok(()),
        Outcome::Refused(errors) => Err(refused(file, &keys, &errors, None)),
        Outcome::Failed { errors, .. } => {
            let undo = before == Before::Keep { undo: true };
            if undo {
                lease.flush()?;
            }
            Err(refused(file, &keys, &errors, Some(undo)))
        }
    }
}

fn refused(
    file: Option<&Path>,
    keys: &BTreeMap<usize, (u32, Bytes)>,
    errors: &[(usize, String)],
    executed: Option<bool>,
) -> Error {
    let (command, words) = errors.first().cloned().unwrap_or_default();
    // The last key that begins at or before that command.
    let key = keys.range(..=command).next_back().map(|(_, (database, key))| format!("{database} {}", text::key(key)));
    Error::new(Kind::Data, report::snapshot::not_restored(file, &key.unwrap_or_default(), &words, executed))
}

#[derive(Clone, Copy)]
struct ServerFacts {
    /// In milliseconds since 1970.
    now: u64,
    /// Streams with counters: Redis 7, Valkey.
    has_counters: bool,
}

impl ServerFacts {
    fn ask(redis: &mut Connection) -> RedisResult<Self> {
        // Of the same version as the counters.
        let has_counters = knows(redis, "PEXPIRETIME")?;
        let (seconds, micros): (u64, u64) = cmd("TIME").query(redis)?;
        Ok(Self { now: seconds * 1000 + micros / 1000, has_counters })
    }
}

struct Commands {
    transaction: Transaction,
    /// By the number of their first command.
    keys: BTreeMap<usize, (u32, Bytes)>,
    server: ServerFacts,
}

impl Commands {
    fn push<'a>(&mut self, arguments: impl IntoIterator<Item = &'a [u8]>) {
        self.transaction.push(&arguments.into_iter().collect::<Vec<_>>());
    }

    fn write(&mut self, key: &Bytes, entry: &Entry) {
        match &entry.value {
            Value::String(value) => self.push([&b"SET"[..], key, value]),
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

    fn add<'a, const N: usize>(&mut self, command: &[u8], key: &[u8], items: impl Iterator<Item = [&'a [u8]; N]>) {
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
