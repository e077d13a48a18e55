//! Prepares a sweep: its scenario, its faults and its checks.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use redis::Connection;

use super::case::Fault;
use super::run::{Outcome, Run, Swept};
use crate::request::TestRequest;
use crate::tap::{self, Tap};

/// The default timeout of one run of the scenario.
const RUN_WITHIN: Duration = Duration::from_secs(10);

type Scenario = Arc<dyn Fn(&Run) -> Option<String> + Send + Sync>;
type Step<'a> = Box<dyn Fn(&mut Connection) -> Option<String> + 'a>;

/// A sweep, which [`check`](Self::check) runs.
///
/// The scenario first runs twice without faults. Each of its commands is a *boundary*, except those that set up a
/// connection. A transaction is one boundary. Then the scenario runs once for every fault at every boundary, each time
/// on empty databases with the [seed](Self::seed). A run fails if the scenario panics or returns `Err`.
///
/// If you choose no faults, these are injected:
///
/// - The connection is cut before the command.
/// - The connection is cut after the command, and the reply is lost.
/// - The reply is 600 ms late.
/// - All data is lost before the command.
/// - Each key that the scenario uses is lost before the command, one key per run.
///
/// ```
/// use redis::Commands;
/// use transient_fixtures::{TestRequest, faults, redis};
///
/// /// The code under test. It serves a page from the cache, but also works without the cache.
/// fn page(redis_url: &str) -> String {
///     let cache = redis::Client::open(redis_url).and_then(|client| client.get_connection());
///     let Ok(mut cache) = cache else { return "the page".to_owned() };
///     if let Ok(page) = cache.get("page") {
///         return page;
///     }
///     let _: redis::RedisResult<()> = cache.set_ex("page", "the page", 60);
///     "the page".to_owned()
/// }
///
/// let test_request = TestRequest::clean();
/// let swept = faults::sweep(&test_request, |run| assert_eq!(page(run.redis_url()), "the page"))
///     .cutting()
///     .losing_data()
///     .again()
///     .check();
/// assert_eq!(swept.cases(), 2 * 3); // GET and SETEX; cut before, cut after, data lost.
/// ```
#[must_use = "a sweep does nothing until `check` is called"]
pub struct Sweep<'a> {
    pub(super) test_request: &'a TestRequest,
    pub(super) scenario: Scenario,
    pub(super) seed: Option<Step<'a>>,
    pub(super) then: Vec<Step<'a>>,
    pub(super) runs_again: bool,
    pub(super) chosen: Vec<Chosen>,
    pub(super) pairs: bool,
    pub(super) within: Duration,
    /// The tap of the last run. A new tap for each run would take as long as some scenarios.
    pub(super) tap: RefCell<Option<Tap>>,
}

/// A fault, or one for each key.
#[derive(Clone, Debug)]
pub(super) enum Chosen {
    Fault(Fault),
    EachKey,
}

/// Prepares a sweep of this scenario. [`Sweep`] has an example.
///
/// ```
/// # use redis::Commands;
/// # use transient_fixtures::{TestRequest, faults, redis};
/// # let test_request = TestRequest::clean();
/// let visit = |run: &faults::Run| -> redis::RedisResult<u32> {
///     redis::Client::open(run.redis_url())?.get_connection()?.incr("visits", 1)
/// };
/// let swept = faults::sweep(&test_request, visit).losing_data().check();
/// assert_eq!(swept.cases(), 1); // One fault at one boundary.
/// ```
pub fn sweep<T: Outcome>(
    test_request: &TestRequest,
    scenario: impl Fn(&Run) -> T + Send + Sync + 'static,
) -> Sweep<'_> {
    Sweep::new(test_request, Arc::new(move |run| scenario(run).failure()))
}

/// Prepares a sweep of this asynchronous scenario. Feature `tokio`.
///
/// Each run gets a new current-thread tokio runtime.
///
/// ```
/// use redis::AsyncCommands;
/// use transient_fixtures::{TestRequest, faults, redis};
///
/// let test_request = TestRequest::clean();
/// let scenario = |run: faults::Run| async move {
///     let client = redis::Client::open(run.redis_url()).unwrap();
///     // This scenario ignores all errors.
///     let Ok(mut redis) = client.get_multiplexed_async_connection().await else { return };
///     let _: redis::RedisResult<u32> = redis.incr("visits", 1).await;
/// };
/// let swept = faults::sweep_async(&test_request, scenario).cutting().check();
/// assert_eq!(swept.cases(), 2);
/// ```
#[cfg(feature = "tokio")]
pub fn sweep_async<T: Outcome, F: Future<Output = T>>(
    test_request: &TestRequest,
    scenario: impl Fn(Run) -> F + Send + Sync + 'static,
) -> Sweep<'_> {
    let scenario = move |run: &Run| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => runtime.block_on(scenario(run.clone())).failure(),
            Err(error) => Some(error.to_string()),
        }
    };
    Sweep::new(test_request, Arc::new(scenario))
}

impl<'a> Sweep<'a> {
    fn new(test_request: &'a TestRequest, scenario: Scenario) -> Self {
        Self {
            test_request,
            scenario,
            seed: None,
            then: Vec::new(),
            runs_again: false,
            chosen: Vec::new(),
            pairs: false,
            within: RUN_WITHIN,
            tap: RefCell::default(),
        }
    }

    /// Writes data to the session database before each run, bypassing the tap.
    ///
    /// The sweep fails if the seed panics or returns `Err`.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, faults, redis};
    /// # let test_request = TestRequest::clean();
    /// let visit = |run: &faults::Run| -> redis::RedisResult<u32> {
    ///     redis::Client::open(run.redis_url())?.get_connection()?.incr("visits", 1)
    /// };
    /// let sweep = faults::sweep(&test_request, visit).seed(|redis| redis.set::<_, _, ()>("visits", 7));
    /// sweep.losing("cart:*").then(|redis| assert_eq!(redis.get("visits"), Ok(8))).check();
    /// ```
    pub fn seed<T: Outcome>(mut self, seed: impl Fn(&mut Connection) -> T + 'a) -> Self {
        self.seed = Some(Box::new(move |redis| seed(redis).failure()));
        self
    }

    /// Checks the session database after each run, also after the one without a fault, bypassing the tap.
    ///
    /// The run fails if the check panics or returns `Err`.
    ///
    /// ```
    /// use redis::Commands;
    /// use transient_fixtures::{TestRequest, faults, redis};
    ///
    /// /// The code under test. It ignores errors.
    /// fn sell(redis_url: &str) {
    ///     let redis = redis::Client::open(redis_url).and_then(|client| client.get_connection());
    ///     let _: redis::RedisResult<i64> = redis.and_then(|mut redis| redis.decr("stock", 1));
    /// }
    ///
    /// let test_request = TestRequest::clean();
    /// faults::sweep(&test_request, |run| sell(run.redis_url()))
    ///     .seed(|redis| redis.set::<_, _, ()>("stock", 7))
    ///     .cutting()
    ///     .then(|redis| assert!(redis.get::<_, i64>("stock").unwrap() >= 6))
    ///     .check();
    /// ```
    pub fn then<T: Outcome>(mut self, then: impl Fn(&mut Connection) -> T + 'a) -> Self {
        self.then.push(Box::new(move |redis| then(redis).failure()));
        self
    }

    /// Runs the scenario a second time after each fault, without faults and on the same data.
    ///
    /// Many faults only show in the next request.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, faults, redis};
    /// # let test_request = TestRequest::clean();
    /// let visit = |run: &faults::Run| {
    ///     let redis = redis::Client::open(run.redis_url()).and_then(|client| client.get_connection());
    ///     let _: redis::RedisResult<u32> = redis.and_then(|mut redis| redis.incr("visits", 1));
    /// };
    /// let sweep = faults::sweep(&test_request, visit).cutting().again();
    /// sweep.then(|redis| assert!(redis.get::<_, u32>("visits").unwrap() >= 1)).check();
    /// ```
    pub fn again(mut self) -> Self {
        self.runs_again = true;
        self
    }

    /// Cuts the connection before each command and, in another run, after it.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, faults, redis};
    /// # let test_request = TestRequest::clean();
    /// let visit = |run: &faults::Run| {
    ///     let redis = redis::Client::open(run.redis_url()).and_then(|client| client.get_connection());
    ///     let _: redis::RedisResult<u32> = redis.and_then(|mut redis| redis.incr("visits", 1));
    /// };
    /// let swept = faults::sweep(&test_request, visit).cutting().check();
    /// assert_eq!(swept.cases(), 2); // Before INCRBY, and after it.
    /// ```
    pub fn cutting(self) -> Self {
        self.with(Chosen::Fault(Fault::CutBefore)).with(Chosen::Fault(Fault::CutAfter))
    }

    /// Delays each reply by this time. The connection stays open.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, faults, redis};
    /// # let test_request = TestRequest::clean();
    /// let visit = |run: &faults::Run| -> redis::RedisResult<u32> {
    ///     redis::Client::open(run.redis_url())?.get_connection()?.incr("visits", 1)
    /// };
    /// let late = std::time::Duration::from_millis(5);
    /// faults::sweep(&test_request, visit).late(late).check();
    /// ```
    pub fn late(self, time: Duration) -> Self {
        self.with(Chosen::Fault(Fault::Late(time)))
    }

    /// Replies to each command with this error (`LOADING …`, `READONLY …`, `OOM …`) without executing it.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, faults, redis};
    /// # let test_request = TestRequest::clean();
    /// let visit = |run: &faults::Run| {
    ///     let redis = redis::Client::open(run.redis_url()).and_then(|client| client.get_connection());
    ///     let _: redis::RedisResult<u32> = redis.and_then(|mut redis| redis.incr("visits", 1));
    /// };
    /// let swept = faults::sweep(&test_request, visit).replying("OOM command not allowed").check();
    /// assert_eq!(swept.cases(), 1);
    /// ```
    pub fn replying(self, error: &str) -> Self {
        self.with(Chosen::Fault(Fault::Error(error.to_owned())))
    }

    /// Empties both test databases before each command.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, faults, redis};
    /// # let test_request = TestRequest::clean();
    /// let visit = |run: &faults::Run| -> redis::RedisResult<u32> {
    ///     redis::Client::open(run.redis_url())?.get_connection()?.incr("visits", 1)
    /// };
    /// let sweep = faults::sweep(&test_request, visit).seed(|redis| redis.set::<_, _, ()>("visits", 7));
    /// // 8 without a fault, 1 with it.
    /// sweep.losing_data().then(|redis| assert!([1, 8].contains(&redis.get("visits").unwrap()))).check();
    /// ```
    pub fn losing_data(self) -> Self {
        self.with(Chosen::Fault(Fault::LosingData))
    }

    /// Deletes all keys that match this Redis glob pattern before each command, as if they had been evicted.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, faults, redis};
    /// # let test_request = TestRequest::clean();
    /// let visit = |run: &faults::Run| -> redis::RedisResult<u32> {
    ///     redis::Client::open(run.redis_url())?.get_connection()?.incr("visits", 1)
    /// };
    /// let sweep = faults::sweep(&test_request, visit).seed(|redis| redis.set::<_, _, ()>("visits", 7));
    /// // 8 without a fault, 1 with it.
    /// sweep.losing("vis*").then(|redis| assert!([1, 8].contains(&redis.get("visits").unwrap()))).check();
    /// ```
    pub fn losing(self, pattern: &str) -> Self {
        self.with(Chosen::Fault(Fault::Losing(pattern.to_owned())))
    }

    /// Deletes each key that the scenario uses before each command, one key per run.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, faults, redis};
    /// # let test_request = TestRequest::clean();
    /// let visit = |run: &faults::Run| -> redis::RedisResult<u32> {
    ///     redis::Client::open(run.redis_url())?.get_connection()?.incr("visits", 1)
    /// };
    /// let swept = faults::sweep(&test_request, visit).losing_each_key().check();
    /// assert_eq!(swept.cases(), 1); // One key at one boundary.
    /// ```
    pub fn losing_each_key(self) -> Self {
        self.with(Chosen::EachKey)
    }

    /// Makes all keys that match this Redis glob pattern and have a TTL expire before each command.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, faults, redis};
    /// # let test_request = TestRequest::clean();
    /// let visit = |run: &faults::Run| -> redis::RedisResult<()> {
    ///     let mut redis = redis::Client::open(run.redis_url())?.get_connection()?;
    ///     redis.set_ex::<_, _, ()>("visitor:1", "here", 60)?;
    ///     let found: Option<String> = redis.get("visitor:1")?;
    ///     assert!(found.is_none_or(|text| text == "here"));
    ///     Ok(())
    /// };
    /// let swept = faults::sweep(&test_request, visit).expiring("visitor:*").check();
    /// assert_eq!(swept.cases(), 2); // Before SETEX, and before GET.
    /// ```
    pub fn expiring(self, pattern: &str) -> Self {
        self.with(Chosen::Fault(Fault::Expiring(pattern.to_owned())))
    }

    /// Acts like a restart of a server without persistence before each command.
    ///
    /// All connections are closed, both test databases are empty, and scripts and functions are gone.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, faults, redis};
    /// # let test_request = TestRequest::clean();
    /// # if test_request.server().provider() == transient_fixtures::Provider::Running { return; }
    /// let visit = |run: &faults::Run| {
    ///     let redis = redis::Client::open(run.redis_url()).and_then(|client| client.get_connection());
    ///     let _: redis::RedisResult<u32> = redis.and_then(|mut redis| redis.incr("visits", 1));
    /// };
    /// let swept = faults::sweep(&test_request, visit).restarting().check();
    /// assert_eq!(swept.cases(), 1);
    /// ```
    ///
    /// # Panics
    ///
    /// Panics on a shared server, whose scripts belong to other programs too.
    #[track_caller]
    pub fn restarting(self) -> Self {
        tap::check_not_shared(self.test_request.server());
        self.with(Chosen::Fault(Fault::Restart))
    }

    /// Repeats each case with a second fault at each later boundary.
    ///
    /// The later boundaries are those of the run with the first fault, so they include retries. Pairs are only run if
    /// all cases of one fault pass.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, faults, redis};
    /// # let test_request = TestRequest::clean();
    /// /// The code under test. It retries once.
    /// fn visit(redis_url: &str) -> redis::RedisResult<u32> {
    ///     let attempt = || redis::Client::open(redis_url)?.get_connection()?.incr("visits", 1);
    ///     attempt().or_else(|_: redis::RedisError| attempt())
    /// }
    ///
    /// let sweep = || faults::sweep(&test_request, |run| visit(run.redis_url())).replying("LOADING");
    /// assert_eq!(sweep().check().cases(), 1);
    /// // The retry fails as well.
    /// assert!(std::panic::catch_unwind(|| sweep().pairs().check()).is_err());
    /// ```
    pub fn pairs(mut self) -> Self {
        self.pairs = true;
        self
    }

    /// Makes each [point](Run::point) fail.
    ///
    /// ```
    /// # use transient_fixtures::{TestRequest, faults};
    /// # let test_request = TestRequest::clean();
    /// // The code under test ignores the error.
    /// let sweep = faults::sweep(&test_request, |run| drop(run.point("send the mail")));
    /// assert_eq!(sweep.failing_points().check().cases(), 1);
    /// ```
    pub fn failing_points(self) -> Self {
        self.with(Chosen::Fault(Fault::FailingPoint))
    }

    /// Sets the timeout of each run, 10 seconds by default.
    ///
    /// A run that exceeds it has failed, and its connections are closed.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, faults, redis};
    /// # let test_request = TestRequest::clean();
    /// let visit = |run: &faults::Run| -> redis::RedisResult<u32> {
    ///     redis::Client::open(run.redis_url())?.get_connection()?.incr("visits", 1)
    /// };
    /// let second = std::time::Duration::from_secs(1);
    /// faults::sweep(&test_request, visit).losing_data().within(second).check();
    /// ```
    pub fn within(mut self, time: Duration) -> Self {
        self.within = time;
        self
    }

    fn with(mut self, chosen: Chosen) -> Self {
        self.chosen.push(chosen);
        self
    }

    /// Runs the sweep.
    ///
    /// If `TRANSIENT_REPLAY` is set to a case, as printed by a failure, only this case is run.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, faults, redis};
    /// # let test_request = TestRequest::clean();
    /// let visit = |run: &faults::Run| {
    ///     let redis = redis::Client::open(run.redis_url()).and_then(|client| client.get_connection());
    ///     let _: redis::RedisResult<u32> = redis.and_then(|mut redis| redis.incr("visits", 1));
    /// };
    /// let swept = faults::sweep(&test_request, visit).cutting().check();
    /// assert_eq!((swept.boundaries(), swept.cases()), (1, 2));
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if a case fails, after all cases have run. The message has the failing case with the earliest boundary,
    /// its transcript, the numbers of passed and failed cases by fault, and the `TRANSIENT_REPLAY` that runs the case
    /// alone.
    ///
    /// Also panics if the scenario fails without a fault, the seed fails, or the server is gone.
    #[track_caller]
    pub fn check(self) -> Swept {
        match self.run() {
            Ok(swept) => swept,
            Err(failure) => panic!("{failure}"),
        }
    }
}
