//! A turn on a shared server in which a user writes keys to test databases.
//!
//! These keys are the user's, not a test's. So there is neither a note that a lease has begun nor, at the end, a marker
//! that lists them: the next test refuses them, and says how to let them go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redis::{Connection, RedisResult, cmd};

use super::control::Control;
use super::file_lock::Lock;
use super::guard::{self, MARKER, OLD_MARKER};
use super::turn::Turn;
use crate::error::{Error, Kind};
use crate::provider::Server;
use crate::provider::select;
use crate::redis_io::was_interrupted;
use crate::report;
use crate::settings::Settings;

/// Held until this is dropped.
pub(crate) struct UserTurn {
    pub(crate) server: Server,
    is_held: Arc<AtomicBool>,
    _control: Control,
    _lock: Lock,
}

impl UserTurn {
    /// Waits for a turn on the running server. Empties the databases as a test does, which refuses keys that no test
    /// has left, or leaves all keys, which are the user's from now on.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no suitable running server, another test holds it for too long, or the guard
    /// refuses its data.
    pub(crate) fn begin(settings: &Settings, user: &str, databases: &[u32], clear: bool) -> Result<Self, Error> {
        loop {
            match Self::try_begin(settings, user, databases, clear) {
                Err(error) if was_interrupted(&error) => {}
                begun => return begun,
            }
        }
    }

    fn try_begin(settings: &Settings, user: &str, databases: &[u32], clear: bool) -> Result<Self, Error> {
        let source = select::source(settings)?;
        let running = source.running().expect("the only provider of these settings");
        let Turn { mut control, server, run_id, notes, lock } = Turn::wait(running, settings, user)?;
        if clear {
            let adopt = settings.adopt() && running.is_named();
            guard::take(&mut control, databases, &notes, adopt, true, &running.shown_url())?;
        } else {
            let lost = |error| Error::with_source(Kind::Server, report::server_lost(&server), error);
            databases.iter().try_for_each(|database| remove_markers(&mut control, *database)).map_err(lost)?;
        }
        notes.close(databases);
        let control = Control::start(control, running, &run_id, user);
        Ok(Self { server, is_held: control.held_flag(), _control: control, _lock: lock })
    }

    /// Whether nobody else can have had a turn.
    pub(crate) fn is_held(&self) -> bool {
        self.is_held.load(Ordering::Relaxed)
    }
}

fn remove_markers(control: &mut Connection, database: u32) -> RedisResult<()> {
    cmd("SELECT").arg(database).exec(control)?;
    cmd("DEL").arg(MARKER).arg(OLD_MARKER).exec(control)
}
