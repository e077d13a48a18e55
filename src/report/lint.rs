//! What is said of a test that has passed and is not in order all the same.

use std::fmt::Write;
use std::time::Duration;

/// How many keys are listed.
const LISTED: usize = 20;

/// How much of a key is shown, in characters.
const SHOWN: usize = 100;

/// A key: its name, its type, its size in bytes, and how long it lives, if not for ever.
type Key<'key> = (&'key [u8], &'key str, u64, Option<Duration>);

pub(crate) fn eternal<'key>(test: &str, keys: impl ExactSizeIterator<Item = Key<'key>>) -> String {
    let what = "without a timeout in the database for sessions and cache";
    left(test, what, keys, false)
        + "\nGive them one (SET … EX, EXPIRE), allow them in redis.lint_allow, or put lint = \"none\" into #[clean_redis]"
}

pub(crate) fn out_of_bounds<'key>(test: &str, lint: &str, keys: impl ExactSizeIterator<Item = Key<'key>>) -> String {
    let what = format!("in the database for sessions and cache for which {lint:?} does not hold");
    left(test, &what, keys, true)
        + "\nGive them such a timeout (SET … EX, EXPIRE), allow them in redis.lint_allow, or put lint = \"none\" into \
           #[clean_redis]"
}

pub(crate) fn not_empty<'key>(test: &str, keys: impl ExactSizeIterator<Item = Key<'key>>) -> String {
    left(test, "in the test databases, which it should leave empty", keys, true)
        + "\nDelete them, allow them in redis.lint_allow, or put lint = \"none\" into #[clean_redis]"
}

fn left<'key>(test: &str, what: &str, keys: impl ExactSizeIterator<Item = Key<'key>>, with_timeouts: bool) -> String {
    let count = keys.len();
    let plural = if count == 1 { "" } else { "s" };
    let mut report = format!("the test {test} passed, but left {count} key{plural} {what}:");
    for (key, kind, size, ttl) in keys.take(LISTED) {
        let key = match std::str::from_utf8(key) {
            Ok(key) => key.escape_debug().to_string(),
            Err(_) => key.escape_ascii().to_string(),
        };
        let shown: String = key.chars().take(SHOWN).collect();
        let cut = if shown.len() < key.len() { "…" } else { "" };
        let _ = write!(report, "\n  {shown}{cut} ({kind}, {size} bytes");
        let _ = match ttl {
            _ if !with_timeouts => Ok(()),
            Some(ttl) => write!(report, ", ttl {} s", ttl.as_secs()),
            None => write!(report, ", no timeout"),
        };
        report.push(')');
    }
    if count > LISTED {
        let _ = write!(report, "\n  and {} more", count - LISTED);
    }
    report
}
