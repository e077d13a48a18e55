//! Assertions about the enqueued jobs.

use serde::Serialize;
use serde_json::Value;

use super::{Job, arguments};
use crate::report;

/// The waiting jobs that match all conditions so far: the result of [`assert_enqueued`](super::Jobs::assert_enqueued).
///
/// Each condition asserts that at least one job still matches. Nothing is read from the server again.
///
/// ```should_panic
/// use transient_fixtures::{Job, TestRequest};
///
/// let jobs = TestRequest::clean().jobs();
/// jobs.enqueue(Job::new("shop.send_mail").with_args(("asa@example.com",))).unwrap();
/// // Panics here, and shows that the mail to Åsa is enqueued.
/// jobs.assert_enqueued("shop.send_mail").with_args(("bo@example.com",));
/// ```
#[derive(Clone, Debug)]
pub struct EnqueuedAssertion {
    expected: String,
    matching: Vec<Job>,
    all: Vec<Job>,
    /// Descriptions of the keys that the format does not know.
    foreign: Vec<String>,
}

#[expect(clippy::return_self_not_must_use, clippy::must_use_candidate, reason = "each step asserts by itself")]
impl EnqueuedAssertion {
    #[track_caller]
    pub(super) fn new(name: &str, all: Vec<Job>, foreign: Vec<String>) -> Self {
        let this = Self { expected: report::jobs::a_job(name), matching: all.clone(), all, foreign };
        this.narrow("", |job| job.name.as_deref() == Some(name))
    }

    /// Keeps the jobs with exactly these positional arguments: a tuple, an array, or a single value.
    ///
    /// ```
    /// use transient_fixtures::{Job, TestRequest};
    ///
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let jobs = TestRequest::clean().jobs();
    /// jobs.enqueue(Job::new("shop.send_mail").with_args(("asa@example.com", 3)))?;
    /// jobs.assert_enqueued("shop.send_mail").with_args(("asa@example.com", 3));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics at the caller's line, and lists all waiting jobs, if no job matches, or if the arguments of a matching
    /// job are [opaque](Job::why_opaque). It also panics if `args` has no JSON form.
    #[track_caller]
    pub fn with_args(self, args: impl Serialize) -> Self {
        let args = match arguments(args) {
            Ok(args) => args,
            Err(error) => panic!("{}", report::jobs::no_json(&error)),
        };
        self.assert_readable();
        self.narrow(&report::jobs::with_args(&Value::from(args.clone())), |job| job.args == args)
    }

    /// Keeps the jobs with exactly these keyword arguments: a map, or a struct.
    ///
    /// ```
    /// use transient_fixtures::{Job, TestRequest};
    ///
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let jobs = TestRequest::clean().jobs();
    /// jobs.enqueue(Job::new("shop.send_mail").with_kwarg("copy", true))?;
    /// jobs.assert_enqueued("shop.send_mail").with_kwargs(std::collections::BTreeMap::from([("copy", true)]));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics at the caller's line, and lists all waiting jobs, if no job matches, or if the arguments of a matching
    /// job are [opaque](Job::why_opaque). It also panics if `kwargs` has no JSON form.
    #[track_caller]
    pub fn with_kwargs(self, kwargs: impl Serialize) -> Self {
        let kwargs = match serde_json::to_value(kwargs) {
            Ok(kwargs) => kwargs,
            Err(error) => panic!("{}", report::jobs::no_json(&error)),
        };
        self.assert_readable();
        self.narrow(&report::jobs::with_kwargs(&kwargs), |job| Value::from(job.kwargs.clone()) == kwargs)
    }

    /// Keeps the jobs in this queue.
    ///
    /// ```
    /// use transient_fixtures::{Job, TestRequest};
    ///
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let jobs = TestRequest::clean().jobs();
    /// jobs.enqueue(Job::new("shop.send_mail").with_queue("mail"))?;
    /// jobs.assert_enqueued("shop.send_mail").on_queue("mail");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics at the caller's line, and lists all waiting jobs, if no job matches.
    #[track_caller]
    pub fn on_queue(self, queue: &str) -> Self {
        self.narrow(&report::jobs::in_queue(queue), |job| job.queue == queue)
    }

    /// Asserts the number of matching jobs.
    ///
    /// ```
    /// use transient_fixtures::{Job, TestRequest};
    ///
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let jobs = TestRequest::clean().jobs();
    /// jobs.enqueue(Job::new("shop.send_mail"))?;
    /// jobs.assert_enqueued("shop.send_mail").times(1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics at the caller's line, and lists all waiting jobs, if there are more or fewer.
    #[track_caller]
    pub fn times(self, count: usize) -> Self {
        let expected = report::jobs::times(&self.expected, count, self.matching.len());
        assert!(self.matching.len() == count, "{}", self.unexpected(&expected));
        self
    }

    /// Asserts that all waiting jobs match.
    ///
    /// ```
    /// use transient_fixtures::{Job, TestRequest};
    ///
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let jobs = TestRequest::clean().jobs();
    /// jobs.enqueue(Job::new("shop.send_mail"))?;
    /// jobs.assert_enqueued("shop.send_mail").only();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics at the caller's line, and lists all waiting jobs, if another job waits, or if the job database has a key
    /// that the format does not know.
    #[track_caller]
    pub fn only(self) -> Self {
        let expected = report::jobs::only(&self.expected);
        let is_all = self.matching.len() == self.all.len() && self.foreign.is_empty();
        assert!(is_all, "{}", self.unexpected(&expected));
        self
    }

    /// Returns the matching jobs, in the order in which workers take them.
    #[must_use]
    pub fn jobs(&self) -> &[Job] {
        &self.matching
    }

    #[track_caller]
    fn narrow(mut self, condition: &str, matches: impl Fn(&Job) -> bool) -> Self {
        self.expected += condition;
        self.matching.retain(matches);
        assert!(!self.matching.is_empty(), "{}", self.unexpected(&self.expected));
        self
    }

    /// Opaque arguments could be the expected ones.
    #[track_caller]
    fn assert_readable(&self) {
        let opaque = self.matching.iter().find_map(|job| job.opaque.as_deref());
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
