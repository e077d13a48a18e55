//! The idle started servers of this process. There are never more of them than tests that ran at once.

use std::sync::Mutex;

use super::own::OwnServer;
use crate::settings::{ServerOptions, Settings};
use crate::sync::lock;

/// Each with the options that it was started with. Tests have none.
static IDLE: Mutex<Vec<(Option<ServerOptions>, OwnServer)>> = Mutex::new(Vec::new());

pub(super) fn take(settings: &Settings) -> Option<OwnServer> {
    let mut idle = lock(&IDLE);
    let at = idle.iter().rposition(|(options, _)| *options == settings.command())?;
    Some(idle.swap_remove(at).1)
}

pub(super) fn put_back(server: OwnServer, settings: &Settings) {
    lock(&IDLE).push((settings.command(), server));
}
