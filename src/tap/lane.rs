//! One direction of a connection: bytes are read on one side, framed, and written on the other.

use std::io::{self, ErrorKind, Read, Write};

use super::framer::{Framer, Malformed, Side};
use super::stream::Stream;

/// A stream, and what is known of it.
pub(super) struct End {
    pub(super) stream: Stream,
    pub(super) is_readable: bool,
    pub(super) is_writable: bool,
    /// The peer sends nothing more. There is no further event for that, so it is read until its end.
    pub(super) has_hung_up: bool,
}

impl End {
    /// Reads once. `None` if nothing is there.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match self.stream.read(buffer) {
                Ok(length) => {
                    // Less than there was room for: all is read, and the next bytes are a new event. Not so on Windows.
                    self.is_readable = length == buffer.len() || self.has_hung_up || cfg!(windows);
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

    /// Writes as much as it takes, and returns how much that is.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
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

/// How a connection comes to its end.
#[derive(Debug)]
pub(super) enum Closed {
    /// By one of its sides, or by an error of a socket.
    Socket,
    /// By bytes that are not the protocol.
    Malformed(Side, Malformed, Vec<u8>),
}

impl From<io::Error> for Closed {
    fn from(_: io::Error) -> Self {
        Self::Socket
    }
}

pub(super) struct Lane {
    side: Side,
    framer: Framer,
    /// The beginning of the frame that is open.
    head: Vec<u8>,
    /// How much of a head is kept.
    keeps: usize,
    /// The bytes of the open frame so far.
    size: u64,
    /// Bytes that the other side has not taken yet. While there are any, nothing more is read.
    unsent: Vec<u8>,
    /// Where in `unsent` those begin that are still to be written.
    sent: usize,
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
            unsent: Vec::new(),
            sent: 0,
            is_ended: false,
            is_raw: false,
        }
    }

    /// Moves what is there, once. True if there may be more.
    pub(super) fn pump(
        &mut self,
        from: &mut End,
        to: &mut End,
        scratch: &mut [u8],
        on_frame: impl FnMut(&[u8], u64, bool),
    ) -> Result<bool, Closed> {
        if self.sent < self.unsent.len() {
            self.sent += to.write(&self.unsent[self.sent..])?;
            if self.sent < self.unsent.len() {
                return Ok(false);
            }
            self.unsent.clear();
            self.sent = 0;
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
        self.frames(bytes, on_frame)?;
        let written = to.write(bytes)?;
        self.unsent.extend_from_slice(&bytes[written..]);
        Ok(from.is_readable && written == length)
    }

    /// Whether everything that was read has been written.
    pub(super) fn is_drained(&self) -> bool {
        self.sent == self.unsent.len()
    }

    fn frames(&mut self, bytes: &[u8], mut on_frame: impl FnMut(&[u8], u64, bool)) -> Result<(), Closed> {
        let mut rest = bytes;
        while !rest.is_empty() && !self.is_raw {
            match self.framer.end_of_frame(rest) {
                Ok(Some(length)) => {
                    let (frame, after) = rest.split_at(length);
                    let size = self.size + length as u64;
                    if self.head.is_empty() {
                        on_frame(&frame[..length.min(self.keeps)], size, self.framer.was_empty());
                    } else {
                        self.keep(frame);
                        on_frame(&self.head, size, self.framer.was_empty());
                    }
                    self.head.clear();
                    self.size = 0;
                    rest = after;
                }
                Ok(None) => {
                    self.keep(rest);
                    self.size += rest.len() as u64;
                    break;
                }
                Err(malformed) => {
                    self.keep(rest);
                    return Err(Closed::Malformed(self.side, malformed, std::mem::take(&mut self.head)));
                }
            }
        }
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = self.keeps.saturating_sub(self.head.len());
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}
