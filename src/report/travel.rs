//! What is said of time.

use std::fmt::{Debug, Display};
use std::time::Duration;

pub(crate) fn not_travelled(server: &dyn Display, error: &dyn Display) -> String {
    format!("let time pass on {server}: {error}; is it still running, and its directory still there?")
}

pub(crate) fn clock_stands_still(server: &dyn Display, within: Duration) -> String {
    format!("let time pass on {server}: its clock did not get there within {within:?}; is its directory still there?")
}

pub(crate) fn fields_stay(server: &dyn Display, count: u64, within: Duration) -> String {
    format!(
        "let time pass on {server}: {count} ended fields of hashes are still in HLEN, and none has gone for {within:?}; \
         is active expiry switched on (DEBUG SET-ACTIVE-EXPIRE 1)?"
    )
}

pub(crate) fn no_end(key: &str) -> String {
    format!("travel to the end of {key:?}: there is no such key, or it has no timeout; set one, or name another key")
}

pub(crate) fn no_ttl(key: &str, error: &dyn Display) -> String {
    format!("transient-fixtures failed to look at {key:?}: failed to {error}")
}

pub(crate) fn other_ttl(key: &str, range: &dyn Debug, lives: Option<Duration>, is_there: bool) -> String {
    let is = match lives {
        Some(lives) => format!("it has {lives:?} left"),
        None if is_there => {
            "it has no timeout, and lives for ever. Is its EXPIRE missing, or taken away by a SET?".to_owned()
        }
        None => "there is no such key in the test databases".to_owned(),
    };
    format!("expected {key:?} to live for {range:?}; {is}")
}
