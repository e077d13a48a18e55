//! Names of the things that we start: a server's directory, a container.

use std::process;

use crate::cache::OWNED;
use crate::random;

/// Returns a unique name that identifies its owner: `transient-fixtures-PID-…`.
pub(super) fn unique_name() -> String {
    format!("{OWNED}{}-{}", process::id(), &random::hex()[..16])
}
