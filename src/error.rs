//! The error type of this crate.

use std::fmt;
use std::sync::Arc;

/// A [`Result`](std::result::Result) whose error is an [`Error`].
///
/// ```
/// use transient_fixtures::TestRequest;
///
/// fn start_over(test_request: &TestRequest) -> transient_fixtures::Result<()> {
///     test_request.flush()
/// }
/// # start_over(&TestRequest::new()).unwrap();
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error from reading the settings, or from starting or using the test Redis.
///
/// [`Display`](fmt::Display) writes whole sentences: what is wrong, where, and how to fix it. It does not repeat its
/// cause, which [`source`](std::error::Error::source) returns. [`Debug`](fmt::Debug) writes the same sentences and then
/// the chain of causes, so that `unwrap`, `expect` and a test that returns the error show everything. Passwords never
/// appear.
///
/// The `is_*` methods report what kind of error it is. An error is cheap to clone, because all tests of a process share
/// the one that reports the missing server.
///
/// ```no_run
/// use transient_fixtures::TestRequest;
///
/// match TestRequest::try_new() {
///     Ok(test_request) => println!("{}", test_request.redis_url()),
///     Err(error) if error.is_no_server() => eprintln!("skipped: {error}"),
///     Err(error) => panic!("{error:?}"),
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

    /// Returns the report and its causes.
    #[cfg(feature = "tap")]
    pub(crate) fn in_full(self) -> String {
        format!("{self:?}")
    }

    /// Returns true if the settings are invalid: an environment variable or a line of `test.ini` has an invalid value,
    /// or contradicts another one.
    #[must_use]
    pub fn is_settings(&self) -> bool {
        self.0.kind == Kind::Settings
    }

    /// Returns true if no provider has a server.
    ///
    /// Also if a server was named (in `test.ini` or the environment) and is unsuitable for tests.
    #[must_use]
    pub fn is_no_server(&self) -> bool {
        self.0.kind == Kind::NoServer
    }

    /// Returns true if there is a server, but using it could destroy data of other users, or keep it from other tests.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.0.kind == Kind::Refused
    }

    /// Returns true if another test held a shared server for longer than `redis.lease_timeout`.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.0.kind == Kind::Busy
    }

    /// Returns true if the server of a test failed: it ended, does not answer, or answers with an error. Also if the
    /// test no longer holds it.
    #[must_use]
    pub fn is_server(&self) -> bool {
        self.0.kind == Kind::Server
    }

    /// Returns true if stored or given data is invalid: a session of another framework, a value of another type, a
    /// cookie with a wrong signature.
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

/// The report and its causes. A cause whose text has been written already is left out: the `redis` crate repeats that
/// of an I/O error.
impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut written = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let text = error.to_string();
            if !written.contains(&text) {
                written = format!("{written}\nCaused by: {text}");
            }
            cause = error.source();
        }
        formatter.write_str(&written)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::io;

    use super::{Error, Kind};

    #[test]
    fn debug_writes_each_cause_once() {
        let refused = io::Error::new(io::ErrorKind::ConnectionRefused, "Connection refused (os error 111)");
        let error = Error::with_source(Kind::Server, "lost the server", redis::RedisError::from(refused));
        assert_eq!(error.to_string(), "lost the server");
        assert!(error.source().is_some_and(|redis| redis.to_string().contains("os error 111")));
        assert_eq!(format!("{error:?}"), "lost the server\nCaused by: Connection refused (os error 111)");
        let outer = Error::with_source(Kind::Data, "could not list the jobs", error);
        assert_eq!(
            format!("{outer:?}"),
            "could not list the jobs\nCaused by: lost the server\nCaused by: Connection refused (os error 111)"
        );
    }
}
