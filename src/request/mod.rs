//! What a test holds: a request like one that arrived over HTTP, with settings and a real Redis.

#[cfg(feature = "snapshot")]
mod data;
#[cfg(feature = "jobs")]
mod jobs;
#[cfg(feature = "session")]
mod sessions;
#[cfg(feature = "tap")]
mod tap;
mod time;

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::{env, fmt, thread};

use redis::Client;

use crate::error::{Error, Kind};
use crate::lease::acquire::acquire;
use crate::lease::registry::{self, Bound};
use crate::lease::{Database, Ending, Lease};
use crate::provider::Server;
use crate::report;
use crate::settings::{self, Provider, Settings};

/// A request that a test works on: its settings and its Redis, which no other test can use until this one ends.
///
/// It is not an HTTP request. Tests get one from the fixture [`test_request`](fn@crate::test_request). Everywhere else
/// (benches, doctests, property tests) `new` and `clean` make one. All requests of one test share one lease on one server,
/// and so the same data. A thread or a task that the test spawns is handed a clone.
///
/// On a thread of the test harness a lease lasts until the test ends, whatever clones are dropped or leaked; with
/// [`#[clean_redis]`](crate::clean_redis), until the test's function returns. Elsewhere it lasts until the last clone
/// is dropped. After that the URL opens nothing on a server that was started for the tests: each lease has a password
/// of its own.
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
    pub(crate) lease: Arc<Lease>,
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
        or_panic(Self::try_new())
    }

    /// As [`new`](Self::new), with both test databases emptied.
    ///
    /// If the test has a request already, it is joined: then the databases are emptied only if no clone of it is alive.
    /// With a clone alive, a test that began with empty databases keeps what it has written since, and for one that did
    /// not, this is an error: [`flush`](Self::flush) empties the databases of a request.
    ///
    /// # Panics
    ///
    /// At the caller's line, with the whole report, where [`try_clean`](Self::try_clean) has an error.
    #[must_use]
    #[track_caller]
    pub fn clean() -> Self {
        or_panic(Self::try_clean())
    }

    /// A new request with empty databases that joins no other one, and that no other one joins. It lasts until its last
    /// clone is dropped.
    ///
    /// It is for harnesses that run several scenarios on one thread, as futures or one inside the other. On a server
    /// that was running before, a second lease of one thread is an error, since it would wait for the first for ever.
    ///
    /// ```
    /// use redis::Commands;
    /// use transient_fixtures::{TestRequest, get_redis, redis};
    ///
    /// # fn main() -> redis::RedisResult<()> {
    /// # if std::env::var_os("TRANSIENT_REDIS_URL").is_some() || std::net::TcpStream::connect("127.0.0.1:6379").is_ok() { return Ok(()) }
    /// let (one, other) = (TestRequest::isolated(), TestRequest::isolated());
    /// get_redis(&one)?.set::<_, _, ()>("foo", "ÅÄÖ")?;
    /// assert_eq!(get_redis(&other)?.get::<_, Option<String>>("foo")?, None);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// At the caller's line, with the whole report, where [`try_isolated`](Self::try_isolated) has an error.
    #[must_use]
    #[track_caller]
    pub fn isolated() -> Self {
        or_panic(Self::try_isolated())
    }

    /// A request with empty databases for a static: it lasts as long as the process, on a server of its own that no test
    /// gets.
    ///
    /// It is for an application that keeps one connection for the whole process. Its tests share the databases, as they
    /// share that connection: they use keys of their own, or run one after the other.
    ///
    /// ```
    /// use std::sync::LazyLock;
    /// use transient_fixtures::TestRequest;
    ///
    /// static REQUEST: LazyLock<TestRequest> = LazyLock::new(TestRequest::for_process);
    ///
    /// # if std::env::var_os("TRANSIENT_REDIS_URL").is_some() || std::net::TcpStream::connect("127.0.0.1:6379").is_ok() { return }
    /// // In the application: static CLIENT: LazyLock<Client> = …
    /// let url = REQUEST.redis_url();
    /// assert!(url.ends_with("/14"));
    /// ```
    ///
    /// # Panics
    ///
    /// At the caller's line, with the whole report, where [`try_for_process`](Self::try_for_process) has an error.
    #[must_use]
    #[track_caller]
    pub fn for_process() -> Self {
        or_panic(Self::try_for_process())
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
        match registry::find() {
            Some(lease) => Ok(Self { lease }),
            None => Self::begin(&name_of_this_thread(), Bound::Thread, false),
        }
    }

    /// As [`clean`](Self::clean).
    ///
    /// # Errors
    ///
    /// As [`try_new`](Self::try_new); and where the test has a request already that did not begin with empty databases.
    pub fn try_clean() -> Result<Self, Error> {
        Self::clean_or_join(&name_of_this_thread(), Bound::Thread)
    }

    /// As [`isolated`](Self::isolated).
    ///
    /// # Errors
    ///
    /// As [`try_new`](Self::try_new).
    pub fn try_isolated() -> Result<Self, Error> {
        Self::begin(&name_of_this_thread(), Bound::Clones, true)
    }

    /// As [`for_process`](Self::for_process).
    ///
    /// # Errors
    ///
    /// As [`try_new`](Self::try_new); and [`Error::is_refused`] if the tests share a running server, which such a request
    /// would keep from all of them.
    pub fn try_for_process() -> Result<Self, Error> {
        let request = Self::begin(&report::lease::process_wide(&name_of_this_thread()), Bound::Clones, true)?;
        if request.server().provider() == Provider::Running {
            return Err(Error::new(Kind::Refused, report::lease::process_wide_on_shared(request.server())));
        }
        Ok(request)
    }

    /// A clean request for the test of that path (`crate::module::test`): what `#[clean_redis]` begins with.
    pub(crate) fn try_clean_for(test: &'static str) -> Result<Self, Error> {
        // The harness leaves the crate out of the thread's name.
        let name = test.split_once("::").map_or(test, |(_, name)| name);
        Self::clean_or_join(test, Bound::Guard(name))
    }

    fn clean_or_join(test: &str, bound: Bound) -> Result<Self, Error> {
        let Some(lease) = registry::find() else { return Self::begin(test, bound, true) };
        if !registry::has_clones(&lease) {
            lease.flush()?;
        } else if !lease.is_clean {
            return Err(Error::new(Kind::Refused, report::lease::not_emptied(&lease.test)));
        }
        Ok(Self { lease })
    }

    fn begin(test: &str, bound: Bound, clean: bool) -> Result<Self, Error> {
        if bound == Bound::Thread {
            registry::end_when_it_times_out();
        }
        let lease = Arc::new(acquire(settings::of_process()?, test, clean)?);
        registry::add(&lease, bound);
        Ok(Self { lease })
    }

    /// Ends the lease, whoever still has a clone.
    pub(crate) fn end(self, failed: bool) {
        self.lease.end(Ending { in_use: Arc::strong_count(&self.lease) > 1, failed, with_test: true });
    }

    /// Empties both test databases now; on a server that was started for the tests, all databases.
    ///
    /// ```
    /// use redis::Commands;
    /// use transient_fixtures::{TestRequest, get_redis, redis};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let test_request = TestRequest::new();
    /// test_request.flush()?;
    /// assert_eq!(redis::cmd("DBSIZE").query::<u32>(&mut get_redis(&test_request)?)?, 0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::is_server`] when the server is gone, or the lease is over.
    pub fn flush(&self) -> Result<(), Error> {
        self.lease.flush()
    }

    /// The URL of the database for sessions and cache (14): what the code under test needs, whichever client it uses.
    ///
    /// On a server that was started for the tests it has the password of this lease (`redis://:PASSWORD@HOST:PORT/14`),
    /// unless `redis.password = none`.
    #[must_use]
    pub fn redis_url(&self) -> &str {
        &self.lease.endpoint(Database::Sessions).url
    }

    /// The URL of the database for jobs (15).
    #[must_use]
    pub fn jobs_url(&self) -> &str {
        &self.lease.endpoint(Database::Jobs).url
    }

    /// A client of the redis crate for the database for sessions and cache (14).
    #[must_use]
    pub fn client(&self) -> Client {
        self.lease.endpoint(Database::Sessions).client.clone()
    }

    /// A client of the redis crate for the database for jobs (15).
    #[must_use]
    pub fn jobs_client(&self) -> Client {
        self.lease.endpoint(Database::Jobs).client.clone()
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
        formatter.debug_tuple("TestRequest").field(&self.lease).finish()
    }
}

#[track_caller]
fn or_panic(request: Result<TestRequest, Error>) -> TestRequest {
    match request {
        Ok(request) => request,
        Err(error) => panic!("{}", report::test_cannot_run(&name_of_this_thread(), &error)),
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
