//! A line's words, as redis-cli splits them.

use std::fmt;

use crate::report;

/// Why a line can't be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsplit {
    /// A quotation mark is not closed.
    Open(char),
    /// Something stands directly behind a closing quotation mark.
    Glued(char),
}

impl fmt::Display for Unsplit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&match *self {
            Self::Open(mark) => report::data::open_quotation(mark),
            Self::Glued(mark) => report::data::glued_quotation(mark),
        })
    }
}

/// Splits the line into words, which go behind each other into `text`; `ends` has where each of them ends.
pub(super) fn split(line: &[u8], text: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<(), Unsplit> {
    text.clear();
    ends.clear();
    let mut rest = line.trim_ascii();
    while !rest.is_empty() {
        rest = word(rest, text)?.trim_ascii_start();
        ends.push(text.len());
    }
    Ok(())
}

/// Takes one word, and returns what stands behind it. A word may be quoted in parts, from where a mark stands to the
/// word's end.
fn word<'line>(line: &'line [u8], text: &mut Vec<u8>) -> Result<&'line [u8], Unsplit> {
    let plain = line.iter().position(|byte| matches!(byte, b'"' | b'\'') || byte.is_ascii_whitespace());
    let (plain, rest) = line.split_at(plain.unwrap_or(line.len()));
    text.extend_from_slice(plain);
    match rest {
        [b'"', behind @ ..] => closed(double_quoted(behind, text)?, '"'),
        [b'\'', behind @ ..] => closed(single_quoted(behind, text)?, '\''),
        _ => Ok(rest),
    }
}

fn closed(rest: &[u8], mark: char) -> Result<&[u8], Unsplit> {
    match rest.first() {
        Some(byte) if !byte.is_ascii_whitespace() => Err(Unsplit::Glued(mark)),
        _ => Ok(rest),
    }
}

fn double_quoted<'line>(mut rest: &'line [u8], text: &mut Vec<u8>) -> Result<&'line [u8], Unsplit> {
    loop {
        rest = match rest {
            [] => return Err(Unsplit::Open('"')),
            [b'"', behind @ ..] => return Ok(behind),
            [b'\\', b'x', high, low, behind @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                text.push(hexadecimal(*high) << 4 | hexadecimal(*low));
                behind
            }
            [b'\\', escaped, behind @ ..] => {
                text.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                behind
            }
            plain => {
                let end = plain.iter().position(|byte| matches!(byte, b'"' | b'\\')).unwrap_or(plain.len());
                // A lone backslash at the line's end.
                let (plain, behind) = plain.split_at(end.max(1));
                text.extend_from_slice(plain);
                behind
            }
        }
    }
}

fn single_quoted<'line>(mut rest: &'line [u8], text: &mut Vec<u8>) -> Result<&'line [u8], Unsplit> {
    loop {
        rest = match rest {
            [] => return Err(Unsplit::Open('\'')),
            [b'\'', behind @ ..] => return Ok(behind),
            [b'\\', b'\'', behind @ ..] => {
                text.push(b'\'');
                behind
            }
            [byte, behind @ ..] => {
                text.push(*byte);
                behind
            }
        }
    }
}

fn hexadecimal(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}
