//! Writes the keys of a file to a database, and compares.

use std::collections::VecDeque;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use redis::{Connection, RedisError, RedisResult, cmd};

use super::file::{Backup, Invalid};
use super::moments::to_left;
use super::verify::Verifier;
use crate::redis_io::packed_commands::PackedCommands;
use crate::redis_io::{self, knows};
use crate::snapshot::write::{ServerFacts, Writer};
use crate::snapshot::{Entry, RedisBytes, RedisValue};

/// How many keys, and about how many bytes of values, are written at once.
const KEYS: usize = 1_000;
const BYTES: usize = 1 << 18;

/// How many batches may wait to be written.
const WAITING: usize = 4;

/// How many steps are sent before the replies to the first one are read. The server takes turns between its clients
/// after some kilobytes of commands, so that the others do not wait for them.
pub(super) const SENT: usize = 8;

/// How keys are written.
#[derive(Clone, Copy, Debug)]
pub struct Restore {
    /// The database of the file.
    pub from: u32,
    /// Whether keys of the same names can be there, which are replaced.
    pub replace: bool,
}

/// What was restored.
#[derive(Debug, Default)]
pub struct Restored {
    /// How many keys were written.
    pub keys: usize,
    /// How many keys have expired since the dump, and were left out.
    pub expired: usize,
}

/// Why a file was not restored.
#[derive(Debug)]
pub enum NotRestored {
    /// The file has changed since it was opened.
    File(Invalid),
    /// The server does not answer.
    Server(RedisError),
    /// The server has rejected a command for this key, with this message.
    Rejected(RedisBytes, String),
    /// A key is not as it was written: it is gone, or has another value or TTL.
    Differs(RedisBytes),
    /// It was stopped.
    Stopped,
}

impl From<RedisError> for NotRestored {
    fn from(error: RedisError) -> Self {
        Self::Server(error)
    }
}

impl From<Invalid> for NotRestored {
    fn from(invalid: Invalid) -> Self {
        Self::File(invalid)
    }
}

/// Whether a server has TTLs on hash fields.
///
/// # Errors
///
/// Returns an error if the server does not answer.
pub fn has_field_ttls(redis: &mut Connection) -> RedisResult<bool> {
    knows(redis, "HPEXPIRE")
}

/// Keys, sorted.
pub(super) type Batch = Vec<(RedisBytes, Entry)>;

impl Restore {
    /// Writes all keys of the file's database to the one that the connection has selected. `progress` is told the
    /// number of keys that were written; if it returns false, this stops.
    ///
    /// # Errors
    ///
    /// Returns an error if the server does not answer or rejects a command: then some keys can have been written.
    pub fn write(
        self,
        backup: &Backup,
        redis: &mut Connection,
        mut progress: impl FnMut(usize) -> bool,
    ) -> Result<Restored, NotRestored> {
        let start = redis_io::now(redis)?;
        let version: String = redis_version(redis)?;
        let major: u32 = version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or_default();
        let facts = ServerFacts { now: Some(redis_io::milliseconds(start)), has_stream_counters: major >= 7 };
        let mut restored = Restored::default();
        // The server executes steps while the next ones are sent.
        let mut sent = VecDeque::<Step>::new();
        self.batches(backup, start, |batch, expired| {
            restored.expired += expired;
            let step = Step::new(batch, facts, self.replace);
            step.commands.send(redis)?;
            sent.push_back(step);
            if sent.len() > SENT
                && let Some(first) = sent.pop_front()
            {
                restored.keys += first.finish(redis)?;
            }
            if progress(restored.keys) { Ok(()) } else { Err(NotRestored::Stopped) }
        })?;
        for step in sent {
            restored.keys += step.finish(redis)?;
        }
        Ok(restored)
    }

    /// Reads all keys again and compares them with the file. `started` is when the first one was written.
    ///
    /// # Errors
    ///
    /// Returns an error if the server does not answer, or a key differs.
    pub fn verify(
        self,
        backup: &Backup,
        redis: &mut Connection,
        started: Instant,
        mut progress: impl FnMut(usize) -> bool,
    ) -> Result<(), NotRestored> {
        // The moments of the file count from when the first key was written.
        let start = redis_io::now(redis)?.saturating_sub(started.elapsed());
        let mut verifier = Verifier::new(redis, started)?;
        let mut compared = 0;
        self.batches(backup, start, |batch, _| {
            compared += batch.len();
            verifier.add(batch)?;
            if progress(compared) { Ok(()) } else { Err(NotRestored::Stopped) }
        })?;
        verifier.finish()
    }

    /// Reads the file on another thread, and calls `each` with some keys, sorted, and how many had expired.
    fn batches(
        self,
        backup: &Backup,
        now: Duration,
        mut each: impl FnMut(Batch, usize) -> Result<(), NotRestored>,
    ) -> Result<(), NotRestored> {
        let mut keys = backup.keys()?.filter(|key| !key.as_ref().is_ok_and(|(from, ..)| *from != self.from));
        let has_moments = backup.has_moments();
        thread::scope(|scope| {
            let (send, receive) = sync_channel(WAITING);
            scope.spawn(move || {
                loop {
                    let batch = batch(&mut keys, has_moments.then_some(now));
                    let is_last = batch.as_ref().is_ok_and(|(batch, expired)| batch.is_empty() && *expired == 0);
                    // The other side ends after an error.
                    if is_last | batch.is_err() | send.send(batch).is_err() {
                        break;
                    }
                }
            });
            receive.into_iter().try_for_each(|batch| {
                let (batch, expired) = batch?;
                each(batch, expired)
            })
        })
    }
}

/// The next keys. `now` if their times are moments.
fn batch(
    keys: &mut impl Iterator<Item = Result<(u32, RedisBytes, Entry), Invalid>>,
    now: Option<Duration>,
) -> Result<(Batch, usize), Invalid> {
    let (mut batch, mut bytes, mut expired) = (Vec::new(), 0, 0);
    while batch.len() < KEYS && bytes < BYTES {
        let Some(key) = keys.next() else { break };
        let (_, key, mut entry) = key?;
        if now.is_none_or(|now| to_left(&mut entry, now)) {
            bytes += key.as_slice().len() + entry.value.bytes();
            batch.push((key, entry));
        } else {
            expired += 1;
        }
    }
    Ok((batch, expired))
}

fn redis_version(redis: &mut Connection) -> RedisResult<String> {
    let info: redis::InfoDict = cmd("INFO").arg("server").query(redis)?;
    Ok(info.get("redis_version").unwrap_or_default())
}

/// Keys that were sent.
struct Step {
    keys: Vec<RedisBytes>,
    /// The number of each key's first command.
    first: Vec<usize>,
    commands: PackedCommands,
}

impl Step {
    fn new(batch: Batch, facts: ServerFacts, replace: bool) -> Self {
        let mut writer = Writer::new(facts);
        let (mut keys, mut first) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        for (key, entry) in batch {
            first.push(writer.len());
            if replace && !matches!(entry.value, RedisValue::String(_)) {
                writer.push([&b"UNLINK"[..], key.as_slice()]);
            }
            writer.write(&key, &entry);
            keys.push(key);
        }
        Self { keys, first, commands: writer.into_commands() }
    }

    /// Reads the replies. Returns how many keys were written.
    fn finish(mut self, redis: &mut Connection) -> Result<usize, NotRestored> {
        let errors = self.commands.errors(redis)?;
        let Some((command, message)) = errors.into_iter().next() else { return Ok(self.keys.len()) };
        let at = self.first.partition_point(|first| *first <= command).saturating_sub(1);
        Err(NotRestored::Rejected(self.keys.swap_remove(at), message))
    }
}
