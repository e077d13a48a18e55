//! Prepares an exploration: its clients, its faults and its bounds.

use std::sync::Arc;
use std::time::Duration;

use redis::Connection;

use super::client::{Client, Returned, Run};
use super::outcomes::{Explored, Outcomes};
use super::plan::{Expiring, Fault, Plan, Planned, counted};
use crate::faults::Outcome;
use crate::report;
use crate::request::TestRequest;

/// Makes the fault of the client with an index.
type FaultOf = fn(usize) -> Fault;

pub(super) type Seed<'a> = Box<dyn Fn(&mut Connection) -> Option<String> + 'a>;
pub(super) type Check<'a> = Box<dyn Fn(&mut Connection, &Outcomes) -> Option<String> + 'a>;

/// An exploration, which [`check`](Self::check) runs.
///
/// Each client stops before its start, before every command that it sends, and at every [point](Client::point). When
/// all clients are stopped, one is released. The exploration runs every order of these steps, one *schedule* after the
/// other, each on empty databases with the [seed](Self::seed). Commands that set up a connection are not steps. A
/// transaction is one step, at its EXEC, and so is a script. Each command of a pipeline is a step.
///
/// A schedule fails if the check or a client panics or returns `Err`, or if the clients that have not ended all wait.
///
/// ```
/// use redis::{Commands, RedisResult};
/// use transient_fixtures::{TestRequest, races, redis};
///
/// /// The code under test.
/// fn add_to_cart(redis_url: &str, article: u32) -> RedisResult<()> {
///     let mut redis = redis::Client::open(redis_url)?.get_connection()?;
///     redis.rpush("cart", article)
/// }
///
/// let test_request = TestRequest::clean();
/// let explored = races::explore(&test_request)
///     .client("phone", |client| add_to_cart(client.redis_url(), 1))
///     .client("laptop", |client| add_to_cart(client.redis_url(), 2))
///     .check(|redis, _| assert_eq!(redis.llen::<_, u32>("cart").unwrap(), 2));
/// assert_eq!(explored.schedules(), 6); // Each client has two steps: its start and RPUSH.
/// ```
#[must_use = "an exploration does nothing until `check` is called"]
pub struct Exploration<'a> {
    pub(super) test_request: &'a TestRequest,
    pub(super) clients: Vec<(String, Run)>,
    pub(super) seed: Option<Seed<'a>>,
    faults: Vec<(String, FaultOf)>,
    expiring: Vec<(String, Option<String>)>,
    time: Vec<Duration>,
    pub(super) is_reduced: bool,
    pub(super) preemptions: Option<usize>,
    pub(super) max_schedules: Option<usize>,
    pub(super) within: Option<Duration>,
    pub(super) random: Option<(u64, usize)>,
}

/// Prepares an exploration. [`Exploration`] has an example.
///
/// ```
/// use transient_fixtures::{TestRequest, races};
///
/// let test_request = TestRequest::clean();
/// let explored = races::explore(&test_request).client("only", |_| ()).check(|_, _| ());
/// assert_eq!(explored.schedules(), 1);
/// ```
pub fn explore(test_request: &TestRequest) -> Exploration<'_> {
    Exploration {
        test_request,
        clients: Vec::new(),
        seed: None,
        faults: Vec::new(),
        expiring: Vec::new(),
        time: Vec::new(),
        is_reduced: false,
        preemptions: None,
        max_schedules: None,
        within: None,
        random: None,
    }
}

impl<'a> Exploration<'a> {
    /// Adds a client. Its closure runs once in each schedule, on a thread of its own.
    ///
    /// The code under test must use the URLs of its [`Client`]. It can open several connections. It must do the same
    /// whenever the same steps have been taken.
    ///
    /// ```
    /// use redis::Commands;
    /// use transient_fixtures::{TestRequest, races, redis};
    ///
    /// let test_request = TestRequest::clean();
    /// let count = |client: &races::Client| -> redis::RedisResult<u32> {
    ///     redis::Client::open(client.redis_url())?.get_connection()?.incr("visits", 1)
    /// };
    /// races::explore(&test_request)
    ///     .client("a", count)
    ///     .client("b", count)
    ///     .check(|redis, _| assert_eq!(redis.get::<_, u32>("visits").unwrap(), 2));
    /// ```
    pub fn client<T: Returned>(mut self, name: &str, run: impl Fn(&Client) -> T + Send + Sync + 'static) -> Self {
        self.clients.push((name.to_owned(), Arc::new(move |client| run(client).into_parts())));
        self
    }

    /// Adds an asynchronous client. Feature `tokio`.
    ///
    /// In each schedule, its future runs on a new current-thread tokio runtime. Connections of the redis crate time out
    /// after 500 ms by default, and schedules with many steps can hold a command for longer. Turn the timeout off.
    ///
    /// ```
    /// use redis::{AsyncCommands, AsyncConnectionConfig};
    /// use transient_fixtures::{TestRequest, races, redis};
    ///
    /// async fn visit(client: races::Client) -> redis::RedisResult<u32> {
    ///     let config = AsyncConnectionConfig::new().set_response_timeout(None);
    ///     let redis = redis::Client::open(client.redis_url())?;
    ///     redis.get_multiplexed_async_connection_with_config(&config).await?.incr("visits", 1).await
    /// }
    ///
    /// let test_request = TestRequest::clean();
    /// let explored =
    ///     races::explore(&test_request).client_async("a", visit).client_async("b", visit).check(|_, _| ());
    /// assert_eq!(explored.schedules(), 6);
    /// ```
    #[cfg(feature = "tokio")]
    pub fn client_async<T: Returned, F: Future<Output = T>>(
        mut self,
        name: &str,
        run: impl Fn(Client) -> F + Send + Sync + 'static,
    ) -> Self {
        let run = move |client: &Client| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => runtime.block_on(run(client.clone())).into_parts(),
                Err(error) => (None, Some(error.to_string())),
            }
        };
        self.clients.push((name.to_owned(), Arc::new(run)));
        self
    }

    /// Writes data to the session database before each schedule.
    ///
    /// The exploration fails if the seed panics or returns `Err`.
    ///
    /// ```
    /// use redis::Commands;
    /// use transient_fixtures::{TestRequest, races, redis};
    ///
    /// let test_request = TestRequest::clean();
    /// races::explore(&test_request)
    ///     .seed(|redis| redis.set::<_, _, ()>("stock", 7))
    ///     .client("sale", |client| -> redis::RedisResult<i64> {
    ///         redis::Client::open(client.redis_url())?.get_connection()?.decr("stock", 1)
    ///     })
    ///     .check(|redis, _| assert_eq!(redis.get::<_, u32>("stock").unwrap(), 6));
    /// ```
    pub fn seed<T: Outcome>(mut self, seed: impl Fn(&mut Connection) -> T + 'a) -> Self {
        self.seed = Some(Box::new(move |redis| seed(redis).failure()));
        self
    }

    /// Makes a key that matches this Redis glob pattern and has a TTL expire, as a step of its own.
    ///
    /// A schedule has this step at most as often as this is called.
    ///
    /// ```
    /// use redis::Commands;
    /// use transient_fixtures::{TestRequest, races, redis};
    ///
    /// let test_request = TestRequest::clean();
    /// let explored = races::explore(&test_request)
    ///     .client("cache", |client| -> redis::RedisResult<()> {
    ///         redis::Client::open(client.redis_url())?.get_connection()?.set_ex("page", "x", 60)
    ///     })
    ///     .expiring("page")
    ///     .check(|_, _| ());
    /// assert_eq!(explored.schedules(), 1); // The client has ended when the page could expire.
    /// ```
    pub fn expiring(mut self, pattern: &str) -> Self {
        self.expiring.push((pattern.to_owned(), None));
        self
    }

    /// As [`expiring`](Self::expiring), for keys that this client wrote last.
    ///
    /// Use this for locks: correct code fails, too, if its own lock expires early.
    ///
    /// ```
    /// use redis::Commands;
    /// use transient_fixtures::{TestRequest, races, redis};
    ///
    /// let test_request = TestRequest::clean();
    /// let visit = |client: &races::Client| -> redis::RedisResult<Option<u32>> {
    ///     let mut redis = redis::Client::open(client.redis_url())?.get_connection()?;
    ///     redis.set_ex::<_, _, ()>(client.name(), 1, 60)?;
    ///     redis.get(client.name())
    /// };
    /// races::explore(&test_request).client("a", visit).client("b", visit).expiring_of("a", "*").check(|_, outcomes| {
    ///     assert_eq!(outcomes.value::<Option<u32>>("b"), Some(&Some(1)));
    ///     assert!(outcomes.expired().iter().all(|key| key == "a"));
    /// });
    /// ```
    pub fn expiring_of(mut self, client: &str, pattern: &str) -> Self {
        self.expiring.push((pattern.to_owned(), Some(client.to_owned())));
        self
    }

    /// Adds a step for each of these durations: all keys age by it, as in [`TestRequest::travel`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use redis::Commands;
    /// use transient_fixtures::{TestRequest, races, redis};
    ///
    /// let test_request = TestRequest::clean();
    /// let explored = races::explore(&test_request)
    ///     .seed(|redis| redis.set_ex::<_, _, ()>("page", "x", 3))
    ///     .client("reader", |client| -> redis::RedisResult<Option<String>> {
    ///         redis::Client::open(client.redis_url())?.get_connection()?.get("page")
    ///     })
    ///     .time([Duration::from_secs(3)])
    ///     .check(|_, _| ());
    /// assert_eq!(explored.schedules(), 3); // Before the start, before GET, or not at all.
    /// ```
    pub fn time(mut self, durations: impl IntoIterator<Item = Duration>) -> Self {
        self.time.extend(durations);
        self
    }

    /// Cuts the client's connection before one of its commands, as an alternative to forwarding it.
    ///
    /// A schedule has this step at most as often as this is called. If it has one, the client's own error does not fail
    /// the schedule.
    ///
    /// ```
    /// use redis::Commands;
    /// use transient_fixtures::{TestRequest, races, redis};
    ///
    /// let test_request = TestRequest::clean();
    /// let explored = races::explore(&test_request)
    ///     .client("writer", |client| -> redis::RedisResult<()> {
    ///         redis::Client::open(client.redis_url())?.get_connection()?.set_ex("page", "x", 60)
    ///     })
    ///     .cutting("writer")
    ///     .check(|redis, outcomes| {
    ///         assert_eq!(redis.exists::<_, bool>("page").unwrap(), outcomes.error("writer").is_none());
    ///     });
    /// assert_eq!(explored.schedules(), 2);
    /// ```
    pub fn cutting(mut self, client: &str) -> Self {
        self.faults.push((client.to_owned(), Fault::Cutting));
        self
    }

    /// Cuts the client's connection between one of its commands and the reply, as an alternative to forwarding both.
    ///
    /// As [`cutting`](Self::cutting) otherwise.
    ///
    /// ```
    /// use redis::Commands;
    /// use transient_fixtures::{TestRequest, races, redis};
    ///
    /// let test_request = TestRequest::clean();
    /// races::explore(&test_request)
    ///     .client("writer", |client| -> redis::RedisResult<()> {
    ///         redis::Client::open(client.redis_url())?.get_connection()?.set_ex("page", "x", 60)
    ///     })
    ///     .losing_reply("writer")
    ///     .check(|redis, _| assert!(redis.exists::<_, bool>("page").unwrap()));
    /// ```
    pub fn losing_reply(mut self, client: &str) -> Self {
        self.faults.push((client.to_owned(), Fault::LosingReply));
        self
    }

    /// Ends a client where it stands, as if its process had been killed. It gets no further step, and the server sees
    /// its connections closed. Its own code sees nothing until the check has run.
    ///
    /// ```
    /// use redis::Commands;
    /// use transient_fixtures::{TestRequest, races, redis};
    ///
    /// let test_request = TestRequest::clean();
    /// let explored = races::explore(&test_request)
    ///     .client("worker", |client| -> redis::RedisResult<()> {
    ///         redis::Client::open(client.redis_url())?.get_connection()?.set_ex("lock", "worker", 60)
    ///     })
    ///     .dying("worker")
    ///     .check(|redis, outcomes| {
    ///         assert_eq!(redis.exists::<_, bool>("lock").unwrap(), !outcomes.died("worker"));
    ///     });
    /// assert_eq!(explored.schedules(), 2);
    /// ```
    pub fn dying(mut self, client: &str) -> Self {
        self.faults.push((client.to_owned(), Fault::Dying));
        self
    }

    /// Promises that the clients share nothing but Redis, and that every step on other shared data is a
    /// [point](Client::point).
    ///
    /// Orders that differ only in neighbouring independent steps are then run once. Commands on different keys are
    /// independent, and so are commands that only read. Scripts, blocking commands, points, time and faults, and
    /// commands without keys depend on everything.
    ///
    /// ```
    /// use redis::Commands;
    /// use transient_fixtures::{TestRequest, races, redis};
    ///
    /// let test_request = TestRequest::clean();
    /// let visit = |client: &races::Client| -> redis::RedisResult<()> {
    ///     redis::Client::open(client.redis_url())?.get_connection()?.set_ex(client.name(), 1, 60)
    /// };
    /// let explored =
    ///     races::explore(&test_request).client("a", visit).client("b", visit).only_redis_is_shared().check(|_, _| ());
    /// assert_eq!(explored.schedules(), 1); // Of 6.
    /// ```
    pub fn only_redis_is_shared(mut self) -> Self {
        self.is_reduced = true;
        self
    }

    /// Leaves out schedules that switch more often than this to another client while the last one could go on.
    ///
    /// Most bugs need one or two such preemptions. Together with this bound,
    /// [`only_redis_is_shared`](Self::only_redis_is_shared) has no effect: the order that would be run in place of
    /// others can have more preemptions than they have.
    ///
    /// ```
    /// use transient_fixtures::{TestRequest, races};
    ///
    /// let test_request = TestRequest::clean();
    /// let work = |client: &races::Client| client.point("work");
    /// let explored =
    ///     races::explore(&test_request).client("a", work).client("b", work).preemptions(0).check(|_, _| ());
    /// assert_eq!(explored.schedules(), 2); // Of 6.
    /// ```
    pub fn preemptions(mut self, most: usize) -> Self {
        self.preemptions = Some(most);
        self
    }

    /// Stops after this number of schedules, and passes if none of them has failed.
    ///
    /// Without this bound and [`within`](Self::within), an exploration that has not ended after 200,000 schedules or 60
    /// seconds fails.
    ///
    /// ```
    /// use transient_fixtures::{TestRequest, races};
    ///
    /// let test_request = TestRequest::clean();
    /// let work = |client: &races::Client| client.point("work");
    /// let explored =
    ///     races::explore(&test_request).client("a", work).client("b", work).max_schedules(4).check(|_, _| ());
    /// assert!(explored.schedules() == 4 && !explored.is_complete());
    /// ```
    pub fn max_schedules(mut self, most: usize) -> Self {
        self.max_schedules = Some(most);
        self
    }

    /// Stops after this time, 60 seconds by default, and passes if no schedule has failed.
    ///
    /// ```
    /// use std::time::Duration;
    /// use transient_fixtures::{TestRequest, races};
    ///
    /// let test_request = TestRequest::clean();
    /// let work = |client: &races::Client| client.point("work");
    /// let exploration = races::explore(&test_request).client("a", work).client("b", work);
    /// assert!(exploration.within(Duration::from_secs(120)).check(|_, _| ()).is_complete());
    /// ```
    pub fn within(mut self, time: Duration) -> Self {
        self.within = Some(time);
        self
    }

    /// Runs this number of random schedules with few preemptions. The seed determines them.
    ///
    /// ```
    /// use transient_fixtures::{TestRequest, races};
    ///
    /// let test_request = TestRequest::clean();
    /// let work = |client: &races::Client| client.point("work");
    /// let explored =
    ///     races::explore(&test_request).client("a", work).client("b", work).random(7, 20).check(|_, _| ());
    /// assert_eq!(explored.schedules(), 20);
    /// ```
    pub fn random(mut self, seed: u64, schedules: usize) -> Self {
        self.random = Some((seed, schedules));
        self
    }

    /// Runs the exploration. The check runs after each schedule; it gets the session database and what the clients
    /// returned.
    ///
    /// If `TRANSIENT_REPLAY` is set to a schedule, as printed by a failure, only this schedule is run.
    ///
    /// ```
    /// use redis::Commands;
    /// use transient_fixtures::{TestRequest, races, redis};
    ///
    /// let test_request = TestRequest::clean();
    /// let visit = |client: &races::Client| -> redis::RedisResult<u32> {
    ///     redis::Client::open(client.redis_url())?.get_connection()?.incr("visits", 1)
    /// };
    /// races::explore(&test_request).client("a", visit).client("b", visit).check(|redis, outcomes| {
    ///     assert_eq!(redis.get::<_, u32>("visits").unwrap(), 2);
    ///     assert_ne!(outcomes.value::<u32>("a"), outcomes.value("b"));
    /// });
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if a schedule fails. The message has the failing schedule with the fewest context switches as a diagram,
    /// and the `TRANSIENT_REPLAY` that runs it alone.
    ///
    /// Also panics if the default bound is reached, a client is not deterministic or does nothing for 5 seconds, the
    /// seed fails, a method names a client that does not exist, or the server is gone.
    #[track_caller]
    pub fn check<T: Outcome>(self, check: impl Fn(&mut Connection, &Outcomes) -> T + 'a) -> Explored {
        match self.run(Box::new(move |redis, outcomes| check(redis, outcomes).failure())) {
            Ok(explored) => explored,
            Err(failure) => panic!("{failure}"),
        }
    }

    /// Resolves the names of the clients.
    pub(super) fn plan(&mut self) -> Result<Plan, String> {
        let names: Vec<_> = self.clients.iter().map(|(name, _)| name.clone()).collect();
        if let Some(twice) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
            return Err(report::races::same_name(twice.1));
        }
        let index =
            |name: &String| names.iter().position(|other| other == name).ok_or_else(|| report::races::no_client(name));
        let faults = self.faults.iter().map(|(name, fault)| index(name).map(fault));
        let expiring = self.expiring.iter().map(|(pattern, client)| {
            let client = client.as_ref().map(index).transpose()?;
            Ok::<_, String>(Expiring { pattern: pattern.clone(), client })
        });
        Ok(Plan {
            faults: counted(faults.collect::<Result<Vec<_>, _>>()?),
            expiring: counted(expiring.collect::<Result<Vec<_>, _>>()?),
            time: self.time.clone(),
            clients: self.clients.drain(..).map(|(name, run)| Planned { name, run }).collect(),
        })
    }
}
