//! A server that we started, and what a test may have done to it besides its keys.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use redis::{Connection, FromRedisValue, Pipeline, RedisResult, cmd, pipe};

#[cfg(unix)]
use super::clock::Clock;
use super::stopped::again_if_stopped;
use super::{Server, client_name, was_stopped};

/// How long a client that the test has closed may take to disappear from the server's list.
const CLIENTS_GONE_WITHIN: Duration = Duration::from_millis(20);

/// A server that is there answers at once, unless a test has left it busy.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// Commands that leave scripts or functions behind, by their names in `INFO commandstats`. Redis 6.2 does not tell
/// subcommands apart there.
const SCRIPTS: [&str; 10] = [
    "eval",
    "eval_ro",
    "evalsha",
    "evalsha_ro",
    "fcall",
    "fcall_ro",
    "function",
    "script",
    "script|load",
    "function|load",
];

/// Commands that change the server itself. It is not leased again: a new one takes as long as undoing them.
const CHANGES: [&str; 17] = [
    "acl",
    "acl|deluser",
    "acl|load",
    "acl|setuser",
    "client|pause",
    "cluster",
    "config",
    "config|resetstat",
    "config|rewrite",
    "config|set",
    "debug",
    "failover",
    "function|restore",
    "module|load",
    "module|loadex",
    "replicaof",
    "slaveof",
];

/// What we ask with ourselves: where it was called less often than before, somebody has reset the statistics.
const INFO: &str = "info";

/// A server that we started and that must not outlive its owners: dropping this ends it.
pub(crate) struct Throwaway {
    pub(crate) server: Server,
    /// Our own connection, kept open while the server is ours.
    control: Connection,
    /// How often each command had been called when we last asked what a test has left.
    calls: HashMap<&'static str, u64>,
    /// Whether an earlier test may have left something.
    was_leased: bool,
    owner: Box<dyn Owner>,
}

/// What ends a server: by being dropped, or when this process is gone.
pub(crate) trait Owner: Send {
    /// Told when a test gets the server, and when one has passed. With `TRANSIENT_KEEP`, a server whose test did not
    /// pass outlives its owner.
    fn leased(&mut self, leased: bool);
}

impl Throwaway {
    pub(crate) fn new(server: Server, control: Connection, owner: impl Owner + 'static) -> Self {
        // Whoever knows the server has asked for its INFO.
        let calls = HashMap::from([(INFO, 1)]);
        // It had longer to start. Where no limit can be set, it keeps that one.
        let _ = control.set_read_timeout(Some(ANSWER_WITHIN));
        Self { server, control, calls, was_leased: false, owner: Box::new(owner) }
    }

    /// Begins a lease: names our connection after the test, and empties all databases where it is to be `clean`, since a
    /// test may have used others than its own. False where an earlier test has left the server otherwise than it was.
    ///
    /// That is asked here and not when the lease ends, in the same round trip: by now what that test has closed is gone.
    ///
    /// # Errors
    ///
    /// When the server is gone, or has closed our connection.
    pub(crate) fn begin(&mut self, test: &str, clean: bool) -> RedisResult<bool> {
        let mut commands = if self.was_leased { questions() } else { pipe() };
        // A test may have left it paused, and what follows waiting.
        commands.cmd("CLIENT").arg("UNPAUSE").ignore();
        commands.cmd("CLIENT").arg("SETNAME").arg(client_name(test)).ignore();
        if clean {
            commands.cmd("FLUSHALL").ignore();
        }
        if self.was_leased {
            let (clients, stats): (String, String) = self.ask(&commands)?;
            if !self.is_as_it_was(&clients, &stats)? {
                return Ok(false);
            }
            self.was_leased = false;
        } else {
            let () = self.ask(&commands)?;
        }
        // Afterwards, since what tells a container to stay is a key.
        self.owner.leased(true);
        Ok(true)
    }

    /// The lease has ended, and the server is to outlive its owner.
    pub(crate) fn keep(&mut self) {
        self.owner.leased(true);
    }

    /// Ends a lease.
    pub(crate) fn end(&mut self) {
        self.owner.leased(false);
        self.was_leased = true;
    }

    /// Whether a server that another process has left is as it was before but for its keys.
    ///
    /// # Errors
    ///
    /// When the server is gone, or has closed our connection.
    #[cfg(feature = "container")]
    pub(crate) fn check(&mut self) -> RedisResult<bool> {
        let (clients, stats): (String, String) = self.ask(&questions())?;
        self.is_as_it_was(&clients, &stats)
    }

    /// Makes the server as it was before but for its keys. False where that can't be: somebody is still connected, or a
    /// test has changed the server itself.
    fn is_as_it_was(&mut self, clients: &str, stats: &str) -> RedisResult<bool> {
        let before = std::mem::replace(&mut self.calls, calls(stats));
        // Of the few that were ever called: this is done for every test.
        let called: Vec<_> =
            self.calls.iter().filter(|(name, count)| **count > before.get(*name).copied().unwrap_or(0)).collect();
        let more = |commands: &[&str]| called.iter().any(|(name, _)| commands.contains(name));
        // Without our own INFO of the last time among them, the test has reset them.
        let reset = self.calls.get(INFO).unwrap_or(&0) < before.get(INFO).unwrap_or(&0);
        let (changed, scripted) = (reset || more(&CHANGES), more(&SCRIPTS));
        // Time does not go back.
        #[cfg(unix)]
        let changed = changed || self.server.clock().is_some_and(Clock::was_moved);
        if changed || !self.is_alone(clients)? {
            return Ok(false);
        }
        if scripted {
            let () = self.ask(pipe().cmd("SCRIPT").arg("FLUSH").ignore())?;
            // Unknown before Redis 7, which had no functions to flush.
            let _: RedisResult<()> = cmd("FUNCTION").arg("FLUSH").query(&mut self.control);
        }
        Ok(true)
    }

    fn ask<T: FromRedisValue>(&mut self, commands: &Pipeline) -> RedisResult<T> {
        loop {
            match commands.query(&mut self.control) {
                Err(error) if was_stopped(&error) => self.control = self.connect()?,
                answer => return answer,
            }
        }
    }

    fn connect(&self) -> RedisResult<Connection> {
        again_if_stopped(|| {
            let mut control = self.server.connect(ANSWER_WITHIN)?;
            let () = cmd("CLIENT").arg("SETNAME").arg(client_name("idle")).query(&mut control)?;
            Ok(control)
        })
    }

    /// Whether nobody but us is connected, which the server may take a moment to notice.
    fn is_alone(&mut self, clients: &str) -> RedisResult<bool> {
        let deadline = Instant::now() + CLIENTS_GONE_WITHIN;
        let alone = |clients: &str| clients.lines().filter(|line| !line.is_empty()).count() <= 1;
        let mut is_alone = alone(clients);
        while !is_alone && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
            let (clients,): (String,) = self.ask(pipe().cmd("CLIENT").arg("LIST"))?;
            is_alone = alone(&clients);
        }
        Ok(is_alone)
    }
}

/// What tells whether a test has left something.
fn questions() -> Pipeline {
    let mut commands = pipe();
    commands.cmd("CLIENT").arg("LIST").cmd("INFO").arg("commandstats");
    commands
}

/// `cmdstat_config|set:calls=1,usec=…` → (`config|set`, 1), of the commands that matter.
fn calls(stats: &str) -> HashMap<&'static str, u64> {
    let lines = stats.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="));
    lines
        .filter_map(|(command, rest)| {
            let known = || CHANGES.iter().chain(&SCRIPTS).chain(&[INFO]).find(|known| **known == command);
            Some((*known()?, rest.split(',').next()?.parse().ok()?))
        })
        .collect()
}
