//! The handle of a test's server: its properties, its addresses, and connections to it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::{Client, Connection, ConnectionAddr, ConnectionInfo, InfoDict, IntoConnectionInfo, RedisResult};
use url::Url;

#[cfg(unix)]
use super::clock::Clock;
use super::secret::CONTROL_USER;
use crate::redis_io::publishes_events;
use crate::report;
use crate::settings::Provider;

/// The Redis or Valkey server of a test, returned by [`TestRequest::server`](crate::TestRequest::server).
///
/// [`Display`](fmt::Display) is one line without secrets: `Valkey 9.1.2 at 127.0.0.1:40127 (download)`.
///
/// ```
/// use transient_fixtures::TestRequest;
///
/// let test_request = TestRequest::new();
/// let server = test_request.server();
/// println!("running on {server}; inspect it with {}", server.cli_command());
/// ```
#[derive(Clone)]
pub struct Server {
    facts: Arc<Facts>,
    /// The password of the lease, on a started server.
    password: Option<Arc<str>>,
}

struct Facts {
    provider: Provider,
    product: &'static str,
    version: Option<String>,
    run_id: String,
    process_id: Option<u32>,
    url: Url,
    /// Host and port, or the path of the Unix socket.
    address: String,
    sessions: u32,
    /// Parsed once, not for every test.
    info: ConnectionInfo,
    /// The password of the control user, on a started server.
    control: Option<String>,
    /// The Unix socket of a server that this process started.
    #[cfg(all(unix, feature = "tap"))]
    socket: Option<std::path::PathBuf>,
    #[cfg(unix)]
    clock: Option<Clock>,
}

/// How a test connects to one database of its server.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) url: String,
    pub(crate) client: Client,
}

impl Endpoint {
    /// The server's address, as the redis crate has it.
    pub(crate) fn address(&self) -> &ConnectionAddr {
        self.client.get_connection_info().addr()
    }
}

impl Server {
    /// `info` is the server's INFO, `sessions` the database that [`Server::cli_command`] opens, and `control` the
    /// password of a started server's control user.
    ///
    /// # Errors
    ///
    /// Returns an error if `url` is not a Redis URL.
    pub(crate) fn new(
        provider: Provider,
        url: Url,
        info: &InfoDict,
        sessions: u32,
        control: Option<String>,
    ) -> RedisResult<Self> {
        let field = |name: &str| info.get::<String>(name);
        let (product, version) = match field("valkey_version") {
            Some(version) => ("Valkey", Some(version)),
            None => ("Redis", field("redis_version")),
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
            #[cfg(all(unix, feature = "tap"))]
            socket: None,
            #[cfg(unix)]
            clock: None,
        };
        Ok(Self { facts: Arc::new(facts), password: None })
    }

    /// The same server with a clock that can be moved.
    #[cfg(unix)]
    pub(crate) fn with_clock(mut self, clock: Option<Clock>) -> Self {
        if let Some(facts) = Arc::get_mut(&mut self.facts) {
            facts.clock = clock;
        }
        self
    }

    /// The same server, which also listens on this Unix socket.
    #[cfg(all(unix, feature = "tap"))]
    pub(crate) fn with_socket(mut self, socket: std::path::PathBuf) -> Self {
        if let Some(facts) = Arc::get_mut(&mut self.facts) {
            facts.socket = Some(socket);
        }
        self
    }

    /// A tap is faster with a Unix socket than with TCP.
    #[cfg(all(unix, feature = "tap"))]
    pub(crate) fn socket(&self) -> Option<&std::path::Path> {
        self.facts.socket.as_deref()
    }

    /// The same server for a lease with that password.
    pub(crate) fn with_password(&self, password: Option<&str>) -> Self {
        Self { facts: self.facts.clone(), password: password.map(Into::into) }
    }

    /// The server's clock if it can be moved.
    #[cfg(unix)]
    pub(crate) fn clock(&self) -> Option<&Clock> {
        self.facts.clock.as_ref()
    }

    /// Returns whether [`TestRequest::travel`](crate::TestRequest::travel) moves the server's own clock, and with it
    /// TIME and the ids of streams (`redis.clock = whole`). Otherwise `travel` ages the keys.
    ///
    /// ```
    /// let test_request = transient_fixtures::TestRequest::new();
    /// if test_request.server().has_whole_clock() {
    ///     println!("TIME follows `travel`");
    /// }
    /// ```
    #[must_use]
    pub fn has_whole_clock(&self) -> bool {
        #[cfg(unix)]
        return self.facts.clock.is_some();
        #[cfg(not(unix))]
        false
    }

    /// Returns the provider of the server.
    #[must_use]
    pub fn provider(&self) -> Provider {
        self.facts.provider
    }

    /// Returns `Redis` or `Valkey`.
    #[must_use]
    pub fn product(&self) -> &str {
        self.facts.product
    }

    /// Returns the version that the server reports, such as `7.0.15`. `None` if it reports none.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.facts.version.as_deref()
    }

    /// Returns whether the version of the [`product`](Self::product) is `major.minor` or newer. Returns `false` if the
    /// version is unknown.
    ///
    /// Redis and Valkey count separately. A feature of Redis 7.2 or older is in every Valkey, whose first version is
    /// 7.2; for a newer feature, ask for the product too.
    ///
    /// ```
    /// use transient_fixtures::TestRequest;
    ///
    /// let test_request = TestRequest::new();
    /// let server = test_request.server();
    /// let fields_can_expire = match server.product() {
    ///     "Valkey" => server.is_at_least(9, 0),
    ///     _ => server.is_at_least(7, 4),
    /// };
    /// # let mut redis = transient_fixtures::get_redis(&test_request).unwrap();
    /// # let known = redis::cmd("COMMAND").arg(&["INFO", "HPTTL"]).query::<(Option<redis::Value>,)>(&mut redis);
    /// # assert_eq!(known.unwrap().0.is_some(), fields_can_expire);
    /// ```
    #[must_use]
    pub fn is_at_least(&self, major: u32, minor: u32) -> bool {
        self.version().is_some_and(|version| version_of(version) >= (major, minor))
    }

    /// Returns the shortest TTL, in milliseconds, with which a key expires and is not deleted at once.
    ///
    /// Redis before 7.2 reads the clock when it sets a TTL, and again to check it. If the TTL has ended by then, which
    /// takes long only on a busy machine, the key is deleted with the event `del` instead of `expired`.
    pub(crate) fn shortest_ttl(&self, redis: &mut Connection) -> u32 {
        // Every Valkey is newer than Redis 7.2.
        if self.is_at_least(7, 2) || !publishes_events(redis) { 1 } else { 100 }
    }

    /// Returns the host and port, or the path of the Unix socket.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.facts.address
    }

    /// Returns the shell command that opens the session database (14 by default) in redis-cli or valkey-cli.
    ///
    /// The command contains the password of the lease if the server was started for the tests. That password is invalid
    /// after the test. The password of a server that was running before is left out: set `REDISCLI_AUTH` to it.
    ///
    /// ```
    /// use transient_fixtures::TestRequest;
    ///
    /// // REDISCLI_AUTH=… valkey-cli -h 127.0.0.1 -p 40127 -n 14
    /// println!("{}", TestRequest::new().server().cli_command());
    /// ```
    #[must_use]
    pub fn cli_command(&self) -> String {
        let password = self.password.as_ref().map(|password| format!("REDISCLI_AUTH={password} ")).unwrap_or_default();
        let command = if self.facts.product == "Valkey" { "valkey-cli" } else { "redis-cli" };
        let tls = if matches!(self.facts.url.scheme(), "rediss" | "valkeys") { " --tls" } else { "" };
        let user = match self.facts.url.username() {
            "" => String::new(),
            user => format!(" --user {user}"),
        };
        let database = self.facts.sessions;
        match self.facts.url.host_str().filter(|host| !host.is_empty()) {
            // Only a URL puts an IPv6 address in brackets.
            Some(host) => {
                let host = host.trim_matches(['[', ']']);
                format!("{password}{command} -h {host} -p {}{user}{tls} -n {database}", self.port())
            }
            None => format!("{password}{command} -s {}{user} -n {database}", self.facts.url.path()),
        }
    }

    /// The shell command that ends the server. For a process on this machine it is `kill`, since a client may not be
    /// installed.
    pub(crate) fn end_command(&self) -> String {
        match self.process_id() {
            Some(process) => format!("kill {process}"),
            None => format!("{} shutdown nosave", self.cli_command()),
        }
    }

    /// The id of a process on this machine; `None` if the server could be elsewhere.
    pub(crate) fn process_id(&self) -> Option<u32> {
        self.facts.process_id.filter(|_| matches!(self.provider(), Provider::Process | Provider::Download))
    }

    /// The endpoint of one database, with the password of the lease if there is one.
    ///
    /// # Errors
    ///
    /// Returns an error if the URL is not a Redis URL.
    pub(crate) fn endpoint(&self, database: u32) -> RedisResult<Endpoint> {
        let settings = self.facts.info.redis_settings().clone().set_db(database.into());
        let (url, settings) = match &self.password {
            // A started server has a host, and a password without characters to escape.
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
        let credentials = match self.credentials() {
            (user, Some(password)) => format!("{}:{password}@", user.unwrap_or_default()),
            (Some(user), None) => format!("{user}@"),
            (None, None) => String::new(),
        };
        format!("redis://{credentials}127.0.0.1:{port}/{database}")
    }

    /// The same at a Unix socket.
    #[cfg(all(unix, feature = "tap"))]
    pub(crate) fn url_at_socket(&self, socket: &std::path::Path, database: u32) -> String {
        let (user, password) = self.credentials();
        let user = user.map(|user| format!("&user={user}")).unwrap_or_default();
        let password = password.map(|password| format!("&pass={password}")).unwrap_or_default();
        format!("redis+unix://{}?db={database}{user}{password}", escaped_path(socket))
    }

    /// User and password, escaped for a URL.
    #[cfg(feature = "tap")]
    fn credentials(&self) -> (Option<String>, Option<String>) {
        let settings = self.facts.info.redis_settings();
        let (user, password) = match &self.password {
            Some(password) => (None, Some(&**password)),
            None => (settings.username(), settings.password()),
        };
        let escaped = |text: &str| escaped(text.as_bytes());
        (user.map(escaped), password.map(escaped))
    }

    /// Connects to this started server as the control user, with a timeout for connecting and for each reply. Another
    /// server at the same address rejects the password.
    ///
    /// # Errors
    ///
    /// Returns an error if the server does not answer in time or is another one.
    pub(crate) fn connect(&self, within: Duration) -> RedisResult<Connection> {
        let control = self.facts.control.as_deref().unwrap_or_default();
        let settings = self.facts.info.redis_settings().clone().set_username(CONTROL_USER).set_password(control);
        let client = Client::open(self.facts.info.clone().set_redis_settings(settings))?;
        let connection = client.get_connection_with_timeout(within)?;
        connection.set_read_timeout(Some(within))?;
        Ok(connection)
    }

    /// The URL of this started server and the password of the control user, for another process.
    pub(crate) fn control(&self) -> (String, String) {
        (self.facts.url.to_string(), self.facts.control.clone().unwrap_or_default())
    }

    /// Whether the lease has its own password, which no other server accepts.
    pub(crate) fn has_password_of_its_own(&self) -> bool {
        self.password.is_some()
    }

    /// The id of the server's process. Empty if the server does not report it.
    pub(crate) fn run_id(&self) -> &str {
        &self.facts.run_id
    }

    fn port(&self) -> u16 {
        port(&self.facts.url)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.product())?;
        if let Some(version) = self.version() {
            write!(formatter, " {version}")?;
        }
        write!(formatter, " at {} ({})", self.address(), self.provider())
    }
}

/// Shows the same line, because the URL contains a password.
impl fmt::Debug for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Server({self})")
    }
}

/// A Unix socket as the path of a URL.
#[cfg(unix)]
pub(super) fn escaped_path(path: &std::path::Path) -> String {
    use std::os::unix::ffi::OsStrExt;

    let parts: Vec<_> = path.as_os_str().as_bytes().split(|byte| *byte == b'/').map(escaped).collect();
    parts.join("/")
}

/// Escapes bytes for any part of a URL.
#[cfg(any(unix, feature = "tap"))]
fn escaped(bytes: &[u8]) -> String {
    let byte = |byte: &u8| match byte {
        b'-' | b'.' | b'_' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => char::from(*byte).to_string(),
        other => format!("%{other:02X}"),
    };
    bytes.iter().map(byte).collect()
}

fn address(url: &Url) -> String {
    match url.host_str().filter(|host| !host.is_empty()) {
        Some(host) => format!("{host}:{}", port(url)),
        None => url.path().to_owned(),
    }
}

/// Major and minor number.
fn version_of(version: &str) -> (u32, u32) {
    let mut numbers = version.split('.').map_while(|number| number.parse().ok());
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
}

fn port(url: &Url) -> u16 {
    url.port().unwrap_or(6379)
}

/// The URL of another database: its number is the path, or for a Unix socket the parameter `db`.
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

/// The URL without password and database number.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    if url.host_str().is_some_and(|host| !host.is_empty()) {
        url.set_path("");
    }
    report::redact(url.as_str())
}
