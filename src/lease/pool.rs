//! The servers that this process has started and that no test uses now. There are never more of them than tests that
//! ran at once.

use std::env;
use std::sync::{Mutex, PoisonError};

use crate::server::Throwaway;
use crate::settings::Provider;

static IDLE: Mutex<Vec<Throwaway>> = Mutex::new(Vec::new());

/// An idle server that still answers and is as it was, for that test. One that is not is ended.
pub(super) fn take(test: &str, clean: bool) -> Option<Throwaway> {
    loop {
        let mut server = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        if server.begin(test, clean).unwrap_or(false) {
            return Some(server);
        }
    }
}

/// Whether nobody in this process will need the server again: cargo-nextest has a process for each test. A container is
/// the next process's.
pub(super) fn is_over(server: &Throwaway) -> bool {
    let shared = server.server.provider() == Provider::Container;
    !shared && env::var_os("NEXTEST_EXECUTION_MODE").is_some_and(|mode| mode == "process-per-test")
}

pub(super) fn put_back(server: Throwaway) {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner).push(server);
}
