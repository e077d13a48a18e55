//! Text about backups. Each completes a sentence about a file.

pub(crate) const EMPTY: &str = "it is empty";

pub(crate) const FOREIGN: &str = "it is neither a snapshot nor commands";

pub(crate) const CUT: &str = "it ends too early";

pub(crate) const UNKNOWN: &str = "this is not what a dump has here";

pub(crate) const NOT_SORTED: &str = "its keys are not in order, or there twice";

pub(crate) const AFTER_END: &str = "there is more after its end";

pub(crate) const CHANGED: &str = "it has changed while it was read";

pub(crate) fn other_count(expected: usize, found: usize) -> String {
    format!("it should have {expected} keys, but has {found}")
}
