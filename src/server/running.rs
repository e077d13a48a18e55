//! The rung `running`: a server that is there already, and that others may be using.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use redis::{Client, Connection, ErrorKind, InfoDict, RedisError, cmd};
use url::Url;

use super::stopped::{again_if_stopped, io_kind};
use super::{Server, cache, facts};
use crate::error::{Error, Kind};
use crate::guard;
use crate::report::{self, Fallen};
use crate::settings::{Origin, Provider, Settings};

/// To connect, and for each answer. A loopback server takes a fraction of a millisecond.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A running server that we may use.
pub(crate) struct Running {
    pub(crate) server: Server,
    url: Url,
    databases: [u32; 2],
    adopt: bool,
}

/// Why the rung gave no server.
pub(crate) enum Stop {
    /// Nothing is there, or only something that nobody named: the ladder goes on.
    Next(Fallen),
    /// Somebody named this server, and it can't be used: that is for them to know.
    End(Error),
}

/// # Errors
///
/// When nothing answers, when what answers is no Redis that lets us in, and when the guard refuses it.
pub(crate) fn find(settings: &Settings) -> Result<Running, Stop> {
    let origin = settings.redis_url_origin();
    let named = origin != Origin::Default;
    let url = redis::parse_redis_url(settings.redis_url())
        .ok_or_else(|| Stop::Next(fallen(named, report::running::unreachable(settings.redis_url(), "no URL"))))?;
    let refused = |error: Error| {
        if named { Stop::End(error) } else { Stop::Next(fallen(named, format!("not used: failed to {error}"))) }
    };
    guard::check_address(&url, matches!(origin, Origin::Environment(_)), &origin).map_err(|error| {
        if error.is_refused() { refused(error) } else { Stop::Next(fallen(named, error.to_string())) }
    })?;
    let (mut connection, info) = connect(&url).map_err(|failure| {
        let fallen = fallen(named, failure.why);
        // Where a server answers and its name was given, another one would hide what is wrong.
        if named && failure.answered {
            Stop::End(Error::with_source(Kind::NoServer, report::no_server(&[fallen]), failure.error))
        } else {
            Stop::Next(fallen)
        }
    })?;
    let (sessions, jobs) = settings.databases();
    let server = Server::new(Provider::Running, url.clone(), &info, sessions);
    let running = Running { server, url, databases: [sessions, jobs], adopt: settings.adopt() };
    running.check(&mut connection, &info).map_err(refused)?;
    Ok(running)
}

impl Running {
    /// A connection for one lease, and what the server says of itself now: another one may have taken its place.
    ///
    /// # Errors
    ///
    /// [`Error::is_server`] when it answers no more.
    pub(crate) fn connect(&self) -> Result<(Connection, InfoDict), Error> {
        connect(&self.url).map_err(|failure| {
            let report = report::server_lost(&self.server, &failure.why);
            Error::with_source(Kind::Server, report, failure.error)
        })
    }

    /// The guard: to be passed before the first write of every lease.
    ///
    /// # Errors
    ///
    /// [`Error::is_refused`].
    pub(crate) fn check(&self, connection: &mut Connection, info: &InfoDict) -> Result<(), Error> {
        let url = facts::shown(&self.url);
        guard::check_role(info, &url)?;
        // An address may be another server's by now, so that one without a name has no memory but the marker.
        let run_id = run_id(info);
        let used_before = |database| {
            run_id.as_ref().is_some_and(|id| cache::directory().join("running").join(memory(id, database)).exists())
        };
        let known = guard::Known { used_before: &used_before, adopt: self.adopt };
        guard::check_databases(connection, self.databases, known, &url)
    }

    /// Remembers that the test databases are used by tests: what is in them from now on is theirs.
    ///
    /// # Errors
    ///
    /// When the cache can't be written.
    pub(crate) fn remember(&self, info: &InfoDict) -> io::Result<()> {
        let Some(run_id) = run_id(info) else { return Ok(()) };
        let directory = cache::subdirectory("running")?;
        for database in self.databases {
            let path = directory.join(memory(&run_id, database));
            if !path.exists() {
                fs::write(path, "")?;
            }
        }
        Ok(())
    }

    /// The server that was found first.
    pub(crate) fn first_identity(&self) -> String {
        self.identity_of(as_file_name(self.server.run_id()))
    }

    /// What the server calls itself: its `run_id`, which is the same for localhost, 127.0.0.1 and the unix socket; or
    /// the address of one that has none.
    pub(crate) fn identity(&self, info: &InfoDict) -> String {
        self.identity_of(run_id(info))
    }

    fn identity_of(&self, run_id: Option<String>) -> String {
        run_id.unwrap_or_else(|| self.server.address().replace(|other: char| !other.is_ascii_alphanumeric(), "-"))
    }
}

/// What tells this server from every other, where it says so.
fn run_id(info: &InfoDict) -> Option<String> {
    as_file_name(&info.get::<String>("run_id").unwrap_or_default())
}

/// A `run_id` that can be the name of a file.
fn as_file_name(run_id: &str) -> Option<String> {
    let is_name = !run_id.is_empty() && run_id.chars().all(|digit| digit.is_ascii_alphanumeric());
    is_name.then(|| run_id.to_owned())
}

/// The file that says that this database of that server is used by tests.
fn memory(identity: &str, database: u32) -> String {
    format!("{identity}.{database}")
}

/// The file that keeps tests from using that server at once.
///
/// # Errors
///
/// When its directory can't be made.
pub(crate) fn lease_file(identity: &str) -> io::Result<PathBuf> {
    Ok(cache::subdirectory("running")?.join(identity))
}

struct Failure {
    why: String,
    error: RedisError,
    /// Whether there is something at the address.
    answered: bool,
}

fn connect(url: &Url) -> Result<(Connection, InfoDict), Failure> {
    let attempt = || -> Result<(Connection, InfoDict), RedisError> {
        let start = Instant::now();
        let mut connection = Client::open(url.clone())?.get_connection_with_timeout(ANSWER_WITHIN)?;
        connection.set_write_timeout(Some(ANSWER_WITHIN))?;
        // Somebody who is silent was silent at the handshake already, which forgives it.
        let left = ANSWER_WITHIN.saturating_sub(start.elapsed()).max(Duration::from_millis(1));
        connection.set_read_timeout(Some(left))?;
        let info = cmd("INFO").query(&mut connection)?;
        connection.set_read_timeout(Some(ANSWER_WITHIN))?;
        Ok((connection, info))
    };
    again_if_stopped(attempt).map_err(|error| explain(url, error))
}

fn explain(url: &Url, error: RedisError) -> Failure {
    let shown = facts::shown(url);
    let text = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    let tls = matches!(url.scheme(), "rediss" | "valkeys");
    let io = io_kind(&error);
    let denied = matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM"));
    let (why, answered) = match error.kind() {
        ErrorKind::InvalidClientConfig if tls => (report::running::no_tls(&shown), true),
        ErrorKind::AuthenticationFailed => (report::running::denied(&shown, &text), true),
        _ if denied => (report::running::denied(&shown, &text), true),
        // A server without TLS waits for the end of the line.
        _ if error.is_timeout() && tls => (report::running::tls_failed(&shown, &text), false),
        _ if error.is_timeout() => (report::running::silent(&shown, ANSWER_WITHIN), false),
        _ if error.is_connection_refusal() || io == Some(io::ErrorKind::NotFound) => {
            (report::running::unreachable(&shown, &text), false)
        }
        _ if tls => (report::running::tls_failed(&shown, &text), true),
        // Only a Redis has errors with codes: BUSY, LOADING, …
        _ if error.code().is_some() => (report::running::answers_with_error(&shown, &text), true),
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType | ErrorKind::Extension | ErrorKind::Server(_) => {
            (report::running::not_redis(&shown, &text), true)
        }
        _ if error.is_connection_dropped() => (report::running::not_redis(&shown, &text), true),
        _ => (report::running::unreachable(&shown, &text), false),
    };
    Failure { why, error, answered }
}

fn fallen(named: bool, why: String) -> Fallen {
    let remedy = if named { report::running::REMEDY_NAMED } else { report::running::REMEDY_GUESSED };
    Fallen { rung: Provider::Running.to_string(), why, remedy: remedy.to_owned() }
}
