//! Keys as text: a table for people, and JSON.

use std::fmt::Write as _;
use std::time::Duration;

use super::keys::{Key, Screen};
use crate::report;

/// The widest name in the table, and the longest value, in characters.
const NAME: usize = 40;
const VALUE: usize = 60;

/// The whole table.
pub(super) fn screen(address: &str, database: u32, screen: &Screen) -> String {
    let mut text = report::database(address, database, screen.all, screen.found, screen.is_whole, screen.has_pattern);
    for (prefix, group) in &screen.groups {
        let prefix = if prefix.is_empty() { report::NO_PREFIX.to_owned() } else { visible(prefix, NAME) };
        text += &format!("\n\n{}", report::prefix(&prefix, group.count, screen.is_whole));
        let names: Vec<_> = group.shown.iter().map(|key| visible(&key.name, NAME)).collect();
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or_default();
        let kinds = group.shown.iter().map(|key| key.kind.len()).max().unwrap_or_default();
        for (key, name) in group.shown.iter().zip(names) {
            let ttl = key.ttl.map_or_else(|| "no TTL".to_owned(), duration);
            let bytes = key.bytes.map(report::size).unwrap_or_default();
            let (kind, value) = (&key.kind, value(key));
            let _ = write!(text, "\n  {name:<width$}  {kind:<kinds$}  {ttl:>8}  {bytes:>11}  {value}");
        }
        if group.count > group.shown.len() {
            text += &report::more(group.count - group.shown.len());
        }
    }
    text
}

/// The beginning of a value, on one line.
fn value(key: &Key) -> String {
    let pieces: Vec<_> = key.value.iter().map(|piece| visible(piece, VALUE)).collect();
    let joined = match key.kind.as_str() {
        "hash" | "zset" => {
            let pairs: Vec<_> = pieces.chunks(2).map(|pair| pair.join("=")).collect();
            pairs.join(", ")
        }
        _ => pieces.join(", "),
    };
    let cut = cut(&joined, VALUE);
    match key.length {
        Some(length) if key.kind != "string" => format!("({length}) {cut}"),
        _ => cut,
    }
}

/// Text that can't harm a terminal, at most so long.
fn visible(bytes: &[u8], longest: usize) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            if letter.is_control() { text.extend(letter.escape_default()) } else { text.push(letter) }
        }
        chunk.invalid().iter().for_each(|byte| text += &format!("\\x{byte:02x}"));
        if text.len() > longest * 8 {
            break;
        }
    }
    cut(&text, longest)
}

fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some(_) => text.chars().take(longest - 1).chain(['…']).collect(),
        None => text.to_owned(),
    }
}

/// The two largest units.
fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) if seconds < 10 => format!("{:.1}s", duration.as_secs_f64()),
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, ..) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

/// One line of JSON. Bytes that are not UTF-8 are in hexadecimal, under another name.
pub(super) fn json(database: u32, key: &Key) -> String {
    let number = |number: Option<u128>| number.map_or_else(|| "null".to_owned(), |number| number.to_string());
    let value: Vec<_> = key.value.iter().map(|piece| format!("{{{}}}", field("text", piece))).collect();
    format!(
        "{{\"database\":{database},{},\"type\":{},\"ttl_ms\":{},\"bytes\":{},\"length\":{},\"value\":[{}]}}",
        field("key", &key.name),
        string(&key.kind),
        number(key.ttl.map(|ttl| ttl.as_millis())),
        number(key.bytes.map(u128::from)),
        number(key.length.map(u128::from)),
        value.join(","),
    )
}

fn field(name: &str, bytes: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return format!("\"{name}\":{}", string(text));
    }
    let hex = bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    format!("\"{name}_hex\":\"{hex}\"")
}

fn string(text: &str) -> String {
    let mut json = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => json.extend(['\\', letter]),
            '\0'..='\x1f' => json += &format!("\\u{:04x}", u32::from(letter)),
            _ => json.push(letter),
        }
    }
    json + "\""
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{duration, field, json, screen, value, visible};
    use crate::show::keys::{Group, Key, Screen};

    #[test]
    fn text_is_safe_and_short() {
        assert_eq!(visible(b"a\x1b[2J\xff\n", 40), "a\\u{1b}[2J\\xff\\n");
        assert_eq!(visible("åäö".repeat(20).as_bytes(), 5), "åäöå…");
    }

    #[test]
    fn a_modules_value_is_unknown() {
        let (name, kind) = (b"v".to_vec(), "vectorset".to_owned());
        let key = Key { name, kind, ttl: None, bytes: Some(1), length: None, value: Vec::new() };
        assert_eq!(value(&key), "");
        assert!(json(14, &key).ends_with(r#""length":null,"value":[]}"#), "{}", json(14, &key));
    }

    /// The type of a vector set is longer than the others.
    #[test]
    fn columns_are_aligned() {
        let key = |kind: &str| {
            let name = kind.as_bytes().to_vec();
            Key { name, kind: kind.to_owned(), ttl: None, bytes: Some(1), length: None, value: Vec::new() }
        };
        let group = Group { count: 2, shown: vec![key("vectorset"), key("set")] };
        let groups = [(Vec::new(), group)].into();
        let whole = Screen { all: 2, found: 2, is_whole: true, has_pattern: false, groups };
        let text = screen("", 14, &whole);
        let ends: Vec<_> = text.lines().filter_map(|line| line.find("no TTL")).collect();
        assert!(ends.len() == 2 && ends[0] == ends[1], "{text}");
    }

    #[test]
    fn durations_have_two_units() {
        let shown = [500, 59_000, 61_000, 3_660_000, 90_000_000].map(|ms| duration(Duration::from_millis(ms)));
        assert_eq!(shown, ["0.5s", "59s", "1m 1s", "1h 1m", "1d 1h"]);
    }

    #[test]
    fn json_has_text_or_hexadecimal() {
        assert_eq!(field("key", b"a\"\\\n"), r#""key":"a\"\\\u000a""#);
        assert_eq!(field("key", b"\xff\x00"), r#""key_hex":"ff00""#);
    }
}
