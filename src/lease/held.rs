//! One test's exclusive use of one server, from taking it to giving it back.

#[cfg(any(feature = "session", feature = "jobs"))]
use std::any::Any;
use std::process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::{Connection, RedisError, RedisResult, cmd, pipe};

use super::lock::Lock;
use super::pool;
use crate::error::{Error, Kind};
use crate::guard::MARKER;
use crate::report;
use crate::server::ladder;
use crate::server::running::{Running, lease_file};
use crate::server::{Endpoint, Server, Throwaway, cache, client_name, was_stopped};
use crate::settings::Settings;

/// One test's exclusive use of one server.
pub(crate) struct Lease {
    /// The test, for messages.
    pub(crate) test: String,
    /// Which process it belongs to.
    process: u32,
    /// Whether it began with empty databases.
    #[cfg(feature = "snapshot")]
    pub(crate) clean: bool,
    pub(crate) server: Server,
    pub(crate) settings: &'static Settings,
    pub(crate) sessions: Arc<Endpoint>,
    pub(crate) jobs: Arc<Endpoint>,
    held: Mutex<Option<Held>>,
    /// What all requests of the test share, one of each type. It goes before the server is looked at for clients.
    #[cfg(any(feature = "session", feature = "jobs"))]
    shared: Mutex<Vec<Arc<dyn Any + Send + Sync>>>,
}

/// How a test has ended.
#[derive(Clone, Copy)]
pub(crate) struct Ending {
    /// Somebody still holds a clone of its request.
    pub(crate) in_use: bool,
    pub(crate) failed: bool,
    /// The test itself is over, and not only its use of a server.
    pub(crate) with_test: bool,
}

enum Held {
    Throwaway(Throwaway),
    Running { control: Connection, _lock: Lock },
}

impl Lease {
    /// settings → server → lease → guard (→ flush): afterwards the test databases are this test's, and may be written.
    ///
    /// # Errors
    ///
    /// When no server can be had, the guard refuses it, or another test keeps it for too long.
    pub(crate) fn take(settings: &'static Settings, test: &str, clean: bool) -> Result<Self, Error> {
        let source = ladder::source()?;
        let (server, held) = if let Some(running) = source.running() {
            (running.server.clone(), lock_running(running, settings, test, clean)?)
        } else {
            let server = pool::take(test, clean).map_or_else(|| start(source, settings, test, clean), Ok)?;
            (server.server.clone(), Held::Throwaway(server))
        };
        report::print(&report::server_taken(&server, &source.why));
        for note in settings.notes() {
            report::print(&report::note(note));
        }
        if settings.keep() && source.running().is_none() {
            report::shout(&report::will_keep(&server, &server.cli(), &server.end_command()));
        }
        let (sessions, jobs) = settings.databases();
        Ok(Self {
            test: test.to_owned(),
            process: process::id(),
            #[cfg(feature = "snapshot")]
            clean,
            sessions: server.endpoint(sessions).map_err(|error| lost(&server, error))?,
            jobs: server.endpoint(jobs).map_err(|error| lost(&server, error))?,
            settings,
            server,
            held: Mutex::new(Some(held)),
            #[cfg(any(feature = "session", feature = "jobs"))]
            shared: Mutex::default(),
        })
    }

    /// Empties both test databases; of a server of our own, all.
    ///
    /// # Errors
    ///
    /// [`Error::is_server`] when the server is gone, or the lease has ended.
    pub(crate) fn flush(&self) -> Result<(), Error> {
        match self.held().as_mut() {
            Some(Held::Throwaway(server)) => server.begin(&self.test, true).map(drop),
            Some(Held::Running { control, .. }) => flush(control, self.settings.databases()),
            None => return Err(Error::new(Kind::Server, report::lease_over(&self.test))),
        }
        .map_err(|error| lost(&self.server, error))
    }

    /// What all requests of the test share, made by the first.
    #[cfg(any(feature = "session", feature = "jobs"))]
    pub(crate) fn shared<T: Any + Send + Sync>(&self, make: impl Fn() -> T) -> Arc<T> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.iter().find_map(|known| known.clone().downcast().ok()).unwrap_or_else(|| {
            let new = Arc::new(make());
            shared.push(new.clone());
            new
        })
    }

    /// Whether the test still has the server.
    pub(crate) fn is_held(&self) -> bool {
        self.held().is_some()
    }

    /// Gives the server back. One of our own that can't be as it was is ended, never leased again; a running one is
    /// released in any case, with a warning where it is still in use.
    pub(crate) fn end(&self, ending: Ending) {
        let Some(held) = self.held().take() else { return };
        if self.process != process::id() {
            // A forked child has a copy. What is behind it is the parent's to end.
            std::mem::forget(held);
            return;
        }
        #[cfg(any(feature = "session", feature = "jobs"))]
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).clear();
        match held {
            Held::Throwaway(mut server) if ending.failed && self.settings.keep() => {
                // Once more, since the test may have flushed what tells a container to stay.
                server.keep();
                report::shout(&report::kept(&self.test, &self.server, &self.server.cli(), &self.server.end_command()));
                // Its owner was told that a test has it, and not that the test has passed: it will leave it running.
                std::mem::forget(server);
            }
            Held::Throwaway(mut server) => {
                let is_over = ending.with_test && pool::is_over(&server);
                if !(ending.in_use || is_over) {
                    server.end();
                    pool::put_back(server);
                }
            }
            Held::Running { mut control, _lock } => {
                let in_use = ending.in_use || has_other_clients(&mut control, &self.test).unwrap_or(false);
                if in_use {
                    report::print(&report::released_in_use(&self.test, &self.server));
                }
                if ending.failed && self.settings.keep() {
                    report::print(&report::not_kept(&self.server, &self.server.cli()));
                }
                // A server that is gone by now has nothing to be marked.
                let _ = mark(&mut control, self.settings.databases());
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Without a guard, the last clone knows of the test only whether it panics.
impl Drop for Lease {
    fn drop(&mut self) {
        self.end(Ending { in_use: false, failed: std::thread::panicking(), with_test: false });
    }
}

fn start(source: &ladder::Source, settings: &Settings, test: &str, clean: bool) -> Result<Throwaway, Error> {
    let mut server = source.start(settings)?;
    // A container that another process has left may have keys.
    server.begin(test, clean).map_err(|error| lost(&server.server, error))?;
    Ok(server)
}

fn lock_running(running: &Running, settings: &Settings, test: &str, clean: bool) -> Result<Held, Error> {
    loop {
        match try_lock_running(running, settings, test, clean) {
            Err(error) if was_stopped(&error) => {}
            held => return held,
        }
    }
}

fn try_lock_running(running: &Running, settings: &Settings, test: &str, clean: bool) -> Result<Held, Error> {
    let no_lock =
        |error: std::io::Error| Error::with_source(Kind::Server, report::no_lock(&cache::directory(), &error), error);
    let mut identity = running.first_identity();
    let (mut lock, mut control, info) = loop {
        let path = lease_file(&identity).map_err(no_lock)?;
        let lock = Lock::acquire(&path, &running.server.to_string(), settings.lease_timeout())?;
        let (control, info) = running.connect()?;
        let now = running.identity(&info);
        if now == identity {
            break (lock, control, info);
        }
        // Another server has taken its place, with a lock of its own.
        identity = now;
    };
    running.check(&mut control, &info)?;
    lock.sign(test).and_then(|()| running.remember(&info)).map_err(no_lock)?;
    let lost = |error| lost(&running.server, error);
    let () = cmd("CLIENT").arg("SETNAME").arg(client_name(test)).query(&mut control).map_err(lost)?;
    in_both(&mut control, settings.databases(), |pipeline| pipeline.cmd("DEL").arg(MARKER)).map_err(lost)?;
    if clean {
        flush(&mut control, settings.databases()).map_err(lost)?;
    }
    Ok(Held::Running { control, _lock: lock })
}

fn flush(control: &mut Connection, databases: (u32, u32)) -> RedisResult<()> {
    in_both(control, databases, |pipeline| pipeline.cmd("FLUSHDB"))
}

/// One command in each test database, in one round trip.
fn in_both(
    control: &mut Connection,
    (sessions, jobs): (u32, u32),
    command: impl Fn(&mut redis::Pipeline) -> &mut redis::Pipeline,
) -> RedisResult<()> {
    let mut pipeline = pipe();
    for database in [sessions, jobs] {
        command(pipeline.cmd("SELECT").arg(database).ignore()).ignore();
    }
    pipeline.query(control)
}

/// Says in each test database that is not empty that its keys are left by tests.
fn mark(control: &mut Connection, (sessions, jobs): (u32, u32)) -> RedisResult<()> {
    for database in [sessions, jobs] {
        let (count,): (u64,) = pipe().cmd("SELECT").arg(database).ignore().cmd("DBSIZE").query(control)?;
        if count > 0 {
            let () = cmd("SET").arg(MARKER).arg("").query(control)?;
        }
    }
    Ok(())
}

/// Whether a connection that we have opened for the test, besides our own of that name, is still there.
fn has_other_clients(control: &mut Connection, test: &str) -> RedisResult<bool> {
    let list: String = cmd("CLIENT").arg("LIST").query(control)?;
    let name = format!(" name={} ", client_name(test));
    Ok(list.lines().filter(|line| line.contains(&name)).count() > 1)
}

fn lost(server: &Server, error: RedisError) -> Error {
    Error::with_source(Kind::Server, report::server_lost(server, &error), error)
}
