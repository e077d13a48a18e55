//! What `#[clean_redis]` expands to: acquire, run the test, look at what it left, release. How a test
//! acquires its databases is `lease::acquire`.
//!
//! The expansion of `#[clean_redis]` is the author's body and one call of [`run_clean`] or, where a runtime is running
//! already, of [`CleanTest::run`].

mod outcome;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

pub use outcome::{OfAnything, OfResult, Returned};

use crate::failure_report::Start;
use crate::lint::Left;
use crate::report;
use crate::request::TestRequest;
use crate::settings::lint::{self, Lint};

/// What the attribute knows of its test.
#[derive(Clone, Copy, Debug)]
pub struct Test {
    /// Its path, with the crate in front.
    pub name: &'static str,
    /// Where it passes by panicking: what the message must contain.
    pub should_panic: Option<&'static str>,
    /// The data files that are loaded before it.
    pub fixtures: &'static [&'static str],
    /// What to look for when it has passed, where that is not what the settings say.
    pub lint: Option<&'static str>,
}

impl Test {
    /// What is wrong with a test that has passed. What was loaded for it, it has not left.
    fn complaint(&self, request: &TestRequest, start: &Start) -> Option<String> {
        // The macro has accepted it by the same grammar. Without one, the settings' lint counts.
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

/// Runs a test on databases that are its own and empty. Fixtures are part of the body: what they put there stays.
/// `failed` tells whether what the body returns is a failure, which for an `Err` is no panic.
///
/// # Panics
///
/// At the author's line when there is no server to run on; and as the body does.
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

/// A test that has its clean databases. Its lease ends with the test, even if a clone of its request lives on in a
/// thread.
#[must_use = "the lease ends when this is dropped"]
pub struct CleanTest {
    test: Test,
    start: Start,
    request: Option<TestRequest>,
}

impl CleanTest {
    /// Settings, server, lease, guard and flush; the fixtures in the body will join the lease.
    ///
    /// # Panics
    ///
    /// At the author's line when there is no server to run on.
    #[track_caller]
    pub fn begin(test: Test) -> Self {
        let request = TestRequest::try_clean_for(test.name);
        let started = request.and_then(|request| Ok((Start::with(&request.lease, test.fixtures)?, request)));
        match started {
            Ok((start, request)) => Self { test, start, request: Some(request) },
            Err(error) => panic!("{}", report::test_cannot_run(test.name, &error)),
        }
    }

    /// Runs the body of an `async` test whose runtime is not ours to end.
    pub async fn run<Outcome>(
        self,
        body: impl Future<Output = Outcome>,
        failed: impl FnOnce(&Outcome) -> bool,
    ) -> Outcome {
        let outcome = outcome::catch(body).await;
        outcome::let_tasks_end().await;
        self.end(outcome, failed)
    }

    #[track_caller]
    fn end<Outcome>(mut self, outcome: thread::Result<Outcome>, failed: impl FnOnce(&Outcome) -> bool) -> Outcome {
        let failed = match (&outcome, self.test.should_panic) {
            (Ok(outcome), None) => failed(outcome),
            (Ok(_), Some(_)) | (Err(_), None) => true,
            (Err(panic), Some(expected)) => !outcome::message(panic.as_ref()).contains(expected),
        };
        let mut complaint = None;
        if let Some(request) = self.request.take() {
            if !failed && outcome.is_ok() {
                complaint = self.test.complaint(&request, &self.start);
            }
            if failed || complaint.is_some() {
                self.start.explain_failure(self.test.name, &request.lease);
            }
            request.end(failed || complaint.is_some());
        }
        match (outcome, complaint) {
            (Ok(_), Some(complaint)) => panic!("{complaint}"),
            (Ok(outcome), None) => outcome,
            (Err(panic), _) => resume_unwind(panic),
        }
    }
}

/// An `async` test that is dropped before its end: it was cancelled.
impl Drop for CleanTest {
    fn drop(&mut self) {
        if let Some(request) = self.request.take() {
            self.start.explain_failure(self.test.name, &request.lease);
            request.end(true);
        }
    }
}
