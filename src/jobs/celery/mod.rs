//! Celery's queues, as kombu's Redis transport keeps them.

mod message;

use std::error::Error;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use redis::{Pipeline, pipe};
use serde_json::{Value, json};

use self::message::read;
use super::format::JobFormat;
use super::job::{Job, uuid};
use super::place::{Entry, Key, Place, Unit};
use super::python::iso_format;
use crate::report::jobs as say;

/// What kombu puts between a queue's name and a priority.
const SEPARATOR: &str = "\u{6}\u{16}";

/// Where kombu keeps what workers answer to `celery inspect` and its like.
const REPLIES: &str = ".reply.celery.pidbox";

/// The priorities that have a list of their own, unless the application says otherwise.
const PRIORITY_STEPS: [u8; 4] = [0, 3, 6, 9];

/// Keys that hold no jobs, by how their names begin, with their types: kombu's bindings and lock, Celery's results.
const NOTES: [(&str, &str); 6] = [
    ("_kombu.binding.", "set"),
    ("_kombu.binding_permanent.", "set"),
    ("unacked_mutex", "string"),
    ("celery-task-meta-", "string"),
    ("celery-taskset-meta-", "string"),
    ("chord-unlock-", "string"),
];

/// The results of a group, for its chord: a list or, in newer versions, a sorted set.
const GROUP_RESULTS: (&str, &str) = ("celery-taskset-meta-", ".j");

/// The jobs of Celery on kombu's Redis transport. What [`TestRequest::jobs`](crate::TestRequest::jobs) has. Tested against
/// Celery 5.2 and 5.7.
///
/// Of [protocol 2](https://docs.celeryq.dev/en/stable/internals/protocol.html) all but the arguments is read from the
/// headers, whatever the body is. The body is read where it is JSON, also compressed by zlib (which kombu calls gzip) or
/// bzip2; pickle, YAML, msgpack and other compressions are [opaque](Job::opaque). Protocol 1 says everything in the body:
/// where that can't be read, the message is [unreadable](Job::unreadable), and where it is compressed, its due time does
/// not travel.
///
/// Of a job that a worker has taken, the message says the routing key: the queue's name, where the application has no
/// exchanges with other keys. Every list in database 15 is taken for a queue, but for the replies to a worker's remote
/// control. Where the transport options `sep` or `unacked_key` are set, the jobs under them are not found; the negative
/// assertions name those keys.
///
/// ```
/// use transient_fixtures::{Celery, TestRequest};
///
/// // For broker_transport_options = {"global_keyprefix": "shop:", "priority_steps": [0, 5]}
/// let jobs = TestRequest::clean().jobs_of(Celery::new().with_key_prefix("shop:").with_priority_steps([0, 5]));
/// jobs.assert_nothing_enqueued();
/// ```
#[derive(Clone, Debug)]
pub struct Celery {
    prefix: String,
    steps: Vec<u8>,
}

impl Celery {
    /// With kombu's defaults.
    #[must_use]
    pub fn new() -> Self {
        Self { prefix: String::new(), steps: PRIORITY_STEPS.to_vec() }
    }

    /// With the `global_keyprefix` of the application's `broker_transport_options`.
    #[must_use]
    pub fn with_key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// With the `priority_steps` of the application's `broker_transport_options`.
    #[must_use]
    pub fn with_priority_steps(mut self, steps: impl IntoIterator<Item = u8>) -> Self {
        self.steps = steps.into_iter().collect();
        self.steps.sort_unstable();
        self
    }

    /// A priority has the list of the next lower step, and one below all steps, in kombu, that of the last.
    fn list(&self, queue: &str, priority: u8) -> String {
        let step = self.steps.iter().rev().find(|step| **step <= priority).or(self.steps.last());
        self.list_of_step(queue, step.copied().unwrap_or(0))
    }

    /// Step 0 has the list of the queue's own name.
    fn list_of_step(&self, queue: &str, step: u8) -> String {
        match step {
            0 => format!("{}{queue}", self.prefix),
            step => format!("{}{queue}{SEPARATOR}{step}", self.prefix),
        }
    }
}

impl Default for Celery {
    fn default() -> Self {
        Self::new()
    }
}

impl JobFormat for Celery {
    fn places(&self, queue: &str) -> Vec<Place> {
        // Producers without priorities write to the list of the queue's own name.
        let steps = self.steps.iter().copied().filter(|step| *step > 0);
        let lists = std::iter::once(0).chain(steps).map(|step| self.list_of_step(queue, step));
        lists.map(|list| Place::list(list).newest_first()).collect()
    }

    fn shared(&self) -> Vec<Place> {
        vec![Place::hash(format!("{}unacked", self.prefix)).taken()]
    }

    fn key(&self, key: &str) -> Key {
        let Some(name) = key.strip_prefix(&self.prefix) else { return Key::Unknown };
        // A step that we were not told of is shown as a queue of its own, not passed over.
        let known = |step: &str| step.parse().is_ok_and(|step: u8| self.steps.contains(&step));
        match name.rsplit_once(SEPARATOR) {
            // When a worker has taken which job.
            _ if name == "unacked_index" => Key::Times(Unit::SECONDS),
            // Until when a queue that expires is bound.
            _ if name == "_kombu.binding_deadlines" => Key::Times(Unit::MILLISECONDS),
            _ if name.ends_with(REPLIES) => Key::Other,
            _ if name.starts_with(GROUP_RESULTS.0) && name.ends_with(GROUP_RESULTS.1) => Key::Other,
            Some((queue, step)) if known(step) => Key::Queue(queue.to_owned()),
            _ => {
                let note = NOTES.iter().find(|(start, _)| name.starts_with(start));
                note.map_or_else(|| Key::Queue(name.to_owned()), |(_, kind)| Key::Note(kind))
            }
        }
    }

    fn decode(&self, entry: &Entry) -> Job {
        let (queue, raw) = (entry.queue().unwrap_or_default(), entry.message());
        if entry.is_taken() {
            return decode_taken(raw);
        }
        read(queue, raw).unwrap_or_else(|why| Job::unreadable(queue, raw, why))
    }

    fn encode(&self, job: &Job) -> Result<Pipeline, Box<dyn Error + Send + Sync>> {
        let message = if is_unchanged(job) { job.raw.clone() } else { encode(job)? };
        let mut commands = pipe();
        commands.lpush(self.list(&job.queue, job.priority.unwrap_or(0)), message);
        Ok(commands)
    }

    fn earlier(&self, message: &[u8], by: Duration) -> Option<Vec<u8>> {
        message::earlier(message, by)
    }

    fn default_queue(&self) -> &'static str {
        "celery"
    }
}

/// `[message, exchange, routing key]`
fn decode_taken(raw: &[u8]) -> Job {
    let parts: Result<(Value, Value, String), _> = serde_json::from_slice(raw);
    match parts {
        Ok((message, _, queue)) => {
            let message = message.to_string().into_bytes();
            match read(&queue, &message) {
                Ok(job) => Job { raw: message, ..job },
                Err(why) => Job::unreadable(&queue, raw, why),
            }
        }
        Err(error) => Job::unreadable("", raw, error.to_string()),
    }
}

/// Whether its message still says what it says: one that a worker had taken is queued again as it was.
fn is_unchanged(job: &Job) -> bool {
    read(&job.queue, &job.raw).is_ok_and(|before| Job { raw: job.raw.clone(), ..before } == *job)
}

fn encode(job: &Job) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    if job.name.is_none() {
        return Err(say::NO_NAME.into());
    }
    if let Some(why) = &job.opaque {
        return Err(say::opaque_arguments(why).into());
    }
    let priority = job.priority.unwrap_or(0);
    if priority > 9 {
        return Err(say::no_priority(priority).into());
    }
    let time = |time: Option<SystemTime>| time.map(|time| iso_format(time).ok_or(say::NO_TIME_IN_TEXT)).transpose();
    let body = json!([job.args, job.kwargs, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]);
    // Celery shows these to people; it makes them with Python's repr.
    let (args, kwargs) = (Value::from(job.args.clone()).to_string(), Value::from(job.kwargs.clone()).to_string());
    let message = json!({
        "body": BASE64_STANDARD.encode(serde_json::to_vec(&body)?),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "rust", "task": job.name, "id": job.id, "shadow": null, "eta": time(job.eta)?,
            "expires": time(job.expires)?, "group": job.group, "group_index": null, "retries": job.retries,
            "timelimit": [null, null], "root_id": job.root.as_ref().or(job.id.as_ref()), "parent_id": null,
            "argsrepr": args, "kwargsrepr": kwargs, "origin": "transient-fixtures", "ignore_result": false,
        },
        "properties": {
            "correlation_id": job.id, "reply_to": uuid(), "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": job.queue},
            "priority": priority, "body_encoding": "base64", "delivery_tag": uuid(),
        },
    });
    Ok(serde_json::to_vec(&message)?)
}
