//! The rung `running`: a server that is there already, and that others may be using.

use std::fmt::Display;
use std::io;
use std::net::ToSocketAddrs;
use std::time::{Duration, Instant};

use redis::{Client, Connection, ErrorKind, InfoDict, RedisError, cmd};
use url::Url;

use super::select::no_server;
use super::{Server, Unavailable, server};
use crate::error::{Error, Kind};
use crate::redis_io::{io_kind, retry_if_interrupted};
use crate::report;
use crate::settings::{Origin, Provider, Settings};

/// To connect, and for each answer. A loopback server takes a fraction of a millisecond.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A running server that we may use.
pub(crate) struct Running {
    pub(crate) server: Server,
    url: Url,
    /// The number of the database for sessions and cache.
    sessions: u32,
    /// Whether somebody named it; else it is at the address where a Redis usually is.
    pub(crate) is_named: bool,
}

/// Why there is no running server to use.
pub(crate) enum Stop {
    /// Nothing is there, or only something that nobody named: the next provider is tried.
    Next(Unavailable),
    /// Somebody named this server, and it can't be used: that is for them to know.
    End(Error),
}

/// # Errors
///
/// When nothing answers, when what answers is no Redis that lets us in, and when it does not fit.
pub(crate) fn find(settings: &Settings) -> Result<Running, Stop> {
    let origin = settings.redis_url_origin();
    let is_named = origin != Origin::Default;
    let url = redis::parse_redis_url(settings.redis_url()).ok_or_else(|| {
        Stop::Next(unavailable(is_named, report::running::unreachable(settings.redis_url(), "no URL")))
    })?;
    check_address(&url, matches!(origin, Origin::Environment(_)), &origin).map_err(|error| {
        if !error.is_refused() {
            Stop::Next(unavailable(is_named, error.to_string()))
        } else if is_named {
            Stop::End(error)
        } else {
            Stop::Next(refused(&error))
        }
    })?;
    let (_, info) = connect(&url).map_err(|failure| {
        let unavailable = unavailable(is_named, failure.why);
        // Where a server answers and its name was given, another one would hide what is wrong.
        if is_named && failure.answered {
            Stop::End(Error::with_source(Kind::NoServer, no_server(&[unavailable]).to_string(), failure.error))
        } else {
            Stop::Next(unavailable)
        }
    })?;
    let (sessions, _) = settings.databases();
    let server = Server::new(Provider::Running, url.clone(), &info, sessions, None).map_err(|error| {
        Stop::Next(unavailable(is_named, report::running::unreachable(settings.redis_url(), &error.to_string())))
    })?;
    let running = Running { server, url, sessions, is_named };
    running.check_role(&info).map_err(|error| if is_named { Stop::End(error) } else { Stop::Next(refused(&error)) })?;
    Ok(running)
}

impl Running {
    /// A connection for one lease, and the server that answers now: another one may have taken its place.
    ///
    /// # Errors
    ///
    /// [`Error::is_server`] when it answers no more; [`Error::is_refused`] when it does not fit any more.
    pub(crate) fn connect(&self) -> Result<(Connection, Server), Error> {
        let (connection, info) = connect(&self.url).map_err(|failure| {
            let report = report::server_lost(&self.server, &failure.why);
            Error::with_source(Kind::Server, report, failure.error)
        })?;
        self.check_role(&info)?;
        if info.get::<String>("run_id").as_deref() == Some(self.server.run_id()) {
            return Ok((connection, self.server.clone()));
        }
        let server = Server::new(Provider::Running, self.url.clone(), &info, self.sessions, None)
            .map_err(|error| Error::with_source(Kind::Server, report::server_lost(&self.server, &error), error))?;
        Ok((connection, server))
    }

    /// The URL as it may be shown.
    pub(crate) fn shown_url(&self) -> String {
        server::shown(&self.url)
    }

    /// # Errors
    ///
    /// [`Error::is_refused`] where the server is a replica, still loading, or of a mode that has no numbered databases.
    fn check_role(&self, info: &InfoDict) -> Result<(), Error> {
        let url = self.shown_url();
        let refuse = |report: String| Err(Error::new(Kind::Refused, report));
        let field = |name: &str| info.get::<String>(name).unwrap_or_default();
        // Valkey 9 has another name for it.
        for mode in [field("redis_mode"), field("server_mode")] {
            if !matches!(mode.as_str(), "" | "standalone") {
                return refuse(report::refused::mode(&url, &mode));
            }
        }
        if field("role") == "slave" {
            return refuse(report::refused::replica(&url));
        }
        if field("loading") == "1" {
            return refuse(report::refused::loading(&url));
        }
        Ok(())
    }
}

/// Only the environment can name a server on another machine: test.ini is shared, and copied.
///
/// # Errors
///
/// [`Error::is_refused`] where the server is on another machine, and only test.ini (`place`) says so;
/// [`Error::is_no_server`] where its name can't be looked up.
fn check_address(url: &Url, named_in_environment: bool, place: &dyn Display) -> Result<(), Error> {
    if named_in_environment {
        return Ok(());
    }
    let local = is_local(url).map_err(|error| {
        let report = report::running::unreachable(&report::redact(url.as_str()), &error.to_string());
        Error::with_source(Kind::NoServer, report, error)
    });
    if local? {
        return Ok(());
    }
    Err(Error::new(Kind::Refused, report::refused::not_local(&report::redact(url.as_str()), place)))
}

/// Loopback or a unix socket. A name counts if all its addresses are loopback.
fn is_local(url: &Url) -> io::Result<bool> {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Ok(true);
    }
    Ok((host, 0).to_socket_addrs()?.all(|address| address.ip().is_loopback()))
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
    retry_if_interrupted(attempt).map_err(|error| explain(url, error))
}

fn explain(url: &Url, error: RedisError) -> Failure {
    let shown = server::shown(url);
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

/// A server that is not used since `refusal` says why.
pub(super) fn refused(refusal: &Error) -> Unavailable {
    unavailable(false, format!("not used: failed to {refusal}"))
}

fn unavailable(named: bool, why: String) -> Unavailable {
    let remedy = if named { report::running::REMEDY_NAMED } else { report::running::REMEDY_GUESSED };
    Unavailable { provider: Provider::Running.to_string(), why, remedy: remedy.to_owned() }
}
