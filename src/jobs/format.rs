//! What the job queues disagree on: the keys and the messages.

use std::error::Error;
use std::fmt::Debug;
use std::time::Duration;

use redis::Pipeline;

use super::{Entry, Job, Key, Place};

/// How a job queue keeps its jobs in Redis: implemented here for [`Celery`](super::Celery), and with the features
/// `sidekiq`, `apalis` and `rq` for Sidekiq, apalis-redis and RQ. An application with a queue of its own implements it.
///
/// A format says five things: in which [places](Place) a queue's jobs are, what each key of the database is to it, how an
/// [entry](Entry) of a place reads, which commands queue a job, and how a message is made due earlier. Here the list
/// `jobs:QUEUE` has messages such as `{"do": "send_mail", "with": ["asa@example.com"]}`, and the sorted set
/// `later:QUEUE` those that are not due yet:
///
/// ```
/// use std::error::Error;
/// use std::time::{Duration, UNIX_EPOCH};
/// use transient_fixtures::jobs::{Entry, Key, Place, Unit};
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
///             Place::sorted_set(format!("later:{queue}")).due_in(Unit::SECONDS),
///         ]
///     }
///     fn key(&self, key: &str) -> Key {
///         match key.split_once(':') {
///             Some(("jobs" | "later", queue)) => Key::Queue(queue.to_owned()),
///             _ => Key::Unknown,
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
///             Ok(message) => Job::new(message.r#do).args(message.with).queue(queue),
///             Err(error) => Job::unreadable(queue, entry.message(), error.to_string()),
///         }
///     }
///     fn encode(&self, job: &Job) -> Result<Pipeline, Box<dyn Error + Send + Sync>> {
///         let message = serde_json::json!({"do": job.name, "with": job.args}).to_string();
///         let mut commands = pipe();
///         match job.eta {
///             Some(eta) => {
///                 let due = eta.duration_since(UNIX_EPOCH)?.as_secs_f64();
///                 commands.zadd(format!("later:{}", job.queue), message, due);
///             }
///             None => {
///                 commands.rpush(format!("jobs:{}", job.queue), message);
///             }
///         }
///         Ok(commands)
///     }
/// }
///
/// # fn main() -> Result<(), transient_fixtures::Error> {
/// let test_request = TestRequest::clean();
/// let jobs = test_request.jobs_of(PlainJson);
/// jobs.enqueue(Job::new("send_mail").args(["asa@example.com"]).queue("mail").countdown(Duration::from_secs(60)))?;
/// jobs.assert_enqueued("send_mail").with_args(["asa@example.com"]).times(1);
///
/// test_request.travel(Duration::from_secs(3600))?;
/// assert!(jobs.scheduled()?[0].eta < Some(std::time::SystemTime::now()));
/// # Ok(())
/// # }
/// ```
///
/// Two sketches of other layouts. They were **not run against the real ones**: compare them with the version in use.
///
/// [BullMQ](https://docs.bullmq.io) has ids in lists and sorted sets, and each job in a hash:
///
/// ```
/// # use transient_fixtures::jobs::{Body, Entry, Key, Place, Unit};
/// # use transient_fixtures::{Job, redis::Pipeline};
/// fn places(queue: &str) -> Vec<Place> {
///     let key = |name: &str| format!("bull:{queue}:{name}");
///     let job = || Body::hash(key(""));
///     // The score of a delayed job is its time in milliseconds, times 4096, plus a counter.
///     let unit = Unit::per_second(4_096_000.0);
///     vec![
///         Place::list(key("wait")).newest_first().body(job()),
///         Place::list(key("paused")).newest_first().body(job()),
///         Place::sorted_set(key("prioritized")).body(job()),
///         Place::sorted_set(key("delayed")).due_in(unit).body(job()),
///         Place::list(key("active")).newest_first().taken().body(job()),
///         Place::sorted_set(key("failed")).times_in(Unit::MILLISECONDS).dead().body(job()),
///     ]
/// }
///
/// fn decode(entry: &Entry) -> Job {
///     let queue = entry.queue().unwrap_or_default();
///     let name = String::from_utf8_lossy(entry.field("name").unwrap_or_default());
///     match serde_json::from_slice::<serde_json::Value>(entry.field("data").unwrap_or_default()) {
///         Ok(data) => Job::new(name).args((data,)).queue(queue).id(entry.text()),
///         Err(error) => Job::unreadable(queue, entry.value(), error.to_string()),
///     }
/// }
/// ```
///
/// [loco](https://loco.rs) has ids in a list, and each job as JSON in a string, with its own due time:
///
/// ```
/// # use transient_fixtures::jobs::{Body, Place};
/// fn places(queue: &str) -> Vec<Place> {
///     vec![
///         Place::list(format!("queue:{queue}")).newest_first().body(Body::string("job:")),
///         Place::set(format!("processing:{queue}")).taken().body(Body::string("job:")),
///     ]
/// }
/// ```
pub trait JobFormat: Debug + Send + Sync + 'static {
    /// The places of a queue. Those whose jobs wait stand in the order in which workers empty them.
    fn places(&self, queue: &str) -> Vec<Place>;

    /// The places that have jobs of all queues. [`pending`](super::Jobs::pending) and [`drain`](super::Jobs::drain) look
    /// at those whose entries [say their queue](Place::queue_in).
    fn shared(&self) -> Vec<Place> {
        Vec::new()
    }

    /// What a key of the job database is. Those of [`shared`](Self::shared) are not asked for. A key of another type than
    /// its place has is an unknown one.
    fn key(&self, key: &str) -> Key;

    /// One job; [`Job::unreadable`] for anything that is not of this format. Its message, and its due time where the
    /// place says it, are added where the format leaves them out.
    fn decode(&self, entry: &Entry) -> Job;

    /// The commands that queue a job, which are executed at once (MULTI), with what workers need besides. It has an id,
    /// and a queue unless the [default queue](Self::default_queue) is empty.
    ///
    /// # Errors
    ///
    /// When the format can't express it.
    fn encode(&self, job: &Job) -> Result<Pipeline, Box<dyn Error + Send + Sync>>;

    /// The same message with a due time that is that much earlier, where the message itself has one: for
    /// [`travel`](crate::TestRequest::travel). Messages in lists, in sorted sets, in strings and in fields are replaced;
    /// those in streams can't be.
    fn earlier(&self, _message: &[u8], _by: Duration) -> Option<Vec<u8>> {
        None
    }

    /// The queue of a job that names none. Empty where `encode` knows it by the job's name.
    #[expect(clippy::unnecessary_literal_bound, reason = "a format may have a setting for it")]
    fn default_queue(&self) -> &str {
        "default"
    }
}
