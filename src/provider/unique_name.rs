//! Names of what we start: a server's directory, a container.

use std::hash::{BuildHasher, RandomState};
use std::process;

/// A name that nothing else has, and that says whose it is: `transient-fixtures-PID-…`.
pub(super) fn unique_name() -> String {
    let unique = RandomState::new().hash_one(process::id());
    format!("transient-fixtures-{}-{unique:016x}", process::id())
}
