//! The report of a failed test: its server, the changes to its databases, its queued jobs, and the command to rerun it.
//!
//! Passing tests cost nothing: the server is queried only after a failure. A clean test begins with empty databases, so
//! every key at its end is a change. Only loaded fixtures are captured at the start.

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

/// The most lines of changes, and of jobs.
#[cfg(any(feature = "snapshot", feature = "jobs"))]
const LINES: usize = 16;

/// The content of a test's databases at its start.
pub(crate) struct Start {
    #[cfg(feature = "snapshot")]
    snapshot: Snapshot,
}

impl Start {
    /// Loads fixtures into empty databases and captures them.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`TestRequest::load`](crate::TestRequest::load).
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
    /// Returns an error if there are fixtures: loading needs the feature `snapshot`.
    #[cfg(not(feature = "snapshot"))]
    pub(crate) fn with(_: &Arc<Lease>, fixtures: &[&str]) -> Result<Self, crate::error::Error> {
        if fixtures.is_empty() {
            return Ok(Self {});
        }
        Err(crate::error::Error::new(crate::error::Kind::Settings, report::failure::NO_FIXTURES))
    }

    /// Whether a fixture has loaded that key: one without a TTL or, with `with_ttl`, any.
    #[cfg(feature = "snapshot")]
    pub(crate) fn has(&self, database: u32, key: &[u8], with_ttl: bool) -> bool {
        self.snapshot.get_in(database, key).is_some_and(|entry| with_ttl || entry.ttl.is_none())
    }

    #[cfg(not(feature = "snapshot"))]
    #[expect(clippy::unused_self, reason = "the feature `snapshot` needs it")]
    pub(crate) fn has(&self, _: u32, _: &[u8], _: bool) -> bool {
        false
    }

    /// Prints the report of a failed test.
    pub(crate) fn explain_failure(&self, test: &str, lease: &Arc<Lease>) {
        let package = env::var("CARGO_PKG_NAME").ok();
        // The test harness names a test without its crate.
        let name = test.split_once("::").map_or(test, |(_, name)| name);
        let rerun = report::failure::rerun(package.as_deref(), name);
        let answers = lease.answers();
        let (changes, jobs) = match &answers {
            Ok(()) => (self.changes(lease), queued_jobs(lease)),
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
    #[expect(clippy::unused_self, reason = "the feature `snapshot` needs it")]
    fn changes(&self, _: &Arc<Lease>) -> String {
        String::new()
    }
}

/// Lists the queued jobs.
#[cfg(feature = "jobs")]
fn queued_jobs(lease: &Arc<Lease>) -> String {
    match jobs::waiting(lease) {
        Ok(jobs) => report::failure::jobs(jobs.iter(), LINES),
        Err(error) => report::failure::jobs_not_seen(&error),
    }
}

#[cfg(not(feature = "jobs"))]
fn queued_jobs(_: &Arc<Lease>) -> String {
    String::new()
}
