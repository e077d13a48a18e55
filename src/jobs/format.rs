//! What the job queues disagree on: the keys and the messages.

use std::error::Error;
use std::fmt::Debug;
use std::time::Duration;

use super::Job;

/// How a job queue keeps its jobs in Redis lists: implemented here for [`Celery`](super::Celery). An application with
/// a queue of its own implements it:
///
/// ```
/// use std::error::Error;
/// use transient_fixtures::{Job, JobFormat, TestRequest};
///
/// /// `{"do": "send_mail", "with": ["asa@example.com"]}` at the end of the list `jobs:QUEUE`.
/// #[derive(Debug)]
/// struct PlainJson;
///
/// impl JobFormat for PlainJson {
///     fn lists(&self, queue: &str) -> Vec<String> {
///         vec![format!("jobs:{queue}")]
///     }
///     fn queue_of(&self, list: &str) -> Option<String> {
///         list.strip_prefix("jobs:").map(str::to_owned)
///     }
///     fn newest_first(&self) -> bool {
///         false
///     }
///     fn decode(&self, queue: &str, raw: &[u8]) -> Job {
///         #[derive(serde::Deserialize)]
///         struct Message {
///             r#do: String,
///             with: Vec<serde_json::Value>,
///         }
///         match serde_json::from_slice::<Message>(raw) {
///             Ok(message) => Job::new(message.r#do).args(message.with).queue(queue),
///             Err(error) => Job::unreadable(queue, raw, error.to_string()),
///         }
///     }
///     fn encode(&self, job: &Job) -> Result<(String, Vec<u8>), Box<dyn Error + Send + Sync>> {
///         let message = serde_json::json!({"do": job.name, "with": job.args});
///         Ok((format!("jobs:{}", job.queue), serde_json::to_vec(&message)?))
///     }
/// }
///
/// # fn main() -> Result<(), transient_fixtures::Error> {
/// let jobs = TestRequest::clean().jobs_of(PlainJson);
/// jobs.enqueue(Job::new("send_mail").args(["asa@example.com"]).queue("mail"))?;
/// jobs.assert_enqueued("send_mail").with_args(["asa@example.com"]).times(1);
/// # Ok(())
/// # }
/// ```
pub trait JobFormat: Debug + Send + Sync + 'static {
    /// The lists that a queue has, the one that workers empty first in front.
    fn lists(&self, queue: &str) -> Vec<String>;

    /// The queue that a list belongs to; `None` where it is no queue's.
    fn queue_of(&self, list: &str) -> Option<String>;

    /// Whether jobs are put in at the list's head (LPUSH) and taken from its tail.
    fn newest_first(&self) -> bool;

    /// One message. What is none of this format is [`Job::unreadable`].
    fn decode(&self, queue: &str, raw: &[u8]) -> Job;

    /// The list and the message for a job.
    ///
    /// # Errors
    ///
    /// When the format can't express it.
    fn encode(&self, job: &Job) -> Result<(String, Vec<u8>), Box<dyn Error + Send + Sync>>;

    /// The same message with a due time that is that much earlier, where it has one: for
    /// [`travel`](crate::TestRequest::travel).
    fn earlier(&self, _raw: &[u8], _by: Duration) -> Option<Vec<u8>> {
        None
    }

    /// The hash of the jobs that a worker has taken and not finished, where there is one.
    fn taken(&self) -> Option<String> {
        None
    }

    /// One value of that hash.
    fn decode_taken(&self, raw: &[u8]) -> Job {
        self.decode("", raw)
    }
}
