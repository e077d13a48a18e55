//! A `.redis` file: one command per line, all in one MULTI, none of which reaches beyond the test databases.

use std::path::Path;

use redis::Value;

use super::tokenize::split;
use crate::error::{Error, Kind};
use crate::redis_io::packed_commands::PackedCommands;
use crate::report;

/// Commands that change the server, other databases or the connection, run scripts that could, or write no data.
/// Sorted.
const FORBIDDEN: &[&str] = &[
    "ACL",
    "ASKING",
    "AUTH",
    "BGREWRITEAOF",
    "BGSAVE",
    "CLIENT",
    "CLUSTER",
    "CLUSTERSCAN",
    "COMMANDLOG",
    "CONFIG",
    "DEBUG",
    "EVAL",
    "EVALSHA",
    "EVALSHA_RO",
    "EVAL_RO",
    "FAILOVER",
    "FCALL",
    "FCALL_RO",
    "FLUSHALL",
    "FUNCTION",
    "HELLO",
    "LATENCY",
    "MIGRATE",
    "MODULE",
    "MONITOR",
    "PFDEBUG",
    "PSUBSCRIBE",
    "PSYNC",
    "PUBLISH",
    "PUNSUBSCRIBE",
    "QUIT",
    "READONLY",
    "READWRITE",
    "REPLCONF",
    "REPLICAOF",
    "RESET",
    "SAVE",
    "SCRIPT",
    "SHUTDOWN",
    "SLAVEOF",
    "SLOWLOG",
    "SPUBLISH",
    "SSUBSCRIBE",
    "SUBSCRIBE",
    "SUNSUBSCRIBE",
    "SWAPDB",
    "SYNC",
    "UNSUBSCRIBE",
];

/// Commands that cannot be part of a MULTI. Sorted.
const OF_TRANSACTIONS: &[&str] = &["DISCARD", "EXEC", "MULTI", "UNWATCH", "WATCH"];

/// The commands of a file, ready to be sent.
pub(super) struct Script {
    pub(super) commands: PackedCommands,
    /// The line, from 1, of each command after the first [`LEAD`](Self::LEAD).
    pub(super) lines: Vec<usize>,
}

impl Script {
    /// The number of commands before those of the file. They count the keys of both test databases.
    pub(super) const LEAD: usize = 5;

    /// # Errors
    ///
    /// Returns an error if a line is malformed or forbidden.
    pub(super) fn parse(path: &Path, text: &[u8], (sessions, jobs): (u32, u32)) -> Result<Self, Error> {
        let mut commands = PackedCommands::default();
        let [first, second] = [sessions, jobs].map(|database| database.to_string());
        for command in [&["SELECT", &second][..], &["DBSIZE"], &["SELECT", &first], &["DBSIZE"], &["SELECT", &first]] {
            commands.push(command);
        }
        let (mut lines, mut unquoted, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        for (number, line) in each_line(text) {
            let is_comment = matches!(line.trim_ascii_start().first(), None | Some(b'#'));
            if is_comment {
                continue;
            }
            let reject = |why: String| Error::new(Kind::Data, report::data::bad_line(path, number, &why));
            split(line, &mut unquoted, &mut ends).map_err(|why| reject(why.to_string()))?;
            let mut start = 0;
            let words: Vec<&[u8]> =
                ends.iter().map(|end| &unquoted[std::mem::replace(&mut start, *end)..*end]).collect();
            check(&words, [sessions, jobs]).map_err(reject)?;
            commands.push(&words);
            lines.push(number);
        }
        Ok(Self { commands, lines })
    }

    /// Whether both test databases were empty before.
    pub(super) fn was_empty(replies: &[Value]) -> bool {
        [1, 3].into_iter().all(|number| replies.get(number) == Some(&Value::Int(0)))
    }
}

/// The lines with their numbers, from 1, without a byte order mark.
fn each_line(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    text.split(|byte| *byte == b'\n').enumerate().map(|(number, line)| (number + 1, line))
}

/// The line with that number.
pub(super) fn line(text: &[u8], number: usize) -> &[u8] {
    each_line(text).nth(number.saturating_sub(1)).map_or(&[], |(_, line)| line.trim_ascii())
}

/// # Errors
///
/// Returns the reason if the command must not be sent.
fn check(words: &[&[u8]], databases: [u32; 2]) -> Result<(), String> {
    let name = words.first().map(|word| word.to_ascii_uppercase()).unwrap_or_default();
    let one_of = |names: &[&'static str]| {
        let found = names.binary_search_by(|known| known.as_bytes().cmp(&name)).ok();
        found.map(|at| names[at])
    };
    if let Some(name) = one_of(FORBIDDEN) {
        return Err(report::data::forbidden(name));
    }
    if let Some(name) = one_of(OF_TRANSACTIONS) {
        return Err(report::data::of_transactions(name));
    }
    let named: Vec<&[u8]> = match name.as_slice() {
        b"SELECT" => words.get(1).copied().into_iter().collect(),
        b"MOVE" => words.get(2).copied().into_iter().collect(),
        // Redis uses the last DB option.
        b"COPY" => {
            words.windows(2).skip(3).filter_map(|pair| pair[0].eq_ignore_ascii_case(b"DB").then_some(pair[1])).collect()
        }
        _ => Vec::new(),
    };
    let is_test_database = |word: &[u8]| {
        let number = std::str::from_utf8(word).ok().and_then(|word| word.parse().ok());
        number.is_some_and(|number: u32| databases.contains(&number))
    };
    match named.into_iter().find(|word| !is_test_database(word)) {
        Some(word) => Err(report::data::other_database(word, databases)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{FORBIDDEN, OF_TRANSACTIONS};

    #[test]
    fn binary_search_tables_are_sorted() {
        assert!(FORBIDDEN.is_sorted() && OF_TRANSACTIONS.is_sorted());
    }
}
