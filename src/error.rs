//! What can go wrong: before a test has its Redis, and with what it has in there.

use std::fmt;
use std::sync::Arc;

/// Why a test could not have its Redis, or what it asked of it.
///
/// [`Display`](fmt::Display) is the whole report: what is wrong, where, and what to do. It can follow "failed to".
/// An error is cheap to clone, because every test of a process is shown the same one.
///
/// ```no_run
/// use transient_fixtures::TestRequest;
///
/// match TestRequest::try_new() {
///     Ok(test_request) => println!("{}", test_request.redis_url()),
///     Err(error) if error.is_no_server() => eprintln!("failed to {error}"),
///     Err(error) => panic!("failed to {error}"),
/// }
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    kind: Kind,
    report: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Settings,
    NoServer,
    Refused,
    Busy,
    Server,
    Data,
}

impl Error {
    pub(crate) fn new(kind: Kind, report: impl Into<String>) -> Self {
        Self(Arc::new(Inner { kind, report: report.into(), source: None }))
    }

    pub(crate) fn with_source(
        kind: Kind,
        report: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self(Arc::new(Inner { kind, report: report.into(), source: Some(source.into()) }))
    }

    /// The settings can't be used: an environment variable or a line of `test.ini` is wrong or contradicts another.
    #[must_use]
    pub fn is_settings(&self) -> bool {
        self.0.kind == Kind::Settings
    }

    /// No provider has a server.
    #[must_use]
    pub fn is_no_server(&self) -> bool {
        self.0.kind == Kind::NoServer
    }

    /// There is a server, and we refuse to touch it because the data on it may be somebody's.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.0.kind == Kind::Refused
    }

    /// Another test kept a running server for longer than `redis.lease_timeout`.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.0.kind == Kind::Busy
    }

    /// A server that we had does not do what we ask: it ended, hangs, or answers with an error.
    #[must_use]
    pub fn is_server(&self) -> bool {
        self.0.kind == Kind::Server
    }

    /// What is stored, or was given, is not what it should be: a session of another framework, a value of another type,
    /// a cookie with a wrong signature.
    #[must_use]
    pub fn is_data(&self) -> bool {
        self.0.kind == Kind::Data
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.report)
    }
}

/// The report, so that `unwrap()` and a test that returns the error show it readably.
impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
