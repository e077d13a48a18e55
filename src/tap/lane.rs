//! One direction of a connection: bytes are read on one side, framed, and written on the other.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Instant;

use super::framer::{Framer, Malformed, Side};
use super::stream::Stream;

/// How many bytes of a frame are buffered before its gate judges it. A longer frame is judged by its first bytes,
/// unless the gate [needs all](Gate::needs_whole_frames).
const WHOLE_FRAME: usize = 64 * 1024;

/// A stream and its readiness.
pub(super) struct End {
    pub(super) stream: Stream,
    pub(super) is_readable: bool,
    pub(super) is_writable: bool,
    /// The peer has closed its sending side. No more events follow, so the stream is read until its end.
    pub(super) has_hung_up: bool,
}

impl End {
    /// The first events tell that it is ready.
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, is_readable: false, is_writable: false, has_hung_up: false }
    }

    /// Reads once. Returns `None` if no bytes are available.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match self.stream.read(buffer) {
                Ok(length) => {
                    let is_drained = length < buffer.len() && self.stream.is_drained_by_a_short_read();
                    self.is_readable = !is_drained || self.has_hung_up;
                    return Ok(Some(length));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_readable = false;
                    return Ok(None);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads and drops what is available. Returns true at the end of the stream.
    pub(super) fn discard(&mut self, scratch: &mut [u8]) -> bool {
        loop {
            match self.read(scratch) {
                Ok(Some(0)) | Err(_) => return true,
                Ok(Some(_)) => {}
                Ok(None) => return false,
            }
        }
    }

    /// Writes as many bytes as the stream accepts, and returns their number.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = 0;
        while written < bytes.len() && self.is_writable {
            match self.stream.write(&bytes[written..]) {
                Ok(length) => written += length,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    self.is_writable = false;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }
}

/// Why a connection is closed.
#[derive(Debug)]
pub(super) enum Closed {
    /// By one of its sides, by an error of a socket, or by a rule.
    Socket,
    /// By a rule that closes all connections.
    All,
    /// By bytes that are not the protocol.
    Malformed(Side, Malformed, Vec<u8>),
}

impl From<io::Error> for Closed {
    fn from(_: io::Error) -> Self {
        Self::Socket
    }
}

/// A frame for a gate to judge.
pub(super) struct Frame<'lane> {
    /// Its first bytes.
    pub(super) head: &'lane [u8],
    /// All of its bytes; `None` if it is longer than `WHOLE_FRAME`.
    pub(super) whole: Option<&'lane [u8]>,
}

/// The decision about a frame.
#[derive(Debug)]
pub(super) enum Verdict {
    Forward,
    Drop,
    /// Forward these bytes instead.
    Replace(Vec<u8>),
    /// Hold it until this time; `None`: until [`Gate::released`] decides.
    Hold(Option<Instant>),
    /// Close the connection before it, or all connections.
    Cut(Closed),
    /// Forward half of it, and close the connection.
    CutHalf,
}

/// Judges and records the frames of a lane.
pub(super) trait Gate {
    /// Returns true if frames are to be judged now. A frame that is partly forwarded is not judged.
    fn is_judging(&self) -> bool;

    /// Returns true if frames of any size are buffered before they are judged.
    fn needs_whole_frames(&self) -> bool;

    /// Judges a frame before any of it is forwarded.
    fn judge(&mut self, frame: &Frame<'_>) -> Verdict;

    /// Called with the bytes of a frame as they are read.
    fn read(&mut self, _: &[u8]) {}

    /// Called with the bytes that are forwarded for a frame.
    fn forward(&mut self, _: &[u8]) {}

    /// Called instead of `complete` for an empty line, which is not a command.
    fn skip(&mut self) {}

    /// Decides about a frame that is held; `None` keeps it.
    fn released(&mut self, _frame: &Frame<'_>) -> Option<Verdict> {
        None
    }

    /// Called when a frame is complete. Unless it was dropped, it is being forwarded. Bytes added to `out` follow it.
    fn complete(&mut self, head: &[u8], size: u64, out: &mut Vec<u8>);
}

/// A delayed frame and the bytes after it.
struct Held {
    /// `None` for a frame that the gate releases.
    until: Option<Instant>,
    frame: Vec<u8>,
    is_complete: bool,
    rest: Vec<u8>,
}

pub(super) struct Lane {
    side: Side,
    framer: Framer,
    /// The beginning of the frame that is open.
    head: Vec<u8>,
    /// How many bytes of a frame `head` keeps.
    keeps: usize,
    /// The number of bytes of the open frame so far.
    size: u64,
    /// The bytes of the open frame that its gate has not judged yet.
    unjudged: Vec<u8>,
    /// Whether the rest of the open frame is forwarded; `None` before it is judged.
    is_forwarded: Option<bool>,
    held: Option<Held>,
    /// Bytes that the other side has not accepted yet. While there are any, the lane reads no more.
    unsent: Vec<u8>,
    /// The number of bytes of `unsent` that are already written.
    sent: usize,
    /// Set when a rule cuts the connection, which is closed once the bytes before that are written.
    cut: Option<Closed>,
    pub(super) is_ended: bool,
    /// After PSYNC the stream is not the protocol.
    pub(super) is_raw: bool,
}

impl Lane {
    pub(super) fn new(side: Side, keeps: usize) -> Self {
        Self {
            side,
            framer: Framer::new(side),
            head: Vec::new(),
            keeps,
            size: 0,
            unjudged: Vec::new(),
            is_forwarded: None,
            held: None,
            unsent: Vec::new(),
            sent: 0,
            cut: None,
            is_ended: false,
            is_raw: false,
        }
    }

    /// Reads and forwards once. Returns true if more might be available.
    pub(super) fn pump(
        &mut self,
        from: &mut End,
        to: &mut End,
        scratch: &mut [u8],
        gate: &mut impl Gate,
    ) -> Result<bool, Closed> {
        if !self.flush(to)? {
            return Ok(false);
        }
        if let Some(held) = &self.held {
            let verdict = match held.until {
                Some(until) => (Instant::now() >= until).then_some(Verdict::Forward),
                None => gate.released(&Frame { head: &self.head, whole: held.is_complete.then_some(&held.frame) }),
            };
            let Some(verdict) = verdict else { return Ok(false) };
            self.release(verdict, gate)?;
            return self.flush(to);
        }
        if self.is_ended || !from.is_readable {
            return Ok(false);
        }
        let Some(length) = from.read(scratch)? else { return Ok(false) };
        if length == 0 {
            self.is_ended = true;
            return Ok(false);
        }
        let bytes = &scratch[..length];
        if self.is_raw || (!gate.is_judging() && self.unjudged.is_empty() && self.is_forwarded != Some(false)) {
            self.record(bytes, gate)?;
            let written = to.write(bytes)?;
            self.unsent.extend_from_slice(&bytes[written..]);
        } else {
            self.judge(bytes, gate)?;
        }
        Ok(self.flush(to)? && from.is_readable)
    }

    /// Writes the unsent bytes. Returns false if the other side does not accept all of them.
    fn flush(&mut self, to: &mut End) -> Result<bool, Closed> {
        self.sent += to.write(&self.unsent[self.sent..])?;
        if let Some(closed) = self.cut.take() {
            return Err(closed);
        }
        if self.sent < self.unsent.len() {
            return Ok(false);
        }
        self.unsent.clear();
        self.sent = 0;
        Ok(true)
    }

    /// Returns the buffer for bytes that the tap itself sends; `None` within a frame.
    pub(super) fn between_frames(&mut self) -> Option<&mut Vec<u8>> {
        self.is_between_frames().then_some(&mut self.unsent)
    }

    /// Returns the buffer for bytes that come before the frame that is held; `None` if a part of a frame is sent.
    pub(super) fn before_held(&mut self) -> Option<&mut Vec<u8>> {
        (self.is_between_frames() || self.is_holding()).then_some(&mut self.unsent)
    }

    pub(super) fn is_between_frames(&self) -> bool {
        self.size == 0 && self.held.is_none()
    }

    /// Returns true if all bytes that were read have been written.
    pub(super) fn is_drained(&self) -> bool {
        self.sent == self.unsent.len() && self.held.is_none()
    }

    /// Returns the time at which the delayed frame is forwarded.
    pub(super) fn held_until(&self) -> Option<Instant> {
        self.held.as_ref()?.until
    }

    /// Returns true if a frame is held until the gate releases it.
    pub(super) fn is_holding(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.until.is_none())
    }

    /// Records the frames in bytes that are forwarded without being judged.
    fn record(&mut self, bytes: &[u8], gate: &mut impl Gate) -> Result<(), Closed> {
        let mut rest = bytes;
        while !rest.is_empty() && !self.is_raw {
            match self.framer.end_of_frame(rest) {
                Ok(Some(length)) => {
                    let (frame, after) = rest.split_at(length);
                    gate.read(frame);
                    gate.forward(frame);
                    self.size += length as u64;
                    if self.head.is_empty() {
                        let head = &frame[..length.min(self.keeps)];
                        if self.framer.was_empty() {
                            gate.skip();
                        } else {
                            gate.complete(head, self.size, &mut self.unsent);
                        }
                        self.begin_frame();
                    } else {
                        self.keep(frame);
                        self.complete(gate);
                    }
                    rest = after;
                }
                Ok(None) => {
                    gate.read(rest);
                    gate.forward(rest);
                    self.keep(rest);
                    self.size += rest.len() as u64;
                    self.is_forwarded = Some(true);
                    break;
                }
                Err(malformed) => return Err(self.malformed(malformed, rest)),
            }
        }
        Ok(())
    }

    /// Finds the frames, and forwards those that the gate passes.
    fn judge(&mut self, bytes: &[u8], gate: &mut impl Gate) -> Result<(), Closed> {
        let mut rest = bytes;
        while !rest.is_empty() && self.cut.is_none() {
            let end = match self.framer.end_of_frame(rest) {
                Ok(end) => end,
                Err(malformed) => return Err(self.malformed(malformed, rest)),
            };
            let (frame, after) = rest.split_at(end.unwrap_or(rest.len()));
            gate.read(frame);
            self.keep(frame);
            self.size += frame.len() as u64;
            match self.is_forwarded {
                Some(true) => self.send(frame, gate),
                Some(false) => {}
                None => self.unjudged.extend_from_slice(frame),
            }
            let is_due = end.is_some() || (self.unjudged.len() > WHOLE_FRAME && !gate.needs_whole_frames());
            if self.is_forwarded.is_none() && is_due && !self.decide(end.is_some(), after, gate) {
                return Ok(());
            }
            if end.is_some() && self.cut.is_none() {
                self.complete(gate);
            }
            rest = after;
        }
        Ok(())
    }

    /// Judges the open frame. Returns false if the frame and the bytes after it are held.
    fn decide(&mut self, is_complete: bool, after: &[u8], gate: &mut impl Gate) -> bool {
        let frame = std::mem::take(&mut self.unjudged);
        let verdict = if is_complete && self.framer.was_empty() {
            Verdict::Forward
        } else {
            gate.judge(&Frame { head: &self.head, whole: is_complete.then_some(&frame) })
        };
        self.apply(verdict, frame, is_complete, after, gate)
    }

    /// Returns false if the frame and the bytes after it are held.
    fn apply(
        &mut self,
        verdict: Verdict,
        frame: Vec<u8>,
        is_complete: bool,
        after: &[u8],
        gate: &mut impl Gate,
    ) -> bool {
        match verdict {
            Verdict::Forward => {
                self.send(&frame, gate);
                self.is_forwarded = Some(true);
            }
            Verdict::Replace(other) => {
                self.send(&other, gate);
                self.is_forwarded = Some(false);
            }
            Verdict::Drop => self.is_forwarded = Some(false),
            Verdict::Hold(until) => {
                self.held = Some(Held { until, frame, is_complete, rest: after.to_vec() });
                return false;
            }
            Verdict::Cut(closed) => {
                self.cut = Some(closed);
                gate.complete(&self.head, self.size, &mut Vec::new());
            }
            Verdict::CutHalf => {
                self.send(&frame[..frame.len() / 2], gate);
                self.cut = Some(Closed::Socket);
                gate.complete(&self.head, self.size, &mut Vec::new());
            }
        }
        true
    }

    fn release(&mut self, verdict: Verdict, gate: &mut impl Gate) -> Result<(), Closed> {
        let Some(Held { frame, is_complete, rest, .. }) = self.held.take() else { return Ok(()) };
        if !self.apply(verdict, frame, is_complete, &rest, gate) {
            return Ok(());
        }
        if is_complete && self.cut.is_none() {
            self.complete(gate);
        }
        self.judge(&rest, gate)
    }

    /// Appends bytes to those that are sent next.
    fn send(&mut self, bytes: &[u8], gate: &mut impl Gate) {
        gate.forward(bytes);
        self.unsent.extend_from_slice(bytes);
    }

    fn complete(&mut self, gate: &mut impl Gate) {
        if self.framer.was_empty() {
            gate.skip();
        } else {
            gate.complete(&self.head, self.size, &mut self.unsent);
        }
        self.begin_frame();
    }

    fn begin_frame(&mut self) {
        self.head.clear();
        self.size = 0;
        self.is_forwarded = None;
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = self.keeps.saturating_sub(self.head.len());
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn malformed(&mut self, malformed: Malformed, bytes: &[u8]) -> Closed {
        self.keep(bytes);
        Closed::Malformed(self.side, malformed, std::mem::take(&mut self.head))
    }
}
