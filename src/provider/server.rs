//! What a test can ask of its server.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::{Client, Connection, ConnectionInfo, InfoDict, IntoConnectionInfo, RedisResult};
use url::Url;

#[cfg(unix)]
use super::clock::Clock;
use super::secret::CONTROL_USER;
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
/// println!("{} {} from the provider {}", server.product(), server.version(), server.provider());
/// println!("look around: {}", server.cli());
/// ```
#[derive(Clone)]
pub struct Server {
    facts: Arc<Facts>,
    /// That of the lease, on an own server.
    password: Option<Arc<str>>,
}

struct Facts {
    provider: Provider,
    product: &'static str,
    version: String,
    run_id: String,
    process_id: Option<u32>,
    url: Url,
    /// Host and port, or the path of the unix socket.
    address: String,
    sessions: u32,
    /// Parsed once, and not for every test.
    info: ConnectionInfo,
    /// The secret of the control user, on an own server.
    control: Option<String>,
    #[cfg(unix)]
    clock: Option<Clock>,
}

/// One of a server's databases, as a test reaches it.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) url: String,
    pub(crate) client: Client,
}

impl Server {
    /// `url` leads to the server; `info` is its INFO; `sessions` is the database that [`Server::cli`] opens; `control` is
    /// the secret of an own server's control user.
    ///
    /// # Errors
    ///
    /// When the URL is none to redis.
    pub(crate) fn new(
        provider: Provider,
        url: Url,
        info: &InfoDict,
        sessions: u32,
        control: Option<String>,
    ) -> RedisResult<Self> {
        let field = |name: &str| info.get::<String>(name);
        let (product, version) = match field("valkey_version") {
            Some(version) => ("Valkey", version),
            None => ("Redis", field("redis_version").unwrap_or_else(|| "of unknown version".to_owned())),
        };
        let facts = Facts {
            provider,
            product,
            version,
            run_id: field("run_id").unwrap_or_default(),
            process_id: info.get("process_id"),
            info: url.as_str().into_connection_info()?,
            address: address(&url),
            url,
            sessions,
            control,
            #[cfg(unix)]
            clock: None,
        };
        Ok(Self { facts: Arc::new(facts), password: None })
    }

    /// The same server, with a clock that can be moved.
    #[cfg(unix)]
    pub(crate) fn with_clock(mut self, clock: Option<Clock>) -> Self {
        if let Some(facts) = Arc::get_mut(&mut self.facts) {
            facts.clock = clock;
        }
        self
    }

    /// The same server, as a lease with that password reaches it.
    pub(crate) fn with_password(&self, password: Option<&str>) -> Self {
        Self { facts: self.facts.clone(), password: password.map(Into::into) }
    }

    /// Its clock, where it can be moved.
    #[cfg(unix)]
    pub(crate) fn clock(&self) -> Option<&Clock> {
        self.facts.clock.as_ref()
    }

    /// Whether [`TestRequest::travel`](crate::TestRequest::travel) moves the server's own clock (`redis.clock = whole`),
    /// with TIME, ids of streams and all windows that are computed from them; else it ages the keys.
    #[must_use]
    pub fn has_whole_clock(&self) -> bool {
        #[cfg(unix)]
        return self.facts.clock.is_some();
        #[cfg(not(unix))]
        false
    }

    /// The provider that it came from.
    #[must_use]
    pub fn provider(&self) -> Provider {
        self.facts.provider
    }

    /// `Redis` or `Valkey`.
    #[must_use]
    pub fn product(&self) -> &str {
        self.facts.product
    }

    /// The version, as the server says it: `7.0.15`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.facts.version
    }

    /// Host and port, or the path of the unix socket.
    #[must_use]
    pub fn address(&self) -> String {
        self.facts.address.clone()
    }

    /// The command that opens the sessions' database in a terminal. It contains the password of a lease on an own
    /// server, which is worth nothing after the test. That of a running server is left out: put it into
    /// `REDISCLI_AUTH`.
    #[must_use]
    pub fn cli(&self) -> String {
        let password = self.password.as_ref().map(|password| format!("REDISCLI_AUTH={password} ")).unwrap_or_default();
        let command = if self.facts.product == "Valkey" { "valkey-cli" } else { "redis-cli" };
        let tls = if matches!(self.facts.url.scheme(), "rediss" | "valkeys") { " --tls" } else { "" };
        let user = match self.facts.url.username() {
            "" => String::new(),
            user => format!(" --user {user}"),
        };
        let database = self.facts.sessions;
        match self.facts.url.host_str().filter(|host| !host.is_empty()) {
            // The brackets of an IPv6 address are the URL's.
            Some(host) => {
                let host = host.trim_matches(['[', ']']);
                format!("{password}{command} -h {host} -p {}{user}{tls} -n {database}", self.port())
            }
            None => format!("{password}{command} -s {}{user} -n {database}", self.facts.url.path()),
        }
    }

    /// The command that ends it. A process of this machine may be all that there is, without a client.
    pub(crate) fn end_command(&self) -> String {
        match (self.provider(), self.facts.process_id) {
            (Provider::Process | Provider::Download, Some(process)) => format!("kill {process}"),
            _ => format!("{} shutdown nosave", self.cli()),
        }
    }

    /// One of its databases, with the password if there is one.
    ///
    /// # Errors
    ///
    /// When the URL is none to redis.
    pub(crate) fn endpoint(&self, database: u32) -> RedisResult<Endpoint> {
        let settings = self.facts.info.redis_settings().clone().set_db(database.into());
        let (url, settings) = match &self.password {
            // An own server has a host, and a password that needs no escapes.
            Some(password) => (
                format!("redis://:{password}@{}/{database}", self.facts.address),
                settings.set_password(password).set_skip_set_lib_name(),
            ),
            None => (database_url(&self.facts.url, database), settings),
        };
        Ok(Endpoint { client: Client::open(self.facts.info.clone().set_redis_settings(settings))?, url })
    }

    /// The URL of one of its databases at another port of this machine, where something forwards to the server.
    #[cfg(feature = "tap")]
    pub(crate) fn url_at(&self, port: u16, database: u32) -> String {
        let user = match (&self.password, self.facts.url.username(), self.facts.url.password()) {
            (Some(password), ..) => format!(":{password}@"),
            (None, user, Some(password)) => format!("{user}:{password}@"),
            (None, "", None) => String::new(),
            (None, user, None) => format!("{user}@"),
        };
        format!("redis://{user}127.0.0.1:{port}/{database}")
    }

    /// Another connection to this very own server as the control user, which answers `within` that time. Another server
    /// may be at its address by now; it does not know the secret.
    ///
    /// # Errors
    ///
    /// When it does not answer, or is another one.
    pub(crate) fn connect(&self, within: Duration) -> RedisResult<Connection> {
        let control = self.facts.control.as_deref().unwrap_or_default();
        let settings = self.facts.info.redis_settings().clone().set_username(CONTROL_USER).set_password(control);
        let client = Client::open(self.facts.info.clone().set_redis_settings(settings))?;
        let connection = client.get_connection_with_timeout(within)?;
        connection.set_read_timeout(Some(within))?;
        Ok(connection)
    }

    /// How another process reaches this own server: its URL, and the secret of the control user.
    pub(crate) fn control(&self) -> (String, String) {
        (self.facts.url.to_string(), self.facts.control.clone().unwrap_or_default())
    }

    /// Whether only this server lets a lease in: by a password of its own.
    pub(crate) fn has_password_of_its_own(&self) -> bool {
        self.password.is_some()
    }

    /// What tells this server's process from every other; empty where the server does not say.
    pub(crate) fn run_id(&self) -> &str {
        &self.facts.run_id
    }

    fn port(&self) -> u16 {
        port(&self.facts.url)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} at {} ({})", self.product(), self.version(), self.facts.address, self.provider())
    }
}

/// The same line: the URL has a password.
impl fmt::Debug for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Server({self})")
    }
}

fn address(url: &Url) -> String {
    match url.host_str().filter(|host| !host.is_empty()) {
        Some(host) => format!("{host}:{}", port(url)),
        None => url.path().to_owned(),
    }
}

fn port(url: &Url) -> u16 {
    url.port().unwrap_or(6379)
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
