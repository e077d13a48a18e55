//! The idle started servers of this process. There are never more of them than tests that ran at once.

use std::sync::Mutex;

use super::own::OwnServer;
use crate::sync::lock;

static IDLE: Mutex<Vec<OwnServer>> = Mutex::new(Vec::new());

pub(super) fn take() -> Option<OwnServer> {
    lock(&IDLE).pop()
}

pub(super) fn put_back(server: OwnServer) {
    lock(&IDLE).push(server);
}
