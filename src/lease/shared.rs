//! A lease on a server that was running before us.

use redis::{Connection, RedisResult, cmd};

use super::file_lock::{Lock, Patience};
use super::notes::Notes;
use super::{Ending, Hold, guard, queue};
use crate::cache;
use crate::error::{Error, Kind};
use crate::provider::Server;
use crate::provider::running::Running;
use crate::redis_io::{client_name, select_each, was_interrupted};
use crate::report;
use crate::settings::Settings;

/// The test's turn on a shared server.
pub(super) struct SharedServer {
    server: Server,
    /// The connection by which the lease is known in the server.
    control: Connection,
    databases: [u32; 2],
    notes: Notes,
    _lock: Lock,
}

impl SharedServer {
    /// Waits for the test's turn, looks whose keys are in the test databases, and takes them.
    ///
    /// # Errors
    ///
    /// When the server does not answer or fit any more, another test keeps it, or the guard refuses it.
    pub(super) fn begin(running: &Running, settings: &Settings, test: &str, clean: bool) -> Result<Self, Error> {
        loop {
            match Self::try_begin(running, settings, test, clean) {
                Err(error) if was_interrupted(&error) => {}
                begun => return begun,
            }
        }
    }

    fn try_begin(running: &Running, settings: &Settings, test: &str, clean: bool) -> Result<Self, Error> {
        let no_lock = |error: std::io::Error| {
            Error::with_source(Kind::Server, report::no_lock(&cache::directory(), &error), error)
        };
        let url = running.shown_url();
        let (sessions, jobs) = settings.databases();
        let databases = [sessions, jobs];
        let mut patience = Patience::new(&url, settings.lease_timeout());
        let mut run_id = running.server.run_id().to_owned();
        let (notes, mut lock, mut control, server) = loop {
            let notes = Notes::of(&run_id, &running.server.address()).map_err(no_lock)?;
            let lock = Lock::acquire(&notes.lock_file(), &mut patience)?;
            let (control, server) = running.connect()?;
            if server.run_id() == run_id {
                break (notes, lock, control, server);
            }
            // Another server has taken its place, with a lock of its own.
            server.run_id().clone_into(&mut run_id);
        };
        lock.sign(test).map_err(no_lock)?;
        queue::wait_for_turn(&mut control, test, &url, &mut patience, || lock.sign(test).map_err(no_lock))?;
        notes.forget_predecessors();
        let adopt = settings.adopt() && running.is_named();
        guard::take(&mut control, databases, &notes, adopt, clean, &url)?;
        notes.open(databases).map_err(no_lock)?;
        if !clean {
            guard::forget(&mut control, databases)
                .map_err(|error| Error::with_source(Kind::Server, report::server_lost(&server, &error), error))?;
        }
        Ok(Self { server, control, databases, notes, _lock: lock })
    }

    /// The server that the lease is on: the one that answers now.
    pub(super) fn server(&self) -> Server {
        self.server.clone()
    }

    /// Whether a connection that we have opened for the test is still there.
    fn has_other_clients(&mut self, test: &str) -> RedisResult<bool> {
        let list: String = cmd("CLIENT").arg("LIST").query(&mut self.control)?;
        let name = format!(" name={} ", client_name(test));
        Ok(list.lines().any(|line| line.contains(&name)))
    }
}

impl Hold for SharedServer {
    fn flush(&mut self) -> RedisResult<()> {
        let flush = select_each(self.databases, |pipeline| {
            pipeline.cmd("FLUSHDB").ignore();
        });
        flush.query(&mut self.control)
    }

    /// Releases the server in any case, with a warning if it is still in use.
    fn end(mut self: Box<Self>, test: &str, settings: &Settings, ending: Ending) {
        if ending.in_use || self.has_other_clients(test).unwrap_or(false) {
            report::print(&report::warning(&report::lease::released_in_use(test, &self.server)));
        }
        if ending.failed && settings.keep() {
            report::print(&report::not_kept(&self.server, &self.server.cli()));
        }
        // The note of a lease that could leave no names stays, and says that what is there is the tests' own.
        if guard::leave(&mut self.control, self.databases).is_ok() {
            self.notes.close(self.databases);
        }
    }
}
