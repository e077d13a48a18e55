//! Frames from the server that are not replies.

/// An unsolicited frame, or the confirmation of a subscription.
pub(super) enum Push<'head> {
    /// The confirmation's kind (`subscribe`), and the channel.
    Confirmation(&'head [u8], &'head [u8]),
    Other,
}

/// Iterates over the strings of an array or a push that are in the bytes kept.
pub(super) fn elements(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_array = matches!(head.first(), Some(b'*' | b'>'));
    // Skip the line with the number of elements.
    let mut rest = head.splitn(2, |byte| *byte == b'\n').nth(1).unwrap_or_default();
    std::iter::from_fn(move || {
        if !is_array {
            return None;
        }
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        let (kind, value) = line.split_first()?;
        rest = &rest[end + 1..];
        if *kind != b'$' {
            return Some(value);
        }
        let length: usize = std::str::from_utf8(value).ok()?.parse().ok()?;
        let element = rest.get(..length.min(rest.len()))?;
        rest = rest.get(length + 2..).unwrap_or_default();
        Some(element)
    })
}
