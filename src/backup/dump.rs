//! Reads a database and writes a file. Any number of keys takes the memory of their names and of the largest value.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use redis::{Connection, InfoDict, RedisError, RedisResult, cmd};

use super::commands::CommandWriter;
use super::digest::Digest;
use super::moments::to_moments;
use super::names::Names;
use crate::snapshot::lines::LineWriter;
use crate::snapshot::read::{Read, Reader};
use crate::snapshot::{Entry, RedisBytes, RedisValue};

/// How many keys are read at once: fewer if they are large.
const FEWEST: usize = 1;
const MOST: usize = 5_000;

/// How many bytes of values are read at once, about.
const BYTES: usize = 4 << 20;

/// How many batches may wait to be written.
const WAITING: usize = 2;

/// The form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// That of [`Snapshot::save`](crate::Snapshot::save). It has the TTLs that were left.
    Snapshot,
    /// Commands as clients send them (RESP). They have the moments at which keys expire.
    Commands,
}

/// What is dumped.
#[derive(Clone, Copy, Debug)]
pub struct Dump<'a> {
    /// The database, which the connection has selected.
    pub database: u32,
    /// Only keys that match.
    pub pattern: Option<&'a str>,
    /// The form of the file.
    pub format: Format,
}

/// What was dumped.
#[derive(Debug)]
pub struct Dumped {
    /// How many keys were written.
    pub keys: usize,
    /// The digest that a file has that was written well: see [`Contents::digest`](super::Contents::digest).
    pub digest: u64,
    /// How many keys were gone when their turn came.
    pub gone: usize,
    /// Large keys that may have changed while they were read.
    pub unsure: Vec<RedisBytes>,
    /// Keys of types that the commands of Redis can't read, by type.
    pub left_out: BTreeMap<String, LeftOut>,
    /// The time from the first to the last read.
    pub took: Duration,
    /// Whether clients wrote to the server in that time. `None` if it does not tell.
    pub writes: Option<Writes>,
}

/// Whether clients wrote to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// No database has changed.
    None,
    /// Any database has.
    Some,
}

/// Keys that are not in a file.
#[derive(Debug)]
pub struct LeftOut {
    /// How many.
    pub count: usize,
    /// One of them.
    pub example: RedisBytes,
}

/// Why there is no dump.
#[derive(Debug)]
pub enum NotDumped {
    /// The server does not answer, or forbids a command.
    Server(RedisError),
    /// The file can't be written.
    File(io::Error),
    /// It was stopped.
    Stopped,
}

impl From<RedisError> for NotDumped {
    fn from(error: RedisError) -> Self {
        Self::Server(error)
    }
}

impl From<io::Error> for NotDumped {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

impl Dump<'_> {
    /// Reads the database and writes the file. `progress` is told the number of keys that were written and of all keys,
    /// which is 0 as long as it is unknown; if it returns false, this stops.
    ///
    /// # Errors
    ///
    /// Returns an error if the server does not answer, the file can't be written, or it was stopped.
    pub fn write(
        self,
        redis: &mut Connection,
        file: &mut impl Write,
        mut progress: impl FnMut(usize, usize) -> bool,
    ) -> Result<Dumped, NotDumped> {
        let start = Instant::now();
        let before = written(redis);
        let reader = Reader::new(redis, "")?;
        let names = Names::scan(redis, self.pattern, |_| progress(0, 0))?.ok_or(NotDumped::Stopped)?;
        let all = names.len();
        let mut out = Output::new(self, file)?;
        thread::scope(|scope| {
            let (send, receive) = sync_channel(WAITING);
            let redis = &mut *redis;
            scope.spawn(move || {
                let mut names = names.iter();
                let mut at_once = FEWEST * 100;
                loop {
                    let batch: Vec<_> = names.by_ref().take(at_once).collect();
                    if batch.is_empty() {
                        break;
                    }
                    let read = reader.read(redis, batch);
                    let bytes = read.as_ref().map_or(0, |read| read.entries.iter().map(size).sum());
                    at_once = if bytes > BYTES { at_once / 2 } else { at_once * 2 }.clamp(FEWEST, MOST);
                    // The other side ends after an error.
                    if read.is_err() | send.send(read).is_err() {
                        break;
                    }
                }
            });
            for read in receive {
                out.add(read?)?;
                if !progress(out.dumped.keys, all) {
                    return Err(NotDumped::Stopped);
                }
            }
            Ok(())
        })?;
        let mut dumped = out.end()?;
        dumped.took = start.elapsed();
        dumped.writes = before.and_then(|before| {
            let after = written(redis).filter(|after| after.server == before.server && after.saved == before.saved)?;
            Some(if after.changes == before.changes { Writes::None } else { Writes::Some })
        });
        Ok(dumped)
    }
}

fn size((key, entry): &(RedisBytes, Entry)) -> usize {
    key.as_slice().len() + entry.value.bytes()
}

/// The file and what it has.
struct Output<W: Write> {
    file: Form<W>,
    dump: (u32, Format),
    digest: Digest,
    dumped: Dumped,
}

enum Form<W: Write> {
    Lines(LineWriter<W>),
    Commands(CommandWriter<W>),
}

impl<W: Write> Output<W> {
    fn new(dump: Dump<'_>, file: W) -> io::Result<Self> {
        let file = match dump.format {
            Format::Snapshot => {
                let mut lines = LineWriter::new(file)?;
                lines.database(dump.database)?;
                Form::Lines(lines)
            }
            Format::Commands => Form::Commands(CommandWriter::new(file, dump.database)?),
        };
        let dumped = Dumped {
            keys: 0,
            digest: 0,
            gone: 0,
            unsure: Vec::new(),
            left_out: BTreeMap::new(),
            took: Duration::ZERO,
            writes: None,
        };
        Ok(Self { file, dump: (dump.database, dump.format), digest: Digest::default(), dumped })
    }

    fn add(&mut self, mut read: Read) -> io::Result<()> {
        self.dumped.gone += read.gone;
        self.dumped.unsure.append(&mut read.unsure);
        // Those that took several attempts are at the end.
        read.entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (key, mut entry) in read.entries {
            if let RedisValue::Other(other) = entry.value {
                let new = LeftOut { count: 0, example: key };
                self.dumped.left_out.entry(other.type_name).or_insert(new).count += 1;
                continue;
            }
            if self.dump.1 == Format::Commands {
                to_moments(&mut entry, read.time);
            }
            self.digest.add(self.dump.0, &key, &entry);
            match &mut self.file {
                Form::Lines(lines) => lines.key(&key, &entry)?,
                Form::Commands(commands) => commands.key(&key, &entry)?,
            }
            self.dumped.keys += 1;
        }
        Ok(())
    }

    fn end(self) -> io::Result<Dumped> {
        match self.file {
            Form::Lines(lines) => lines.end()?.flush()?,
            Form::Commands(commands) => commands.end()?.flush()?,
        }
        Ok(Dumped { digest: self.digest.value(), ..self.dumped })
    }
}

/// How much was written to a server.
struct Written {
    server: String,
    /// When it last saved its data, which begins the count anew.
    saved: u64,
    changes: u64,
}

/// `None` if the server does not tell.
fn written(redis: &mut Connection) -> Option<Written> {
    let mut info = |section: &str| -> RedisResult<InfoDict> { cmd("INFO").arg(section).query(redis) };
    let (server, persistence) = (info("server").ok()?, info("persistence").ok()?);
    Some(Written {
        server: server.get("run_id")?,
        saved: persistence.get("rdb_last_save_time")?,
        changes: persistence.get("rdb_changes_since_last_save")?,
    })
}
