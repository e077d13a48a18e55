//! The arguments of a command, read from the first bytes of its frame.

use std::borrow::Cow;

/// Iterates over the arguments in the first bytes of a frame. The last one can be truncated.
pub(super) fn arguments(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_inline = head.first() != Some(&b'*');
    let mut rest = if is_inline { head } else { after_line(head) };
    std::iter::from_fn(move || {
        if is_inline {
            let start = rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
            rest = &rest[start..];
            let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
            let (argument, after) = rest.split_at(end);
            rest = after;
            return Some(argument);
        }
        let length = length(rest.strip_prefix(b"$")?)?;
        let body = after_line(rest);
        let argument = &body[..length.min(body.len())];
        rest = body.get(length.saturating_add(2)..).unwrap_or_default();
        Some(argument)
    })
}

/// Counts the arguments of the whole frame, including the command's name.
pub(super) fn count(head: &[u8]) -> usize {
    match head.strip_prefix(b"*") {
        Some(rest) => length(rest).unwrap_or_default(),
        None => arguments(head).count(),
    }
}

/// Returns the command's name in upper case, with its subcommand if it has one.
pub(super) fn name(head: &[u8]) -> String {
    name_of(arguments(head))
}

/// The same for the words of a command.
pub fn name_of<'word>(mut words: impl Iterator<Item = &'word [u8]>) -> String {
    let mut name = upper(words.next().unwrap_or_default());
    let has_subcommands = matches!(
        name.as_str(),
        "ACL"
            | "CLIENT"
            | "CLUSTER"
            | "COMMAND"
            | "CONFIG"
            | "DEBUG"
            | "FUNCTION"
            | "LATENCY"
            | "MEMORY"
            | "MODULE"
            | "OBJECT"
            | "PUBSUB"
            | "SCRIPT"
            | "SLOWLOG"
            | "XGROUP"
            | "XINFO"
    );
    if has_subcommands && let Some(subcommand) = words.next() {
        name += " ";
        name += &upper(subcommand);
    }
    name
}

pub(super) fn upper(word: &[u8]) -> String {
    String::from_utf8_lossy(word).to_uppercase()
}

pub(super) fn text(word: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(word)
}

fn length(line: &[u8]) -> Option<usize> {
    let digits = line.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(line.len());
    std::str::from_utf8(&line[..digits]).ok()?.parse().ok()
}

fn after_line(bytes: &[u8]) -> &[u8] {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => &bytes[end + 1..],
        None => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_arrays_and_lines() {
        let words = |head: &'static [u8]| arguments(head).collect::<Vec<_>>();
        assert_eq!(words(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$5\r\nhello\r\n"), [&b"SET"[..], b"a", b"hello"]);
        assert_eq!(words(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$5\r\nhel"), [&b"SET"[..], b"a", b"hel"]);
        assert_eq!(words(b"*3\r\n$3\r\nSET\r\n$1"), [&b"SET"[..], b""]);
        assert_eq!(words(b"  get  a\r\n"), [&b"get"[..], b"a"]);
        assert_eq!(count(b"*3\r\n$3\r\nSET\r\n$1"), 3);
        assert_eq!(count(b"get a\r\n"), 2);
    }

    #[test]
    fn names_include_subcommands() {
        assert_eq!(name(b"*2\r\n$3\r\nget\r\n$1\r\na\r\n"), "GET");
        assert_eq!(name(b"client setname x\r\n"), "CLIENT SETNAME");
        assert_eq!(name(b"*0\r\n"), "");
    }
}
