//! A proxy in front of a test's server that records every command.
//!
//! The framer finds the ends of commands and replies. The lanes forward their bytes. The protocol matches replies to
//! commands. The record keeps the parts that transcripts, budgets and rules need.

pub(crate) mod arguments;
mod budget;
mod commands;
mod connection;
mod control;
mod framer;
mod hold;
pub(crate) mod keys;
mod lane;
mod log;
mod protocol;
mod proxy;
pub(crate) mod record;
mod recording;
pub(crate) mod rewrite;
mod rule;
mod rules;
mod shared;
#[cfg(unix)]
mod socket;
mod spare;
mod stream;
#[cfg(feature = "tap-tls")]
mod tls;
mod turns;

use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mio::net::TcpListener;

pub use self::budget::{Budget, Count};
pub use self::commands::Commands;
pub(crate) use self::control::Control;
pub(crate) use self::hold::{Arrived, Decision, Hold};
use self::proxy::Proxy;
pub use self::record::{Command, Reply};
pub use self::recording::{Entry, Event, Recording};
use self::rewrite::Rewrite;
pub(crate) use self::rule::check_not_shared;
pub use self::rule::{Rule, RuleBuilder};
use self::shared::Shared;
#[cfg(unix)]
use self::socket::Socket;
use self::stream::{Address, not_started};
use crate::error::Error;
use crate::lease::Lease;
use crate::provider::Server;
use crate::report;
use crate::sync::lock;

/// The timeout of [`Tap::wait_for`] and [`Tap::wait_subscribed`].
const SEEN_WITHIN: Duration = Duration::from_secs(10);

/// A proxy between the code under test and the test's server, which records every command of any client.
///
/// [`TestRequest::tap`](crate::TestRequest::tap) starts one. Give the code under test the tap's
/// [`redis_url`](Self::redis_url) instead of the request's. The tap forwards bytes unchanged: RESP2, RESP3 and inline
/// commands, pipelines, transactions, blocking commands, pub/sub and client tracking. The record has the first 1,024
/// bytes of a command and 256 of a reply, up to 64 MiB, without passwords. [`record_to`](Self::record_to) keeps all.
///
/// A tap ends when it is dropped, or with the test. It closes its connections then.
///
/// ```
/// use redis::Commands;
/// use transient_fixtures::{TestRequest, redis};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let test_request = TestRequest::clean();
/// let tap = test_request.tap()?;
/// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
/// redis.set_ex::<_, _, ()>("price:1", 12_900, 3600)?;
///
/// tap.mark("the price is cached");
/// tap.assert_hit(|| redis.get::<_, u32>("price:1"))?;
/// tap.budget().round_trips(..=2).never("KEYS").check();
/// assert_eq!(tap.commands().since("the price is cached").len(), 1);
/// # Ok(())
/// # }
/// ```
#[must_use = "a tap ends when it is dropped"]
pub struct Tap {
    running: Arc<Running>,
    server: Server,
    redis_url: String,
    jobs_url: String,
    databases: [u32; 2],
    /// For rules that change data: a connection that bypasses the tap.
    pub(crate) control: Arc<Control>,
}

/// The thread of a tap.
struct Running {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    #[cfg(unix)]
    socket: Mutex<Option<Socket>>,
}

impl Running {
    /// Closes all connections, and waits for the thread to end.
    fn stop(&self) {
        self.shared.stop();
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread {
            // If the thread panicked, the test harness has already printed the panic.
            let _ = thread.join();
        }
        #[cfg(unix)]
        lock(&self.socket).take();
    }
}

/// The taps of a lease. They end before the lease, because their connections would look like clients left by the test.
#[derive(Default)]
struct Taps(Mutex<Vec<(Weak<Running>, Weak<Control>)>>);

impl Drop for Taps {
    fn drop(&mut self) {
        for (running, control) in self.0.get_mut().unwrap_or_else(PoisonError::into_inner) {
            if let Some(running) = running.upgrade() {
                running.stop();
            }
            if let Some(control) = control.upgrade() {
                control.close();
            }
        }
    }
}

/// Starts a tap in front of this lease's server.
///
/// # Errors
///
/// Returns an error that [`is_server`](Error::is_server) if the server is gone, or uses TLS without the feature
/// `tap-tls`.
pub(crate) fn tap(lease: &Lease) -> Result<Tap, Error> {
    start(lease, Control::of(lease)?, None, None)
}

/// As [`tap`], with a connection that several taps can use. `hold` decides when commands are forwarded.
///
/// # Errors
///
/// Returns an error that [`is_server`](Error::is_server) if the server is gone, or uses TLS without the feature
/// `tap-tls`.
pub(crate) fn tap_with(lease: &Lease, control: Arc<Control>, hold: Option<Arc<dyn Hold>>) -> Result<Tap, Error> {
    start(lease, control, hold, None)
}

fn start(
    lease: &Lease,
    control: Arc<Control>,
    hold: Option<Arc<dyn Hold>>,
    rewrite: Option<Box<dyn Rewrite>>,
) -> Result<Tap, Error> {
    lease.check_held()?;
    let address = Address::of(lease)?;
    let (listener, urls) = listen(lease).map_err(not_started)?;
    let (proxy, shared) = Proxy::new(listener, address, hold, rewrite).map_err(not_started)?;
    let thread = thread::Builder::new().name("transient-fixtures tap".to_owned());
    let thread = thread.spawn(move || proxy.run()).map_err(not_started)?;
    let running = Arc::new(Running {
        shared,
        thread: Mutex::new(Some(thread)),
        #[cfg(unix)]
        socket: Mutex::default(),
    });
    let taps = lease.shared(Taps::default);
    let mut known = lock(&taps.0);
    known.retain(|(running, _)| running.strong_count() > 0);
    known.push((Arc::downgrade(&running), Arc::downgrade(&control)));
    drop(known);
    let [redis_url, jobs_url] = urls;
    Ok(Tap { running, server: lease.server.clone(), redis_url, jobs_url, databases: lease.databases(), control })
}

/// Listens on a free port of 127.0.0.1, and returns its URLs.
fn listen(lease: &Lease) -> io::Result<(TcpListener, [String; 2])> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let port = listener.local_addr()?.port();
    Ok((listener, lease.databases().map(|database| lease.server.url_at(port, database))))
}

impl Tap {
    /// Returns the URL of the session database (14 by default) through the tap.
    ///
    /// It is on 127.0.0.1 and contains the lease's password.
    #[must_use]
    pub fn redis_url(&self) -> &str {
        &self.redis_url
    }

    /// Returns the URL of the job database (15 by default) through the tap.
    #[must_use]
    pub fn jobs_url(&self) -> &str {
        &self.jobs_url
    }

    /// Returns the commands recorded so far, in the order in which they were forwarded.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis.set::<_, _, ()>("price:1", 12_900)?;
    /// assert!(tap.commands().iter().any(|command| command.is("SET")));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn commands(&self) -> Commands {
        let log = self.running.shared.log();
        Commands { list: log.commands.clone(), marks: log.marks.clone(), unrecorded: log.unrecorded }
    }

    /// Adds a named mark to the record.
    ///
    /// [`Commands::since`] finds it, and the transcript shows it.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// tap.mark("the visitor pays");
    /// redis.decr::<_, _, ()>("stock", 1)?;
    /// assert_eq!(tap.commands().since("the visitor pays").len(), 1);
    /// assert!(tap.commands().to_string().contains("--- the visitor pays"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn mark(&self, name: impl Into<String>) {
        let mut log = self.running.shared.log();
        let index = log.commands.len();
        log.marks.push((name.into(), index));
    }

    /// Returns a message for each connection that the tap closed because it sent bytes that are not the protocol.
    #[must_use]
    pub fn malformed(&self) -> Vec<String> {
        self.running.shared.log().malformed.clone()
    }

    /// Begins a rule for commands with this name, in which `*` matches any text. [`Rule`] has an example.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// tap.on("GET").key("price:*").error("LOADING Redis is loading the dataset in memory");
    /// assert!(redis.get::<_, Option<u32>>("price:1").is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn on(&self, command: &str) -> RuleBuilder<'_> {
        RuleBuilder::new(self, command)
    }

    /// Removes all rules.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// tap.on("*").error("LOADING Redis is loading the dataset in memory");
    /// tap.clear_rules();
    /// redis.set::<_, _, ()>("price:1", 12_900)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn clear_rules(&self) {
        self.running.shared.clear_rules();
    }

    /// Returns a budget for all commands so far. [`Budget`] has an example.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis.get::<_, Option<u32>>("price:1")?;
    /// tap.budget().round_trips(1).never("KEYS").check();
    /// # Ok(())
    /// # }
    /// ```
    pub fn budget(&self) -> Budget {
        self.commands().budget()
    }

    /// Waits until a command for which `is_it` is true is forwarded, and returns it.
    ///
    /// Returns at once if the record already has one. Use this instead of a sleep when a test runs concurrently with
    /// the code under test.
    ///
    /// ```
    /// use std::thread;
    /// use redis::Commands;
    /// use transient_fixtures::{TestRequest, get_jobs_redis, redis};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let client = redis::Client::open(tap.jobs_url())?;
    /// let worker = thread::spawn(move || client.get_connection()?.blpop::<_, (String, String)>("mail", 0.0));
    ///
    /// tap.wait_for(|command| command.is("BLPOP"));
    /// get_jobs_redis(&test_request)?.rpush::<_, _, ()>("mail", "a job")?;
    /// assert_eq!(worker.join().unwrap()?, ("mail".to_owned(), "a job".to_owned()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics with the transcript if there is none within 10 seconds.
    #[track_caller]
    pub fn wait_for(&self, is_it: impl Fn(&Command) -> bool) -> Command {
        let mut seen = 0;
        let found = self.running.shared.wait_for(SEEN_WITHIN, |log| {
            let new = &log.commands[seen..];
            seen = log.commands.len();
            new.iter().find(|command| is_it(command)).cloned()
        });
        found.unwrap_or_else(|| panic!("{}", report::tap::not_seen(SEEN_WITHIN.as_secs(), &self.commands())))
    }

    /// Waits until a client is subscribed to this channel or pattern of channels.
    ///
    /// ```
    /// use std::thread;
    /// use redis::{Commands, RedisResult};
    /// use transient_fixtures::{TestRequest, get_redis, redis};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let client = redis::Client::open(tap.redis_url())?;
    /// let subscriber = thread::spawn(move || -> RedisResult<String> {
    ///     let mut redis = client.get_connection()?;
    ///     let mut messages = redis.as_pubsub();
    ///     messages.subscribe("news")?;
    ///     Ok(messages.get_message()?.get_payload()?)
    /// });
    ///
    /// tap.wait_subscribed("news");
    /// get_redis(&test_request)?.publish::<_, _, u32>("news", "a sale")?;
    /// assert_eq!(subscriber.join().unwrap()?, "a sale");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics with the transcript if none is subscribed within 10 seconds.
    #[track_caller]
    pub fn wait_subscribed(&self, channel: &str) {
        let found = self.running.shared.wait_for(SEEN_WITHIN, |log| {
            log.subscribed.get(channel.as_bytes()).filter(|count| **count > 0).map(|_| ())
        });
        let text = || report::tap::not_subscribed(channel, SEEN_WITHIN.as_secs(), &self.commands());
        assert!(found.is_some(), "{}", text());
    }

    /// Runs the code under test, asserts that it was a cache hit, and returns its result.
    ///
    /// A hit reads at least one value, every read finds one, and the key is not written afterwards.
    ///
    /// ```
    /// use redis::Commands;
    /// use transient_fixtures::{TestRequest, redis};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis.set_ex::<_, _, ()>("price:1", 12_900, 3600)?;
    ///
    /// let price: u32 = tap.assert_hit(|| redis.get("price:1"))?;
    /// assert_eq!(price, 12_900);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics with the transcript if it was not a hit.
    #[track_caller]
    pub fn assert_hit<T>(&self, run: impl FnOnce() -> T) -> T {
        let (result, commands) = self.during(run);
        assert_none(budget::no_hit(&commands), &commands);
        result
    }

    /// Runs the code under test, asserts that it was a cache miss, and returns its result.
    ///
    /// A miss reads a key that does not exist, and then writes that key with a TTL.
    ///
    /// ```
    /// use redis::Commands;
    /// use transient_fixtures::{TestRequest, redis};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    ///
    /// tap.assert_miss(|| -> redis::RedisResult<()> {
    ///     if redis.get::<_, Option<u32>>("price:1")?.is_none() {
    ///         redis.set_ex::<_, _, ()>("price:1", 12_900, 3600)?;
    ///     }
    ///     Ok(())
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics with the transcript if it was not a miss.
    #[track_caller]
    pub fn assert_miss<T>(&self, run: impl FnOnce() -> T) -> T {
        let (result, commands) = self.during(run);
        assert_none(budget::no_miss(&commands), &commands);
        result
    }

    /// Starts over on another port: closes all connections, removes all rules, and returns the old record.
    ///
    /// That is much faster than a new tap, and clients of the old port can't interfere.
    ///
    /// # Errors
    ///
    /// Returns an error if no port is free, or the tap has ended.
    pub(crate) fn renew(&mut self, lease: &Lease) -> io::Result<Commands> {
        let (listener, urls) = listen(lease)?;
        let log = self.running.shared.renew(listener)?;
        [self.redis_url, self.jobs_url] = urls;
        Ok(Commands { list: log.commands, marks: log.marks, unrecorded: log.unrecorded })
    }

    /// Closes all connections, and accepts no more.
    pub(crate) fn stop(&self) {
        self.running.stop();
    }

    fn during<T>(&self, run: impl FnOnce() -> T) -> (T, Commands) {
        let start = self.running.shared.log().commands.len();
        let result = run();
        let commands = self.commands();
        (result, commands.only(|command| command.index >= start).without_handshakes())
    }
}

#[track_caller]
fn assert_none(reason: Option<String>, commands: &Commands) {
    if let Some(reason) = reason {
        panic!("{}", report::tap::over_budget(&[reason], commands));
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.running.stop();
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tap").field("databases", &self.databases).finish_non_exhaustive()
    }
}
