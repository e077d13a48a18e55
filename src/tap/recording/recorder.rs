//! Writes the file of a recording. Large frames are written in parts, so memory does not grow with their size.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::FIRST_LINE;
use crate::error::{Error, Kind};
use crate::report;
use crate::sync::lock;
use crate::tap::arguments;
use crate::tap::protocol::secrets::{self, Hidden};

/// How many bytes of a frame are kept in memory.
const PART: usize = 64 * 1024;

/// The recording of a tap.
#[derive(Default)]
pub(in crate::tap) struct Recorder(Mutex<State>);

#[derive(Default)]
enum State {
    #[default]
    NoConnections,
    /// The tap has connections, and does not record.
    Off,
    On(Writer),
    Ended(Result<(), Error>),
}

struct Writer {
    file: BufWriter<File>,
    path: PathBuf,
    start: Instant,
    commands: u64,
}

impl Writer {
    fn create(path: &Path) -> io::Result<Self> {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        let (mut file, start) = (BufWriter::new(File::create(path)?), Instant::now());
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        writeln!(file, "{FIRST_LINE}\nstart {}", since_1970.as_micros())?;
        file.flush()?;
        Ok(Self { file, path: path.to_owned(), start, commands: 0 })
    }

    fn event(&mut self, kind: &str, connection: u64) -> io::Result<()> {
        writeln!(self.file, "{kind} {connection} {}", self.start.elapsed().as_micros())
    }

    /// Writes an event with a frame, or a part of one. `rest` are the words after the length.
    fn frame(&mut self, kind: &str, connection: u64, frame: &[u8], rest: &str) -> io::Result<()> {
        let at = self.start.elapsed().as_micros();
        writeln!(self.file, "{kind} {connection} {at} {}{rest}", frame.len())?;
        self.file.write_all(frame)?;
        self.file.write_all(b"\n")
    }

    fn end(&mut self) -> io::Result<()> {
        self.event("end", 0)?;
        self.file.flush()
    }
}

impl Recorder {
    /// # Errors
    ///
    /// Returns an error that [`is_data`](Error::is_data) if the file cannot be written, or the tap has connections.
    pub(super) fn start(&self, path: &Path) -> Result<(), Error> {
        let mut state = lock(&self.0);
        match &*state {
            State::NoConnections => {}
            State::Off => return Err(Error::new(Kind::Data, report::tap::recording_too_late())),
            State::On(_) | State::Ended(_) => return Err(Error::new(Kind::Data, report::tap::already_recording())),
        }
        let writer = Writer::create(path);
        let not_written = |error| Error::with_source(Kind::Data, report::tap::recording_not_created(path), error);
        *state = State::On(writer.map_err(not_written)?);
        Ok(())
    }

    /// Begins a connection. Returns `None` if the tap does not record.
    pub(in crate::tap) fn connect(self: &Arc<Self>, connection: u64) -> Option<Recorded> {
        let mut state = lock(&self.0);
        if matches!(*state, State::NoConnections) {
            *state = State::Off;
        }
        let is_on = matches!(*state, State::On(_));
        drop(state);
        is_on.then(|| {
            self.write(|writer| writer.event("connect", connection));
            Recorded { recorder: self.clone(), connection, command: Open::default(), reply: Open::default() }
        })
    }

    /// Ends the recording. Does nothing if there is none.
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_data`](Error::is_data) if the file is incomplete.
    pub(in crate::tap) fn finish(&self) -> Result<(), Error> {
        let mut state = lock(&self.0);
        state.write(Writer::end);
        match &*state {
            State::NoConnections | State::Off => Ok(()),
            State::Ended(result) => result.clone(),
            State::On(_) => {
                *state = State::Ended(Ok(()));
                Ok(())
            }
        }
    }

    fn write<T: Default>(&self, write: impl FnOnce(&mut Writer) -> io::Result<T>) -> T {
        lock(&self.0).write(write)
    }
}

impl State {
    /// Writes if the tap records. If this fails, prints a warning and ends the recording.
    fn write<T: Default>(&mut self, write: impl FnOnce(&mut Writer) -> io::Result<T>) -> T {
        let Self::On(writer) = self else { return T::default() };
        match write(writer) {
            Ok(written) => written,
            Err(error) => {
                let text = report::tap::recording_ended(&writer.path, &error);
                report::print(&report::warning(&text));
                *self = Self::Ended(Err(Error::with_source(Kind::Data, text, error)));
                T::default()
            }
        }
    }
}

/// A connection that is recorded.
pub(in crate::tap) struct Recorded {
    recorder: Arc<Recorder>,
    connection: u64,
    command: Open,
    /// The open reply or push.
    reply: Open,
}

/// A frame whose end has not come.
#[derive(Default)]
struct Open {
    /// The bytes that are not written yet.
    bytes: Vec<u8>,
    /// Whether parts of it are written.
    has_parts: bool,
}

impl Recorded {
    pub(in crate::tap) fn read_of_command(&mut self, bytes: &[u8]) {
        let Open { bytes: open, has_parts } = &mut self.command;
        open.extend_from_slice(bytes);
        if open.len() <= PART {
            return;
        }
        // The first part has the name.
        if !*has_parts && secrets::can_have_secrets(&arguments::name(open)) {
            // No bytes of it are written, so the rest is not needed.
            open.truncate(PART + 1);
            return;
        }
        self.recorder.write(|writer| writer.frame("command-part", self.connection, open, ""));
        open.clear();
        *has_parts = true;
    }

    pub(in crate::tap) fn skip_command(&mut self) {
        self.command = Open::default();
    }

    /// Writes the command that is complete, and returns its number.
    pub(in crate::tap) fn command(&mut self, fault: Option<&str>) -> u64 {
        let Open { mut bytes, has_parts } = std::mem::take(&mut self.command);
        if !has_parts {
            let name = arguments::name(&bytes);
            let is_cut = bytes.len() > PART;
            let shown = if is_cut { Some(secrets::hidden(&name)) } else { secrets::without_secrets(&name, &bytes) };
            if let Some(mut shown) = shown {
                shown.extend_from_slice(b"\r\n");
                bytes = shown;
            }
        }
        let fault = fault.map(|fault| format!(" {fault}")).unwrap_or_default();
        self.recorder.write(|writer| {
            writer.commands += 1;
            let rest = format!(" {}{fault}", writer.commands);
            writer.frame("command", self.connection, &bytes, &rest)?;
            Ok(writer.commands)
        })
    }

    /// `hidden` applies to the reply that is due.
    pub(in crate::tap) fn forward_of_reply(&mut self, bytes: &[u8], hidden: Hidden) {
        let Open { bytes: open, has_parts } = &mut self.reply;
        open.extend_from_slice(bytes);
        // Only its end shows whether it is that reply or a push. Replies with secrets are short.
        if open.len() > PART && hidden == Hidden::Nothing {
            self.recorder.write(|writer| writer.frame("reply-part", self.connection, open, ""));
            open.clear();
            *has_parts = true;
        }
    }

    /// Writes the reply that is complete, with the number of its command; or the push, for `None`.
    pub(in crate::tap) fn reply(&mut self, due: Option<(u64, Hidden)>) {
        let Open { bytes, has_parts } = std::mem::take(&mut self.reply);
        if !has_parts && bytes.is_empty() {
            return;
        }
        match due {
            Some((number, hidden)) => {
                let shown = hidden.instead_of(&bytes);
                self.own_reply(shown.as_deref().unwrap_or(&bytes), number);
            }
            None => self.recorder.write(|writer| writer.frame("push", self.connection, &bytes, "")),
        }
    }

    pub(in crate::tap) fn own_reply(&self, reply: &[u8], number: u64) {
        self.recorder.write(|writer| writer.frame("reply", self.connection, reply, &format!(" {number}")));
    }

    /// Writes the buffered bytes to the file, so that a killed test loses nothing.
    pub(in crate::tap) fn flush(&self) {
        self.recorder.write(|writer| writer.file.flush());
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        self.recorder.write(|writer| writer.event("close", self.connection));
        self.flush();
    }
}
