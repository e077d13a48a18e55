//! The segments of a key, and which of them are ids by their form.

/// Stands for an id in a pattern.
pub(super) const ID: &str = "<id>";

/// Longer segments are data.
const LONGEST_WORD: usize = 64;

/// So many changes between letters and digits make a token of a text of this length.
const SHORTEST_TOKEN: usize = 16;
const CHANGES_OF_A_TOKEN: usize = 3;

/// The segments of a key, in which ids by form are replaced.
pub(super) struct Segments(Vec<(Option<char>, String)>);

impl Segments {
    pub(super) fn of(key: &[u8]) -> Self {
        let mut segments = Vec::new();
        let (mut separator, mut start) = (None, 0);
        for (at, byte) in key.iter().enumerate() {
            if b":/|{}. ".contains(byte) {
                segments.push((separator, without_ids(&key[start..at])));
                (separator, start) = (Some(char::from(*byte)), at + 1);
            }
        }
        segments.push((separator, without_ids(&key[start..])));
        Self(segments)
    }

    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(_, text)| text.as_str())
    }

    /// The whole key, with each segment replaced.
    pub(super) fn replace<'text>(&'text self, replaced: impl Fn(usize, &'text str) -> &'text str) -> String {
        let mut pattern = String::new();
        for (index, (separator, text)) in self.0.iter().enumerate() {
            pattern.extend(separator);
            pattern += replaced(index, text);
        }
        pattern
    }
}

/// Replaces UUIDs, hexadecimal numbers of eight digits or more, decimal numbers and tokens.
fn without_ids(segment: &[u8]) -> String {
    let text = match std::str::from_utf8(segment) {
        Ok(text) if text.len() <= LONGEST_WORD && !text.chars().any(char::is_control) => text,
        _ => return ID.to_owned(),
    };
    let (mut without, mut rest) = (String::new(), text);
    while let Some(first) = rest.chars().next() {
        let length = match rest.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(rest.len()) {
            _ if is_uuid(rest) => UUID.len(),
            0 => first.len_utf8(),
            length => length,
        };
        let (part, after) = rest.split_at(length);
        let is_number = part.bytes().all(|byte| byte.is_ascii_digit());
        let is_hexadecimal = length >= 8 && part.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        if is_number || is_hexadecimal || is_token(part.as_bytes()) {
            without += ID;
        } else {
            without += part;
        }
        rest = after;
    }
    // A date is one id.
    while without.contains("<id>-<id>") {
        without = without.replace("<id>-<id>", ID);
    }
    without
}

const UUID: &[u8] = b"xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

/// Whether the text begins with a UUID.
fn is_uuid(text: &str) -> bool {
    let Some((begin, rest)) = text.as_bytes().split_at_checked(UUID.len()) else { return false };
    let is_like = |(byte, like): (&u8, &u8)| if *like == b'x' { byte.is_ascii_hexdigit() } else { byte == like };
    begin.iter().zip(UUID).all(is_like) && !rest.first().is_some_and(u8::is_ascii_alphanumeric)
}

/// Whether it looks like random letters and digits.
fn is_token(text: &[u8]) -> bool {
    let changes = text.windows(2).filter(|pair| pair[0].is_ascii_digit() != pair[1].is_ascii_digit());
    text.len() >= SHORTEST_TOKEN && changes.count() >= CHANGES_OF_A_TOKEN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_replaced_by_their_form() {
        for (key, expected) in [
            ("session:17", "session:<id>"),
            ("{user:17}/cart items.x|y", "{user:<id>}/cart items.x|y"),
            ("celery-task-meta-0f8fad5b-d9cb-469f-a165-70867728950e", "celery-task-meta-<id>"),
            ("0F8FAD5B-D9CB-469F-A165-70867728950E:x", "<id>:x"),
            ("visits:2026-11-26", "visits:<id>"),
            ("deadbeef:face:5eba5ed7", "<id>:face:<id>"),
            ("kQ3vB9xYp2LmN4aZ", "<id>"),
            ("oauth2:v1:jobs_3", "oauth2:v1:jobs_<id>"),
            ("a::", "a::"),
            ("größe:12", "größe:<id>"),
            ("a\u{1}b", "<id>"),
            ("", ""),
        ] {
            assert_eq!(Segments::of(key.as_bytes()).replace(|_, text| text), expected, "{key}");
        }
        assert_eq!(Segments::of(b"a:\xff").replace(|_, text| text), "a:<id>");
        let long = "x".repeat(65);
        assert_eq!(Segments::of(long.as_bytes()).replace(|_, text| text), ID);
    }
}
