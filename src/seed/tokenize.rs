//! Splits a line into words as redis-cli does.

use std::fmt;

use crate::report;

/// Why a line cannot be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsplit {
    /// A quotation mark is not closed.
    Open(char),
    /// A closing quotation mark is directly followed by another character.
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

/// Splits a line into words. `text` gets all words without separators, `ends` the end of each of them in `text`.
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

/// Takes one word and returns the rest of the line. A quotation can begin within a word, and ends it.
fn word<'line>(line: &'line [u8], text: &mut Vec<u8>) -> Result<&'line [u8], Unsplit> {
    let plain = line.iter().position(|byte| matches!(byte, b'"' | b'\'') || byte.is_ascii_whitespace());
    let (plain, rest) = line.split_at(plain.unwrap_or(line.len()));
    text.extend_from_slice(plain);
    match rest {
        [b'"', after @ ..] => closed(double_quoted(after, text)?, '"'),
        [b'\'', after @ ..] => closed(single_quoted(after, text)?, '\''),
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
            [b'"', after @ ..] => return Ok(after),
            [b'\\', b'x', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                text.push(hexadecimal(*high) << 4 | hexadecimal(*low));
                after
            }
            [b'\\', escaped, after @ ..] => {
                text.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                after
            }
            plain => {
                let end = plain.iter().position(|byte| matches!(byte, b'"' | b'\\')).unwrap_or(plain.len());
                // At least one byte: a lone backslash at the end of the line.
                let (plain, after) = plain.split_at(end.max(1));
                text.extend_from_slice(plain);
                after
            }
        }
    }
}

fn single_quoted<'line>(mut rest: &'line [u8], text: &mut Vec<u8>) -> Result<&'line [u8], Unsplit> {
    loop {
        rest = match rest {
            [] => return Err(Unsplit::Open('\'')),
            [b'\'', after @ ..] => return Ok(after),
            [b'\\', b'\'', after @ ..] => {
                text.push(b'\'');
                after
            }
            [byte, after @ ..] => {
                text.push(*byte);
                after
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
