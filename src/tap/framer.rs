//! Finds the ends of frames in the Redis protocol (RESP2, RESP3, inline commands), and keeps none of their bytes.
//!
//! Bytes can be split anywhere. The protocol: <https://redis.io/docs/latest/develop/reference/protocol-spec/>, and for
//! streamed types <https://github.com/antirez/RESP3/blob/master/spec.md>.

/// The maximum nesting of replies. Lua refuses to build tables deeper than about 200.
const MAX_DEPTH: usize = 512;

/// The maximum number of digits of a length, with its sign. Redis's integers have no more.
const MAX_DIGITS: u8 = 20;

/// In place of an element count: aggregates of unknown length end with `.`, and streamed strings with an empty chunk.
const STREAM: u64 = u64::MAX;
const STREAMED_STRING: u64 = u64::MAX - 1;

/// A flag on the element count of an attribute. The value that the attribute describes follows it.
const ATTRIBUTE: u64 = 1 << 62;

/// Which side sends the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Commands: arrays of bulk strings, or lines.
    Client,
    /// Replies and pushes.
    Server,
}

/// Bytes that are not part of any frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// No value begins with this byte.
    Type(u8),
    /// This byte is not part of a length.
    Length(u8),
    /// A value of this type can't have that length.
    LengthOf(u8),
    /// Deeper than `MAX_DEPTH`.
    Depth,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Before the first byte of a value.
    Value,
    /// Within the length of a value of this type.
    Length(u8),
    /// Within a line.
    Line,
    /// Within a string; this number of bytes is missing, including its `\r\n`.
    String(u64),
}

// `allow`, because the comparison with other parsers includes this file without these lints.
#[allow(clippy::struct_excessive_bools, reason = "each is a separate state")]
#[derive(Debug)]
pub(crate) struct Framer {
    side: Side,
    state: State,
    /// The number of missing elements of each open aggregate.
    open: Vec<u64>,
    length: i64,
    digits: u8,
    is_negative: bool,
    is_streamed: bool,
    /// Whether the last byte of an open line or length was `\r`.
    is_after_cr: bool,
    /// Whether the frame is a command that the server ignores: an empty array or an empty line.
    is_empty: bool,
}

impl Framer {
    pub(crate) fn new(side: Side) -> Self {
        Self {
            side,
            state: State::Value,
            open: Vec::new(),
            length: 0,
            digits: 0,
            is_negative: false,
            is_streamed: false,
            is_after_cr: false,
            is_empty: false,
        }
    }

    /// Returns true if the frame that has just ended is an empty command.
    pub(crate) fn was_empty(&self) -> bool {
        self.is_empty
    }

    /// Finds the end of the frame that is open or begins here. Returns the index after its last byte, or `None` if all
    /// of these bytes belong to it and more will follow.
    pub(crate) fn end_of_frame(&mut self, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match self.state {
                State::String(missing) => {
                    let here = (bytes.len() - at) as u64;
                    if here < missing {
                        self.state = State::String(missing - here);
                        return Ok(None);
                    }
                    at += usize::try_from(missing).unwrap_or(usize::MAX);
                    if self.complete() {
                        return Ok(Some(at));
                    }
                }
                State::Line => {
                    let Some(length) = self.length_of_line(&bytes[at..]) else {
                        self.is_empty &= is_blank(&bytes[at..]);
                        self.is_after_cr = bytes.last() == Some(&b'\r');
                        return Ok(None);
                    };
                    self.is_empty &= is_blank(&bytes[at..at + length]);
                    at += length + 1;
                    if self.complete() {
                        return Ok(Some(at));
                    }
                }
                State::Value => {
                    at += 1;
                    if self.begin(byte)? {
                        return Ok(Some(at));
                    }
                    if let State::Length(kind) = self.state
                        && let Some(length) = self.read_length(&bytes[at..])
                    {
                        at += length;
                        if self.enter(kind)? {
                            return Ok(Some(at));
                        }
                    }
                }
                State::Length(kind) => {
                    at += 1;
                    match byte {
                        b'\n' if self.is_after_cr => {
                            if self.enter(kind)? {
                                return Ok(Some(at));
                            }
                        }
                        _ if self.is_after_cr => return Err(Malformed::Length(byte)),
                        b'0'..=b'9' if self.digits < MAX_DIGITS && !self.is_streamed => {
                            self.length = self.length.saturating_mul(10).saturating_add(i64::from(byte - b'0'));
                            self.digits += 1;
                        }
                        b'-' if self.digits == 0 && !self.is_negative => self.is_negative = true,
                        b'?' if self.digits == 0 && !self.is_negative => self.is_streamed = true,
                        b'\r' if self.digits > 0 || self.is_streamed => self.is_after_cr = true,
                        _ => return Err(Malformed::Length(byte)),
                    }
                }
            }
        }
        Ok(None)
    }

    /// Reads a length at once that is not cut and has no sign, as nearly all are, and returns the size of its line.
    fn read_length(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut value = 0;
        // No number of 17 digits overflows.
        for (at, byte) in bytes.iter().take(18).enumerate() {
            match byte {
                b'0'..=b'9' if at < 17 => value = value * 10 + i64::from(byte - b'0'),
                b'\r' if at > 0 && bytes.get(at + 1) == Some(&b'\n') => {
                    self.length = value;
                    return Some(at + 2);
                }
                _ => return None,
            }
        }
        None
    }

    /// Returns the length of the open line without its `\n`, if the line ends here. A reply's line ends with `\r\n` and
    /// can contain either byte alone. An inline command ends with `\n`.
    fn length_of_line(&self, bytes: &[u8]) -> Option<usize> {
        let mut from = 0;
        loop {
            let length = from + bytes[from..].iter().position(|byte| *byte == b'\n')?;
            let is_after_cr = length.checked_sub(1).map_or(self.is_after_cr, |before| bytes[before] == b'\r');
            if is_after_cr || self.side == Side::Client {
                return Some(length);
            }
            from = length + 1;
        }
    }

    /// Handles the first byte of a value. Returns true if the byte is a whole frame.
    fn begin(&mut self, byte: u8) -> Result<bool, Malformed> {
        let is_first = self.open.is_empty();
        self.is_empty = is_first && self.side == Side::Client;
        (self.length, self.digits) = (0, 0);
        (self.is_negative, self.is_streamed, self.is_after_cr) = (false, false, false);
        let in_string = self.open.last() == Some(&STREAMED_STRING);
        self.state = match (self.side, byte) {
            (Side::Client, b'*') if is_first => State::Length(byte),
            (Side::Client, b'$') if !is_first => State::Length(byte),
            (Side::Client, b'\n') if is_first => return Ok(true),
            (Side::Client, _) if is_first => {
                self.is_empty = is_blank(&[byte]);
                State::Line
            }
            (Side::Server, b';') if in_string => State::Length(byte),
            (Side::Server, b'$' | b'!' | b'=' | b'*' | b'~' | b'>' | b'%' | b'|') if !in_string => State::Length(byte),
            (Side::Server, b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(') if !in_string => State::Line,
            (Side::Server, b'.') if self.open.last() == Some(&STREAM) => {
                self.open.pop();
                State::Line
            }
            _ => return Err(Malformed::Type(byte)),
        };
        Ok(false)
    }

    /// Handles the end of a length. Returns true if the frame ends there.
    fn enter(&mut self, kind: u8) -> Result<bool, Malformed> {
        let length = if self.is_negative { -self.length } else { self.length };
        let is_null = length == -1 && matches!(kind, b'$' | b'*');
        if length < 0 && !is_null {
            return Err(Malformed::LengthOf(kind));
        }
        let length = length.unsigned_abs();
        match kind {
            _ if is_null && self.side == Side::Client && kind == b'$' => return Err(Malformed::LengthOf(kind)),
            _ if is_null => return Ok(self.complete()),
            b'$' if self.is_streamed && self.side == Side::Server => self.push(STREAMED_STRING)?,
            b'*' | b'~' | b'>' | b'%' if self.is_streamed && self.side == Side::Server => self.push(STREAM)?,
            _ if self.is_streamed => return Err(Malformed::LengthOf(kind)),
            b';' if length == 0 => {
                self.open.pop();
                return Ok(self.complete());
            }
            b'$' | b'!' | b'=' | b';' => self.state = State::String(length + 2),
            b'|' if length == 0 => self.state = State::Value,
            _ if length == 0 => return Ok(self.complete()),
            b'%' | b'|' if length > ATTRIBUTE / 4 => return Err(Malformed::LengthOf(kind)),
            _ if length >= ATTRIBUTE => return Err(Malformed::LengthOf(kind)),
            b'%' => self.push(2 * length)?,
            b'|' => self.push(ATTRIBUTE | (2 * length))?,
            _ => {
                self.is_empty = false;
                self.push(length)?;
            }
        }
        Ok(false)
    }

    fn push(&mut self, elements: u64) -> Result<(), Malformed> {
        if self.open.len() == MAX_DEPTH {
            return Err(Malformed::Depth);
        }
        self.open.push(elements);
        self.state = State::Value;
        Ok(())
    }

    /// Handles the end of a value. Returns true if the frame ends there.
    fn complete(&mut self) -> bool {
        self.state = State::Value;
        loop {
            let Some(missing) = self.open.last_mut() else { return true };
            if matches!(*missing, STREAM | STREAMED_STRING) {
                return false;
            }
            *missing -= 1;
            match *missing {
                0 => _ = self.open.pop(),
                // The value that the attribute describes follows, and takes its place.
                ATTRIBUTE => {
                    self.open.pop();
                    return false;
                }
                _ => return false,
            }
        }
    }
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_whitespace)
}

// By its path, because `interop` and `benches` include this file by theirs.
#[cfg(test)]
#[path = "framer/tests.rs"]
mod tests;
