//! The own servers of this process that no test uses now. There are never more of them than tests that ran at once.

use std::sync::{Mutex, PoisonError};

use super::own::OwnServer;

static IDLE: Mutex<Vec<OwnServer>> = Mutex::new(Vec::new());

pub(super) fn take() -> Option<OwnServer> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop()
}

pub(super) fn put_back(server: OwnServer) {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner).push(server);
}
