//! Jobs of a test.

use super::TestRequest;
use crate::jobs::{self, Celery, JobFormat, Jobs};

/// Jobs. Feature `jobs`, on by default.
impl TestRequest {
    /// The jobs that Celery finds in database 15. [`Jobs`] has an example.
    #[must_use]
    pub fn jobs(&self) -> Jobs {
        self.jobs_of(Celery::new())
    }

    /// The jobs of another queue's format. [`JobFormat`] has an example.
    #[must_use]
    pub fn jobs_of(&self, format: impl JobFormat) -> Jobs {
        jobs::jobs(&self.lease, format)
    }
}
