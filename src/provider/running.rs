//! The provider `running`: a server that was running before us, and that other programs may use.

use std::fmt::Display;
use std::io;
use std::time::Duration;

use redis::{Client, Connection, InfoDict, RedisResult, cmd};
use url::Url;

use super::first_contact::{self, NoReplies};
use super::run::RunFact;
use super::select::no_server;
use super::suitability::{self, Unfit};
use super::{Server, Unavailable, server};
use crate::cache;
use crate::error::{Error, Kind};
use crate::redis_io::retry_if_interrupted;
use crate::report;
use crate::settings::{Origin, Provider, Settings};

/// The timeout of the first contact with a named server. A loopback server takes a fraction of a millisecond.
const NAMED_ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// The same for the default address.
const GUESSED_ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// The timeout of each later answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A running server that we may use.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) server: Server,
    contact: Contact,
}

/// Why there is no running server to use.
pub(crate) enum AttemptError {
    /// Nothing answers, or only an unsuitable server at the default address: try the next provider.
    Skip(Unavailable),
    /// The user named this server, and it can't be used: report it.
    Abort(Error),
}

/// Finds the running server.
///
/// # Errors
///
/// Returns an error if nothing answers, the peer is not a Redis that accepts us, or the server is unsuitable.
pub(crate) fn find(settings: &Settings) -> Result<Running, AttemptError> {
    let origin = settings.redis_url_origin();
    let is_named = origin != Origin::Default;
    let no_url = || {
        AttemptError::Skip(unavailable(
            report::running::unreachable(&report::redact(settings.redis_url()), report::running::NO_URL),
            is_named,
        ))
    };
    let url = redis::parse_redis_url(settings.redis_url()).ok_or_else(no_url)?;
    let contact = Contact { url, is_named, databases: settings.databases().numbers() };
    // A silent default address costs its one second only once in a run.
    let silence = RunFact::new(&format!("silent {}", settings.redis_url()));
    if let Some(why) = silence.read().filter(|_| !is_named) {
        return Err(AttemptError::Skip(unavailable(why, is_named)));
    }
    let found = contact
        .check_address(matches!(origin, Origin::Environment(_)), &origin)
        .and_then(|()| contact.info())
        .and_then(|info| contact.server(&info))
        .and_then(|server| check_cache().map(|()| server));
    match found {
        Ok(server) => Ok(Running { server, contact }),
        // A named server that answers but can't be used is an error: another server would hide it.
        Err(failure) if is_named && failure.answered => Err(AttemptError::Abort(failure.into_error())),
        Err(failure) => {
            if failure.is_silence && !is_named {
                silence.write(&failure.why);
            }
            Err(AttemptError::Skip(failure.into_unavailable(is_named)))
        }
    }
}

/// Checks that the cache is writable: leases on a shared server take turns by a file there.
fn check_cache() -> Result<(), ConnectError> {
    let written = cache::shared_subdirectory("running").and_then(|directory| {
        let probe = directory.join(format!("probe-{}", std::process::id()));
        cache::write_private(&probe, "").and_then(|()| std::fs::remove_file(probe))
    });
    written.map_err(|error| ConnectError {
        why: report::running::no_cache(&cache::directory(), &error),
        remedy: Some(report::running::REMEDY_NO_CACHE.to_owned()),
        answered: true,
        is_refusal: false,
        is_silence: false,
    })
}

impl Running {
    /// Returns whether the user named the server. Otherwise it is at the default address.
    pub(crate) fn is_named(&self) -> bool {
        self.contact.is_named
    }

    /// Opens a connection for one lease, and returns the server that answers now: another one may have taken its place.
    ///
    /// # Errors
    ///
    /// Returns an error that [`Error::is_server`] if the server does not answer, or that [`Error::is_refused`] if its
    /// data is not for tests.
    pub(crate) fn connect(&self) -> Result<(Connection, Server), Error> {
        let lost = |failure: ConnectError| {
            let report = report::running::not_again(&self.server, &failure.why, failure.remedy.as_deref());
            Error::new(Kind::Server, report)
        };
        let info = self.contact.info().map_err(|failure| {
            if failure.is_refusal { Error::new(Kind::Refused, failure.why) } else { lost(failure) }
        })?;
        let connect = || -> RedisResult<(Connection, InfoDict)> {
            let mut connection = Client::open(self.contact.url.clone())?.get_connection_with_timeout(ANSWER_WITHIN)?;
            connection.set_write_timeout(Some(ANSWER_WITHIN))?;
            connection.set_read_timeout(Some(ANSWER_WITHIN))?;
            let info = cmd("INFO").arg("server").query(&mut connection)?;
            Ok((connection, info))
        };
        let (connection, now) = retry_if_interrupted(connect)
            .map_err(|error| Error::with_source(Kind::Server, report::server_lost(&self.server), error))?;
        let run_id = |info: &InfoDict| info.get::<String>("run_id").unwrap_or_default();
        if run_id(&info) != run_id(&now) {
            return Err(Error::new(Kind::Server, report::running::replaced(&self.server)));
        }
        if run_id(&now) == self.server.run_id() {
            return Ok((connection, self.server.clone()));
        }
        let server = self.contact.server(&now).map_err(lost)?;
        Ok((connection, server))
    }

    /// Returns the URL for messages, without secrets.
    pub(crate) fn shown_url(&self) -> String {
        self.contact.shown()
    }
}

/// The address of a running server, for the first contact.
#[derive(Clone)]
struct Contact {
    url: Url,
    is_named: bool,
    databases: [u32; 2],
}

impl Contact {
    fn shown(&self) -> String {
        server::shown(&self.url)
    }

    fn within(&self) -> Duration {
        if self.is_named { NAMED_ANSWERS_WITHIN } else { GUESSED_ANSWERS_WITHIN }
    }

    /// Returns the INFO of a suitable server.
    fn info(&self) -> Result<InfoDict, ConnectError> {
        if matches!(self.url.scheme(), "rediss" | "valkeys") && !has_tls(&self.url) {
            return Err(ConnectError::of(
                report::running::no_tls(&self.shown()),
                Some(report::running::REMEDY_NO_TLS),
                true,
            ));
        }
        let (auth, replies) = first_contact::ask(
            &self.url,
            &suitability::questions(self.databases),
            &suitability::queued_commands(),
            self.within(),
        )
        .map_err(|error| self.explain(error))?;
        suitability::check_replies(&self.url, &self.shown(), self.databases, auth, replies).map_err(ConnectError::from)
    }

    fn server(&self, info: &InfoDict) -> Result<Server, ConnectError> {
        let [sessions, _] = self.databases;
        Server::new(Provider::Running, self.url.clone(), info, sessions, None).map_err(|error| {
            ConnectError::of(report::running::unreachable(&self.shown(), &error.to_string()), None, false)
        })
    }

    fn explain(&self, error: NoReplies) -> ConnectError {
        let shown = self.shown();
        match error {
            NoReplies::Unreachable(error) => self.explain_unreachable(&error),
            NoReplies::Silent if matches!(self.url.scheme(), "rediss" | "valkeys") => {
                // A server without TLS waits for the end of a line.
                let why = report::running::tls_failed(&shown, &report::running::timed_out(self.within()));
                ConnectError::of(why, Some(report::running::REMEDY_TLS_FAILED), false)
            }
            NoReplies::Silent => {
                let why = report::running::silent(&shown, self.within());
                ConnectError { is_silence: true, ..ConnectError::of(why, None, false) }
            }
            NoReplies::HungUp(replies) => match suitability::first_reply_text(&replies) {
                Some(words) => suitability::check_first_reply(&shown, &words).into(),
                None => {
                    ConnectError::of(report::running::hung_up(&shown), Some(report::running::REMEDY_NOT_REDIS), true)
                }
            },
            // The first bytes of a TLS alert.
            NoReplies::NotRedis(bytes) if bytes.starts_with(&[0x15, 0x03]) => {
                ConnectError::of(report::running::speaks_tls(&shown), Some(report::running::REMEDY_SPEAKS_TLS), true)
            }
            NoReplies::NotRedis(bytes) => {
                let words = String::from_utf8_lossy(&bytes);
                let why = report::running::not_redis(&shown, &words);
                ConnectError::of(why, Some(report::running::REMEDY_NOT_REDIS), true)
            }
            NoReplies::Tls(error) if error.is_connection_refusal() => {
                ConnectError::of(report::running::unreachable(&shown, &error.to_string()), None, false)
            }
            NoReplies::Tls(error) => {
                let answered = !error.is_timeout();
                let why = report::running::tls_failed(&shown, &error.to_string());
                ConnectError::of(why, Some(report::running::REMEDY_TLS_FAILED), answered)
            }
        }
    }

    fn explain_unreachable(&self, error: &io::Error) -> ConnectError {
        let why = report::running::unreachable(&self.shown(), &error.to_string());
        let remedy = match error.kind() {
            io::ErrorKind::PermissionDenied => Some(report::running::REMEDY_PERMISSION),
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable => {
                Some(report::running::REMEDY_NETWORK)
            }
            _ => None,
        };
        ConnectError::of(why, remedy, error.kind() == io::ErrorKind::PermissionDenied)
    }

    /// Rejects a server on another machine unless the environment names it: test.ini is shared and copied.
    fn check_address(&self, named_in_environment: bool, place: &dyn Display) -> Result<(), ConnectError> {
        let host = self.url.host_str().filter(|host| !host.is_empty());
        let (false, Some(host)) = (named_in_environment, host) else { return Ok(()) };
        let addresses = first_contact::addresses(host, 0, self.within()).map_err(|error| self.explain(error))?;
        if addresses.iter().all(|address| address.ip().is_loopback()) {
            return Ok(());
        }
        let why = report::refused::not_local(&report::redact(self.url.as_str()), place);
        Err(ConnectError { is_refusal: true, ..ConnectError::of(why, None, true) })
    }
}

/// Returns whether this build of the redis crate supports TLS.
fn has_tls(url: &Url) -> bool {
    Client::open(url.clone()).is_ok()
}

/// Why a running server is not used.
struct ConnectError {
    why: String,
    /// `None` if the provider's default remedy applies.
    remedy: Option<String>,
    /// Whether a peer answered at this address.
    answered: bool,
    /// Whether its data is not for tests.
    is_refusal: bool,
    /// Whether there was no answer in time.
    is_silence: bool,
}

impl ConnectError {
    fn of(why: String, remedy: Option<&str>, answered: bool) -> Self {
        Self { why, remedy: remedy.map(str::to_owned), answered, is_refusal: false, is_silence: false }
    }

    fn into_error(self) -> Error {
        if self.is_refusal { Error::new(Kind::Refused, self.why) } else { no_server(&[self.into_unavailable(true)]) }
    }

    fn into_unavailable(self, is_named: bool) -> Unavailable {
        let why = if self.is_refusal { report::running::not_used(&self.why) } else { self.why };
        let unavailable = unavailable(why, is_named);
        match self.remedy {
            Some(remedy) => Unavailable { remedy, ..unavailable },
            // A refusal ends with its remedy.
            None if self.is_refusal => Unavailable { remedy: String::new(), ..unavailable },
            None => unavailable,
        }
    }
}

impl From<Unfit> for ConnectError {
    fn from(unfit: Unfit) -> Self {
        let remedy = Some(unfit.remedy).filter(|remedy| !remedy.is_empty());
        Self { why: unfit.why, remedy, answered: true, is_refusal: unfit.is_refusal, is_silence: false }
    }
}

/// Describes a server that was refused.
pub(super) fn refused(refusal: &Error) -> Unavailable {
    let why = report::running::not_used(&refusal.to_string());
    Unavailable { remedy: String::new(), ..unavailable(why, false) }
}

fn unavailable(why: String, is_named: bool) -> Unavailable {
    let remedy = if is_named { report::running::REMEDY_NAMED } else { report::running::REMEDY_GUESSED };
    Unavailable { provider: Provider::Running.to_string(), why, remedy: remedy.to_owned() }
}
