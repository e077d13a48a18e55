//! What a test can ask of its server.

use std::fmt;
use std::sync::Arc;

use redis::InfoDict;
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
    url: Url,
    sessions: u32,
    #[cfg(unix)]
    clock: Option<Clock>,
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
            url,
            sessions,
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
        let database = self.0.sessions;
        match self.0.url.host_str().filter(|host| !host.is_empty()) {
            Some(host) => format!("{command} -h {host} -p {}{tls} -n {database}", self.port()),
            None => format!("{command} -s {} -n {database}", self.0.url.path()),
        }
    }

    /// The URL of one of its databases, with the password if there is one.
    pub(crate) fn url(&self, database: u32) -> String {
        database_url(&self.0.url, database)
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
