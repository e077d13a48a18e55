//! test.ini and environment → [`Settings`].
//!
//! The environment overrides test.ini, test.ini overrides its includes, and these override the defaults.

mod command;
mod files;
mod ini;
mod known;
pub(crate) mod lint;
pub(crate) mod locate;
mod server;
#[cfg(test)]
mod tests;
mod types;
mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fmt};

use once_cell::sync::OnceCell;

pub use command::{Access, ServerOptions};
use files::Files;
use known::{
    ALL, COOKIE_DOMAIN, COOKIE_NAME, COOKIE_PATH, IMAGE, KEEP, LINT, LINT_ALLOW, NOT_READ, OFFLINE, OTHER_NAMES,
    PREFIX, SECRET, SERVER_BINARY, TEST_INI, URL,
};
pub(crate) use known::{Known, REPLAY, SCHEDULES_DIRECTORY};
use lint::Lint;
pub use types::{Databases, Provider, SameSite};

use crate::error::{Error, Kind};
use crate::report;

/// The values by key, with their origin.
type Values = BTreeMap<String, (String, Origin)>;

/// The origin of a value, for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    File(PathBuf, usize),
    Environment(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("the defaults"),
            Self::File(path, line) => write!(formatter, "{}:{line}", path.display()),
            Self::Environment(_) => formatter.write_str("the environment"),
        }
    }
}

/// The settings of a test, from `test.ini` and the environment, checked.
///
/// [`get`](Self::get) returns any key of `[app:main]`, including the application's own:
///
/// ```
/// # fn main() -> Result<(), transient_fixtures::Error> {
/// # let directory = std::env::temp_dir().join(format!("settings-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory).unwrap();
/// # let path = directory.join("test.ini");
/// # std::fs::write(&path, "[app:main]\nredis.sessions.timeout = 31536000\nshop.name = Brands\n").unwrap();
/// use transient_fixtures::Settings;
///
/// let settings = Settings::from_file(&path)?;
/// assert_eq!(settings.session_timeout().as_secs(), 31_536_000);
/// assert_eq!(settings.get("shop.name"), Some("Brands"));
/// assert_eq!(settings.get("shop.city"), None);
/// # std::fs::remove_dir_all(&directory).unwrap();
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Settings {
    file: Option<PathBuf>,
    values: Values,
    notes: Vec<String>,
    checked: Checked,
    /// What differs if a command has the server, and not a test.
    command: Option<ServerOptions>,
}

/// The typed values, parsed once.
#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a separate setting")]
struct Checked {
    databases: Databases,
    provider: Option<Provider>,
    timeout: Option<Duration>,
    timeout_trigger: Option<Duration>,
    python_expires: bool,
    set_redis_ttl: bool,
    cookie_max_age: Option<Duration>,
    cookie_same_site: Option<SameSite>,
    cookie_secure: bool,
    cookie_http_only: bool,
    download: bool,
    passwords: bool,
    adopt: bool,
    keep: bool,
    lease_timeout: Duration,
    whole_clock: bool,
    lint: Lint,
}

impl Settings {
    /// Loads the settings of the crate under test, from its `test.ini` and the environment.
    ///
    /// The file is the one that `TRANSIENT_TEST_INI` names, else `test.ini` in the directory of the crate's
    /// `Cargo.toml` or in a parent directory, up to the workspace root. Without a file, the defaults apply.
    ///
    /// ```
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let settings = transient_fixtures::Settings::load()?;
    /// for note in settings.notes() {
    ///     println!("{note}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_settings`](Error::is_settings) if a file can't be read or parsed, a value is invalid,
    /// or two values contradict each other.
    pub fn load() -> Result<Self, Error> {
        Self::read(locate::test_ini()?, None)
    }

    /// Loads the settings of that file and the environment.
    ///
    /// ```
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// use transient_fixtures::Settings;
    ///
    /// let settings = Settings::from_file("test.ini")?;
    /// assert_eq!(settings.file(), Some("test.ini".as_ref()));
    /// assert!(Settings::from_file("missing.ini").unwrap_err().is_settings());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_settings`](Error::is_settings) if a file can't be read or parsed, a value is invalid,
    /// or two values contradict each other.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::read(Some(path.as_ref().to_path_buf()), None)
    }

    fn read(file: Option<PathBuf>, command: Option<ServerOptions>) -> Result<Self, Error> {
        let mut files = Files::default();
        if let Some(path) = &file {
            // Reading reports a missing file.
            files.add(path, path.canonicalize().unwrap_or_else(|_| path.clone()))?;
        }
        files.add_secrets()?;
        let Files { mut values, mut notes, .. } = files;
        notes.extend(unknown_keys(&values));
        for known in ALL {
            let Some(variable) = known.variable else { continue };
            if let Some(value) = from_environment(variable)? {
                values.insert(known.key.to_owned(), (value, Origin::Environment(variable)));
            }
        }
        notes.extend(unknown_variables());
        if notes.len() > MOST_NOTES {
            let more = notes.len() - MOST_NOTES;
            notes.truncate(MOST_NOTES);
            notes.push(report::settings::more_notes(more));
        }
        notes.extend(unread_keys(&values));
        server::name(&mut values, &mut notes)?;
        if let Some(command) = &command {
            command.choose_provider(&mut values);
        }
        let checked = values::check(&values)?;
        Ok(Self { file, values, notes, checked, command })
    }

    /// Returns the file that was read, if there is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Returns the text of any key of `[app:main]`, including the application's own, or `None` if it is not set.
    ///
    /// Keys are not case-sensitive. Environment variables override the corresponding keys. If the session
    /// libraries have two names for a key, both work.
    ///
    /// ```
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let settings = transient_fixtures::Settings::from_file("test.ini")?;
    /// assert_eq!(settings.get("redis.sessions.timeout"), Some("31536000"));
    /// assert_eq!(settings.get("shop.name"), None);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        let key = key.to_lowercase();
        let known = OTHER_NAMES.iter().find(|(name, _)| *name == key).map_or(key.as_str(), |(_, known)| known.key);
        self.values.get(known).map(|(value, _)| value.as_str())
    }

    /// Returns notes about input that has no effect: unknown `redis.*` keys and `TRANSIENT_*` variables, with the most
    /// similar known name, keys of the session libraries that are not read, and skipped includes.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Returns the URL of the running server to try (`redis.sessions.url`). Its database number is not used.
    #[must_use]
    pub fn redis_url(&self) -> &str {
        self.text(URL)
    }

    /// Returns the numbers of the test databases (`redis.databases`).
    #[must_use]
    pub fn databases(&self) -> Databases {
        self.checked.databases
    }

    /// The provider to use, or `None` to try them in order (`auto`).
    pub(crate) fn provider(&self) -> Option<Provider> {
        self.checked.provider
    }

    /// The image of the provider `container`.
    pub(crate) fn image(&self) -> &str {
        self.text(IMAGE)
    }

    /// The server to start instead of the `redis-server` or `valkey-server` on `PATH`.
    #[cfg(unix)]
    pub(crate) fn server_binary(&self) -> Option<&Path> {
        Some(self.text(SERVER_BINARY)).filter(|path| !path.is_empty()).map(Path::new)
    }

    /// Whether each lease on a server started for the tests has its own password (`redis.password`).
    pub(crate) fn passwords(&self) -> bool {
        self.checked.passwords && self.command.is_none_or(|command| command.access == Access::Password)
    }

    /// Whether a server that this process starts has only a Unix socket.
    pub(crate) fn only_socket(&self) -> bool {
        self.command.is_some_and(|command| command.access == Access::Forwarded)
    }

    /// Whether downloading a server is allowed.
    pub(crate) fn download(&self) -> bool {
        self.checked.download
    }

    /// Whether clearing keys that this crate did not create is allowed, in the test databases of a running server.
    pub(crate) fn adopt(&self) -> bool {
        self.checked.adopt
    }

    /// Whether the server of a failed test is left running (`TRANSIENT_KEEP`).
    pub(crate) fn keep(&self) -> bool {
        self.checked.keep
    }

    /// How long a test waits for a running server that another test uses.
    pub(crate) fn lease_timeout(&self) -> Duration {
        self.checked.lease_timeout
    }

    /// Whether [`travel`](crate::TestRequest::travel) moves the server's clock (`redis.clock = whole`). It needs a
    /// server started for the tests under libfaketime.
    pub(crate) fn whole_clock(&self) -> bool {
        self.checked.whole_clock
    }

    /// The lint of `#[clean_redis]` tests whose attribute sets none: the text of `redis.lint`.
    pub(crate) fn lint(&self) -> &str {
        self.text(LINT)
    }

    /// [`lint`](Self::lint), parsed.
    pub(crate) fn parsed_lint(&self) -> Lint {
        self.checked.lint
    }

    /// The patterns of keys exempt from the lint, in the syntax of the command KEYS.
    pub(crate) fn lint_allow(&self) -> Vec<&str> {
        self.text(LINT_ALLOW).split([',', ' ', '\n', '\t']).filter(|pattern| !pattern.is_empty()).collect()
    }

    /// Returns the prefix of session keys (`redis.sessions.prefix`).
    #[must_use]
    pub fn session_prefix(&self) -> &str {
        self.text(PREFIX)
    }

    /// Returns how long a session lives after its last use (`redis.sessions.timeout`).
    ///
    /// [`Duration::MAX`] means forever (`redis.sessions.timeout = 0` or `None`).
    #[must_use]
    pub fn session_timeout(&self) -> Duration {
        self.checked.timeout.unwrap_or(Duration::MAX)
    }

    /// Whether Pyramid's sessions store their expiry (`redis.sessions.python_expires`, or a
    /// `redis.sessions.timeout_trigger`).
    #[cfg_attr(not(feature = "session"), expect(dead_code, reason = "sessions read it"))]
    pub(crate) fn python_expires(&self) -> bool {
        self.checked.python_expires || self.checked.timeout_trigger.is_some()
    }

    /// How close the stored expiry must be before it is renewed.
    #[cfg_attr(not(feature = "session"), expect(dead_code, reason = "sessions read it"))]
    pub(crate) fn timeout_trigger(&self) -> Option<Duration> {
        self.checked.timeout_trigger
    }

    /// Whether the keys of sessions have a TTL.
    #[cfg_attr(not(feature = "session"), expect(dead_code, reason = "sessions read it"))]
    pub(crate) fn set_redis_ttl(&self) -> bool {
        self.checked.set_redis_ttl
    }

    /// Returns the name of the session cookie (`redis.sessions.cookie_name`).
    #[must_use]
    pub fn cookie_name(&self) -> &str {
        self.text(COOKIE_NAME)
    }

    /// Returns the `Max-Age` of the session cookie. `None` means until the browser is closed.
    #[must_use]
    pub fn cookie_max_age(&self) -> Option<Duration> {
        self.checked.cookie_max_age
    }

    /// Returns whether the session cookie is `Secure`: sent over HTTPS only.
    #[must_use]
    pub fn cookie_secure(&self) -> bool {
        self.checked.cookie_secure
    }

    /// Returns whether the session cookie is `HttpOnly`: scripts can't read it.
    #[must_use]
    pub fn cookie_http_only(&self) -> bool {
        self.checked.cookie_http_only
    }

    /// Returns the `Path` of the session cookie.
    #[must_use]
    pub fn cookie_path(&self) -> &str {
        self.text(COOKIE_PATH)
    }

    /// Returns the `Domain` of the session cookie. `None` means only the host that sets it.
    #[must_use]
    pub fn cookie_domain(&self) -> Option<&str> {
        Some(self.text(COOKIE_DOMAIN)).filter(|domain| !domain.is_empty())
    }

    /// Returns the `SameSite` attribute of the session cookie. `None` means that the cookie has no such attribute.
    #[must_use]
    pub fn cookie_same_site(&self) -> Option<SameSite> {
        self.checked.cookie_same_site
    }

    /// Returns the URL of the application's job broker: `celery.broker_url`, or `broker_url` in
    /// `websauna.celery_config`.
    ///
    /// A test does not use it: its jobs are in the job database ([`jobs_url`](crate::TestRequest::jobs_url)).
    ///
    /// ```
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let settings = transient_fixtures::Settings::from_file("test.ini")?;
    /// assert_eq!(settings.broker_url(), Some("redis://127.0.0.1:6379/15"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn broker_url(&self) -> Option<&str> {
        values::broker(&self.values).map(|(_, url, _)| url)
    }

    /// The key that signs session cookies: `redis.sessions.secret`, or `[session] secret` in Websauna's secrets file.
    #[cfg_attr(not(feature = "session"), expect(dead_code, reason = "sessions read it"))]
    pub(crate) fn secret(&self) -> Option<&str> {
        Some(self.text(SECRET)).filter(|secret| !secret.is_empty())
    }

    /// The origin of [`redis_url`](Self::redis_url).
    pub(crate) fn redis_url_origin(&self) -> Origin {
        self.values.get(URL.key).map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    fn text(&self, known: Known) -> &str {
        self.get(known.key).unwrap_or(known.default)
    }
}

/// Omits the values, since any of them can be a secret.
impl fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Settings")
            .field("file", &self.file)
            .field("keys", &self.values.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// The settings of this process, read once.
pub(crate) fn of_process() -> Result<&'static Settings, Error> {
    static SETTINGS: OnceCell<Settings> = OnceCell::new();
    SETTINGS.get_or_try_init(Settings::load)
}

fn from_environment(variable: &'static str) -> Result<Option<String>, Error> {
    match env::var(variable) {
        Ok(value) if value.trim().is_empty() => Ok(None),
        Ok(value) => Ok(Some(value.trim().to_owned())),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(Error::new(Kind::Settings, report::settings::not_unicode(variable))),
    }
}

fn unknown_keys(values: &Values) -> Vec<String> {
    let keys = ALL.map(|known| known.key);
    let unknown = values
        .iter()
        .filter(|(key, _)| key.starts_with("redis.") && !keys.contains(&key.as_str()) && reason(key).is_none());
    unknown.map(|(key, (_, origin))| report::settings::unknown_key(origin, key, nearest(key, &keys))).collect()
}

/// Keys that the session libraries read and this crate does not.
fn unread_keys(values: &Values) -> Vec<String> {
    let unread = values.iter().filter_map(|(key, (_, origin))| Some((key, origin, reason(key)?)));
    unread.map(|(key, origin, reason)| report::settings::unread_key(origin, key, reason)).collect()
}

fn reason(key: &str) -> Option<&'static str> {
    let name = key.strip_prefix("redis.sessions.")?;
    NOT_READ.iter().find(|(known, _)| *known == name).map(|(_, reason)| *reason)
}

fn unknown_variables() -> Vec<String> {
    let mut known: Vec<_> = ALL.iter().filter_map(|known| known.variable).collect();
    known.extend([TEST_INI, OFFLINE, KEEP, REPLAY, SCHEDULES_DIRECTORY]);
    let set = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    set.filter(|name| name.starts_with("TRANSIENT_") && !known.contains(&name.as_str()))
        .map(|name| report::settings::unknown_variable(&name, nearest(&name, &known)))
        .collect()
}

/// The maximum number of notes.
const MOST_NOTES: usize = 20;

/// The maximum length of a name that can be a misspelling of a known one, in bytes.
const LONGEST_NAME: usize = 64;

fn nearest<'known>(name: &str, known: &[&'known str]) -> Option<&'known str> {
    let known = known.iter().filter(|_| name.len() <= LONGEST_NAME);
    known.min_by_key(|other| strsim::levenshtein(name, other)).copied()
}
