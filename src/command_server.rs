//! The server of a command: what `cargo transient exec` needs of this crate.

use std::io;
use std::process::{Child, Command};
use std::time::Duration;

use redis::ConnectionAddr;
use url::Url;

use crate::error::{Error, Kind};
use crate::lease::acquire::acquire;
use crate::lease::{Ending, Lease};
use crate::provider::{Server, select};
use crate::report;
use crate::settings::{Provider, ServerOptions, Settings};
#[cfg(feature = "tap")]
use crate::tap::rewrite::{self, Rewrite};
#[cfg(feature = "tap")]
use crate::tap::{self, Tap};
use crate::time::Ageing;

/// Tries a provider as the settings describe it, and returns a line about its server.
///
/// # Errors
///
/// Returns why it has no server, and what to do, which is empty where the reason says so. The outer error is one of the
/// settings.
pub fn diagnose(provider: Provider) -> Result<Result<String, [String; 2]>, Error> {
    let settings = Settings::load_for_command(ServerOptions::of(Some(provider)))?;
    Ok(select::diagnose(provider, &settings).map_err(|unavailable| [unavailable.why, unavailable.remedy]))
}

/// Loads the settings of a command that asks for the running server, which is the one at `url` if there is one.
///
/// # Errors
///
/// Returns the errors of [`Settings::load`].
pub fn running_settings(url: Option<&str>) -> Result<Settings, Error> {
    let settings = Settings::load_for_command(ServerOptions::of(Some(Provider::Running)))?;
    Ok(match url {
        Some(url) => settings.with_url(url),
        None => settings,
    })
}

/// Returns the providers that tests try, in order, and those that a command tries.
///
/// # Errors
///
/// Returns the errors of [`Settings::load`].
pub fn providers() -> Result<[Vec<Provider>; 2], Error> {
    let command = Settings::load_for_command(ServerOptions::of(None))?;
    Ok([select::providers(&Settings::load()?), select::providers(&command)])
}

/// Starts the command. On Linux it is killed if this process is. Call it on the main thread.
///
/// # Errors
///
/// Returns an error if it can't be started.
pub fn start_command(command: &mut Command) -> io::Result<Child> {
    #[cfg(unix)]
    return crate::provider::start_command(command);
    #[cfg(not(unix))]
    command.spawn()
}

/// Makes time pass, as [`TestRequest::travel`](crate::TestRequest::travel) does for the test databases.
pub struct TimeTravel<'server>(Ageing<'server>);

impl TimeTravel<'_> {
    /// Ages these databases.
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_server`](Error::is_server) if the server does not answer, or does not remove expired
    /// keys.
    pub fn travel(&mut self, time: Duration, databases: &[u32]) -> Result<(), Error> {
        self.0.age(time, databases, &[])
    }
}

/// A server that a command has for itself until this is ended, or the process ends.
#[derive(Debug)]
pub struct CommandServer {
    lease: Lease,
    database: u32,
    url: Url,
    address: ConnectionAddr,
}

impl CommandServer {
    /// Starts a server, or takes a turn on a running one if the options name that provider. Its databases are empty.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`TestRequest::try_clean`](crate::TestRequest::try_clean), and one that
    /// [`is_refused`](Error::is_refused) for a database of a running server that is not a test database.
    pub fn start(command: &str, options: &ServerOptions) -> Result<Self, Error> {
        let settings = Settings::load_for_command(*options)?;
        // The lease of a test borrows the settings of the process, and this process has one command.
        let lease = acquire(Box::leak(Box::new(settings)), command, true)?;
        let [sessions, jobs] = lease.databases();
        let is_running = lease.server.provider() == Provider::Running;
        let database = options.database.unwrap_or(if is_running { sessions } else { 0 });
        if is_running && ![sessions, jobs].contains(&database) {
            let report = report::command::not_a_test_database(&lease.server, database, sessions, jobs);
            return Err(Error::new(Kind::Refused, report));
        }
        let invalid = |error: Box<dyn std::error::Error + Send + Sync>| {
            Error::with_source(Kind::Server, report::server_lost(&lease.server), error)
        };
        let endpoint = lease.server.endpoint(database).map_err(|error| invalid(error.into()))?;
        let mut url = Url::parse(&endpoint.url).map_err(|error| invalid(error.into()))?;
        if lease.server.has_password_of_its_own() {
            // redis-cli takes an empty name for a user's. The URLs of hosted servers have this one as well.
            let _ = url.set_username("default");
        }
        let address = endpoint.address().clone();
        Ok(Self { lease, database, url, address })
    }

    /// Returns the server.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.lease.server
    }

    /// Returns the URL of the database, with the password.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Returns the host, or `None` if the server has only a Unix socket.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.url.host_str().filter(|host| !host.is_empty())
    }

    /// Returns the port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.url.port().unwrap_or(6379)
    }

    /// Returns where the server listens.
    #[must_use]
    pub fn address(&self) -> &ConnectionAddr {
        &self.address
    }

    /// Returns the password, or `None` if the server has none.
    #[must_use]
    pub fn password(&self) -> Option<&str> {
        self.url.password()
    }

    /// Returns the number of the database.
    #[must_use]
    pub fn database(&self) -> u32 {
        self.database
    }

    /// Returns the numbers of the test databases, which a running server is limited to.
    #[must_use]
    pub fn test_databases(&self) -> [u32; 2] {
        self.lease.databases()
    }

    /// Returns a connection that makes time pass on the server.
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_server`](Error::is_server) if the server does not answer.
    pub fn time_travel(&self) -> Result<TimeTravel<'_>, Error> {
        Ok(TimeTravel(Ageing::of(&self.lease)?))
    }

    /// Starts a tap in front of the server.
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_server`](Error::is_server) if the server is gone.
    #[cfg(feature = "tap")]
    pub fn tap(&self) -> Result<CommandTap, Error> {
        self.with_url(tap::tap(&self.lease)?)
    }

    /// Starts a tap in front of the server, which rewrites commands.
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_server`](Error::is_server) if the server is gone.
    #[cfg(feature = "tap")]
    pub fn rewriting_tap(&self, rewrite: Box<dyn Rewrite>) -> Result<CommandTap, Error> {
        self.with_url(rewrite::rewriting_tap(&self.lease, rewrite)?)
    }

    #[cfg(feature = "tap")]
    fn with_url(&self, tap: Tap) -> Result<CommandTap, Error> {
        let mut url = Url::parse(tap.redis_url())
            .map_err(|error| Error::with_source(Kind::Server, report::server_lost(&self.lease.server), error))?;
        url.set_path(&self.database.to_string());
        if url.password().is_some() && url.username().is_empty() {
            // As for the server's.
            let _ = url.set_username("default");
        }
        Ok(CommandTap { tap, url })
    }

    /// Ends the server, or the turn on a running one. With `TRANSIENT_KEEP`, the server of a command that has failed
    /// keeps running.
    pub fn end(self, failed: bool) {
        self.lease.end(Ending { in_use: false, failed, with_test: true });
    }
}

/// A tap in front of the server of a command. It ends when it is dropped.
#[cfg(feature = "tap")]
#[derive(Debug)]
pub struct CommandTap {
    tap: Tap,
    url: Url,
}

#[cfg(feature = "tap")]
impl CommandTap {
    /// Returns the URL of the database through the tap, with the password.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Returns the host.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.url.host_str()
    }

    /// Returns the port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.url.port().unwrap_or(6379)
    }

    /// Returns where the tap listens for this user alone.
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_server`](Error::is_server) if there is no directory for its socket.
    #[cfg(unix)]
    pub fn address(&self) -> Result<ConnectionAddr, Error> {
        self.tap.socket().map(ConnectionAddr::Unix)
    }

    /// Returns where the tap listens.
    ///
    /// # Errors
    ///
    /// Returns none.
    #[cfg(not(unix))]
    pub fn address(&self) -> Result<ConnectionAddr, Error> {
        Ok(ConnectionAddr::Tcp(self.host().unwrap_or_default().to_owned(), self.port()))
    }

    /// Ends the recording of a command that has ended. A connection that another process still has is waited for only
    /// for this time.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Tap::finish_recording`].
    pub fn finish_recording(&self, at_most: Duration) -> Result<(), Error> {
        self.tap.wait_closed(at_most);
        self.tap.finish_recording()
    }

    /// Forwards the commands of one connection at a time, so that the server executes them in the order of the record.
    /// Call this before the command starts.
    pub fn take_turns(&self) {
        self.tap.take_turns();
    }

    /// Returns the tap itself, which records.
    pub fn tap(&self) -> &Tap {
        &self.tap
    }
}
