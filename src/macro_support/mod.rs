//! Runs a `#[clean_redis]` test: acquire the databases, run the test, lint and report, release.
//!
//! The expansion of `#[clean_redis]` is the author's body and one call: of [`run_clean`] or, in an `async` test, of
//! [`CleanTest::run`]. `lease::acquire` acquires the databases.

mod outcome;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

#[cfg(feature = "tap")]
pub(crate) use outcome::message;
pub use outcome::{OfAnything, OfResult, Returned};

use crate::failure_report::Start;
use crate::lint::Left;
use crate::report;
use crate::request::TestRequest;
use crate::settings::lint::{self, Lint};

/// The test as the attribute describes it.
#[derive(Clone, Copy, Debug)]
pub struct Test {
    /// The path of the test, including the crate.
    pub name: &'static str,
    /// The text that the panic message of a `#[should_panic]` test must contain.
    pub should_panic: Option<&'static str>,
    /// The data fixtures to load before the test.
    pub fixtures: &'static [&'static str],
    /// The lint. `None` for that of the settings.
    pub lint: Option<&'static str>,
}

impl Test {
    /// Runs the lint after the test has passed. Keys loaded as fixtures are ignored.
    fn lint_failure(&self, request: &TestRequest, start: &Start) -> Option<String> {
        // The macro has checked the text by the same grammar.
        let own = self.lint.and_then(|text| Some((text, lint::parse(text)?)));
        let (text, lint) = own.unwrap_or_else(|| (request.settings().lint(), request.settings().parsed_lint()));
        match crate::lint::keys_left(&request.lease, lint) {
            Ok(mut keys) => {
                keys.retain(|left| !start.has(left.database, &left.key, lint != Lint::Ttl(None)));
                (!keys.is_empty()).then(|| {
                    let keys = keys.iter().map(|Left { key, kind, size, ttl, .. }| (&**key, &**kind, *size, *ttl));
                    match lint {
                        Lint::Ttl(None) => report::lint::eternal(self.name, keys),
                        Lint::Empty => report::lint::not_empty(self.name, keys),
                        _ => report::lint::out_of_bounds(self.name, text, keys),
                    }
                })
            }
            Err(error) => Some(report::lint::not_checked(self.name, &error)),
        }
    }
}

/// Runs a test on empty databases that no other test uses. rstest fixtures are part of the body, so their data stays.
/// `failed` returns whether the returned value is a failure.
///
/// # Panics
///
/// Panics at the test's line if there is no Redis server or the lint fails, and if the body panics.
#[track_caller]
pub fn run_clean<Outcome>(
    test: Test,
    body: impl FnOnce() -> Outcome,
    failed: impl FnOnce(&Outcome) -> bool,
) -> Outcome {
    let clean = CleanTest::begin(test);
    let outcome = catch_unwind(AssertUnwindSafe(body));
    clean.end(outcome, failed)
}

/// A running test with clean databases. Its lease ends with the test, even if another thread keeps a clone of its
/// request.
#[must_use = "the lease ends when this is dropped"]
pub struct CleanTest {
    test: Test,
    start: Start,
    request: Option<TestRequest>,
}

impl CleanTest {
    /// Acquires empty databases and loads the data fixtures. The rstest fixtures in the body join the lease.
    ///
    /// # Panics
    ///
    /// Panics at the test's line if there is no Redis server or a data fixture cannot be loaded.
    #[track_caller]
    pub fn begin(test: Test) -> Self {
        let request = TestRequest::try_clean_for(test.name);
        let started = request.and_then(|request| Ok((Start::with(&request.lease, test.fixtures)?, request)));
        match started {
            Ok((start, request)) => Self { test, start, request: Some(request) },
            Err(error) => panic!("{}", report::test_cannot_run(test.name, &error)),
        }
    }

    /// Runs the body of an `async` test on the runtime that is already running.
    ///
    /// # Panics
    ///
    /// Panics if the body panics or the lint fails.
    pub async fn run<Outcome>(
        self,
        body: impl Future<Output = Outcome>,
        failed: impl FnOnce(&Outcome) -> bool,
    ) -> Outcome {
        let outcome = outcome::catch(body).await;
        outcome::let_tasks_finish().await;
        self.end(outcome, failed)
    }

    #[track_caller]
    fn end<Outcome>(mut self, outcome: thread::Result<Outcome>, failed: impl FnOnce(&Outcome) -> bool) -> Outcome {
        let failed = match (&outcome, self.test.should_panic) {
            (Ok(outcome), None) => failed(outcome),
            (Ok(_), Some(_)) | (Err(_), None) => true,
            (Err(panic), Some(expected)) => !outcome::message(panic.as_ref()).contains(expected),
        };
        let mut lint_failure = None;
        if let Some(request) = self.request.take() {
            if !failed && outcome.is_ok() {
                lint_failure = self.test.lint_failure(&request, &self.start);
            }
            if failed || lint_failure.is_some() {
                self.start.explain_failure(self.test.name, &request.lease);
            }
            request.end(failed || lint_failure.is_some());
        }
        match (outcome, lint_failure) {
            (Ok(_), Some(report)) => panic!("{report}"),
            (Ok(outcome), None) => outcome,
            (Err(panic), _) => resume_unwind(panic),
        }
    }
}

/// Reports an `async` test that was cancelled: its future was dropped before it finished.
impl Drop for CleanTest {
    fn drop(&mut self) {
        if let Some(request) = self.request.take() {
            self.start.explain_failure(self.test.name, &request.lease);
            request.end(true);
        }
    }
}
