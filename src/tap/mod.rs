//! A proxy in front of a test's server, which sees every command.
//!
//! The framer finds where commands and replies end; the lanes forward their bytes; the protocol says which reply
//! answers which command; the record keeps what is shown and judged.

mod arguments;
mod budget;
mod commands;
mod framer;
mod keys;
mod lane;
mod protocol;
mod proxy;
mod record;
mod rule;
mod rules;
mod stream;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use redis::{Connection, ConnectionAddr, Pipeline};

pub use self::budget::{Budget, Count};
pub use self::commands::Commands;
use self::proxy::{Proxy, Shared};
pub use self::record::{Command, Reply};
pub use self::rule::{Rule, RuleBuilder};
use self::stream::Address;
use crate::error::{Error, Kind};
use crate::lease::{Database, Lease};
use crate::report;
use crate::sync::lock;

/// How long [`Tap::wait_for`] and its like wait.
const SEEN_WITHIN: Duration = Duration::from_secs(10);

/// A proxy between the code under test and the test's server: it records every command, whatever the client.
///
/// Made by [`TestRequest::tap`](crate::TestRequest::tap). The code under test is given [`redis_url`](Self::redis_url)
/// instead of the request's. Bytes are forwarded as they came, in RESP2, RESP3 and inline, with pipelines,
/// transactions, blocking commands, pub/sub and tracking. The record keeps the first 1,024 bytes of a command, the
/// first 256 of a reply, and 64 MiB in all; passwords are left out.
///
/// It ends when it is dropped, and at the latest with the test; the connections through it are closed then.
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
    redis_url: String,
    jobs_url: String,
    databases: [u32; 2],
    /// For rules that change data: a connection past the tap.
    control: Arc<Control>,
}

/// A connection to the server, which is used only while the lease is held.
struct Control {
    connection: Mutex<Connection>,
    is_held: Arc<AtomicBool>,
}

impl Control {
    /// Executes these commands. Where the server is gone, the command that they precede finds that out by itself.
    fn execute(&self, commands: &Pipeline) {
        if self.is_held.load(Ordering::Relaxed) {
            let _ = commands.exec(&mut *lock(&self.connection));
        }
    }
}

/// The thread of a tap.
struct Running {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Running {
    /// Closes all connections, and waits until they are.
    fn stop(&self) {
        self.shared.stop();
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread {
            // It has no panic to hand on: the harness has printed it.
            let _ = thread.join();
        }
    }
}

/// The taps of a lease, which end before it does: their connections would look like a client that the test has left.
#[derive(Default)]
struct Taps(Mutex<Vec<Arc<Running>>>);

impl Drop for Taps {
    fn drop(&mut self) {
        for running in self.0.get_mut().unwrap_or_else(PoisonError::into_inner) {
            running.stop();
        }
    }
}

/// Starts a tap in front of that lease's server.
///
/// # Errors
///
/// [`Error::is_server`].
pub(crate) fn tap(lease: &Lease) -> Result<Tap, Error> {
    lease.check_held()?;
    let not_started = |error: io::Error| Error::with_source(Kind::Server, report::tap::not_started(), error);
    let endpoint = lease.endpoint(Database::Sessions);
    let address = address(endpoint.address())
        .ok_or_else(|| Error::new(Kind::Server, report::tap::tls(&lease.server)))?
        .map_err(not_started)?;
    let listener = mio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into()).map_err(not_started)?;
    let port = listener.local_addr().map_err(not_started)?.port();
    let (proxy, shared) = Proxy::new(listener, address).map_err(not_started)?;
    let thread = thread::Builder::new().name("transient-fixtures tap".to_owned());
    let thread = thread.spawn(move || proxy.run()).map_err(not_started)?;
    let running = Arc::new(Running { shared, thread: Mutex::new(Some(thread)) });
    let taps = lease.shared(Taps::default);
    lock(&taps.0).push(running.clone());
    let url = |database| lease.server.url_at(port, database);
    let databases = lease.databases();
    let (connection, is_held) = lease.connect_to_keep()?;
    let control = Arc::new(Control { connection: Mutex::new(connection), is_held });
    Ok(Tap { running, redis_url: url(databases[0]), jobs_url: url(databases[1]), databases, control })
}

/// Where that is; `None` for TLS.
fn address(address: &ConnectionAddr) -> Option<io::Result<Address>> {
    match address {
        ConnectionAddr::Tcp(host, port) => Some(resolve(host, *port).map(Address::Tcp)),
        #[cfg(unix)]
        ConnectionAddr::Unix(path) => Some(Ok(Address::Unix(path.clone()))),
        _ => None,
    }
}

/// The first address of the host that takes a connection.
fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    let mut failure = None;
    for address in (host.trim_matches(['[', ']']), port).to_socket_addrs()? {
        match TcpStream::connect(address) {
            Ok(_) => return Ok(address),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
}

impl Tap {
    /// The URL of the session database (14 by default) through the tap, on 127.0.0.1, with the lease's password.
    #[must_use]
    pub fn redis_url(&self) -> &str {
        &self.redis_url
    }

    /// The URL of the job database (15 by default) through the tap.
    #[must_use]
    pub fn jobs_url(&self) -> &str {
        &self.jobs_url
    }

    /// The commands that went through so far, in the order in which they were forwarded.
    #[must_use]
    pub fn commands(&self) -> Commands {
        let log = self.running.shared.log();
        Commands { list: log.commands.clone(), marks: log.marks.clone(), unrecorded: log.unrecorded }
    }

    /// Marks this moment in the record: [`Commands::since`], and a line of the transcript.
    pub fn mark(&self, name: impl Into<String>) {
        let mut log = self.running.shared.log();
        let index = log.commands.len();
        log.marks.push((name.into(), index));
    }

    /// The connections that were closed because of bytes that are not the protocol, with what they sent.
    #[must_use]
    pub fn malformed(&self) -> Vec<String> {
        self.running.shared.log().malformed.clone()
    }

    /// Begins a rule for commands of that name, in which `*` stands for any text. [`Rule`] has an example.
    pub fn on(&self, command: &str) -> RuleBuilder<'_> {
        RuleBuilder::new(self, command)
    }

    /// Removes all rules.
    pub fn clear_rules(&self) {
        self.running.shared.clear_rules();
    }

    /// A limit on all commands so far. [`Budget`] has an example.
    pub fn budget(&self) -> Budget {
        self.commands().budget()
    }

    /// Waits until a command for which `is_it` is true has been forwarded, or returns the one that has been: instead of
    /// a sleep, before a test goes on beside the code under test.
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
    /// If there is none within 10 seconds, with the transcript.
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

    /// Waits until a client is subscribed to that channel, or pattern of channels.
    ///
    /// # Panics
    ///
    /// If none is within 10 seconds, with the transcript.
    #[track_caller]
    pub fn wait_subscribed(&self, channel: &str) {
        let found = self.running.shared.wait_for(SEEN_WITHIN, |log| {
            log.subscribed.get(channel.as_bytes()).filter(|count| **count > 0).map(|_| ())
        });
        let text = || report::tap::not_subscribed(channel, SEEN_WITHIN.as_secs(), &self.commands());
        assert!(found.is_some(), "{}", text());
    }

    /// Runs the code under test and returns its result. On the wire it must have been a cache hit: a value was read,
    /// and no read found nothing; and the value was not written again.
    ///
    /// # Panics
    ///
    /// If it was not, with the transcript.
    #[track_caller]
    pub fn assert_hit<T>(&self, run: impl FnOnce() -> T) -> T {
        let (result, commands) = self.during(run);
        assert_none(budget::no_hit(&commands), &commands);
        result
    }

    /// Runs the code under test and returns its result. On the wire it must have been a cache miss: a read found
    /// nothing, and then the key was written, with a TTL.
    ///
    /// # Panics
    ///
    /// If it was not, with the transcript.
    #[track_caller]
    pub fn assert_miss<T>(&self, run: impl FnOnce() -> T) -> T {
        let (result, commands) = self.during(run);
        assert_none(budget::no_miss(&commands), &commands);
        result
    }

    /// Closes all connections, and takes no more.
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
