//! What a test says of the jobs that were queued.

use serde::Serialize;
use serde_json::Value;

use super::{Job, arguments};
use crate::report;

/// The queued jobs that fit what was said so far. Every step asserts that there is at least one.
///
/// ```should_panic
/// use transient_fixtures::{Job, TestRequest};
///
/// let jobs = TestRequest::clean().jobs();
/// jobs.enqueue(Job::new("shop.send_mail").args(("asa@example.com",))).unwrap();
/// // Panics here, and shows that the mail to Åsa is what is queued.
/// jobs.assert_enqueued("shop.send_mail").with_args(("bo@example.com",));
/// ```
#[derive(Clone, Debug)]
pub struct Enqueued {
    expected: String,
    fitting: Vec<Job>,
    all: Vec<Job>,
}

#[expect(clippy::return_self_not_must_use, clippy::must_use_candidate, reason = "each step asserts by itself")]
impl Enqueued {
    #[track_caller]
    pub(super) fn of(name: &str, all: Vec<Job>) -> Self {
        let this = Self { expected: format!("a job {name}"), fitting: all.clone(), all };
        this.narrow("", |job| job.name.as_deref() == Some(name))
    }

    /// Those with exactly these arguments by position: a tuple, an array, or one value.
    ///
    /// # Panics
    ///
    /// At the caller's line, with all that is queued, when there is none.
    #[track_caller]
    pub fn with_args(self, args: impl Serialize) -> Self {
        let args = match arguments(args) {
            Ok(args) => args,
            Err(error) => panic!("{}", report::jobs::no_json(&error)),
        };
        self.narrow(&format!(" with args {}", Value::from(args.clone())), |job| job.args == args)
    }

    /// Those with exactly these arguments by name: a map, or a struct.
    ///
    /// # Panics
    ///
    /// As [`with_args`](Self::with_args).
    #[track_caller]
    pub fn with_kwargs(self, kwargs: impl Serialize) -> Self {
        let kwargs = match serde_json::to_value(kwargs) {
            Ok(kwargs) => kwargs,
            Err(error) => panic!("{}", report::jobs::no_json(&error)),
        };
        self.narrow(&format!(" with kwargs {kwargs}"), |job| Value::from(job.kwargs.clone()) == kwargs)
    }

    /// Those in that queue.
    ///
    /// # Panics
    ///
    /// As [`with_args`](Self::with_args).
    #[track_caller]
    pub fn on_queue(self, queue: &str) -> Self {
        self.narrow(&format!(" in the queue {queue}"), |job| job.queue == queue)
    }

    /// Asserts how many there are.
    ///
    /// # Panics
    ///
    /// At the caller's line, with all that is queued, when there are more or fewer.
    #[track_caller]
    pub fn times(self, count: usize) -> Self {
        let expected = format!("{}, {count} times and not {}", self.expected, self.fitting.len());
        assert!(self.fitting.len() == count, "{}", report::jobs::unexpected(&expected, self.all.iter()));
        self
    }

    /// Asserts that no other job waits.
    ///
    /// # Panics
    ///
    /// At the caller's line, with all that is queued, when there is one.
    #[track_caller]
    pub fn only(self) -> Self {
        let expected = format!("{}, and no other", self.expected);
        assert!(self.fitting.len() == self.all.len(), "{}", report::jobs::unexpected(&expected, self.all.iter()));
        self
    }

    /// The jobs that fit, in the order in which they are taken.
    #[must_use]
    pub fn jobs(&self) -> &[Job] {
        &self.fitting
    }

    #[track_caller]
    fn narrow(mut self, condition: &str, fits: impl Fn(&Job) -> bool) -> Self {
        self.expected += condition;
        self.fitting.retain(fits);
        assert!(!self.fitting.is_empty(), "{}", report::jobs::unexpected(&self.expected, self.all.iter()));
        self
    }
}
