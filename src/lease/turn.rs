//! A turn on a shared server: nobody else uses its test databases.

use std::io;

use redis::Connection;

use super::file_lock::{Lock, WaitLimit};
use super::notes::Notes;
use super::queue;
use crate::cache;
use crate::error::{Error, Kind};
use crate::provider::Server;
use crate::provider::running::Running;
use crate::report;
use crate::settings::Settings;

/// A turn that has just begun.
pub(super) struct Turn {
    pub(super) control: Connection,
    /// The server that answers now.
    pub(super) server: Server,
    pub(super) run_id: String,
    pub(super) notes: Notes,
    pub(super) lock: Lock,
}

impl Turn {
    /// Waits until it is the turn of `test`.
    ///
    /// # Errors
    ///
    /// Returns an error if the server does not answer or is no longer suitable, or another test holds it for too long.
    pub(super) fn wait(running: &Running, settings: &Settings, test: &str) -> Result<Self, Error> {
        let url = running.shown_url();
        let mut limit = WaitLimit::new(&url, settings.lease_timeout());
        let mut run_id = running.server.run_id().to_owned();
        let (notes, mut lock, mut control, server) = loop {
            let notes = Notes::of(&run_id, running.server.address()).map_err(no_lock)?;
            let lock = Lock::acquire(&notes.lock_file(), &mut limit)?;
            let (control, server) = running.connect()?;
            if server.run_id() == run_id {
                break (notes, lock, control, server);
            }
            // Another server has replaced it, with a separate lock.
            server.run_id().clone_into(&mut run_id);
        };
        lock.write_holder(test).map_err(no_lock)?;
        queue::wait_for_turn(&mut control, test, &url, &mut limit, || lock.write_holder(test).map_err(no_lock))?;
        notes.forget_predecessors();
        Ok(Self { control, server, run_id, notes, lock })
    }
}

pub(super) fn no_lock(error: io::Error) -> Error {
    Error::with_source(Kind::Server, report::no_lock(&cache::directory()), error)
}
