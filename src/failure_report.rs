//! What a failed test is told, after its panic: where its data is, what is in it, and how to look at it again.
//!
//! While a test passes nothing is asked for: a clean test begins with empty databases, so that what is there in the end
//! is what has changed. Only what was loaded for it is looked at before.

use std::env;
use std::sync::Arc;

#[cfg(feature = "snapshot")]
use crate::error::Error;
#[cfg(feature = "jobs")]
use crate::jobs;
use crate::lease::Lease;
use crate::report;
#[cfg(feature = "snapshot")]
use crate::snapshot::{Snapshot, capture};

/// How many lines of changes are printed, and of jobs.
#[cfg(any(feature = "snapshot", feature = "jobs"))]
const LINES: usize = 16;

/// What a test had in its databases when it began.
pub(crate) struct Start {
    #[cfg(feature = "snapshot")]
    snapshot: Snapshot,
}

impl Start {
    /// Loads data files into clean databases.
    ///
    /// # Errors
    ///
    /// As [`TestRequest::load`](crate::TestRequest::load).
    #[cfg(feature = "snapshot")]
    pub(crate) fn with(lease: &Arc<Lease>, fixtures: &[&str]) -> Result<Self, Error> {
        if fixtures.is_empty() {
            return Ok(Self { snapshot: Snapshot::empty() });
        }
        crate::seed::load_clean(lease, fixtures)?;
        Ok(Self { snapshot: capture::capture(lease)? })
    }

    /// # Errors
    ///
    /// When there is something to load, which takes the feature `snapshot`.
    #[cfg(not(feature = "snapshot"))]
    pub(crate) fn with(_: &Arc<Lease>, fixtures: &[&str]) -> Result<Self, crate::error::Error> {
        if fixtures.is_empty() {
            return Ok(Self {});
        }
        Err(crate::error::Error::new(crate::error::Kind::Settings, report::failure::NO_FIXTURES))
    }

    /// Whether that key was loaded for the test, and has no timeout there or may have one.
    #[cfg(feature = "snapshot")]
    pub(crate) fn has(&self, database: u32, key: &[u8], with_timeout: bool) -> bool {
        self.snapshot.get_in(database, key).is_some_and(|entry| with_timeout || entry.ttl.is_none())
    }

    #[cfg(not(feature = "snapshot"))]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn has(&self, _: u32, _: &[u8], _: bool) -> bool {
        false
    }

    /// Prints what a failed test has made of it.
    pub(crate) fn explain_failure(&self, test: &str, lease: &Arc<Lease>) {
        let package = env::var("CARGO_PKG_NAME").ok();
        // The harness leaves the crate out of the test's name.
        let name = test.split_once("::").map_or(test, |(_, name)| name);
        let rerun = report::failure::rerun(package.as_deref(), name);
        let answers = lease.answers();
        let (changes, jobs) = match &answers {
            Ok(()) => (self.changes(lease), jobs(lease)),
            Err(error) => (report::failure::not_seen(error), String::new()),
        };
        let databases = lease.settings.databases();
        report::print(&report::failure::explain(
            test,
            &lease.server,
            (databases.sessions, databases.jobs),
            &changes,
            &jobs,
            &lease.hints(),
            &rerun,
        ));
    }

    #[cfg(feature = "snapshot")]
    fn changes(&self, lease: &Arc<Lease>) -> String {
        match capture::capture(lease) {
            Ok(now) => {
                let diff = self.snapshot.diff(&now);
                if diff.is_empty() {
                    report::failure::UNCHANGED.to_owned()
                } else {
                    report::failure::changes(&diff.bounded(LINES))
                }
            }
            Err(error) => report::failure::not_seen(&error),
        }
    }

    #[cfg(not(feature = "snapshot"))]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    fn changes(&self, _: &Arc<Lease>) -> String {
        String::new()
    }
}

#[cfg(feature = "jobs")]
fn jobs(lease: &Arc<Lease>) -> String {
    match jobs::waiting(lease) {
        Ok(jobs) => report::failure::jobs(jobs.iter(), LINES),
        Err(error) => report::failure::jobs_not_seen(&error),
    }
}

#[cfg(not(feature = "jobs"))]
fn jobs(_: &Arc<Lease>) -> String {
    String::new()
}
