//! Jobs of a test.

use super::TestRequest;
use crate::jobs::{self, Celery, JobFormat, Jobs};

/// Jobs. Requires the feature `jobs`, which is on by default.
impl TestRequest {
    /// Returns the jobs in the job database (15 by default), in Celery's format.
    ///
    /// ```
    /// use transient_fixtures::{Job, TestRequest};
    ///
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let jobs = TestRequest::clean().jobs();
    /// jobs.enqueue(Job::new("shop.send_mail").with_args(("asa@example.com",)))?;
    /// jobs.assert_enqueued("shop.send_mail").with_args(("asa@example.com",)).times(1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn jobs(&self) -> Jobs {
        self.jobs_with_format(Celery::new())
    }

    /// Returns the jobs in the job database (15 by default), in another queue's format. [`travel`](Self::travel) ages
    /// the times of every format that the test has used.
    ///
    /// ```
    /// use transient_fixtures::{Celery, TestRequest};
    ///
    /// let jobs = TestRequest::clean().jobs_with_format(Celery::new().with_key_prefix("shop:"));
    /// jobs.assert_nothing_enqueued();
    /// ```
    #[must_use]
    pub fn jobs_with_format(&self, format: impl JobFormat) -> Jobs {
        jobs::jobs(&self.lease, format)
    }
}
