//! `TestRequest`: the handle of a test, with its settings and a real Redis.

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

/// The handle of a test: its settings and its Redis, which no other test can use until this one ends.
///
/// It is not an HTTP request, and it has nothing to do with the `TestRequest` of actix-web or axum-test, which build
/// HTTP requests. `Visitor::request` builds one that carries a session cookie.
///
/// Tests get it from the fixture [`test_request`](fn@crate::test_request). Benches, doctests and property tests call
/// [`new`](Self::new) or [`clean`](Self::clean). All requests of one test share one lease on one server, and so the
/// same data. Pass a clone to the threads and tasks that a test spawns.
///
/// On a thread of the test harness a lease lasts until the test ends, even if clones are dropped or leaked. With
/// [`#[clean_redis]`](crate::clean_redis) it lasts until the test's function returns. Elsewhere it lasts until the last
/// clone is dropped. On a server that was started for the tests, each lease has its own password, so the URL stops
/// working when the lease ends.
///
/// # The panic hook
///
/// rstest's `#[timeout]` panics on the test's thread while the test's body still runs on another one. To notice that,
/// the first call of [`new`](Self::new) or [`clean`](Self::clean) in a process installs a process-wide panic hook
/// ([`std::panic::set_hook`]). The hook calls the previous one, records which thread panicked, and ends the lease of a
/// test that timed out. If you replace it, everything else works, but a test that times out keeps its server until its
/// body returns, and `TRANSIENT_KEEP` does not recognise that the test failed.
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

/// Constructors, and the test's databases.
impl TestRequest {
    /// Returns the request of the current test, or a new one. Does not empty the databases: they can hold data of an
    /// earlier test.
    ///
    /// ```
    /// let test_request = transient_fixtures::TestRequest::new();
    /// println!("{}", test_request.server());
    /// ```
    ///
    /// # Panics
    ///
    /// Panics at the caller's line, with the whole report, if [`try_new`](Self::try_new) returns an error.
    #[must_use]
    #[track_caller]
    #[expect(clippy::new_without_default, reason = "it can start a server and panic, unlike a default value")]
    pub fn new() -> Self {
        or_panic(Self::try_new())
    }

    /// Returns the request of the current test, or a new one, with empty databases.
    ///
    /// If the test already has a request, this one joins it, and the databases are emptied only if no clone of it is
    /// alive. While a clone is alive, a test that started with empty databases keeps the data that it has written. If
    /// the test did not start with empty databases, that is an error; [`flush`](Self::flush) empties them.
    ///
    /// ```
    /// use transient_fixtures::{TestRequest, get_redis, redis};
    ///
    /// # fn main() -> redis::RedisResult<()> {
    /// let test_request = TestRequest::clean();
    /// assert_eq!(redis::cmd("DBSIZE").query::<u32>(&mut get_redis(&test_request)?)?, 0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics at the caller's line, with the whole report, if [`try_clean`](Self::try_clean) returns an error.
    #[must_use]
    #[track_caller]
    pub fn clean() -> Self {
        or_panic(Self::try_clean())
    }

    /// Creates a request with empty databases that shares nothing with any other request. It lasts until its last clone
    /// is dropped.
    ///
    /// Use it in harnesses that run several scenarios on one thread, concurrently or nested. On a server that was
    /// already running, a second lease on one thread is an error, since it would wait for the first one forever.
    ///
    /// ```
    /// use redis::Commands;
    /// use transient_fixtures::{TestRequest, get_redis, redis};
    ///
    /// # fn main() -> redis::RedisResult<()> {
    /// # let is_named = std::env::var_os("TRANSIENT_REDIS_URL").is_some();
    /// # if is_named || std::net::TcpStream::connect("127.0.0.1:6379").is_ok() { return Ok(()) }
    /// let (one, other) = (TestRequest::isolated(), TestRequest::isolated());
    /// get_redis(&one)?.set::<_, _, ()>("foo", "ÅÄÖ")?;
    /// assert_eq!(get_redis(&other)?.get::<_, Option<String>>("foo")?, None);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics at the caller's line, with the whole report, if [`try_isolated`](Self::try_isolated) returns an error.
    #[must_use]
    #[track_caller]
    pub fn isolated() -> Self {
        or_panic(Self::try_isolated())
    }

    /// Creates a request with empty databases that lasts as long as the process, for a static. No test gets its server.
    ///
    /// Use it for an application that keeps one connection for the whole process. The tests share the databases, as
    /// they share the connection, so let them use different keys or run one at a time.
    ///
    /// ```
    /// use std::sync::LazyLock;
    /// use transient_fixtures::TestRequest;
    ///
    /// static REQUEST: LazyLock<TestRequest> = LazyLock::new(TestRequest::for_process);
    ///
    /// # let is_named = std::env::var_os("TRANSIENT_REDIS_URL").is_some();
    /// # if is_named || std::net::TcpStream::connect("127.0.0.1:6379").is_ok() { return }
    /// // In the application: static CLIENT: LazyLock<Client> = …
    /// let url = REQUEST.redis_url();
    /// assert!(url.ends_with("/14"));
    /// ```
    ///
    /// # Panics
    ///
    /// Panics at the caller's line, with the whole report, if [`try_for_process`](Self::try_for_process) returns an
    /// error.
    #[must_use]
    #[track_caller]
    pub fn for_process() -> Self {
        or_panic(Self::try_for_process())
    }

    /// Returns the request of the current test, or a new one. [`new`](Self::new) that returns its error.
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
    /// Returns any kind of [`Error`]: invalid settings, no server, a server whose data must not be cleared, or one that
    /// another test holds for too long (`redis.lease_timeout`).
    pub fn try_new() -> Result<Self, Error> {
        match registry::find() {
            Some(lease) => Ok(Self { lease }),
            None => Self::begin(&name_of_this_thread(), Bound::Thread, false),
        }
    }

    /// Returns the request of the current test, or a new one, with empty databases. [`clean`](Self::clean) that returns
    /// its error.
    ///
    /// ```
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let test_request = transient_fixtures::TestRequest::try_clean()?;
    /// assert!(test_request.jobs_url().ends_with("/15"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the errors of [`try_new`](Self::try_new), and one that [`is_refused`](Error::is_refused) if the test
    /// already has a request that did not start with empty databases.
    pub fn try_clean() -> Result<Self, Error> {
        Self::clean_or_join(&name_of_this_thread(), Bound::Thread)
    }

    /// Creates a request that shares nothing with any other request. [`isolated`](Self::isolated) that returns its
    /// error.
    ///
    /// ```
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let scenario = transient_fixtures::TestRequest::try_isolated()?;
    /// assert!(scenario.redis_url().ends_with("/14"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the errors of [`try_new`](Self::try_new), among them one for a second lease of this thread on a server
    /// that was already running.
    pub fn try_isolated() -> Result<Self, Error> {
        Self::begin(&name_of_this_thread(), Bound::Clones, true)
    }

    /// Creates a request that lasts as long as the process. [`for_process`](Self::for_process) that returns its error.
    ///
    /// ```
    /// use std::sync::LazyLock;
    /// use transient_fixtures::{Error, TestRequest};
    ///
    /// static REQUEST: LazyLock<Result<TestRequest, Error>> = LazyLock::new(TestRequest::try_for_process);
    ///
    /// match &*REQUEST {
    ///     Ok(request) => println!("all tests use {}", request.server()),
    ///     Err(error) => assert!(error.is_refused(), "{error}"), // The tests share a running server.
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the errors of [`try_new`](Self::try_new), and one that [`is_refused`](Error::is_refused) if the tests
    /// share a running server, since this request would never give it back.
    pub fn try_for_process() -> Result<Self, Error> {
        let request = Self::begin(&report::lease::process_wide(&name_of_this_thread()), Bound::Clones, true)?;
        if request.server().provider() == Provider::Running {
            return Err(Error::new(Kind::Refused, report::lease::process_wide_on_shared(request.server())));
        }
        Ok(request)
    }

    /// Empties both test databases now. On a server that was started for the tests, empties all databases.
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
    /// Returns an error that [`is_server`](Error::is_server) if the server is gone or the test has ended.
    pub fn flush(&self) -> Result<(), Error> {
        self.lease.flush()
    }

    /// Returns the URL of the session database (14 by default), for the code under test and any client library.
    ///
    /// On a server that was started for the tests it contains the password of this lease
    /// (`redis://:PASSWORD@HOST:PORT/14`), unless `redis.password = none`.
    #[must_use]
    pub fn redis_url(&self) -> &str {
        &self.lease.endpoint(Database::Sessions).url
    }

    /// Returns the URL of the job database (15 by default).
    #[must_use]
    pub fn jobs_url(&self) -> &str {
        &self.lease.endpoint(Database::Jobs).url
    }

    /// Returns a client of the redis crate for the session database (14 by default).
    #[must_use]
    pub fn client(&self) -> Client {
        self.lease.endpoint(Database::Sessions).client.clone()
    }

    /// Returns a client of the redis crate for the job database (15 by default).
    #[must_use]
    pub fn jobs_client(&self) -> Client {
        self.lease.endpoint(Database::Jobs).client.clone()
    }

    /// Returns the settings of the test.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        self.lease.settings
    }

    /// Returns the server that the test uses.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.lease.server
    }

    /// A clean request for the test with that path (`crate::module::test`): the first step of `#[clean_redis]`.
    pub(crate) fn try_clean_for(test: &'static str) -> Result<Self, Error> {
        // The harness names the thread without the crate.
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
            registry::install_timeout_hook();
        }
        let lease = Arc::new(acquire(settings::of_process()?, test, clean)?);
        registry::add(&lease, bound);
        Ok(Self { lease })
    }

    /// Ends the lease, even if clones are alive.
    pub(crate) fn end(self, failed: bool) {
        self.lease.end(Ending { in_use: Arc::strong_count(&self.lease) > 1, failed, with_test: true });
    }
}

/// Shows the test, its server and its databases, without passwords.
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

/// The path of the test that runs on this thread. The harness names the thread after it, without the crate.
fn name_of_this_thread() -> String {
    let executable = env::current_exe().ok();
    let stem = executable.as_deref().and_then(Path::file_stem).and_then(OsStr::to_str).unwrap_or_default();
    // cargo appends a hash to the name of the target.
    let target = stem.rsplit_once('-').map_or(stem, |(target, _)| target);
    format!("{target}::{}", thread::current().name().unwrap_or("unnamed thread"))
}

// Declared last, so that rustdoc lists their methods after the constructors.
#[cfg(feature = "snapshot")]
mod data;
#[cfg(feature = "jobs")]
mod jobs;
#[cfg(feature = "session")]
mod sessions;
mod time;
