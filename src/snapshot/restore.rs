//! Restores a snapshot by typed commands: in one MULTI, or in steps if one MULTI would block the server for too long.

use std::collections::BTreeSet;
use std::mem;
use std::path::Path;

use redis::{Connection, RedisResult};

use super::value::{Entry, RedisValue};
use super::write::{ADDED_AT_ONCE, Failed, ServerFacts, Writer};
use super::{RedisBytes, Snapshot, text};
use crate::error::{Error, Kind};
use crate::lease::{Database, Lease};
use crate::report;

/// The most elements of values in one MULTI. The server needs about 10 ms for small ones.
const AT_ONCE: usize = 5_000;

/// The most bytes of values in one MULTI. The server needs up to 20 ms for them.
const BYTES_AT_ONCE: usize = 4 << 20;

/// The size of one step of commands in bytes.
const STEP: usize = 1 << 18;

/// What happens to the existing keys.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// All are deleted.
    Clear,
    /// Only those that the snapshot replaces are deleted. With `undo`, all are deleted if a command fails on execution.
    Keep { undo: bool },
}

/// Writes the snapshot to the test databases. An error names the file if the snapshot is from one.
///
/// # Errors
///
/// Returns the errors of [`TestRequest::restore`](crate::TestRequest::restore).
pub(crate) fn restore(lease: &Lease, snapshot: &Snapshot, before: Before, file: Option<&Path>) -> Result<(), Error> {
    check(lease, snapshot, file)?;
    let lost = |error| lease.no_answer(error);
    let mut redis = lease.connect(Database::Sessions)?;
    let server = ServerFacts::ask(&lease.server, &mut redis).map_err(lost)?;
    let elements: usize = snapshot.entries().map(|(_, _, entry)| entry.value.len()).sum();
    let bytes: usize = snapshot.entries().map(|(_, _, entry)| entry.value.bytes()).sum();
    let is_small = elements <= AT_ONCE && bytes <= BYTES_AT_ONCE;
    let restore = Restore { snapshot, databases: lease.databases(), before, server };
    let failed = if is_small { restore.at_once(&mut redis) } else { restore.in_steps(&mut redis) };
    let Some(failed) = failed.map_err(lost)? else { return Ok(()) };
    let undo = failed.was_executed && before != Before::Keep { undo: false };
    if undo {
        lease.flush()?;
    }
    let key = failed.key.map(|(database, key)| (database, text::key(key)));
    let key = key.as_ref().map(|(database, key)| (*database, key.as_str()));
    let executed = failed.was_executed.then_some(undo);
    Err(Error::new(Kind::Data, report::snapshot::not_restored(file, key, &failed.message, executed)))
}

/// # Errors
///
/// Returns an error if the snapshot has keys of another database, or values that cannot be written.
fn check(lease: &Lease, snapshot: &Snapshot, file: Option<&Path>) -> Result<(), Error> {
    let legal = lease.databases();
    for (database, key, entry) in snapshot.entries() {
        if let RedisValue::Other(other) = &entry.value {
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
    /// Restores in one MULTI.
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

    /// Restores key by key. Each key appears as a whole, except very large ones.
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
        // The first call sends the last step, the second one reads the replies to it.
        steps.send()?;
        steps.send()?;
        Ok(steps.failed)
    }

    /// Has the server check one key of each type before anything is changed.
    fn refused(self, redis: &mut Connection) -> RedisResult<Option<Failed<'a>>> {
        let (mut writer, mut checked) = (Writer::new(self.server), BTreeSet::new());
        for (database, key, entry) in self.snapshot.entries() {
            if checked.insert((entry.value.type_name(), entry.ttl.is_some(), entry.value.has_field_ttls())) {
                writer.begin(database, key);
                writer.write(key, entry);
            }
        }
        writer.refused(redis)
    }

    fn keys(self, database: u32) -> impl Iterator<Item = (&'a RedisBytes, &'a Entry)> {
        self.snapshot.databases.get(&database).into_iter().flatten()
    }

    /// Selects the database, and empties it if nothing is kept.
    fn select(self, writer: &mut Writer<'_>, database: u32) {
        writer.select(database);
        if self.before == Before::Clear {
            // ASYNC: the server frees the memory in the background.
            writer.push([&b"FLUSHDB"[..], b"ASYNC"]);
        }
    }

    fn replace(self, writer: &mut Writer<'_>, key: &RedisBytes, entry: &Entry) {
        if self.before != Before::Clear && !matches!(entry.value, RedisValue::String(_)) {
            writer.push([&b"UNLINK"[..], key.as_slice()]);
        }
        writer.write(key, entry);
    }
}

/// A restore in steps: the server executes one while the replies to the one before are read.
struct Steps<'a, 'c> {
    restore: Restore<'a>,
    redis: &'c mut Connection,
    next: Writer<'a>,
    /// The step whose replies have not been read yet.
    sent: Option<Writer<'a>>,
    failed: Option<Failed<'a>>,
}

impl<'a> Steps<'a, '_> {
    fn replace(&mut self, database: u32, key: &'a RedisBytes, entry: &Entry) {
        self.next.begin(database, key);
        let is_large = entry.value.len() > ADDED_AT_ONCE || entry.value.bytes() > BYTES_AT_ONCE;
        let is_alone = is_large || matches!(entry.value, RedisValue::String(_));
        if is_alone {
            return self.restore.replace(&mut self.next, key, entry);
        }
        self.next.push([&b"MULTI"[..]]);
        self.restore.replace(&mut self.next, key, entry);
        self.next.push([&b"EXEC"[..]]);
    }

    /// Sends the next step, then reads the replies to the one before.
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
