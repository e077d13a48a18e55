//! What is said of a test that has passed and is not in order all the same.

use std::fmt::Write;

use crate::lint::Eternal;

/// How many keys are listed.
const LISTED: usize = 20;

/// How much of a key is shown, in characters.
const SHOWN: usize = 100;

pub(crate) fn eternal(test: &str, keys: &[Eternal]) -> String {
    let count = keys.len();
    let mut report = format!(
        "the test {test} passed, but left {count} key{} without a timeout in the database for sessions and cache:",
        if count == 1 { "" } else { "s" }
    );
    for Eternal { key, kind, size } in keys.iter().take(LISTED) {
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
