//! What may be flushed, and why not.
//!
//! Losing somebody's data is the one unforgivable failure. Everything here happens before the first write, and only
//! for running servers: what we started holds nothing but what tests put there.

use std::fmt::Display;
use std::io;
use std::net::ToSocketAddrs;

use redis::{Connection, ErrorKind, InfoDict, RedisError, RedisResult, ServerErrorKind, cmd};
use url::Url;

use crate::error::{Error, Kind};
use crate::report;

/// Left at release in a test database that is not empty, removed at the next lease. It outlives a restart of the
/// server, which changes its `run_id`.
pub(crate) const MARKER: &str = "transient-fixtures:left-by-tests";

/// # Errors
///
/// [`Error::is_refused`] where the server is on another machine, and only test.ini (`place`) says so;
/// [`Error::is_no_server`] where its name is nobody's.
pub(crate) fn check_address(url: &Url, named_in_environment: bool, place: &dyn Display) -> Result<(), Error> {
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
    Err(refuse(report::refused::not_local(&report::redact(url.as_str()), place)))
}

/// # Errors
///
/// [`Error::is_refused`] where the server is a replica, still loading, or of a mode that has no numbered databases.
pub(crate) fn check_role(info: &InfoDict, url: &str) -> Result<(), Error> {
    let field = |name: &str| info.get::<String>(name).unwrap_or_default();
    // Valkey 9 has another name for it.
    for mode in [field("redis_mode"), field("server_mode")] {
        if !matches!(mode.as_str(), "" | "standalone") {
            return Err(refuse(report::refused::mode(url, &mode)));
        }
    }
    if field("role") == "slave" {
        return Err(refuse(report::refused::replica(url)));
    }
    if field("loading") == "1" {
        return Err(refuse(report::refused::loading(url)));
    }
    Ok(())
}

/// What is known of the data in a running server's test databases.
#[derive(Clone, Copy)]
pub(crate) struct Known<'known> {
    /// Whether an earlier run of ours used that database of this very server (its `run_id`). Asked after keys were
    /// seen: another test of ours signs before it writes, so that its keys are never taken for somebody's.
    pub(crate) used_before: &'known dyn Fn(u32) -> bool,
    /// `redis.adopt`: the user says that anything there may go.
    pub(crate) adopt: bool,
}

/// # Errors
///
/// [`Error::is_refused`] where a test database is missing or holds keys that are not known to be ours.
pub(crate) fn check_databases(
    connection: &mut Connection,
    databases: [u32; 2],
    known: Known<'_>,
    url: &str,
) -> Result<(), Error> {
    for database in databases {
        check_database(connection, database, known, url).map_err(|failure| match failure {
            Failure::Refused(report) => refuse(report),
            Failure::Redis(error) => Error::with_source(Kind::Server, report::server_lost(&url, &error), error),
        })?;
    }
    Ok(())
}

enum Failure {
    Refused(String),
    Redis(RedisError),
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

fn check_database(connection: &mut Connection, database: u32, known: Known<'_>, url: &str) -> Result<(), Failure> {
    let selected: RedisResult<()> = cmd("SELECT").arg(database).query(connection);
    if let Err(error) = selected {
        return Err(match error.kind() {
            ErrorKind::Server(ServerErrorKind::ResponseError) | ErrorKind::Extension => {
                Failure::Refused(report::refused::no_such_database(url, database, &error.to_string()))
            }
            _ => Failure::Redis(error),
        });
    }
    let count: u64 = cmd("DBSIZE").query(connection)?;
    if count == 0 || (known.used_before)(database) || known.adopt || cmd("EXISTS").arg(MARKER).query(connection)? {
        return Ok(());
    }
    let example: Option<Vec<u8>> = cmd("RANDOMKEY").query(connection)?;
    let example = report::shorten_key(&example.unwrap_or_default());
    Err(Failure::Refused(report::refused::foreign_keys(url, database, count, &example)))
}

fn refuse(report: String) -> Error {
    Error::new(Kind::Refused, report)
}

/// Loopback or a unix socket. A name counts if all its addresses are loopback.
fn is_local(url: &Url) -> io::Result<bool> {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Ok(true);
    }
    Ok((host, 0).to_socket_addrs()?.all(|address| address.ip().is_loopback()))
}
