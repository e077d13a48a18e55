//! The extension point for job queues: their keys and messages.

use std::error::Error;
use std::fmt::Debug;
use std::time::Duration;

use redis::Pipeline;

use super::{Entry, Job, KeyRole, Place};

/// The layout and the messages of a job queue. This crate implements it for [`Celery`](super::Celery), and with the
/// features `sidekiq`, `apalis` and `rq` for Sidekiq, apalis-redis and RQ. Implement it for any other queue, such as
/// the application's own.
///
/// A format defines the [places](Place) that hold a queue's jobs, the [role](KeyRole) of each key in the job database,
/// how to decode an [entry](Entry) of a place, which commands enqueue a job, and how a message ages. Later releases can
/// add methods with a default implementation.
///
/// In this example, the list `jobs:QUEUE` holds messages such as `{"do": "send_mail", "with": ["asa@example.com"]}`,
/// and the sorted set `later:QUEUE` those that are not due yet:
///
/// ```
/// use std::error::Error;
/// use std::time::{Duration, UNIX_EPOCH};
/// use transient_fixtures::jobs::{Entry, KeyRole, Place, TimeUnit};
/// use transient_fixtures::redis::{Pipeline, pipe};
/// use transient_fixtures::{Job, JobFormat, TestRequest};
///
/// #[derive(Debug)]
/// struct PlainJson;
///
/// impl JobFormat for PlainJson {
///     fn places(&self, queue: &str) -> Vec<Place> {
///         vec![
///             Place::list(format!("jobs:{queue}")),
///             Place::sorted_set(format!("later:{queue}")).with_due_times(TimeUnit::SECONDS),
///         ]
///     }
///     fn key_role(&self, key: &str) -> KeyRole {
///         match key.split_once(':') {
///             Some(("jobs" | "later", queue)) => KeyRole::Queue(queue.to_owned()),
///             _ => KeyRole::Unknown,
///         }
///     }
///     fn decode(&self, entry: &Entry) -> Job {
///         #[derive(serde::Deserialize)]
///         struct Message {
///             r#do: String,
///             with: Vec<serde_json::Value>,
///         }
///         let queue = entry.queue().unwrap_or_default();
///         match serde_json::from_slice::<Message>(entry.message()) {
///             Ok(message) => Job::new(message.r#do).with_args(message.with).with_queue(queue),
///             Err(error) => Job::new_unreadable(queue, entry.message(), error.to_string()),
///         }
///     }
///     fn encode(&self, job: &Job) -> Result<Pipeline, Box<dyn Error + Send + Sync>> {
///         let message = serde_json::json!({"do": job.name(), "with": job.args()}).to_string();
///         let mut commands = pipe();
///         match job.eta() {
///             Some(eta) => {
///                 let due = eta.duration_since(UNIX_EPOCH)?.as_secs_f64();
///                 commands.zadd(format!("later:{}", job.queue()), message, due);
///             }
///             None => {
///                 commands.rpush(format!("jobs:{}", job.queue()), message);
///             }
///         }
///         Ok(commands)
///     }
/// }
///
/// # fn main() -> Result<(), transient_fixtures::Error> {
/// let test_request = TestRequest::clean();
/// let jobs = test_request.jobs_with_format(PlainJson);
/// let job = Job::new("send_mail").with_args(["asa@example.com"]).with_queue("mail");
/// jobs.enqueue(job.with_countdown(Duration::from_secs(60)))?;
/// jobs.assert_enqueued("send_mail").with_args(["asa@example.com"]).times(1);
///
/// test_request.travel(Duration::from_secs(3600))?;
/// assert!(jobs.scheduled()?[0].eta() < Some(std::time::SystemTime::now()));
/// # Ok(())
/// # }
/// ```
///
/// Two sketches of other layouts follow. They were **not tested against the real queues**: compare them with the
/// version that you use.
///
/// [BullMQ](https://docs.bullmq.io) keeps ids in lists and sorted sets, and each job in a hash:
///
/// ```
/// # use transient_fixtures::jobs::{Body, Entry, Place, TimeUnit};
/// # use transient_fixtures::Job;
/// fn places(queue: &str) -> Vec<Place> {
///     let key = |name: &str| format!("bull:{queue}:{name}");
///     let job = || Body::hash(key(""));
///     // The score of a delayed job is its time in milliseconds, times 4096, plus a counter.
///     let unit = TimeUnit::per_second(4_096_000.0);
///     vec![
///         Place::list(key("wait")).newest_first().with_body(job()),
///         Place::list(key("paused")).newest_first().with_body(job()),
///         Place::sorted_set(key("prioritized")).with_body(job()),
///         Place::sorted_set(key("delayed")).with_due_times(unit).with_body(job()),
///         Place::list(key("active")).newest_first().unacked().with_body(job()),
///         Place::sorted_set(key("failed")).with_timestamps(TimeUnit::MILLISECONDS).dead().with_body(job()),
///     ]
/// }
///
/// fn decode(entry: &Entry) -> Job {
///     let queue = entry.queue().unwrap_or_default();
///     let name = String::from_utf8_lossy(entry.field("name").unwrap_or_default());
///     match serde_json::from_slice::<serde_json::Value>(entry.field("data").unwrap_or_default()) {
///         Ok(data) => Job::new(name).with_args((data,)).with_queue(queue).with_id(entry.text()),
///         Err(error) => Job::new_unreadable(queue, entry.value(), error.to_string()),
///     }
/// }
/// ```
///
/// [loco](https://loco.rs) keeps ids in a list, and each job as JSON in a string, together with its due time:
///
/// ```
/// # use transient_fixtures::jobs::{Body, Place};
/// fn places(queue: &str) -> Vec<Place> {
///     vec![
///         Place::list(format!("queue:{queue}")).newest_first().with_body(Body::string("job:")),
///         Place::set(format!("processing:{queue}")).unacked().with_body(Body::string("job:")),
///     ]
/// }
/// ```
pub trait JobFormat: Debug + Send + Sync + 'static {
    /// Returns the places of a queue. Places with waiting jobs come in the order in which workers empty them.
    fn places(&self, queue: &str) -> Vec<Place>;

    /// Returns the places that hold jobs of several queues. [`pending`](super::Jobs::pending) and
    /// [`drain`](super::Jobs::drain) look only at those whose entries [name their queue](Place::with_queue_field).
    fn shared_places(&self) -> Vec<Place> {
        Vec::new()
    }

    /// Returns the role of a key in the job database. It is not called for keys of
    /// [`shared_places`](Self::shared_places). A key whose type does not match its place counts as
    /// [unknown](KeyRole::Unknown).
    fn key_role(&self, key: &str) -> KeyRole;

    /// Decodes one entry. Return [`Job::new_unreadable`] if it is not in this format.
    ///
    /// The [raw message](Job::raw), the [queue](Job::queue), and the [eta](Job::eta) that the place's scores give are
    /// added if the decoded job has none.
    fn decode(&self, entry: &Entry) -> Job;

    /// Returns the commands that enqueue a job and record everything else that workers need. They run in one
    /// transaction (`MULTI`).
    ///
    /// The job always has an id. It has a queue unless the [default queue](Self::default_queue) is empty. It has [raw
    /// bytes](Job::raw) if it was read with this format and not changed since, or if the test set them.
    ///
    /// # Errors
    ///
    /// Returns an error if the format can't express the job. Its text is part of the error that
    /// [`enqueue`](super::Jobs::enqueue) returns.
    fn encode(&self, job: &Job) -> Result<Pipeline, Box<dyn Error + Send + Sync>>;

    /// Returns the message with its due time moved back by this duration, for [`travel`](crate::TestRequest::travel).
    /// Return `None`, as the default does, if the message contains no due time, or one that can't be changed. Scores of
    /// sorted sets age by themselves.
    ///
    /// Messages in lists, sorted sets, strings and hash fields can age; those in streams can't. `travel` is an error if
    /// [`decode`](Self::decode) gives a waiting job a later [eta](Job::eta) that ages in neither way.
    fn age(&self, _message: &[u8], _by: Duration) -> Option<Vec<u8>> {
        None
    }

    /// Returns the queue of a job that names none, `default` unless overridden. It is empty if [`encode`](Self::encode)
    /// finds the queue by the job's name.
    #[expect(clippy::unnecessary_literal_bound, reason = "a format may have a setting for it")]
    fn default_queue(&self) -> &str {
        "default"
    }
}
