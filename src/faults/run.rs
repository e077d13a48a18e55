//! One run of a scenario, and the counts of all runs.

use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex};

use crate::report;
use crate::sync::lock;
use crate::tap::Tap;

/// The URLs of a tap for one run of a scenario.
#[derive(Clone, Debug)]
pub struct Run {
    pub(super) redis_url: String,
    pub(super) jobs_url: String,
    pub(super) points: Arc<Points>,
}

/// The points that a run has reached.
#[derive(Debug, Default)]
pub(super) struct Points {
    pub(super) passed: Mutex<Vec<String>>,
    /// The indexes of the points that fail.
    pub(super) fail: Vec<usize>,
}

impl Run {
    pub(super) fn new(tap: &Tap, fail: Vec<usize>) -> Self {
        Self {
            redis_url: tap.redis_url().to_owned(),
            jobs_url: tap.jobs_url().to_owned(),
            points: Arc::new(Points { passed: Mutex::default(), fail }),
        }
    }

    /// Returns the URL of the session database (14 by default), through the tap that injects the faults.
    #[must_use]
    pub fn redis_url(&self) -> &str {
        &self.redis_url
    }

    /// Returns the URL of the job database (15 by default), through the same tap.
    #[must_use]
    pub fn jobs_url(&self) -> &str {
        &self.jobs_url
    }

    /// Marks a step outside Redis that can fail, such as a database write.
    ///
    /// ```
    /// use redis::Commands;
    /// use transient_fixtures::{TestRequest, faults, redis};
    ///
    /// let test_request = TestRequest::clean();
    /// let scenario = |run: &faults::Run| -> redis::RedisResult<()> {
    ///     let mut redis = redis::Client::open(run.redis_url())?.get_connection()?;
    ///     if run.point("write the order").is_ok() {
    ///         redis.set_ex::<_, _, ()>("order:7", "paid", 60)?;
    ///     }
    ///     Ok(())
    /// };
    /// let swept = faults::sweep(&test_request, scenario).failing_points().check();
    /// assert_eq!(swept.points(), 1);
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`PointFailed`] if [`failing_points`](super::Sweep::failing_points) makes this point fail. The code
    /// under test must then act as if the step itself had failed.
    pub fn point(&self, name: &str) -> Result<(), PointFailed> {
        let mut passed = lock(&self.points.passed);
        passed.push(name.to_owned());
        if self.points.fail.contains(&(passed.len() - 1)) { Err(PointFailed(name.to_owned())) } else { Ok(()) }
    }

    pub(super) fn passed(&self) -> Vec<String> {
        lock(&self.points.passed).clone()
    }
}

/// The error of a point that a sweep makes fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointFailed(String);

impl fmt::Display for PointFailed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&report::faults::point_failed(&self.0))
    }
}

impl std::error::Error for PointFailed {}

/// The return value of a scenario: `()`, or a `Result` whose error is the failure.
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

/// The counts of a sweep that passed.
#[derive(Clone, Copy, Debug)]
pub struct Swept {
    pub(super) boundaries: usize,
    pub(super) points: usize,
    pub(super) cases: usize,
}

impl Swept {
    /// Returns the number of boundaries of the scenario.
    #[must_use]
    pub fn boundaries(&self) -> usize {
        self.boundaries
    }

    /// Returns the number of [points](Run::point) of the scenario.
    #[must_use]
    pub fn points(&self) -> usize {
        self.points
    }

    /// Returns the number of cases that were run: one for each fault at each boundary, and one for each
    /// [pair](super::Sweep::pairs).
    #[must_use]
    pub fn cases(&self) -> usize {
        self.cases
    }
}
