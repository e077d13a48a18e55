//! The format of apalis-redis.

use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::{Pipeline, pipe};
use serde_json::Value;

use super::entry::{Entry, Found};
use super::format::JobFormat;
use super::job::Job;
use super::place::{Body, KeyRole, Place, TimeUnit};
use crate::report::jobs as say;

/// The text between the queue's name and the worker's name, in the key of the jobs that the worker has taken.
const INFLIGHT: &str = ":inflight:";

/// The list of all queues, each with the time at which a worker registered.
const QUEUES: &str = "core:apalis:queues:list";

/// Keys without waiting jobs: the text after the queue's name, and the type.
const OTHER_KEYS: [(&str, &str); 3] = [("data", "hash"), ("done", "set"), ("signal", "list")];

/// Keys without waiting jobs whose names continue with the id of a job, the name of a worker, or an idempotency key:
/// the text after the queue's name, and the type.
const OTHER_KEYS_BY_PART: [(&str, &str); 3] =
    [(":meta:", "hash"), (":workers:metadata:", "hash"), (":idempotency:", "string")];

/// The default number of attempts.
const MAX_ATTEMPTS: u32 = 25;

/// The format of the crate [apalis-redis](https://docs.rs/apalis-redis/1.0.0) 1.0.0. Requires the feature `apalis`.
///
/// The layout follows its [keys](https://docs.rs/crate/apalis-redis/1.0.0/source/src/config.rs) and
/// [scripts](https://docs.rs/crate/apalis-redis/1.0.0/source/lua/). Other versions can have another layout. The
/// negative assertions fail on keys that this layout does not have.
///
/// All queues of the database are found. In apalis, jobs have no names, and all jobs of a queue have the same type. So
/// a job's name is the name of its queue: by default the [`type_name`](std::any::type_name) of the type, or else the
/// one set with `Config::queue`. The job has one argument, the value of that type. apalis-redis writes it as JSON by
/// default. Arguments in another codec are [opaque](Job::why_opaque), unless they happen to be valid JSON.
///
/// A failed job waits for a retry until it has failed 25 times, regardless of its `max_attempts`. Then it is
/// [dead](super::Jobs::dead), and so is an aborted job. apalis-redis keeps jobs without a due time among the scheduled
/// ones, so only a job that is not due yet has an [`eta`](Job::eta). [`travel`](crate::TestRequest::travel) ages due
/// times and the heartbeats of workers, but not the times in a job's metadata (`done_at`, `locked_at`).
///
/// ```
/// use std::time::Duration;
/// use transient_fixtures::{Apalis, Job, TestRequest};
///
/// #[derive(serde::Serialize)]
/// struct SendMail {
///     to: String,
/// }
///
/// # fn main() -> Result<(), transient_fixtures::Error> {
/// let jobs = TestRequest::clean().jobs_with_format(Apalis::new());
/// let queue = std::any::type_name::<SendMail>();
/// let mail = SendMail { to: "asa@example.com".to_owned() };
/// jobs.enqueue(Job::new(queue).with_args(&mail).with_countdown(Duration::from_secs(60)))?;
/// jobs.assert_enqueued(queue).with_args(&mail).times(1).only();
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Apalis {}

impl Apalis {
    /// Creates the format.
    ///
    /// ```
    /// use transient_fixtures::{Apalis, TestRequest};
    ///
    /// TestRequest::clean().jobs_with_format(Apalis::new()).assert_nothing_enqueued();
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl JobFormat for Apalis {
    fn places(&self, queue: &str) -> Vec<Place> {
        let key = |name| format!("{queue}:{name}");
        let scheduled = Place::sorted_set(key("scheduled")).with_due_times(TimeUnit::SECONDS).with_immediate_jobs();
        let places = [Place::list(key("active")), scheduled, Place::set(key("dead")).dead()];
        places.into_iter().map(|place| with_bodies(place, queue)).collect()
    }

    fn key_role(&self, key: &str) -> KeyRole {
        // Places come first, so that jobs are found even if their queue is named like another key.
        if let Some((queue, "active" | "scheduled" | "dead")) = key.rsplit_once(':') {
            return KeyRole::Queue(queue.to_owned());
        }
        if let Some((queue, _)) = key.split_once(INFLIGHT) {
            return KeyRole::Place(with_bodies(Place::set(key).unacked(), queue));
        }
        if key == QUEUES || key.ends_with(":workers") {
            return KeyRole::Timestamps(TimeUnit::SECONDS);
        }
        let short = key.rsplit_once(':').and_then(|(_, name)| OTHER_KEYS.iter().find(|other| other.0 == name));
        let other = short.or_else(|| OTHER_KEYS_BY_PART.iter().find(|other| key.contains(other.0)));
        other.map_or(KeyRole::Unknown, |(_, kind)| KeyRole::OtherOfType(kind))
    }

    fn decode(&self, entry: &Entry) -> Job {
        let queue_of_worker = || entry.place.key.split_once(INFLIGHT).map(|(queue, _)| queue);
        let queue = entry.queue().or_else(queue_of_worker).unwrap_or_default();
        let Some(Some(Found::Bytes(arguments))) = entry.bodies.first() else {
            return Job::new_unreadable(queue, entry.value(), say::NO_BODY_OF_ID);
        };
        let attempts = entry.field("attempts").and_then(|count| std::str::from_utf8(count).ok()?.parse().ok());
        let Some(attempts) = attempts else { return Job::new_unreadable(queue, arguments, say::NO_ATTEMPTS) };
        let job = Job::new(queue).with_queue(queue).with_id(entry.text()).with_retries(attempts);
        match serde_json::from_slice(arguments) {
            Ok(Value::Null) => job,
            Ok(argument) => job.with_args([argument]),
            Err(error) => job.with_opaque(say::other_body(&error)),
        }
    }

    fn encode(&self, job: &Job) -> Result<Pipeline, Box<dyn Error + Send + Sync>> {
        let queue = job.name.as_deref().ok_or(say::NO_NAME)?;
        if !job.queue.is_empty() && job.queue != queue {
            return Err(say::name_of_other_queue(&job.queue).into());
        }
        if let Some(why) = &job.opaque {
            return Err(say::opaque_arguments(why).into());
        }
        if !job.kwargs.is_empty() {
            return Err(say::no_kwargs("an apalis job").into());
        }
        if job.priority.is_some() || job.expires.is_some() {
            return Err(say::no_priority_or_expiry("an apalis job").into());
        }
        let argument = match job.args.as_slice() {
            [] => Value::Null,
            [argument] => argument.clone(),
            _ => return Err(say::ONE_ARGUMENT.into()),
        };
        // A job without an eta is due now. Workers compare whole seconds.
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let eta = job.eta.and_then(|eta| eta.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        let due = eta.max(Duration::from_secs(now)).as_secs_f64();
        let (id, attempts, max_attempts) =
            (job.id.as_deref().unwrap_or_default(), job.retries.to_string(), MAX_ATTEMPTS.to_string());
        let metadata = [
            ("attempts", attempts.as_str()),
            ("max_attempts", &max_attempts),
            ("status", "Pending"),
            ("idempotency_key", ""),
        ];
        let mut commands = pipe();
        commands.hset(format!("{queue}:data"), id, argument.to_string());
        commands.hset_multiple(format!("{queue}:meta:{id}"), &metadata);
        commands.zadd(format!("{queue}:scheduled"), id, due);
        Ok(commands)
    }

    /// Returns an empty name: a job's queue has the job's name.
    fn default_queue(&self) -> &'static str {
        ""
    }
}

/// Adds the bodies of a place of ids: the arguments in a field of a hash, and the metadata in a hash for each job.
fn with_bodies(place: Place, queue: &str) -> Place {
    place.with_body(Body::hash_field(format!("{queue}:data"))).with_body(Body::hash(format!("{queue}:meta:")))
}
