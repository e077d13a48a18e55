//! The test run that this process belongs to, if its runner says so.

use std::env;

/// A run with a process for each test: the runner's name for it, and its pid.
#[cfg(unix)]
pub(super) struct ProcessPerTest {
    pub(super) id: String,
    pub(super) runner: u32,
}

#[cfg(unix)]
pub(super) fn process_per_test() -> Option<ProcessPerTest> {
    let id = env::var("NEXTEST_RUN_ID").ok().filter(|id| !id.is_empty() && is_process_per_test())?;
    Some(ProcessPerTest { id, runner: std::os::unix::process::parent_id() })
}

/// Whether the runner has a process for each test, as cargo-nextest does.
pub(crate) fn is_process_per_test() -> bool {
    env::var_os("NEXTEST_EXECUTION_MODE").is_some_and(|mode| mode == "process-per-test")
}
