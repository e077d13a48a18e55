//! The whole record of a tap in a file.
//!
//! The file begins with two lines: its version, and the time of its start in microseconds since 1970. Then come entries
//! in the order in which the tap forwarded them. Each has a line of words:
//!
//! ```text
//! connect CONNECTION TIME
//! close CONNECTION TIME
//! command CONNECTION TIME LENGTH NUMBER [FAULT]
//! reply CONNECTION TIME LENGTH NUMBER
//! push CONNECTION TIME LENGTH
//! command-part CONNECTION TIME LENGTH
//! reply-part CONNECTION TIME LENGTH
//! end 0 TIME
//! ```
//!
//! `TIME` is in microseconds since the start. After a `LENGTH`, this number of bytes and a line end follow. `NUMBER`
//! counts commands from 1, and a reply has that of its command. `FAULT` is the fault in words. Parts come before the
//! entry of their frame, which has its last bytes; those of a push are `reply-part` too.

mod recorder;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub(super) use self::recorder::{Recorded, Recorder};
use super::Tap;
use crate::error::{Error, Kind};
use crate::report;

/// The first line of a file, with the version of the format.
const FIRST_LINE: &str = "transient-fixtures recording 1";

/// The longest line of words.
const LINE: u64 = 1024;

impl Tap {
    /// From now on, writes every command and reply to a file in full. [`Recording`] reads it.
    ///
    /// Call this before the code under test connects. Creates missing directories, and replaces the file. Values of any
    /// size pass with constant memory.
    ///
    /// The file has the commands as the client sent them, and the replies as it got them, even where a
    /// [rule](super::Rule) injects a fault. It has no passwords: AUTH, HELLO, MIGRATE, CONFIG SET and ACL SETUSER are
    /// written without them, and replies to CONFIG GET, ACL LIST and ACL GETUSER that contain passwords are written as
    /// `+***`. **It contains all other data of the test.**
    ///
    /// ```
    /// use redis::Commands;
    /// use transient_fixtures::tap::{Event, Recording};
    /// use transient_fixtures::{TestRequest, redis};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let path = std::env::temp_dir().join(format!("record-to-{}", std::process::id()));
    /// let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// tap.record_to(&path)?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis.set::<_, _, ()>("price:1", 12_900)?;
    /// tap.finish_recording()?;
    ///
    /// let entries = Recording::open(&path)?.collect::<Result<Vec<_>, _>>()?;
    /// assert!(entries.iter().any(|entry| match entry.event() {
    ///     Event::Command { frame, .. } => frame == b"*3\r\n$3\r\nSET\r\n$7\r\nprice:1\r\n$5\r\n12900\r\n",
    ///     _ => false,
    /// }));
    /// # std::fs::remove_file(path)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_data`](Error::is_data) if the file cannot be written, if the tap has accepted a
    /// connection already, or if it has had a recording.
    pub fn record_to(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.running.shared.recorder.start(path.as_ref())
    }

    /// Ends the recording of [`record_to`](Self::record_to), which has an example. Without a recording, does nothing.
    ///
    /// A tap that is dropped also ends its recording, but can't return the error. If a write fails, for example
    /// because the disk is full, the tap prints a warning and keeps forwarding.
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_data`](Error::is_data) if the file is incomplete because it could not be written.
    pub fn finish_recording(&self) -> Result<(), Error> {
        self.running.shared.recorder.finish()
    }

    /// Waits until all recorded connections are closed, at most for this time. Clients that have just ended can have
    /// sent commands that the tap has not read.
    pub(crate) fn wait_closed(&self, at_most: Duration) {
        let (began, recorder) = (Instant::now(), &self.running.shared.recorder);
        // Each connection has a reference.
        while Arc::strong_count(recorder) > 1 && began.elapsed() < at_most {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Reads a file that [`Tap::record_to`] has written. Iterates over its entries, in the order in which the tap forwarded
/// them.
///
/// The file of a test that was killed is read up to its last whole entry.
///
/// ```
/// use redis::Commands;
/// use transient_fixtures::tap::{Event, Recording};
/// use transient_fixtures::{TestRequest, redis};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let path = std::env::temp_dir().join(format!("recording-{}", std::process::id()));
/// # let test_request = TestRequest::clean();
/// let tap = test_request.tap()?;
/// tap.record_to(&path)?;
/// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
/// redis.get::<_, Option<u32>>("price:1")?;
/// tap.finish_recording()?;
///
/// let mut recording = Recording::open(&path)?;
/// for entry in &mut recording {
///     let entry = entry?;
///     if let Event::Reply { command, frame, .. } = entry.event() {
///         println!("{:?}: connection {} got {}", entry.at(), entry.connection(), frame.escape_ascii());
///     }
/// }
/// assert!(recording.is_complete());
/// # std::fs::remove_file(path)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Recording {
    reader: BufReader<File>,
    path: PathBuf,
    started: SystemTime,
    /// The parts of open frames, by connection and direction.
    parts: BTreeMap<(u64, bool), Vec<u8>>,
    is_complete: bool,
    is_over: bool,
}

/// An entry of a [`Recording`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    connection: u64,
    at: Duration,
    event: Event,
}

/// The event of an [`Entry`].
///
/// A frame is a whole value of the Redis protocol, as bytes, or an inline command. It can be incomplete: after
/// `half_reply`, or if a rule cuts the connection before a command longer than 64 KiB.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A client connected.
    Connect,
    /// The connection was closed.
    Close,
    /// The client sent a command.
    #[non_exhaustive]
    Command {
        /// Counted from 1 over all connections.
        number: u64,
        /// Its bytes. A command with a password is written as an inline command, in which `***` stands for it.
        frame: Vec<u8>,
        /// The fault that a [rule](super::Rule) injected, in words.
        fault: Option<String>,
    },
    /// The client got the reply to a command.
    #[non_exhaustive]
    Reply {
        /// The number of the command.
        command: u64,
        /// Its bytes.
        frame: Vec<u8>,
    },
    /// The client got a message, or another frame that is not a reply. A SUBSCRIBE with several channels has several
    /// confirmations: one is its reply, and the others are pushes.
    #[non_exhaustive]
    Push {
        /// Its bytes.
        frame: Vec<u8>,
    },
}

impl Entry {
    /// Returns the number of the connection, counted from 1.
    #[must_use]
    pub fn connection(&self) -> u64 {
        self.connection
    }

    /// Returns the time since the [start](Recording::started), to the microsecond.
    #[must_use]
    pub fn at(&self) -> Duration {
        self.at
    }

    /// Returns the event.
    #[must_use]
    pub fn event(&self) -> &Event {
        &self.event
    }
}

impl Recording {
    /// Opens a file. [`Recording`] has an example.
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_data`](Error::is_data) if the file cannot be read, or is not a recording of this
    /// version.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref().to_owned();
        let unreadable = |error| Error::with_source(Kind::Data, report::tap::recording_unreadable(&path), error);
        let reader = BufReader::new(File::open(&path).map_err(unreadable)?);
        let mut recording =
            Self { reader, path, started: UNIX_EPOCH, parts: BTreeMap::new(), is_complete: false, is_over: false };
        let mut line = || recording.line().map(Option::unwrap_or_default);
        let (first, second) = (line()?, line()?);
        let start = second.strip_prefix("start ").and_then(|time| time.parse().ok());
        match start {
            Some(start) if first == FIRST_LINE => recording.started += Duration::from_micros(start),
            _ => return Err(recording.unexpected(&first)),
        }
        Ok(recording)
    }

    /// Returns the time at which the recording began.
    #[must_use]
    pub fn started(&self) -> SystemTime {
        self.started
    }

    /// Returns true if the end of the recording has been read. It is missing if the test was killed, or the file could
    /// not be written.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Reads a line of words, without its end. Returns `None` if the file ends before that.
    fn line(&mut self) -> Result<Option<String>, Error> {
        let mut line = Vec::new();
        let read = (&mut self.reader).take(LINE).read_until(b'\n', &mut line);
        read.map_err(|error| self.unreadable(error))?;
        match (line.pop(), String::from_utf8_lossy(&line)) {
            (Some(b'\n'), text) => Ok(Some(text.into_owned())),
            (Some(_), text) if line.len() as u64 >= LINE - 1 => Err(self.unexpected(&text)),
            _ => Ok(None),
        }
    }

    /// Reads this number of bytes and a line end. Returns `None` if the file ends before that.
    fn bytes(&mut self, length: u64) -> Result<Option<Vec<u8>>, Error> {
        let mut bytes = Vec::new();
        let read = (&mut self.reader).take(length.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|error| self.unreadable(error))?;
        if bytes.len() as u64 <= length {
            return Ok(None);
        }
        match bytes.pop() {
            Some(b'\n') => Ok(Some(bytes)),
            other => Err(self.unexpected(&other.map(|byte| byte.escape_ascii().to_string()).unwrap_or_default())),
        }
    }

    fn entry(&mut self) -> Result<Option<Entry>, Error> {
        while let Some(line) = self.line()? {
            let mut words = line.splitn(6, ' ');
            let kind = words.next().unwrap_or_default();
            let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
            let (Some(connection), Some(at)) = (number(), number()) else { return Err(self.unexpected(&line)) };
            let is_command = kind.starts_with("command");
            let event = match (kind, number()) {
                ("end", None) => {
                    self.is_complete = true;
                    return Ok(None);
                }
                ("connect", None) => Event::Connect,
                ("close", None) => {
                    self.parts.retain(|(of, _), _| *of != connection);
                    Event::Close
                }
                (_, Some(length)) => {
                    let count = number();
                    let Some(mut bytes) = self.bytes(length)? else { return Ok(None) };
                    let parts = self.parts.entry((connection, is_command)).or_default();
                    parts.append(&mut bytes);
                    if kind.ends_with("-part") {
                        continue;
                    }
                    let frame = std::mem::take(parts);
                    match (kind, count) {
                        ("command", Some(number)) => {
                            Event::Command { number, frame, fault: words.next().map(str::to_owned) }
                        }
                        ("reply", Some(command)) => Event::Reply { command, frame },
                        ("push", None) => Event::Push { frame },
                        _ => return Err(self.unexpected(&line)),
                    }
                }
                _ => return Err(self.unexpected(&line)),
            };
            return Ok(Some(Entry { connection, at: Duration::from_micros(at), event }));
        }
        Ok(None)
    }

    fn unreadable(&self, error: io::Error) -> Error {
        Error::with_source(Kind::Data, report::tap::recording_unreadable(&self.path), error)
    }

    fn unexpected(&self, line: &str) -> Error {
        Error::new(Kind::Data, report::tap::not_a_recording(&self.path, line))
    }
}

impl Iterator for Recording {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let next = self.entry().transpose();
        self.is_over = !matches!(next, Some(Ok(_)));
        next
    }
}
