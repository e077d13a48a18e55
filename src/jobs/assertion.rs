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
    /// The keys that the format does not know, in words.
    foreign: Vec<String>,
}

#[expect(clippy::return_self_not_must_use, clippy::must_use_candidate, reason = "each step asserts by itself")]
impl Enqueued {
    #[track_caller]
    pub(super) fn of(name: &str, all: Vec<Job>, foreign: Vec<String>) -> Self {
        let this = Self { expected: report::jobs::a_job(name), fitting: all.clone(), all, foreign };
        this.narrow("", |job| job.name.as_deref() == Some(name))
    }

    /// Those with exactly these arguments by position: a tuple, an array, or one value.
    ///
    /// # Panics
    ///
    /// At the caller's line, with all that is queued, when there is none; and when the arguments of one that fits so far
    /// [can't be read](Job::opaque).
    #[track_caller]
    pub fn with_args(self, args: impl Serialize) -> Self {
        let args = match arguments(args) {
            Ok(args) => args,
            Err(error) => panic!("{}", report::jobs::no_json(&error)),
        };
        self.assert_readable();
        self.narrow(&report::jobs::with_args(&Value::from(args.clone())), |job| job.args == args)
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
        self.assert_readable();
        self.narrow(&report::jobs::with_kwargs(&kwargs), |job| Value::from(job.kwargs.clone()) == kwargs)
    }

    /// Those in that queue.
    ///
    /// # Panics
    ///
    /// As [`with_args`](Self::with_args).
    #[track_caller]
    pub fn on_queue(self, queue: &str) -> Self {
        self.narrow(&report::jobs::in_queue(queue), |job| job.queue == queue)
    }

    /// Asserts how many there are.
    ///
    /// # Panics
    ///
    /// At the caller's line, with all that is queued, when there are more or fewer.
    #[track_caller]
    pub fn times(self, count: usize) -> Self {
        let expected = report::jobs::times(&self.expected, count, self.fitting.len());
        assert!(self.fitting.len() == count, "{}", self.unexpected(&expected));
        self
    }

    /// Asserts that no other job waits.
    ///
    /// # Panics
    ///
    /// At the caller's line, with all that is queued, when there is one; and when the job database has keys that the
    /// format does not know.
    #[track_caller]
    pub fn only(self) -> Self {
        let expected = report::jobs::only(&self.expected);
        let is_all = self.fitting.len() == self.all.len() && self.foreign.is_empty();
        assert!(is_all, "{}", self.unexpected(&expected));
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
        assert!(!self.fitting.is_empty(), "{}", self.unexpected(&self.expected));
        self
    }

    /// Arguments that can't be read may be those that are asked for.
    #[track_caller]
    fn assert_readable(&self) {
        let opaque = self.fitting.iter().find_map(|job| job.opaque.as_deref());
        assert!(
            opaque.is_none(),
            "{}",
            self.unexpected(&report::jobs::readable(&self.expected, opaque.unwrap_or_default()))
        );
    }

    fn unexpected(&self, expected: &str) -> String {
        report::jobs::unexpected(expected, self.all.iter(), &self.foreign)
    }
}
