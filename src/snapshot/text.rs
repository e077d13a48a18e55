//! Text for people: one line per key or value, cut if it is long, and the same in every run.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use super::value::{Entry, RedisValue, Stream};
use super::{RedisBytes, Snapshot};
use crate::report;

/// How many characters of a string are shown.
const SHOWN: usize = 80;

/// The length, in bytes, after which the remaining parts of a value are only counted.
const LINE: usize = 200;

/// Quotes and escapes bytes as redis-cli does. Longer strings are cut after `limit` characters and followed by their
/// length.
pub(super) fn quoted(bytes: &[u8], limit: usize) -> String {
    let mut text = "\"".to_owned();
    let cut = if let Ok(valid) = std::str::from_utf8(bytes) {
        valid.chars().take(limit).for_each(|character| escape_character(&mut text, character));
        valid.chars().nth(limit).is_some()
    } else {
        // Bytes above ASCII are escaped one by one, even if some of them form a character.
        bytes.iter().take(limit).for_each(|byte| match byte {
            0..0x80 => escape_character(&mut text, char::from(*byte)),
            _ => text += &format!("\\x{byte:02x}"),
        });
        bytes.len() > limit
    };
    text.push('"');
    if cut {
        text += &format!("… ({} bytes)", bytes.len());
    }
    text
}

/// Escapes only characters that are invisible or that redis-cli's strings cannot hold.
fn escape_character(text: &mut String, character: char) {
    match character {
        '"' => text.push_str("\\\""),
        '\'' => text.push('\''),
        '\\' => text.push_str("\\\\"),
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        '\t' => text.push_str("\\t"),
        _ if character.escape_debug().count() == 1 => text.push(character),
        _ => character.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| *text += &format!("\\x{byte:02x}")),
    }
}

/// Quotes a string, cut if it is long.
pub(super) fn shown(bytes: impl AsRef<[u8]>) -> String {
    quoted(bytes.as_ref(), SHOWN)
}

/// A key, without quotation marks if it needs none.
pub(super) fn key(key: impl AsRef<[u8]>) -> String {
    let quoted = shown(key);
    match quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(plain) if !plain.is_empty() && !plain.contains(['\\', ' ', '\'', ',']) => plain.to_owned(),
        _ => quoted,
    }
}

/// Rounds a TTL up, in coarser steps the longer it is: a TTL set to 300 s a moment ago is shown as 300 s.
pub(super) fn stable(ttl: Duration) -> String {
    let seconds = whole_seconds(ttl);
    let step = match seconds {
        0..60 => 1,
        60..3_600 => 5,
        3_600..86_400 => 60,
        _ => 3_600,
    };
    format!("{} s", seconds.div_ceil(step) * step)
}

/// Rounds a TTL up to whole seconds.
pub(super) fn seconds(ttl: Option<Duration>) -> String {
    ttl.map_or_else(|| "none".to_owned(), |ttl| format!("{} s", whole_seconds(ttl)))
}

fn whole_seconds(ttl: Duration) -> u64 {
    ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0)
}

/// The shortest text that both Rust and Redis parse as the same number.
pub(super) fn score(score: f64) -> String {
    if score == 0.0 || (1e-5..1e17).contains(&score.abs()) || !score.is_finite() {
        score.to_string()
    } else {
        format!("{score:e}")
    }
}

/// Puts parts between brackets, as many as fit on a line.
pub(super) fn parts(open: char, items: impl ExactSizeIterator<Item = String>, noun: &str, close: char) -> String {
    let count = items.len();
    let mut text = open.to_string();
    for (number, item) in items.enumerate() {
        if text.len() > LINE {
            text += &format!(", …{close} ({count} {noun})");
            return text;
        }
        if number > 0 {
            text += ", ";
        }
        text += &item;
    }
    text.push(close);
    text
}

pub(super) fn pair((name, value): &(RedisBytes, RedisBytes)) -> String {
    format!("{}: {}", shown(name), shown(value))
}

/// Shows the type and the content on one line.
impl Display for RedisValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::String(value) => shown(value),
            Self::List(items) => parts('[', items.iter().map(shown), "elements", ']'),
            Self::Set(members) => parts('{', members.iter().map(shown), "members", '}'),
            Self::Hash(fields) => {
                let items = fields.iter().map(|(name, field)| {
                    let ttl = field.ttl.map(|ttl| format!(" ttl {}", stable(ttl))).unwrap_or_default();
                    format!("{}: {}{ttl}", shown(name), shown(&field.value))
                });
                parts('{', items, "fields", '}')
            }
            Self::SortedSet(members) => {
                let items = members.iter().map(|member| format!("{}: {}", shown(&member.member), score(member.score)));
                parts('{', items, "members", '}')
            }
            Self::Stream(value) => stream(value),
            Self::Other(_) => report::snapshot::OPAQUE.to_owned(),
        };
        write!(formatter, "{} {text}", self.type_name())
    }
}

fn stream(stream: &Stream) -> String {
    let items = stream.entries.iter().map(|entry| {
        let fields = parts('{', entry.fields.iter().map(pair), "fields", '}');
        format!("{} {fields}", entry.id)
    });
    let mut text = parts('[', items, "entries", ']');
    for (name, group) in &stream.groups {
        let consumers = parts('[', group.consumers.iter().map(key), "consumers", ']');
        let _ = write!(
            text,
            ", group {} at {} with {} pending and the consumers {consumers}",
            key(name),
            group.last_delivered_id,
            group.pending.len()
        );
    }
    text
}

/// Shows the value and the rounded TTL on one line.
impl Display for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(formatter)?;
        match self.ttl {
            Some(ttl) => write!(formatter, ", ttl {}", stable(ttl)),
            None => Ok(()),
        }
    }
}

/// Shows one line per key, stable across runs.
impl Display for Snapshot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (database, entries)) in self.databases.iter().enumerate() {
            let line = if number > 0 { "\n" } else { "" };
            match entries.len() {
                0 => write!(formatter, "{line}database {database}: no keys")?,
                1 => write!(formatter, "{line}database {database}: 1 key")?,
                count => write!(formatter, "{line}database {database}: {count} keys")?,
            }
            for (name, entry) in entries {
                write!(formatter, "\n  {} {entry}", key(name))?;
            }
        }
        Ok(())
    }
}

/// Shows the same text, for `assert_eq!`.
impl fmt::Debug for Snapshot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, formatter)
    }
}
