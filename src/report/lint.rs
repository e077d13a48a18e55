//! What is said of a test that has passed and is not in order all the same.

use std::fmt::Write;

/// How many keys are listed.
const LISTED: usize = 20;

/// How much of a key is shown, in characters.
const SHOWN: usize = 100;

/// Of each key: its name, its type, and its size in bytes.
pub(crate) fn eternal<'key>(test: &str, keys: impl ExactSizeIterator<Item = (&'key [u8], &'key str, u64)>) -> String {
    let count = keys.len();
    let mut report = format!(
        "the test {test} passed, but left {count} key{} without a timeout in the database for sessions and cache:",
        if count == 1 { "" } else { "s" }
    );
    for (key, kind, size) in keys.take(LISTED) {
        let key = match std::str::from_utf8(key) {
            Ok(key) => key.escape_debug().to_string(),
            Err(_) => key.escape_ascii().to_string(),
        };
        let shown: String = key.chars().take(SHOWN).collect();
        let cut = if shown.len() < key.len() { "…" } else { "" };
        let _ = write!(report, "\n  {shown}{cut} ({kind}, {size} bytes)");
    }
    if count > LISTED {
        let _ = write!(report, "\n  and {} more", count - LISTED);
    }
    report
        + "\nGive them one (SET … EX, EXPIRE), allow them in redis.lint_allow, or put lint = \"none\" into #[clean_redis]"
}
