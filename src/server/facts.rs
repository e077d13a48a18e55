//! What a test can ask of its server.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::{Client, Connection, InfoDict, RedisResult, cmd};
use url::Url;

#[cfg(unix)]
use super::clock::Clock;
use crate::report;
use crate::settings::Provider;

/// The server of a test: where it comes from, what it is, and how to reach it.
///
/// Its [`Display`](fmt::Display) is one line without secrets: `Valkey 9.1.2 at 127.0.0.1:40127 (download)`.
///
/// ```
/// use transient_fixtures::TestRequest;
///
/// let test_request = TestRequest::new();
/// let server = test_request.server();
/// println!("{} {} from the rung {}", server.product(), server.version(), server.provider());
/// println!("look around: {}", server.cli());
/// ```
#[derive(Clone)]
pub struct Server(Arc<Facts>);

struct Facts {
    provider: Provider,
    product: &'static str,
    version: String,
    run_id: String,
    process_id: Option<u32>,
    url: Url,
    sessions: u32,
    /// Parsed once, and not for every test.
    endpoints: Mutex<Vec<(u32, Arc<Endpoint>)>>,
    #[cfg(unix)]
    clock: Option<Clock>,
}

/// One of a server's databases, as a test reaches it.
pub(crate) struct Endpoint {
    pub(crate) url: String,
    pub(crate) client: Client,
}

impl Server {
    /// `url` leads to the server; `info` is its INFO; `sessions` is the database that [`Server::cli`] opens.
    pub(crate) fn new(provider: Provider, url: Url, info: &InfoDict, sessions: u32) -> Self {
        let field = |name: &str| info.get::<String>(name);
        let (product, version) = match field("valkey_version") {
            Some(version) => ("Valkey", version),
            None => ("Redis", field("redis_version").unwrap_or_else(|| "of unknown version".to_owned())),
        };
        let run_id = field("run_id").unwrap_or_default();
        Self(Arc::new(Facts {
            provider,
            product,
            version,
            run_id,
            process_id: info.get("process_id"),
            url,
            sessions,
            endpoints: Mutex::default(),
            #[cfg(unix)]
            clock: None,
        }))
    }

    /// The same server, with a clock that can be moved.
    #[cfg(unix)]
    pub(crate) fn with_clock(mut self, clock: Option<Clock>) -> Self {
        if let Some(facts) = Arc::get_mut(&mut self.0) {
            facts.clock = clock;
        }
        self
    }

    /// Its clock, where it can be moved.
    #[cfg(unix)]
    pub(crate) fn clock(&self) -> Option<&Clock> {
        self.0.clock.as_ref()
    }

    /// Whether [`TestRequest::travel`](crate::TestRequest::travel) moves the server's own clock (`redis.clock = whole`),
    /// with TIME, ids of streams and all windows that are computed from them; else it ages the keys.
    #[must_use]
    pub fn has_whole_clock(&self) -> bool {
        #[cfg(unix)]
        return self.0.clock.is_some();
        #[cfg(not(unix))]
        false
    }

    /// The rung of the ladder that it came from.
    #[must_use]
    pub fn provider(&self) -> Provider {
        self.0.provider
    }

    /// `Redis` or `Valkey`.
    #[must_use]
    pub fn product(&self) -> &str {
        self.0.product
    }

    /// The version, as the server says it: `7.0.15`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.0.version
    }

    /// Host and port, or the path of the unix socket.
    #[must_use]
    pub fn address(&self) -> String {
        match self.0.url.host_str().filter(|host| !host.is_empty()) {
            Some(host) => format!("{host}:{}", self.port()),
            None => self.0.url.path().to_owned(),
        }
    }

    /// The command that opens the sessions' database in a terminal. A password is left out: put it into
    /// `REDISCLI_AUTH`.
    #[must_use]
    pub fn cli(&self) -> String {
        let command = if self.0.product == "Valkey" { "valkey-cli" } else { "redis-cli" };
        let tls = if matches!(self.0.url.scheme(), "rediss" | "valkeys") { " --tls" } else { "" };
        let user = match self.0.url.username() {
            "" => String::new(),
            user => format!(" --user {user}"),
        };
        let database = self.0.sessions;
        match self.0.url.host_str().filter(|host| !host.is_empty()) {
            // The brackets of an IPv6 address are the URL's.
            Some(host) => {
                let host = host.trim_matches(['[', ']']);
                format!("{command} -h {host} -p {}{user}{tls} -n {database}", self.port())
            }
            None => format!("{command} -s {}{user} -n {database}", self.0.url.path()),
        }
    }

    /// The command that ends it. A process of this machine may be all that there is, without a client.
    pub(crate) fn end_command(&self) -> String {
        match (self.provider(), self.0.process_id) {
            (Provider::Process | Provider::Download, Some(process)) => format!("kill {process}"),
            _ => format!("{} shutdown nosave", self.cli()),
        }
    }

    /// The URL of one of its databases, with the password if there is one.
    pub(crate) fn url(&self, database: u32) -> String {
        database_url(&self.0.url, database)
    }

    /// One of its databases.
    ///
    /// # Errors
    ///
    /// When the URL is none to redis.
    pub(crate) fn endpoint(&self, database: u32) -> RedisResult<Arc<Endpoint>> {
        let mut endpoints = self.0.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, endpoint)) = endpoints.iter().find(|(number, _)| *number == database) {
            return Ok(endpoint.clone());
        }
        let url = self.url(database);
        let endpoint = Arc::new(Endpoint { client: Client::open(url.as_str())?, url });
        endpoints.push((database, endpoint.clone()));
        Ok(endpoint)
    }

    /// Another connection to this very server, which answers `within` that time: at its address may be another one by
    /// now, which is not ours to clear or to end.
    ///
    /// # Errors
    ///
    /// When it does not answer, or is another one.
    pub(crate) fn connect(&self, within: Duration) -> RedisResult<Connection> {
        let mut connection = Client::open(self.url(0))?.get_connection_with_timeout(within)?;
        connection.set_read_timeout(Some(within))?;
        let info: InfoDict = cmd("INFO").arg("server").query(&mut connection)?;
        if info.get::<String>("run_id").unwrap_or_default() != self.run_id() {
            return Err(io::Error::other("another server has taken its place").into());
        }
        Ok(connection)
    }

    /// What tells this server's process from every other; empty where the server does not say.
    pub(crate) fn run_id(&self) -> &str {
        &self.0.run_id
    }

    fn port(&self) -> u16 {
        self.0.url.port().unwrap_or(6379)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} at {} ({})", self.product(), self.version(), self.address(), self.provider())
    }
}

/// The same line: the URL has a password.
impl fmt::Debug for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Server({self})")
    }
}

/// A server's URL with another database number: the path, or of a unix socket the parameter `db`.
pub(crate) fn database_url(server: &Url, database: u32) -> String {
    let mut url = server.clone();
    if url.host_str().is_some_and(|host| !host.is_empty()) {
        url.set_path(&database.to_string());
        return url.to_string();
    }
    let others: Vec<_> = server.query_pairs().filter(|(name, _)| name != "db").collect();
    url.query_pairs_mut().clear().extend_pairs(others).append_pair("db", &database.to_string());
    url.to_string()
}

/// The URL as it may be shown: no password, no database number.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    if url.host_str().is_some_and(|host| !host.is_empty()) {
        url.set_path("");
    }
    report::redact(url.as_str())
}
