//! Text about keys that a passed test should not have left.

use std::fmt::{Debug, Write};
use std::time::Duration;

/// How many keys are listed.
const LISTED: usize = 20;

/// The longest key that is shown, in characters.
const SHOWN: usize = 100;

/// A key: its name, its type, its size in bytes, and its TTL; `None` if it never expires.
type Key<'key> = (&'key [u8], &'key str, u64, Option<Duration>);

pub(crate) fn eternal<'key>(test: &str, keys: impl ExactSizeIterator<Item = Key<'key>>) -> String {
    left(test, "without a TTL in the session database", keys, false)
        + "\nSet one (SET … EX, EXPIRE), exempt the keys in redis.lint_allow, or set lint = \"none\" in #[clean_redis]"
}

pub(crate) fn out_of_bounds<'key>(test: &str, lint: &str, keys: impl ExactSizeIterator<Item = Key<'key>>) -> String {
    left(test, &format!("in the session database that violate {lint:?}"), keys, true)
        + "\nSet such a TTL (SET … EX, EXPIRE), exempt the keys in redis.lint_allow, or set lint = \"none\" in \
           #[clean_redis]"
}

pub(crate) fn not_empty<'key>(test: &str, keys: impl ExactSizeIterator<Item = Key<'key>>) -> String {
    left(test, "in the test databases, which must be empty", keys, true)
        + "\nDelete the keys, exempt them in redis.lint_allow, or set lint = \"none\" in #[clean_redis]"
}

/// `error`: its `Debug` form shows the causes as well.
pub(crate) fn not_checked(test: &str, error: &dyn Debug) -> String {
    format!("the test {test} passed, but its keys could not be checked: {error:?}")
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
            Some(ttl) => write!(report, ", TTL {} s", ttl.as_secs()),
            None => write!(report, ", no TTL"),
        };
        report.push(')');
    }
    if count > LISTED {
        let _ = write!(report, "\n  and {} more", count - LISTED);
    }
    report
}
