//! Where the options of a command are.

use super::rule::Word;

/// The commands that have options, and the index of the first one.
pub(super) const FIRST_OPTIONS: &[(&str, usize)] = &[
    ("SET", 3),
    ("GETEX", 2),
    ("HGETEX", 2),
    ("HSETEX", 2),
    ("ZADD", 2),
    ("XADD", 2),
    ("ZRANGE", 4),
    ("EXPIRE", 3),
    ("PEXPIRE", 3),
    ("EXPIREAT", 3),
    ("PEXPIREAT", 3),
];

/// The options that have values, and how many. A `=` or `~` before the value of MAXLEN and MINID is one more.
pub(super) const VALUES: &[(&str, usize)] = &[
    ("EX", 1),
    ("PX", 1),
    ("EXAT", 1),
    ("PXAT", 1),
    ("IFEQ", 1),
    ("IFNE", 1),
    ("IFDEQ", 1),
    ("IFDNE", 1),
    ("MAXLEN", 1),
    ("MINID", 1),
];

/// The options without values.
pub(super) const FLAGS: &str = "NX XX GT LT CH INCR GET KEEPTTL PERSIST FNX FXX NOMKSTREAM KEEPREF DELREF ACKED \
                                BYSCORE BYLEX REV WITHSCORES LIMIT";

/// An option: its name in upper case, its index, and how many words it has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CommandOption {
    pub(super) name: String,
    pub(super) at: usize,
    pub(super) length: usize,
}

pub(super) fn upper(word: &[u8]) -> String {
    String::from_utf8_lossy(word).to_uppercase()
}

/// Returns the options of a command. The last one ends before the first word that is none.
pub(super) fn options(words: &[Word]) -> Vec<CommandOption> {
    let name = words.first().map(|word| upper(word)).unwrap_or_default();
    let Some(&(_, mut at)) = FIRST_OPTIONS.iter().find(|(command, _)| *command == name) else { return Vec::new() };
    let mut found = Vec::new();
    while let Some(word) = words.get(at) {
        let name = upper(word);
        let length = if let Some((_, values)) = VALUES.iter().find(|(option, _)| *option == name) {
            let is_trim = matches!(name.as_str(), "MAXLEN" | "MINID");
            let has_sign = is_trim && words.get(at + 1).is_some_and(|sign| matches!(sign.as_slice(), b"=" | b"~"));
            let length = 1 + usize::from(has_sign) + values;
            let has_limit = is_trim && words.get(at + length).is_some_and(|word| upper(word) == "LIMIT");
            if has_limit { length + 2 } else { length }
        } else if FLAGS.split(' ').any(|flag| flag == name) {
            // Only ZRANGE's LIMIT is an option of its own, with two values.
            if name == "LIMIT" { 3 } else { 1 }
        } else {
            break;
        };
        found.push(CommandOption { name, at, length });
        at += length;
    }
    found
}

/// Returns the index of the first word after the options.
pub(super) fn end_of_options(words: &[Word]) -> usize {
    let name = words.first().map(|word| upper(word)).unwrap_or_default();
    let first = FIRST_OPTIONS.iter().find(|(command, _)| *command == name).map_or(2, |(_, first)| *first);
    options(words).last().map_or(first, |last| last.at + last.length)
}
