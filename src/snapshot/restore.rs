//! Brings a snapshot back by typed commands: in one MULTI, or in steps where that would keep the server from everybody
//! else for too long.

use std::collections::BTreeSet;
use std::mem;
use std::path::Path;

use redis::{Connection, RedisResult};

use super::value::{Entry, Value};
use super::write::{ADDED_AT_ONCE, ServerFacts, Writer, number};
use super::{Bytes, Snapshot, text};
use crate::error::{Error, Kind};
use crate::lease::{Database, Lease};
use crate::redis_io::transaction::{Outcome, Transaction};
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
    let restore = if elements <= AT_ONCE { at_once } else { in_steps };
    let Some(failed) = restore(&mut redis, server, snapshot, lease.databases(), before).map_err(lost)? else {
        return Ok(());
    };
    let undo = failed.was_executed && before != Before::Keep { undo: false };
    if undo {
        lease.flush()?;
    }
    let key = failed.key.map(|(database, key)| format!("{database} {}", text::key(key)));
    let executed = failed.was_executed.then_some(undo);
    Err(Error::new(Kind::Data, report::snapshot::not_restored(file, key.as_deref(), &failed.words, executed)))
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

/// What the server does not take.
struct Failed<'a> {
    /// With its database; `None` where it is not about a key.
    key: Option<(u32, &'a Bytes)>,
    /// In the server's words.
    words: String,
    /// Whether other keys were written.
    was_executed: bool,
}

/// Which keys commands write: for each of them the number of its first command.
type Keys<'a> = Vec<(usize, (u32, &'a Bytes))>;

fn failed<'a>(keys: &Keys<'a>, errors: Vec<(usize, String)>, was_executed: bool) -> Option<Failed<'a>> {
    let (command, words) = errors.into_iter().next()?;
    // The last key that begins at or before that command.
    let key = keys.iter().rfind(|(first, _)| *first <= command).map(|(_, key)| *key);
    Some(Failed { key, words, was_executed })
}

/// In one MULTI.
fn at_once<'a>(
    redis: &mut Connection,
    server: ServerFacts,
    snapshot: &'a Snapshot,
    databases: [u32; 2],
    before: Before,
) -> RedisResult<Option<Failed<'a>>> {
    let (mut writer, mut keys) = (Writer::new(server), Keys::new());
    for database in databases {
        select(&mut writer, database, before);
        for (key, entry) in snapshot.databases.get(&database).into_iter().flatten() {
            keys.push((writer.commands.len(), (database, key)));
            replace(&mut writer, key, entry, before);
        }
    }
    run(redis, &writer, &keys)
}

fn run<'a>(redis: &mut Connection, writer: &Writer, keys: &Keys<'a>) -> RedisResult<Option<Failed<'a>>> {
    Ok(match writer.commands.run(redis)? {
        Outcome::Done => None,
        Outcome::Refused(errors) => failed(keys, errors, false),
        Outcome::Failed { errors, .. } => failed(keys, errors, true),
    })
}

/// Key by key: each is there as a whole or not at all, but for those that are very large.
fn in_steps<'a>(
    redis: &mut Connection,
    server: ServerFacts,
    snapshot: &'a Snapshot,
    databases: [u32; 2],
    before: Before,
) -> RedisResult<Option<Failed<'a>>> {
    let refused = refused(redis, server, snapshot)?;
    if refused.is_some() {
        return Ok(refused);
    }
    let mut clear = Writer::new(server);
    for database in databases {
        select(&mut clear, database, before);
    }
    let refused = run(redis, &clear, &Keys::new())?;
    if refused.is_some() {
        return Ok(refused);
    }
    let mut steps = Steps { redis, server, writer: Writer::new(server), keys: Keys::new(), sent: None, failed: None };
    'all: for database in databases {
        steps.writer.push([&b"SELECT"[..], number(database).as_bytes()]);
        for (key, entry) in snapshot.databases.get(&database).into_iter().flatten() {
            steps.replace(database, key, entry, before);
            if steps.writer.commands.size() > STEP {
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

struct Steps<'a, 'c> {
    redis: &'c mut Connection,
    server: ServerFacts,
    /// The next one.
    writer: Writer,
    keys: Keys<'a>,
    /// The one whose replies have not been read yet.
    sent: Option<(Transaction, Keys<'a>)>,
    failed: Option<Failed<'a>>,
}

impl<'a> Steps<'a, '_> {
    fn replace(&mut self, database: u32, key: &'a Bytes, entry: &Entry, before: Before) {
        self.keys.push((self.writer.commands.len(), (database, key)));
        let is_alone = entry.value.len() > ADDED_AT_ONCE || matches!(entry.value, Value::String(_));
        if is_alone {
            return replace(&mut self.writer, key, entry, before);
        }
        self.writer.push([&b"MULTI"[..]]);
        replace(&mut self.writer, key, entry, before);
        self.writer.push([&b"EXEC"[..]]);
    }

    /// The server works while the replies to the step before are read.
    fn send(&mut self) -> RedisResult<()> {
        let writer = mem::replace(&mut self.writer, Writer::new(self.server));
        writer.commands.send(self.redis)?;
        let sent = self.sent.replace((writer.commands, mem::take(&mut self.keys)));
        let Some((commands, keys)) = sent else { return Ok(()) };
        let failed = failed(&keys, commands.errors(self.redis)?, true);
        self.failed = self.failed.take().or(failed);
        Ok(())
    }
}

/// Asks the server about one key of each type, before anything is changed.
fn refused<'a>(redis: &mut Connection, server: ServerFacts, snapshot: &'a Snapshot) -> RedisResult<Option<Failed<'a>>> {
    let (mut writer, mut keys, mut known) = (Writer::new(server), Keys::new(), BTreeSet::new());
    for (database, key, entry) in snapshot.entries() {
        if known.insert((entry.value.type_name(), entry.ttl.is_some(), entry.value.has_field_ttls())) {
            keys.push((writer.commands.len(), (database, key)));
            writer.write(key, entry);
        }
    }
    Ok(failed(&keys, writer.commands.refused(redis)?, false))
}

/// Both databases begin so.
fn select(writer: &mut Writer, database: u32, before: Before) {
    writer.push([&b"SELECT"[..], number(database).as_bytes()]);
    if before == Before::Clear {
        // The server gives the memory back in the background.
        writer.push([&b"FLUSHDB"[..], b"ASYNC"]);
    }
}

fn replace(writer: &mut Writer, key: &Bytes, entry: &Entry, before: Before) {
    if before != Before::Clear && !matches!(entry.value, Value::String(_)) {
        writer.push([&b"UNLINK"[..], key]);
    }
    writer.write(key, entry);
}
