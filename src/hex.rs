//! Bytes in hexadecimal.

use std::fmt::Write;

/// Returns these random bytes as a UUID of version 4.
#[cfg(any(feature = "session", feature = "jobs"))]
pub(crate) fn uuid(mut bytes: [u8; 16]) -> String {
    // The version and the variant: RFC 9562, section 5.4.
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = encode(&bytes);
    [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
}

/// Returns the bytes in lower-case hexadecimal, two digits each.
pub(crate) fn encode(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
