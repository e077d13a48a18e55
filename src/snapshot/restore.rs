//! Brings a snapshot back by typed commands: in one MULTI, or in steps where that would keep the server from everybody
//! else for too long.

use std::collections::BTreeSet;
use std::mem;
use std::path::Path;

use redis::{Connection, RedisResult};

use super::value::{Entry, Value};
use super::write::{ADDED_AT_ONCE, Failed, ServerFacts, Writer};
use super::{Bytes, Snapshot, text};
use crate::error::{Error, Kind};
use crate::lease::{Database, Lease};
use crate::report;

/// How many elements of values go into one MULTI. The server takes about 10 ms for them.
const AT_ONCE: usize = 5_000;

/// How many bytes of commands are sent in one step.
const STEP: usize = 1 << 18;

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
    check(lease, snapshot, file)?;
    let lost = |error| lease.no_answer(error);
    let mut redis = lease.connect(Database::Sessions)?;
    let server = ServerFacts::ask(&mut redis).map_err(lost)?;
    let elements: usize = snapshot.entries().map(|(_, _, entry)| entry.value.len()).sum();
    let restore = Restore { snapshot, databases: lease.databases(), before, server };
    let failed = if elements <= AT_ONCE { restore.at_once(&mut redis) } else { restore.in_steps(&mut redis) };
    let Some(failed) = failed.map_err(lost)? else { return Ok(()) };
    let undo = failed.was_executed && before != Before::Keep { undo: false };
    if undo {
        lease.flush()?;
    }
    let key = failed.key.map(|(database, key)| (database, text::key(key)));
    let key = key.as_ref().map(|(database, key)| (*database, key.as_str()));
    let executed = failed.was_executed.then_some(undo);
    Err(Error::new(Kind::Data, report::snapshot::not_restored(file, key, &failed.words, executed)))
}

/// # Errors
///
/// When there is something in it that can't be written to the test databases.
fn check(lease: &Lease, snapshot: &Snapshot, file: Option<&Path>) -> Result<(), Error> {
    let legal = lease.databases();
    for (database, key, entry) in snapshot.entries() {
        if let Value::Other(other) = &entry.value {
            let report = report::snapshot::unwritable(file, database, &text::key(key), &other.type_name);
            return Err(Error::new(Kind::Data, report));
        }
        if !legal.contains(&database) {
            return Err(Error::new(Kind::Data, report::snapshot::other_database(file, database, legal)));
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Restore<'a> {
    snapshot: &'a Snapshot,
    databases: [u32; 2],
    before: Before,
    server: ServerFacts,
}

impl<'a> Restore<'a> {
    /// In one MULTI.
    fn at_once(self, redis: &mut Connection) -> RedisResult<Option<Failed<'a>>> {
        let mut writer = Writer::new(self.server);
        for database in self.databases {
            self.select(&mut writer, database);
            for (key, entry) in self.keys(database) {
                writer.begin(database, key);
                self.replace(&mut writer, key, entry);
            }
        }
        writer.run(redis)
    }

    /// Key by key: each is there as a whole or not at all, but for those that are very large.
    fn in_steps(self, redis: &mut Connection) -> RedisResult<Option<Failed<'a>>> {
        if let Some(refused) = self.refused(redis)? {
            return Ok(Some(refused));
        }
        let mut clear = Writer::new(self.server);
        for database in self.databases {
            self.select(&mut clear, database);
        }
        if let Some(failed) = clear.run(redis)? {
            return Ok(Some(failed));
        }
        let mut steps = Steps { restore: self, redis, next: Writer::new(self.server), sent: None, failed: None };
        'all: for database in self.databases {
            steps.next.select(database);
            for (key, entry) in self.keys(database) {
                steps.replace(database, key, entry);
                if steps.next.size() > STEP {
                    steps.send()?;
                    if steps.failed.is_some() {
                        break 'all;
                    }
                }
            }
        }
        // The last one, and the replies to it.
        steps.send()?;
        steps.send()?;
        Ok(steps.failed)
    }

    /// Asks the server about one key of each type, before anything is changed.
    fn refused(self, redis: &mut Connection) -> RedisResult<Option<Failed<'a>>> {
        let (mut writer, mut known) = (Writer::new(self.server), BTreeSet::new());
        for (database, key, entry) in self.snapshot.entries() {
            if known.insert((entry.value.type_name(), entry.ttl.is_some(), entry.value.has_field_ttls())) {
                writer.begin(database, key);
                writer.write(key, entry);
            }
        }
        writer.refused(redis)
    }

    fn keys(self, database: u32) -> impl Iterator<Item = (&'a Bytes, &'a Entry)> {
        self.snapshot.databases.get(&database).into_iter().flatten()
    }

    /// Both databases begin so.
    fn select(self, writer: &mut Writer<'_>, database: u32) {
        writer.select(database);
        if self.before == Before::Clear {
            // The server gives the memory back in the background.
            writer.push([&b"FLUSHDB"[..], b"ASYNC"]);
        }
    }

    fn replace(self, writer: &mut Writer<'_>, key: &Bytes, entry: &Entry) {
        if self.before != Before::Clear && !matches!(entry.value, Value::String(_)) {
            writer.push([&b"UNLINK"[..], key]);
        }
        writer.write(key, entry);
    }
}

struct Steps<'a, 'c> {
    restore: Restore<'a>,
    redis: &'c mut Connection,
    next: Writer<'a>,
    /// Its replies have not been read yet.
    sent: Option<Writer<'a>>,
    failed: Option<Failed<'a>>,
}

impl<'a> Steps<'a, '_> {
    fn replace(&mut self, database: u32, key: &'a Bytes, entry: &Entry) {
        self.next.begin(database, key);
        let is_alone = entry.value.len() > ADDED_AT_ONCE || matches!(entry.value, Value::String(_));
        if is_alone {
            return self.restore.replace(&mut self.next, key, entry);
        }
        self.next.push([&b"MULTI"[..]]);
        self.restore.replace(&mut self.next, key, entry);
        self.next.push([&b"EXEC"[..]]);
    }

    /// The server works while the replies to the step before are read.
    fn send(&mut self) -> RedisResult<()> {
        let next = mem::replace(&mut self.next, Writer::new(self.restore.server));
        next.send(self.redis)?;
        if let Some(sent) = self.sent.replace(next) {
            let failed = sent.failed(self.redis)?;
            self.failed = self.failed.take().or(failed);
        }
        Ok(())
    }
}
