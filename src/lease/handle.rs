//! A lease, and the only way to our connections.

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use std::{fmt, process};

#[cfg(feature = "tokio")]
use redis::AsyncConnectionConfig;
#[cfg(any(feature = "session", feature = "jobs"))]
use redis::FromRedisValue;
#[cfg(feature = "tokio")]
use redis::aio::MultiplexedConnection;
use redis::{Connection, InfoDict, Pipeline, RedisError, RedisResult, cmd, pipe};

use super::{Ending, Hold, ended, into_redis_error, own_error};
use crate::error::{Error, Kind};
use crate::provider::{Endpoint, Server};
use crate::redis_io::client_name;
use crate::report;
use crate::settings::Settings;
use crate::sync::lock;

/// A server answers in a fraction of a millisecond, unless a test has left it paused or stopped.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// The timeout of an asynchronous connection, to connect and for each answer. The defaults of the redis crate, 1 s and
/// 500 ms, also count the time in which other tasks block the runtime's threads, as every task does while it acquires a
/// lease.
#[cfg(feature = "tokio")]
const ASYNC_ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// One of a test's databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Database {
    /// The session database (14 by default).
    Sessions,
    /// The job database (15 by default).
    Jobs,
}

/// One test's exclusive use of one server.
pub(crate) struct Lease {
    /// The test's name, for messages.
    pub(crate) test: String,
    /// The process that it belongs to.
    process: u32,
    began: Instant,
    /// Whether it began with empty databases.
    pub(crate) is_clean: bool,
    pub(crate) server: Server,
    pub(crate) settings: &'static Settings,
    sessions: Endpoint,
    jobs: Endpoint,
    hold: Mutex<Option<Box<dyn Hold>>>,
    /// The flag of `hold`, readable without its lock.
    is_held: Arc<AtomicBool>,
    /// One value of each type, shared by all requests of the test. They are dropped before the server's clients are
    /// counted, so that their own connections are not counted.
    shared: Mutex<Vec<Arc<dyn Any + Send + Sync>>>,
}

impl Lease {
    pub(super) fn new(
        test: &str,
        is_clean: bool,
        server: Server,
        settings: &'static Settings,
        hold: Box<dyn Hold>,
    ) -> Result<Self, Error> {
        let [sessions, jobs] = settings.databases().numbers();
        let endpoint = |database| {
            server
                .endpoint(database)
                .map_err(|error| Error::with_source(Kind::Server, report::server_lost(&server), error))
        };
        Ok(Self {
            test: test.to_owned(),
            process: process::id(),
            began: Instant::now(),
            is_clean,
            sessions: endpoint(sessions)?,
            jobs: endpoint(jobs)?,
            settings,
            server,
            is_held: hold.held_flag(),
            hold: Mutex::new(Some(hold)),
            shared: Mutex::default(),
        })
    }

    /// Returns how a test reaches one of its databases.
    pub(crate) fn endpoint(&self, database: Database) -> &Endpoint {
        match database {
            Database::Sessions => &self.sessions,
            Database::Jobs => &self.jobs,
        }
    }

    /// Returns the numbers of the test databases.
    pub(crate) fn databases(&self) -> [u32; 2] {
        self.settings.databases().numbers()
    }

    /// Returns how long ago the lease began.
    #[cfg(feature = "snapshot")]
    pub(crate) fn ran_for(&self) -> Duration {
        self.began.elapsed()
    }

    /// Returns whether the test still has the server.
    pub(crate) fn is_held(&self) -> bool {
        self.is_held.load(Ordering::Relaxed)
    }

    pub(crate) fn held_flag(&self) -> Arc<AtomicBool> {
        self.is_held.clone()
    }

    /// Checks that the test still has the server.
    ///
    /// # Errors
    ///
    /// Returns an error that [`Error::is_server`] if the lease has ended or was lost: another test may have the server.
    pub(crate) fn check_held(&self) -> Result<(), Error> {
        if self.is_held() {
            return Ok(());
        }
        let is_lost = self.hold.try_lock().is_ok_and(|hold| hold.is_some());
        let report = if is_lost { report::lease::lost(&self.test) } else { report::lease::over(&self.test) };
        Err(Error::new(Kind::Server, report))
    }

    /// Opens a connection to one of the lease's databases, for all our own commands.
    ///
    /// # Errors
    ///
    /// Returns an error that [`Error::is_server`] if the server does not answer, the lease has ended, or another server
    /// is at this address.
    pub(crate) fn connect(&self, database: Database) -> Result<Connection, Error> {
        self.check_held()?;
        self.open(database).map_err(|error| self.no_answer(error))
    }

    /// Opens a connection like [`connect`](Self::connect), with the error type of the redis crate.
    ///
    /// # Errors
    ///
    /// Returns an error if the server does not answer, the lease has ended, or another server is at this address.
    pub(crate) fn connect_for_test(&self, database: Database) -> RedisResult<Connection> {
        self.check_held().map_err(into_redis_error)?;
        self.open(database)
    }

    /// Opens a connection like [`connect_for_test`](Self::connect_for_test), on a tokio runtime.
    ///
    /// # Errors
    ///
    /// Returns an error if the server does not answer, the lease has ended, or another server is at this address.
    #[cfg(feature = "tokio")]
    pub(crate) async fn connect_async_for_test(&self, database: Database) -> RedisResult<MultiplexedConnection> {
        self.check_held().map_err(into_redis_error)?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ASYNC_ANSWERS_WITHIN))
            .set_response_timeout(Some(ASYNC_ANSWERS_WITHIN));
        let client = &self.endpoint(database).client;
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        let greeting = self.greeting();
        let answer: Vec<InfoDict> = greeting.query_async(&mut connection).await?;
        self.check_identity(&answer)?;
        Ok(connection)
    }

    fn open(&self, database: Database) -> RedisResult<Connection> {
        let mut connection = self.endpoint(database).client.get_connection()?;
        let answer: Vec<InfoDict> = self.greeting().query(&mut connection)?;
        self.check_identity(&answer)?;
        Ok(connection)
    }

    /// Names the connection after the test, for the server's CLIENT LIST. A server without a password of the lease is
    /// also asked for its identity; with one, only the right server lets us in.
    fn greeting(&self) -> Pipeline {
        let mut greeting = pipe();
        greeting.cmd("CLIENT").arg("SETNAME").arg(client_name(&self.test)).ignore();
        if !self.server.has_password_of_its_own() {
            greeting.cmd("INFO").arg("server");
        }
        greeting
    }

    /// Checks that the lease's own server answered the greeting. It checks the lease again, too: the end of a lease
    /// closes all connections with its name, and this one may have been named just afterwards.
    fn check_identity(&self, answer: &[InfoDict]) -> RedisResult<()> {
        let is_ours = |info: &InfoDict| info.get::<String>("run_id").as_deref() == Some(self.server.run_id());
        if answer.iter().all(is_ours) {
            return self.check_held().map_err(into_redis_error);
        }
        Err(into_redis_error(Error::new(Kind::Server, report::lease::other_server(&self.test, &self.server))))
    }

    /// Empties both test databases, or all databases of a started server.
    ///
    /// # Errors
    ///
    /// Returns an error that [`Error::is_server`] if the server does not answer, or the lease has ended.
    pub(crate) fn flush(&self) -> Result<(), Error> {
        match self.hold().as_mut() {
            Some(hold) => hold.flush().map_err(|error| self.no_answer(error)),
            None => Err(Error::new(Kind::Server, report::lease::over(&self.test))),
        }
    }

    /// Returns other possible causes of a test's failure: servers that were ended in this process, and refused logins.
    pub(crate) fn hints(&self) -> Vec<String> {
        let mut hints = ended::remembered();
        let refused = self.hold().as_mut().map(|hold| hold.refused_logins(self.began.elapsed()));
        if let Some(Ok(count @ 1..)) = refused {
            hints.push(report::lease::refused_logins(count));
        }
        hints
    }

    /// Checks that the server still answers within a second: a test may have left it paused or stopped.
    pub(crate) fn answers(&self) -> Result<(), Error> {
        let ping = || -> RedisResult<()> {
            let mut connection = self.sessions.client.get_connection_with_timeout(ANSWERS_WITHIN)?;
            connection.set_read_timeout(Some(ANSWERS_WITHIN))?;
            cmd("PING").exec(&mut connection)
        };
        self.check_held()?;
        ping().map_err(|error| self.no_answer(error))
    }

    /// Wraps an error of a command that failed on the lease's server.
    pub(crate) fn no_answer(&self, error: RedisError) -> Error {
        if let Some(own) = own_error(&error) {
            return own;
        }
        let report = if error.is_io_error() || error.is_unrecoverable_error() {
            report::no_answer(&self.server)
        } else if error.to_string().contains("WRONGTYPE") {
            // In a pipeline, the error has no code.
            report::wrong_type(&self.server)
        } else {
            report::error_reply(&self.server)
        };
        Error::with_source(Kind::Server, report, error)
    }

    /// Returns the value of this type that all requests of the test share. The first caller makes it.
    pub(crate) fn shared<T: Any + Send + Sync>(&self, make: impl Fn() -> T) -> Arc<T> {
        let mut shared = lock(&self.shared);
        shared.iter().find_map(|known| known.clone().downcast().ok()).unwrap_or_else(|| {
            let new = Arc::new(make());
            shared.push(new.clone());
            new
        })
    }

    /// Gives the server back.
    pub(crate) fn end(&self, ending: Ending) {
        let Some(hold) = self.hold().take() else { return };
        self.is_held.store(false, Ordering::Relaxed);
        if self.process != process::id() {
            // This is the copy of a forked child: the server is the parent's to end.
            std::mem::forget(hold);
            return;
        }
        lock(&self.shared).clear();
        hold.end(&self.test, self.settings, ending);
    }

    fn hold(&self) -> MutexGuard<'_, Option<Box<dyn Hold>>> {
        lock(&self.hold)
    }
}

/// The test, its server and its databases, without passwords.
impl fmt::Debug for Lease {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Lease")
            .field("test", &self.test)
            .field("server", &self.server.to_string())
            .field("databases", &self.settings.databases())
            .finish_non_exhaustive()
    }
}

/// Without a guard, the last clone only knows whether the test panics.
impl Drop for Lease {
    fn drop(&mut self) {
        self.end(Ending { in_use: false, failed: std::thread::panicking(), with_test: false });
    }
}

/// A connection that is kept between calls. Each call checks the lease. After the connection breaks, the next call
/// opens another.
#[cfg(any(feature = "session", feature = "jobs"))]
#[derive(Default)]
pub(crate) struct Commands(Option<Connection>);

#[cfg(any(feature = "session", feature = "jobs"))]
impl Commands {
    /// Sends commands and returns their replies.
    ///
    /// # Errors
    ///
    /// Returns an error that [`Error::is_server`] if the server does not answer, or the lease has ended.
    pub(crate) fn query<T: FromRedisValue>(
        &mut self,
        lease: &Lease,
        database: Database,
        commands: &Pipeline,
    ) -> Result<T, Error> {
        lease.check_held()?;
        let connection = match &mut self.0 {
            Some(connection) => connection,
            none => none.insert(lease.connect(database)?),
        };
        commands.query(connection).map_err(|error| {
            if error.is_unrecoverable_error() {
                self.0 = None;
            }
            lease.no_answer(error)
        })
    }
}
