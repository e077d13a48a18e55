//! One run of a scenario.

use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex};

use crate::report;
use crate::sync::lock;
use crate::tap::Tap;

/// What a scenario is given: the URLs of a tap, for one run.
#[derive(Clone, Debug)]
pub struct Run {
    pub(super) redis_url: String,
    pub(super) jobs_url: String,
    pub(super) points: Arc<Points>,
}

/// The points that a run has passed.
#[derive(Debug, Default)]
pub(super) struct Points {
    pub(super) passed: Mutex<Vec<String>>,
    /// The index of the one that fails.
    pub(super) fails: Option<usize>,
}

impl Run {
    pub(super) fn new(tap: &Tap, fails: Option<usize>) -> Self {
        Self {
            redis_url: tap.redis_url().to_owned(),
            jobs_url: tap.jobs_url().to_owned(),
            points: Arc::new(Points { passed: Mutex::default(), fails }),
        }
    }

    /// The URL of the session database (14 by default), through the tap that injects the faults.
    #[must_use]
    pub fn redis_url(&self) -> &str {
        &self.redis_url
    }

    /// The URL of the job database (15 by default), through the same tap.
    #[must_use]
    pub fn jobs_url(&self) -> &str {
        &self.jobs_url
    }

    /// Names a step of the code under test outside Redis, such as a database write.
    ///
    /// # Errors
    ///
    /// Returns [`PointFailed`] where [`failing_points`](super::Sweep::failing_points) makes this point fail: the step
    /// is to be given up, as if it had failed by itself.
    pub fn point(&self, name: &str) -> Result<(), PointFailed> {
        let mut passed = lock(&self.points.passed);
        passed.push(name.to_owned());
        if self.points.fails == Some(passed.len() - 1) { Err(PointFailed(name.to_owned())) } else { Ok(()) }
    }

    pub(super) fn passed(&self) -> Vec<String> {
        lock(&self.points.passed).clone()
    }
}

/// A point that a sweep made fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointFailed(String);

impl fmt::Display for PointFailed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&report::faults::point_failed(&self.0))
    }
}

impl std::error::Error for PointFailed {}

/// What a scenario returns: nothing, or a `Result` whose error is the failure.
pub trait Outcome: sealed::Sealed {
    #[doc(hidden)]
    fn failure(self) -> Option<String>;
}

mod sealed {
    pub trait Sealed {}
}

impl sealed::Sealed for () {}

impl Outcome for () {
    fn failure(self) -> Option<String> {
        None
    }
}

impl<T, E> sealed::Sealed for Result<T, E> {}

impl<T, E: Debug> Outcome for Result<T, E> {
    fn failure(self) -> Option<String> {
        self.err().map(|error| format!("{error:?}"))
    }
}
