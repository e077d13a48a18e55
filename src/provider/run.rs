//! The test run that this process belongs to, if its runner says so.

use std::env;

/// Whether the runner has a process for each test, as cargo-nextest does.
pub(crate) fn is_process_per_test() -> bool {
    env::var_os("NEXTEST_EXECUTION_MODE").is_some_and(|mode| mode == "process-per-test")
}
