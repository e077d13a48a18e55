//! Bytes in hexadecimal.

use std::fmt::Write;

/// Returns the bytes in lower-case hexadecimal, two digits each.
pub(crate) fn encode(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
