//! What a test holds: a request like one that arrived over HTTP, with settings and a real Redis.

mod connect;
#[cfg(feature = "jobs")]
mod jobs;
#[cfg(feature = "session")]
mod session;

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::{env, fmt, thread};

pub(crate) use connect::knows;
#[cfg(feature = "tokio")]
pub use connect::{get_async_jobs_redis, get_async_redis};
pub use connect::{get_jobs_redis, get_redis};
#[cfg(feature = "jobs")]
pub use jobs::{Celery, Enqueued, Job, JobFormat, Jobs};
use redis::{Client, RedisError};
#[cfg(feature = "actix-session")]
pub use session::ActixSession;
#[cfg(feature = "tower-sessions")]
pub use session::TowerSessions;
#[cfg(feature = "session")]
pub use session::{FlashQueue, Pyramid, Session, SessionFormat, StoredSession, Visitor};

use crate::error::{Error, Kind};
use crate::lease::{Ending, Lease, current};
use crate::report;
use crate::server::Server;
use crate::settings::{self, Settings};

/// A request that a test works on: its settings and its Redis, which nobody else uses meanwhile.
///
/// Tests get one from the fixture [`test_request`](crate::fixtures::test_request). Everywhere else (benches, doctests,
/// property tests) `new` and `clean` make one. All of one test's requests share one lease on one server, and so the
/// same data; it ends with the last clone, or with the test where [`#[clean_redis]`](crate::clean_redis) stands on it.
/// A thread that the test spawns is handed a clone.
///
/// ```
/// use redis::Commands;
/// use transient_fixtures::{TestRequest, get_redis, redis};
///
/// # fn main() -> redis::RedisResult<()> {
/// let test_request = TestRequest::clean();
/// let mut redis = get_redis(&test_request)?;
/// redis.set::<_, _, ()>("foo", "ÅÄÖ")?;
/// assert_eq!(redis.get::<_, Vec<u8>>("foo")?, "ÅÄÖ".as_bytes());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TestRequest {
    lease: Arc<Lease>,
}

impl TestRequest {
    /// The request of this thread's test, or a new one. Nothing is cleared: what an earlier test left may be there.
    ///
    /// # Panics
    ///
    /// At the caller's line, with the whole report, where [`try_new`](Self::try_new) has an error.
    #[must_use]
    #[track_caller]
    pub fn new() -> Self {
        match Self::try_new() {
            Ok(request) => request,
            Err(error) => panic!("{}", report::test_cannot_run(&name_of_this_thread(), &error)),
        }
    }

    /// As [`new`](Self::new), with both test databases emptied.
    ///
    /// # Panics
    ///
    /// At the caller's line, with the whole report, where [`try_clean`](Self::try_clean) has an error.
    #[must_use]
    #[track_caller]
    pub fn clean() -> Self {
        match Self::try_clean() {
            Ok(request) => request,
            Err(error) => panic!("{}", report::test_cannot_run(&name_of_this_thread(), &error)),
        }
    }

    /// The request of this thread's test, or a new one. Nothing is cleared.
    ///
    /// ```
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let test_request = transient_fixtures::TestRequest::try_new()?;
    /// assert!(test_request.redis_url().ends_with("/14"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Every [`Error`]: wrong settings, no server, a server that the guard refuses, one that another test keeps.
    pub fn try_new() -> Result<Self, Error> {
        match current::find() {
            Some(lease) => Ok(Self { lease }),
            None => Self::lease(&name_of_this_thread(), None, false),
        }
    }

    /// As [`try_new`](Self::try_new), with both test databases emptied.
    ///
    /// # Errors
    ///
    /// As [`try_new`](Self::try_new).
    pub fn try_clean() -> Result<Self, Error> {
        Self::clean_or_join(&name_of_this_thread(), None)
    }

    /// A clean request for the test of that path (`crate::module::test`): what `#[clean_redis]` begins with.
    pub(crate) fn try_clean_for(test: &'static str) -> Result<Self, Error> {
        // The harness leaves the crate out of the thread's name.
        Self::clean_or_join(test, test.split_once("::").map(|(_, name)| name))
    }

    fn clean_or_join(test: &str, name: Option<&'static str>) -> Result<Self, Error> {
        match current::find() {
            Some(lease) => lease.flush().map(|()| Self { lease }),
            None => Self::lease(test, name, true),
        }
    }

    fn lease(test: &str, name: Option<&'static str>, clean: bool) -> Result<Self, Error> {
        if name.is_none() {
            current::end_when_it_times_out();
        }
        let lease = Arc::new(Lease::take(settings::of_process()?, test, clean)?);
        current::set(&lease, name);
        Ok(Self { lease })
    }

    /// Whether the test began with empty databases.
    #[cfg(feature = "snapshot")]
    pub(crate) fn is_clean(&self) -> bool {
        self.lease.clean
    }

    /// Whether the server still answers, soon: a test may have left it paused, or stopped.
    pub(crate) fn answers(&self) -> Result<(), Error> {
        connect::ping(self).map_err(|error| self.no_answer(error))
    }

    /// What the server, or its absence, said to a question of ours.
    pub(crate) fn no_answer(&self, error: RedisError) -> Error {
        Error::with_source(Kind::Server, report::no_answer(self.server(), &error), error)
    }

    /// Ends the lease, whoever still has a clone.
    pub(crate) fn end(self, failed: bool) {
        self.lease.end(Ending { in_use: Arc::strong_count(&self.lease) > 1, failed, with_test: true });
    }

    /// The URL of the database for sessions and cache (14): what the code under test needs, whichever client it uses.
    #[must_use]
    pub fn redis_url(&self) -> &str {
        &self.lease.sessions.url
    }

    /// The URL of the database for jobs (15).
    #[must_use]
    pub fn jobs_url(&self) -> &str {
        &self.lease.jobs.url
    }

    /// A client of the redis crate for the database for sessions and cache (14).
    #[must_use]
    pub fn client(&self) -> Client {
        self.lease.sessions.client.clone()
    }

    /// A client of the redis crate for the database for jobs (15).
    #[must_use]
    pub fn jobs_client(&self) -> Client {
        self.lease.jobs.client.clone()
    }

    /// The settings that the test runs with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        self.lease.settings
    }

    /// The server that the test has.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.lease.server
    }
}

/// A new request, as [`TestRequest::new`].
impl Default for TestRequest {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

/// Without passwords: the test, its server and its databases.
impl fmt::Debug for TestRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TestRequest")
            .field("test", &self.lease.test)
            .field("server", &self.lease.server.to_string())
            .field("databases", &self.lease.settings.databases())
            .finish_non_exhaustive()
    }
}

/// The path of the test that this thread is: the harness names the thread after it, without the crate.
fn name_of_this_thread() -> String {
    let executable = env::current_exe().ok();
    let stem = executable.as_deref().and_then(Path::file_stem).and_then(OsStr::to_str).unwrap_or_default();
    // cargo puts a hash behind the name of the target.
    let target = stem.rsplit_once('-').map_or(stem, |(target, _)| target);
    format!("{target}::{}", thread::current().name().unwrap_or("unnamed thread"))
}
