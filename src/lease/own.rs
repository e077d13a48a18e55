//! A lease on a server that we started, and how a test's changes to the server itself are undone.
//!
//! Each lease has its own password, so that the URL of an ended lease opens nothing. The password changes when a lease
//! ends, and again when the next one begins if it is unknown how the previous lease ended.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use redis::{Connection, FromRedisValue, Pipeline, RedisResult, cmd, pipe};

use super::ended::{self, Reason};
use super::{Ending, Hold, pool};
#[cfg(unix)]
use crate::provider::clock::Clock;
use crate::provider::{Owner, Server, Started};
use crate::random;
use crate::redis_io::{client_name, retry_if_interrupted, was_interrupted};
use crate::report;
use crate::settings::Settings;
use crate::sync::poll_until;

/// How long the server may take to drop a client that the test has closed.
const CLIENTS_GONE_WITHIN: Duration = Duration::from_millis(20);

/// A server answers at once, unless a test has left it busy.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);

/// The largest difference between the server's clock, which it reads once for many commands, and ours.
const CLOCK_GRAIN: Duration = Duration::from_millis(20);

/// Commands that leave scripts or functions, by their names in `INFO commandstats`. Redis 6.2 does not list subcommands
/// there.
const SCRIPT_COMMANDS: [&str; 10] = [
    "eval",
    "eval_ro",
    "evalsha",
    "evalsha_ro",
    "fcall",
    "fcall_ro",
    "function",
    "function|load",
    "script",
    "script|load",
];

/// Commands that change the server itself. Such a server is not leased again: starting a new one takes as long as
/// undoing the change.
const SERVER_CHANGES: [&str; 17] = [
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

/// The command that we ask with. If it was called less often than before, the test has reset the statistics.
const INFO: &str = "info";

/// The command that changes the password of the default user. `INFO commandstats` of Redis 6.2 lists only its first
/// word.
const PASSWORD_CHANGE: [&str; 2] = ["config|set", "config"];

/// A server that we started and that must not outlive its owner. Dropping it ends the server.
pub(super) struct OwnServer {
    server: Server,
    /// Our own connection, open while we have the server. It has its own user, so that no password change locks it out.
    control: Connection,
    /// How often each command had been called when we last checked for changes.
    call_counts: HashMap<&'static str, u64>,
    /// The previous lease, if there may be traces of it.
    previous: Option<PreviousLease>,
    /// The password of the lease; `None` with `redis.password = none`.
    password: Option<String>,
    /// Whether no test has had this password.
    is_password_new: bool,
    password_changes: u64,
    /// Whether the reply to the last command was not read yet.
    has_pending_reply: bool,
    owner: Box<dyn Owner>,
}

/// The previous lease.
enum PreviousLease {
    Test(String),
    /// A lease of another process.
    Unknown,
}

impl OwnServer {
    pub(super) fn new(started: Started) -> Self {
        let Started { server, control, owner, password, earlier_password_changes } = started;
        // Starting or claiming the server took one INFO.
        let call_counts = HashMap::from([(INFO, 1)]);
        // A start has a longer timeout. If no timeout can be set, the longer one stays.
        let _ = control.set_read_timeout(Some(ANSWER_TIMEOUT));
        Self {
            server,
            control,
            call_counts,
            previous: earlier_password_changes.map(|_| PreviousLease::Unknown),
            is_password_new: earlier_password_changes.is_none(),
            password,
            password_changes: earlier_password_changes.unwrap_or_default(),
            has_pending_reply: false,
            owner,
        }
    }

    /// Returns the server, with the password of the lease.
    pub(super) fn server(&self) -> Server {
        self.server.with_password(self.password.as_deref())
    }

    /// Returns whether another process had the server before us.
    pub(super) fn is_from_another_process(&self) -> bool {
        matches!(self.previous, Some(PreviousLease::Unknown))
    }

    /// Returns whether no other test of this process needs the server: cargo-nextest has a process for each test, and a
    /// command is alone. A server that processes share goes to the next one.
    fn is_done(&self, settings: &Settings, ending: Ending) -> bool {
        let is_only = settings.command().is_some() || crate::provider::run::is_process_per_test();
        ending.with_test && !self.owner.is_shared() && is_only
    }

    /// Begins a lease: sets a new password, names our connection after the test, and empties all databases if `clean`,
    /// since a test may have used more than its own two. Returns false if an earlier test has changed the server
    /// itself.
    ///
    /// The check is made here and not when the lease ends. That saves a round trip, and by now the clients that the
    /// earlier test has closed are gone.
    ///
    /// # Errors
    ///
    /// Returns an error if the server is gone, or has closed our connection.
    pub(super) fn begin(&mut self, test: &str, clean: bool) -> RedisResult<bool> {
        let mut commands = pipe();
        // First, so that from here on the password of an earlier lease opens nothing.
        self.change_password(&mut commands);
        if self.previous.is_some() {
            commands.cmd("CLIENT").arg("LIST").cmd("INFO").arg("commandstats");
        }
        // A test may have left the server paused, which would delay the commands below.
        commands.cmd("CLIENT").arg("UNPAUSE").ignore();
        commands.cmd("CLIENT").arg("SETNAME").arg(client_name(test)).ignore();
        if clean {
            commands.cmd("FLUSHALL").ignore();
        }
        if self.previous.is_some() {
            // A test may have left the server so that it answers nothing at all (CLIENT PAUSE). The redis crate waits
            // for each reply of a pipeline separately, so divide the timeout among them.
            let replies = u32::try_from(commands.len()).unwrap_or(u32::MAX);
            self.control.set_read_timeout(Some(ANSWER_TIMEOUT / replies))?;
            let answer = self.ask(&commands);
            self.control.set_read_timeout(Some(ANSWER_TIMEOUT))?;
            let (clients, stats): (String, String) = answer?;
            if !self.restore(&clients, &stats, test, clean)? {
                return Ok(false);
            }
        } else {
            let () = self.ask(&commands)?;
        }
        self.previous = None;
        // After FLUSHALL, since a key tells a container to keep running.
        self.owner.leased(true);
        Ok(true)
    }

    /// Changes the password, unless no lease has had the current one.
    fn change_password(&mut self, commands: &mut Pipeline) {
        if self.password.is_none() || std::mem::replace(&mut self.is_password_new, false) {
            return;
        }
        let password = random::hex();
        self.password_changes += 1;
        self.owner.password_changes(self.password_changes);
        commands.cmd("CONFIG").arg("SET").arg("requirepass").arg(&password).ignore();
        self.password = Some(password);
    }

    /// Undoes the changes of the previous lease, except for its keys. Returns false if that is impossible: a client is
    /// still connected, or a test has changed the server itself.
    fn restore(&mut self, clients: &str, stats: &str, test: &str, clean: bool) -> RedisResult<bool> {
        let before = std::mem::replace(&mut self.call_counts, call_counts(stats));
        // Only the few commands that were ever called: this runs for every test.
        let called: Vec<_> =
            self.call_counts.iter().filter(|(name, count)| **count > before.get(*name).copied().unwrap_or(0)).collect();
        let more = |commands: &[&str]| {
            let is_ours = |name: &&str, count: u64| PASSWORD_CHANGE.contains(name) && count == self.password_changes;
            called.iter().any(|(name, count)| commands.contains(name) && !is_ours(name, **count))
        };
        // If our own INFO of the last check is missing, the test has reset the statistics.
        let reset = self.call_counts.get(INFO).unwrap_or(&0) < before.get(INFO).unwrap_or(&0);
        let (changed, scripted) = (reset || more(&SERVER_CHANGES), more(&SCRIPT_COMMANDS));
        // The clock can't go back.
        #[cfg(unix)]
        let changed = changed || self.server.clock().is_some_and(Clock::was_moved);
        if changed {
            return Ok(false);
        }
        if !is_alone(clients) {
            if !self.wait_until_alone()? {
                if let Some(PreviousLease::Test(previous)) = &self.previous {
                    ended::remember(previous, &self.server, Reason::StillConnected { next: test });
                }
                return Ok(false);
            }
            if clean {
                // The clients that have just disconnected may have written after the first FLUSHALL.
                let () = self.ask(pipe().cmd("FLUSHALL").ignore())?;
            }
        }
        if scripted {
            let () = self.ask(pipe().cmd("SCRIPT").arg("FLUSH").ignore())?;
            // Redis before 7 has neither functions nor this command.
            let _: RedisResult<()> = cmd("FUNCTION").arg("FLUSH").query(&mut self.control);
        }
        Ok(true)
    }

    fn ask<T: FromRedisValue>(&mut self, commands: &Pipeline) -> RedisResult<T> {
        loop {
            let pending = if self.has_pending_reply { self.control.recv_response().map(drop) } else { Ok(()) };
            self.has_pending_reply = false;
            match pending.and_then(|()| commands.query(&mut self.control)) {
                Err(error) if was_interrupted(&error) => self.control = self.connect()?,
                answer => return answer,
            }
        }
    }

    /// Sends commands without waiting for the reply: the next question reads it.
    fn send(&mut self, command: &Pipeline) -> RedisResult<()> {
        if self.has_pending_reply {
            return self.ask(command);
        }
        self.has_pending_reply = true;
        self.control.send_packed_command(&command.get_packed_pipeline())
    }

    fn connect(&self) -> RedisResult<Connection> {
        retry_if_interrupted(|| {
            let mut control = self.server.connect(ANSWER_TIMEOUT)?;
            let () = cmd("CLIENT").arg("SETNAME").arg(client_name("idle")).query(&mut control)?;
            Ok(control)
        })
    }

    /// Waits for the moment that the server may take to notice that the other clients have disconnected.
    fn wait_until_alone(&mut self) -> RedisResult<bool> {
        let list = || match self.ask::<(String,)>(pipe().cmd("CLIENT").arg("LIST")) {
            Ok((clients,)) => is_alone(&clients).then_some(Ok(true)),
            Err(error) => Some(Err(error)),
        };
        poll_until(Instant::now() + CLIENTS_GONE_WITHIN, Duration::from_millis(1), list).unwrap_or(Ok(false))
    }
}

impl Hold for OwnServer {
    fn flush(&mut self) -> RedisResult<()> {
        self.ask(pipe().cmd("FLUSHALL").ignore())
    }

    /// Returns how many logins were refused: with URLs of leases that have ended.
    fn refused_logins(&mut self, since: Duration) -> RedisResult<u64> {
        let (log,): (Vec<HashMap<String, redis::Value>>,) = self.ask(pipe().cmd("ACL").arg("LOG"))?;
        let field = |entry: &HashMap<String, redis::Value>, name: &str| -> Option<String> {
            redis::from_redis_value_ref(entry.get(name)?).ok()
        };
        let refused = log.iter().filter(|entry| {
            let age = field(entry, "age-seconds").and_then(|age| age.parse().ok()).unwrap_or(f64::MAX);
            field(entry, "reason").as_deref() == Some("auth") && age <= (since + CLOCK_GRAIN).as_secs_f64()
        });
        Ok(refused.filter_map(|entry| field(entry, "count")?.parse::<u64>().ok()).sum())
    }

    /// Gives the server back. If its state can't be restored, it is ended and never leased again.
    fn end(mut self: Box<Self>, test: &str, settings: &Settings, ending: Ending) {
        let server = self.server();
        if ending.failed && settings.keep() {
            // Again, since the test may have flushed the key that keeps a container running.
            self.owner.leased(true);
            report::shout(&report::kept(test, &server, &server.cli_command(), &server.end_command()));
            // Its owner knows that a test has the server, and not that the test has passed, so it leaves the server
            // running.
            std::mem::forget(self);
            return;
        }
        if ending.in_use {
            ended::remember(test, &self.server, Reason::CloneAlive);
            return;
        }
        if self.is_done(settings, ending) {
            return;
        }
        self.owner.leased(false);
        self.previous = Some(PreviousLease::Test(test.to_owned()));
        let mut commands = pipe();
        self.change_password(&mut commands);
        // A server that does not take the command is ended here.
        if self.password.is_none() || self.send(&commands).is_ok() {
            self.is_password_new = true;
            pool::put_back(*self, settings);
        }
    }
}

/// Returns whether we are the only client.
fn is_alone(clients: &str) -> bool {
    clients.lines().filter(|line| !line.is_empty()).count() <= 1
}

/// Parses `cmdstat_config|set:calls=1,usec=…` to (`config|set`, 1), for the commands that matter.
fn call_counts(stats: &str) -> HashMap<&'static str, u64> {
    let lines = stats.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="));
    lines
        .filter_map(|(command, rest)| {
            let known = |names: &[&'static str]| Some(names[names.binary_search(&command).ok()?]);
            let name = known(&SERVER_CHANGES).or_else(|| known(&SCRIPT_COMMANDS)).or_else(|| known(&[INFO]))?;
            Some((name, rest.split(',').next()?.parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{SCRIPT_COMMANDS, SERVER_CHANGES};

    #[test]
    fn tables_for_binary_search_are_sorted() {
        assert!(SERVER_CHANGES.is_sorted() && SCRIPT_COMMANDS.is_sorted());
    }
}
