//! A lease on a server that we started, and what a test may have done to it besides its keys.
//!
//! Each lease has a password of its own, so that the URL of one that has ended opens nothing. It is changed when a lease
//! ends, and again when the next one begins where nobody knows how the last one ended.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use redis::{Connection, FromRedisValue, Pipeline, RedisResult, cmd, pipe};

use super::ended::{self, Why};
use super::{Ending, Hold, pool};
#[cfg(unix)]
use crate::provider::clock::Clock;
use crate::provider::secret::random_hex;
use crate::provider::{Owner, Server, Started};
use crate::redis_io::{client_name, retry_if_interrupted, was_interrupted};
use crate::report;
use crate::settings::Settings;

/// How long a client that the test has closed may take to disappear from the server's list.
const CLIENTS_GONE_WITHIN: Duration = Duration::from_millis(20);

/// A server that is there answers at once, unless a test has left it busy.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// What the server's clock, which it reads once for many commands, may differ from ours.
const CLOCK_GRAIN: Duration = Duration::from_millis(20);

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
    "function|load",
    "script",
    "script|load",
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

/// The password of default users is changed by this one; on Redis 6.2, `INFO commandstats` has only its first word.
const PASSWORD_CHANGE: [&str; 2] = ["config|set", "config"];

/// A server that we started and that must not outlive its owners: dropping this ends it.
pub(super) struct OwnServer {
    server: Server,
    /// Our own connection, kept open while the server is ours. It has a user of its own, whom no password change locks
    /// out.
    control: Connection,
    /// How often each command had been called when we last asked what a test has left.
    calls: HashMap<&'static str, u64>,
    /// Who had it before, whose traces may be left.
    last: Option<Last>,
    /// The lease's password; `None` where `redis.password = none`.
    password: Option<String>,
    /// Whether no test has had that password.
    is_password_new: bool,
    password_changes: u64,
    /// Whether the server has been told something whose reply was not read yet.
    owes_reply: bool,
    owner: Box<dyn Owner>,
}

/// The lease before.
enum Last {
    Test(String),
    /// Of another process.
    Unknown,
}

impl OwnServer {
    pub(super) fn new(started: Started) -> Self {
        let Started { server, control, owner, password, left_with } = started;
        // Whoever knows the server has asked for its INFO.
        let calls = HashMap::from([(INFO, 1)]);
        // It had longer to start. Where no limit can be set, it keeps that one.
        let _ = control.set_read_timeout(Some(ANSWER_WITHIN));
        Self {
            server,
            control,
            calls,
            last: left_with.map(|_| Last::Unknown),
            is_password_new: left_with.is_none(),
            password,
            password_changes: left_with.unwrap_or_default(),
            owes_reply: false,
            owner,
        }
    }

    /// The server, as the lease reaches it.
    pub(super) fn server(&self) -> Server {
        self.server.with_password(self.password.as_deref())
    }

    /// Whether another process had it before us.
    pub(super) fn was_left(&self) -> bool {
        matches!(self.last, Some(Last::Unknown))
    }

    /// Whether no other test of this process will need the server: cargo-nextest has a process for each. One that
    /// processes share is the next one's.
    fn is_done(&self, ending: Ending) -> bool {
        ending.with_test && !self.owner.is_shared() && crate::provider::run::is_process_per_test()
    }

    /// Begins a lease: with a new password, a connection of ours that is named after the test, and all databases emptied
    /// where it is to be `clean`, since a test may have used others than its own. False where an earlier test has left
    /// the server otherwise than it was.
    ///
    /// That is asked here and not when the lease ends, in the same round trip: by now what that test has closed is gone.
    ///
    /// # Errors
    ///
    /// When the server is gone, or has closed our connection.
    pub(super) fn begin(&mut self, test: &str, clean: bool) -> RedisResult<bool> {
        let mut commands = pipe();
        // First, so that from here on nobody can come in with an earlier lease's.
        self.change_password(&mut commands);
        if self.last.is_some() {
            commands.cmd("CLIENT").arg("LIST").cmd("INFO").arg("commandstats");
        }
        // A test may have left it paused, and what follows waiting.
        commands.cmd("CLIENT").arg("UNPAUSE").ignore();
        commands.cmd("CLIENT").arg("SETNAME").arg(client_name(test)).ignore();
        if clean {
            commands.cmd("FLUSHALL").ignore();
        }
        if self.last.is_some() {
            // A test may have left it so that it answers nothing at all (CLIENT PAUSE). The redis crate waits for each
            // reply of a pipeline: together they have the time of one.
            let replies = u32::try_from(commands.len()).unwrap_or(u32::MAX);
            self.control.set_read_timeout(Some(ANSWER_WITHIN / replies))?;
            let answer = self.ask(&commands);
            self.control.set_read_timeout(Some(ANSWER_WITHIN))?;
            let (clients, stats): (String, String) = answer?;
            if !self.is_as_it_was(&clients, &stats, test, clean)? {
                return Ok(false);
            }
        } else {
            let () = self.ask(&commands)?;
        }
        self.last = None;
        // Afterwards, since what tells a container to stay is a key.
        self.owner.leased(true);
        Ok(true)
    }

    /// Unless no lease has had the password that there is.
    fn change_password(&mut self, commands: &mut Pipeline) {
        if self.password.is_none() || std::mem::replace(&mut self.is_password_new, false) {
            return;
        }
        let password = random_hex();
        self.password_changes += 1;
        self.owner.password_changes(self.password_changes);
        commands.cmd("CONFIG").arg("SET").arg("requirepass").arg(&password).ignore();
        self.password = Some(password);
    }

    /// Makes the server as it was before but for its keys. False where that can't be: somebody is still connected, or a
    /// test has changed the server itself.
    fn is_as_it_was(&mut self, clients: &str, stats: &str, test: &str, clean: bool) -> RedisResult<bool> {
        let before = std::mem::replace(&mut self.calls, calls(stats));
        // Of the few that were ever called: this is done for every test.
        let called: Vec<_> =
            self.calls.iter().filter(|(name, count)| **count > before.get(*name).copied().unwrap_or(0)).collect();
        let more = |commands: &[&str]| {
            let is_ours = |name: &&str, count: u64| PASSWORD_CHANGE.contains(name) && count == self.password_changes;
            called.iter().any(|(name, count)| commands.contains(name) && !is_ours(name, **count))
        };
        // Without our own INFO of the last time among them, the test has reset them.
        let reset = self.calls.get(INFO).unwrap_or(&0) < before.get(INFO).unwrap_or(&0);
        let (changed, scripted) = (reset || more(&CHANGES), more(&SCRIPTS));
        // Time does not go back.
        #[cfg(unix)]
        let changed = changed || self.server.clock().is_some_and(Clock::was_moved);
        if changed {
            return Ok(false);
        }
        if !is_alone(clients) {
            if !self.is_soon_alone()? {
                if let Some(Last::Test(last)) = &self.last {
                    ended::remember(last, &self.server, Why::StillConnected { next: test });
                }
                return Ok(false);
            }
            if clean {
                // Whoever has gone may have written after the first time.
                let () = self.ask(pipe().cmd("FLUSHALL").ignore())?;
            }
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
            let owed = if self.owes_reply { self.control.recv_response().map(drop) } else { Ok(()) };
            self.owes_reply = false;
            match owed.and_then(|()| commands.query(&mut self.control)) {
                Err(error) if was_interrupted(&error) => self.control = self.connect()?,
                answer => return answer,
            }
        }
    }

    /// Tells the server something whose reply nobody waits for: the next question reads it.
    fn tell(&mut self, command: &Pipeline) -> RedisResult<()> {
        if self.owes_reply {
            return self.ask(command);
        }
        self.owes_reply = true;
        self.control.send_packed_command(&command.get_packed_pipeline())
    }

    fn connect(&self) -> RedisResult<Connection> {
        retry_if_interrupted(|| {
            let mut control = self.server.connect(ANSWER_WITHIN)?;
            let () = cmd("CLIENT").arg("SETNAME").arg(client_name("idle")).query(&mut control)?;
            Ok(control)
        })
    }

    /// Whether the others disconnect in the moment that the server may take to notice it.
    fn is_soon_alone(&mut self) -> RedisResult<bool> {
        let deadline = Instant::now() + CLIENTS_GONE_WITHIN;
        loop {
            thread::sleep(Duration::from_millis(1));
            let (clients,): (String,) = self.ask(pipe().cmd("CLIENT").arg("LIST"))?;
            let alone = is_alone(&clients);
            if alone || Instant::now() >= deadline {
                return Ok(alone);
            }
        }
    }
}

impl Hold for OwnServer {
    fn flush(&mut self) -> RedisResult<()> {
        self.ask(pipe().cmd("FLUSHALL").ignore())
    }

    /// How many logins were refused since: by the URLs of leases that are over.
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

    /// Gives the server back. One that can't be as it was is ended, never leased again.
    fn end(mut self: Box<Self>, test: &str, settings: &Settings, ending: Ending) {
        let server = self.server();
        if ending.failed && settings.keep() {
            // Once more, since the test may have flushed what tells a container to stay.
            self.owner.leased(true);
            report::shout(&report::kept(test, &server, &server.cli_command(), &server.end_command()));
            // Its owner was told that a test has it, and not that the test has passed: it will leave it running.
            std::mem::forget(self);
            return;
        }
        if ending.in_use {
            ended::remember(test, &self.server, Why::CloneAlive);
            return;
        }
        if self.is_done(ending) {
            return;
        }
        self.owner.leased(false);
        self.last = Some(Last::Test(test.to_owned()));
        let mut commands = pipe();
        self.change_password(&mut commands);
        // One that can't be told is ended here.
        if self.password.is_none() || self.tell(&commands).is_ok() {
            self.is_password_new = true;
            pool::put_back(*self);
        }
    }
}

/// Whether nobody but us is connected.
fn is_alone(clients: &str) -> bool {
    clients.lines().filter(|line| !line.is_empty()).count() <= 1
}

/// `cmdstat_config|set:calls=1,usec=…` → (`config|set`, 1), of the commands that matter.
fn calls(stats: &str) -> HashMap<&'static str, u64> {
    let lines = stats.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="));
    lines
        .filter_map(|(command, rest)| {
            let known = |names: &[&'static str]| Some(names[names.binary_search(&command).ok()?]);
            let name = known(&CHANGES).or_else(|| known(&SCRIPTS)).or_else(|| known(&[INFO]))?;
            Some((name, rest.split(',').next()?.parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{CHANGES, SCRIPTS};

    #[test]
    fn what_is_looked_for_by_halves_is_sorted() {
        assert!(CHANGES.is_sorted() && SCRIPTS.is_sorted());
    }
}
