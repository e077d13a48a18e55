//! The messages of panics.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs this and returns the message of its panic.
pub(crate) fn panic_of<T>(run: impl FnOnce() -> T) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| drop(run()))).expect_err("a panic");
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).expect("text")
}
