//! A lease on a server that was running before us.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use redis::{Connection, RedisResult, Value, cmd, pipe};

use super::control::Control;
use super::file_lock::Lock;
use super::notes::Notes;
use super::turn::{Turn, no_lock};
use super::{Ending, Hold, guard};
use crate::error::{Error, Kind};
use crate::provider::Server;
use crate::provider::running::Running;
use crate::redis_io::{client_name, select_each, was_interrupted};
use crate::report;
use crate::settings::Settings;

/// A test's turn on a shared server.
pub(super) struct SharedServer {
    server: Server,
    control: Control,
    databases: [u32; 2],
    notes: Notes,
    _lock: Lock,
}

impl SharedServer {
    /// Waits for the test's turn, checks whose keys are in the test databases, and takes them.
    ///
    /// # Errors
    ///
    /// Returns an error if the server does not answer or is no longer suitable, another test holds it for too long, or
    /// the guard refuses its data.
    pub(super) fn begin(running: &Running, settings: &Settings, test: &str, clean: bool) -> Result<Self, Error> {
        loop {
            match Self::try_begin(running, settings, test, clean) {
                Err(error) if was_interrupted(&error) => {}
                begun => return begun,
            }
        }
    }

    fn try_begin(running: &Running, settings: &Settings, test: &str, clean: bool) -> Result<Self, Error> {
        let url = running.shown_url();
        let databases = settings.databases().numbers();
        let Turn { mut control, server, run_id, notes, lock } = Turn::wait(running, settings, test)?;
        let adopt = settings.adopt() && running.is_named();
        guard::take(&mut control, &databases, &notes, adopt, clean, &url)?;
        notes.open(databases).map_err(no_lock)?;
        if !clean {
            guard::remove_markers(&mut control, databases)
                .map_err(|error| Error::with_source(Kind::Server, report::server_lost(&server), error))?;
        }
        let control = Control::start(control, running, &run_id, test);
        Ok(Self { server, control, databases, notes, _lock: lock })
    }

    /// Returns the server of the lease: the one that answers now.
    pub(super) fn server(&self) -> Server {
        self.server.clone()
    }
}

/// Closes the connections that we have opened for the test: commands sent on them later would reach the next test.
/// Returns whether there were any.
fn close_connections(control: &mut Connection, test: &str) -> RedisResult<bool> {
    let list: String = cmd("CLIENT").arg("LIST").query(control)?;
    let name = format!(" name={} ", client_name(test));
    let ids =
        list.lines().filter(|line| line.contains(&name)).filter_map(|line| line.strip_prefix("id=")?.split_once(' '));
    let mut close = pipe();
    for (id, _) in ids {
        close.cmd("CLIENT").arg("KILL").arg("ID").arg(id);
    }
    if close.is_empty() {
        return Ok(false);
    }
    // The user may lack permission, or the connection may already be gone.
    close.ignore_errors();
    let _: Vec<RedisResult<Value>> = close.query(control)?;
    Ok(true)
}

impl Hold for SharedServer {
    fn flush(&mut self) -> RedisResult<()> {
        let flush = select_each(self.databases, |pipeline| {
            pipeline.cmd("FLUSHDB").ignore();
        });
        self.control.ask(|control| flush.query(control))
    }

    fn held_flag(&self) -> Arc<AtomicBool> {
        self.control.held_flag()
    }

    /// Releases the server in any case, with a warning if it is still in use.
    fn end(self: Box<Self>, test: &str, settings: &Settings, ending: Ending) {
        let had_connections = self.control.ask(|control| close_connections(control, test));
        if ending.in_use || matches!(had_connections, Ok(true)) {
            report::print(&report::warning(&report::lease::released_in_use(test, &self.server)));
        }
        if ending.failed && settings.keep() {
            report::print(&report::not_kept(&self.server, &self.server.cli_command()));
        }
        if let Err(error) = self.control.ask(|control| guard::write_markers(control, self.databases)) {
            report::print(&report::warning(&report::lease::not_left(test, &self.server, &error)));
        }
        // Even after an error: an open note would attribute all later keys to the test.
        self.notes.close(&self.databases);
    }
}
