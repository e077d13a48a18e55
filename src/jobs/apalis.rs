//! apalis-redis' queues.

use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::{Pipeline, pipe};
use serde_json::Value;

use super::format::JobFormat;
use super::job::Job;
use super::place::{Body, Entry, Found, Key, Place, Unit};
use crate::report::jobs as say;

/// What stands between a queue's name and that of a worker, in the key of what the worker has taken.
const TAKEN: &str = ":inflight:";

/// Where all queues are noted, with the time at which a worker has come.
const QUEUES: &str = "core:apalis:queues:list";

/// Keys that hold no jobs to do, by what follows the queue's name, with their types.
const NOTES: [(&str, &str); 3] = [("data", "hash"), ("done", "set"), ("signal", "list")];

/// The same of those whose names go on: with the id of a job, the name of a worker, a key of the application.
const LONG_NOTES: [(&str, &str); 3] = [(":meta:", "hash"), (":workers:metadata:", "hash"), (":idempotency:", "string")];

/// How often a worker tries a job whose producer says nothing of it.
const MOST_TRIES: u32 = 25;

/// The jobs of the crate [apalis-redis](https://docs.rs/apalis-redis/1.0.0), version 1.0.0, as its
/// [keys](https://docs.rs/crate/apalis-redis/1.0.0/source/src/config.rs) and
/// [scripts](https://docs.rs/crate/apalis-redis/1.0.0/source/lua/) keep them. Another version may have another layout;
/// the negative assertions name keys that this one does not have.
///
/// All queues of the database are found. apalis gives jobs no names, and a queue jobs of one type: a job has the name of
/// its queue, which by default is the type's, as [`type_name`](std::any::type_name) says it, and otherwise what
/// `Config::queue` says. It has one argument, the value of that type. Arguments are read where they are JSON, as
/// apalis-redis writes them by default; those of another codec are [opaque](Job::opaque), unless they happen to be JSON.
///
/// What fails waits for another try, until it has failed 25 times, whatever its `max_attempts` says; what is aborted, or
/// has failed so often, is [dead](super::Jobs::dead). apalis-redis puts the jobs for now among those for later, so that
/// only those that are not due yet have an [`eta`](Job::eta). Due times and the heartbeats of workers age with
/// [`travel`](crate::TestRequest::travel); the times in a job's metadata (`done_at`, `locked_at`) do not.
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
/// let jobs = TestRequest::clean().jobs_of(Apalis::new());
/// let queue = std::any::type_name::<SendMail>();
/// let mail = SendMail { to: "asa@example.com".to_owned() };
/// jobs.enqueue(Job::new(queue).args(&mail).countdown(Duration::from_secs(60)))?;
/// jobs.assert_enqueued(queue).with_args(&mail).times(1).only();
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Apalis {}

impl Apalis {
    /// Of all queues.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl JobFormat for Apalis {
    fn places(&self, queue: &str) -> Vec<Place> {
        let key = |name| format!("{queue}:{name}");
        let scheduled = Place::sorted_set(key("scheduled")).due_in(Unit::SECONDS).or_now();
        let places = [Place::list(key("active")), scheduled, Place::set(key("dead")).dead()];
        places.into_iter().map(|place| with_bodies(place, queue)).collect()
    }

    fn key(&self, key: &str) -> Key {
        // First what waits: whatever a queue's name looks like, its jobs are not taken for notes.
        if let Some((queue, "active" | "scheduled" | "dead")) = key.rsplit_once(':') {
            return Key::Queue(queue.to_owned());
        }
        if let Some((queue, _)) = key.split_once(TAKEN) {
            return Key::Place(with_bodies(Place::set(key).taken(), queue));
        }
        if key == QUEUES || key.ends_with(":workers") {
            return Key::Times(Unit::SECONDS);
        }
        let short = key.rsplit_once(':').and_then(|(_, name)| NOTES.iter().find(|note| note.0 == name));
        let note = short.or_else(|| LONG_NOTES.iter().find(|note| key.contains(note.0)));
        note.map_or(Key::Unknown, |(_, kind)| Key::Note(kind))
    }

    fn decode(&self, entry: &Entry) -> Job {
        let taken_of = || entry.place.key.split_once(TAKEN).map(|(queue, _)| queue);
        let queue = entry.queue().or_else(taken_of).unwrap_or_default();
        let Some(Some(Found::Bytes(arguments))) = entry.bodies.first() else {
            return Job::unreadable(queue, entry.value(), say::NO_BODY_OF_ID);
        };
        let attempts = entry.field("attempts").and_then(|count| std::str::from_utf8(count).ok()?.parse().ok());
        let Some(attempts) = attempts else { return Job::unreadable(queue, arguments, say::NO_ATTEMPTS) };
        let mut job = Job::new(queue).queue(queue).id(entry.text());
        job.retries = attempts;
        match serde_json::from_slice(arguments) {
            Ok(Value::Null) => {}
            Ok(argument) => job.args = vec![argument],
            Err(error) => job.opaque = Some(say::other_body(&error)),
        }
        job
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
        // What is to be done now is due now. Workers look for whole seconds.
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let eta = job.eta.and_then(|eta| eta.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        let due = eta.max(Duration::from_secs(now)).as_secs_f64();
        let (id, attempts, most) =
            (job.id.as_deref().unwrap_or_default(), job.retries.to_string(), MOST_TRIES.to_string());
        let metadata =
            [("attempts", attempts.as_str()), ("max_attempts", &most), ("status", "Pending"), ("idempotency_key", "")];
        let mut commands = pipe();
        commands.hset(format!("{queue}:data"), id, argument.to_string());
        commands.hset_multiple(format!("{queue}:meta:{id}"), &metadata);
        commands.zadd(format!("{queue}:scheduled"), id, due);
        Ok(commands)
    }

    /// None: a job's name is that of its queue.
    fn default_queue(&self) -> &'static str {
        ""
    }
}

/// Its entries are ids; the arguments of a job are in a field, and what else is said of it in a hash of its own.
fn with_bodies(place: Place, queue: &str) -> Place {
    place.body(Body::field_of(format!("{queue}:data"))).body(Body::hash(format!("{queue}:meta:")))
}
