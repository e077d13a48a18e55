//! The format of Celery, on kombu's Redis transport.

mod message;

use std::error::Error;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use redis::{Pipeline, pipe};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use self::message::read;
use super::entry::Entry;
use super::format::JobFormat;
use super::job::{Job, uuid};
use super::place::{KeyRole, Place, TimeUnit};
use super::python::iso_format;
use crate::report::jobs as say;

/// kombu's separator between a queue's name and a priority step.
const SEPARATOR: &str = "\u{6}\u{16}";

/// The suffix of the lists with the replies of workers to `celery inspect` and other remote control.
const REPLIES_SUFFIX: &str = ".reply.celery.pidbox";

/// kombu's default priority steps. Each step has its own list.
const PRIORITY_STEPS: [u8; 4] = [0, 3, 6, 9];

/// Prefixes of keys without jobs, and their types: kombu's bindings and lock, Celery's results.
const OTHER_PREFIXES: [(&str, &str); 6] = [
    ("_kombu.binding.", "set"),
    ("_kombu.binding_permanent.", "set"),
    ("unacked_mutex", "string"),
    ("celery-task-meta-", "string"),
    ("celery-taskset-meta-", "string"),
    ("chord-unlock-", "string"),
];

/// Prefix and suffix of the results of a group, for its chord: a list or, in newer versions, a sorted set.
const GROUP_RESULTS: (&str, &str) = ("celery-taskset-meta-", ".j");

/// The format of Celery on kombu's Redis transport, which [`TestRequest::jobs`](crate::TestRequest::jobs) uses. It is
/// tested against Celery 5.2 and 5.7.
///
/// In [protocol 2](https://docs.celeryq.dev/en/stable/internals/protocol.html), everything except the arguments comes
/// from the headers, regardless of the body. The arguments are read if the body is JSON, also if it is compressed with
/// zlib (which kombu calls gzip) or bzip2. Arguments in pickle, YAML, msgpack or another compression are
/// [opaque](Job::why_opaque). In protocol 1, everything is in the body. If that can't be read, the message is
/// [unreadable](Job::why_unreadable). If it is compressed with bzip2, its due time can't be changed, and
/// [`travel`](crate::TestRequest::travel) is an error.
///
/// For an unacknowledged job, Redis has only the routing key, which is used as the name of the queue. They differ if
/// the application binds exchanges with other routing keys. Every list in the job database counts as a queue, except
/// for the replies to remote control. Jobs under the transport options `sep` or `unacked_key` are not found; the
/// negative assertions fail on those keys.
///
/// ```
/// use transient_fixtures::{Celery, TestRequest};
///
/// // For broker_transport_options = {"global_keyprefix": "shop:", "priority_steps": [0, 5]}
/// let jobs = TestRequest::clean().jobs_with_format(Celery::new().with_key_prefix("shop:").with_priority_steps([0,
/// 5])); jobs.assert_nothing_enqueued();
/// ```
#[derive(Clone, Debug)]
pub struct Celery {
    prefix: String,
    steps: Vec<u8>,
}

impl Celery {
    /// Creates the format with kombu's defaults: no key prefix, and the priority steps 0, 3, 6 and 9.
    ///
    /// ```
    /// use transient_fixtures::{Celery, TestRequest};
    ///
    /// TestRequest::clean().jobs_with_format(Celery::new()).assert_nothing_enqueued();
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self { prefix: String::new(), steps: PRIORITY_STEPS.to_vec() }
    }

    /// Sets the `global_keyprefix` of the application's `broker_transport_options`.
    ///
    /// ```
    /// use transient_fixtures::{Celery, Job, TestRequest};
    ///
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let jobs = TestRequest::clean().jobs_with_format(Celery::new().with_key_prefix("shop:"));
    /// // Its key is `shop:celery`.
    /// jobs.enqueue(Job::new("shop.send_mail"))?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets the `priority_steps` of the application's `broker_transport_options`.
    ///
    /// ```
    /// use transient_fixtures::{Celery, Job, TestRequest};
    ///
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let jobs = TestRequest::clean().jobs_with_format(Celery::new().with_priority_steps([0, 5]));
    /// // Its list is that of step 5.
    /// jobs.enqueue(Job::new("shop.count").with_priority(9))?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_priority_steps(mut self, steps: impl IntoIterator<Item = u8>) -> Self {
        self.steps = steps.into_iter().collect();
        self.steps.sort_unstable();
        self
    }

    /// Returns the list for a priority: that of the next lower step, or of the last step if all are higher, as in
    /// kombu.
    fn list(&self, queue: &str, priority: u32) -> String {
        let step = self.steps.iter().rev().find(|step| u32::from(**step) <= priority).or(self.steps.last());
        self.list_of_step(queue, step.copied().unwrap_or(0))
    }

    /// Returns the list of a step. For step 0, its name is the queue's.
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
        // Producers without priorities use the list of step 0, even if it is not one of the steps.
        let steps = self.steps.iter().copied().filter(|step| *step > 0);
        let lists = std::iter::once(0).chain(steps).map(|step| self.list_of_step(queue, step));
        lists.map(|list| Place::list(list).newest_first()).collect()
    }

    fn shared_places(&self) -> Vec<Place> {
        vec![Place::hash(format!("{}unacked", self.prefix)).unacked()]
    }

    fn key_role(&self, key: &str) -> KeyRole {
        let Some(name) = key.strip_prefix(&self.prefix) else { return KeyRole::Unknown };
        // The list of an unknown step counts as a separate queue, so that its jobs are not missed.
        let known = |step: &str| step.parse().is_ok_and(|step: u8| self.steps.contains(&step));
        match name.rsplit_once(SEPARATOR) {
            // When a worker took each job.
            _ if name == "unacked_index" => KeyRole::Timestamps(TimeUnit::SECONDS),
            // When the bindings of expiring queues end.
            _ if name == "_kombu.binding_deadlines" => KeyRole::Timestamps(TimeUnit::MILLISECONDS),
            _ if name.ends_with(REPLIES_SUFFIX) => KeyRole::Other,
            _ if name.starts_with(GROUP_RESULTS.0) && name.ends_with(GROUP_RESULTS.1) => KeyRole::Other,
            Some((queue, step)) if known(step) => KeyRole::Queue(queue.to_owned()),
            _ => {
                let other = OTHER_PREFIXES.iter().find(|(prefix, _)| name.starts_with(prefix));
                other.map_or_else(|| KeyRole::Queue(name.to_owned()), |(_, kind)| KeyRole::OtherOfType(kind))
            }
        }
    }

    fn decode(&self, entry: &Entry) -> Job {
        let (queue, raw) = (entry.queue().unwrap_or_default(), entry.message());
        if entry.is_unacked() {
            return decode_unacked(raw);
        }
        read(queue, raw).unwrap_or_else(|why| Job::new_unreadable(queue, raw, why))
    }

    fn encode(&self, job: &Job) -> Result<Pipeline, Box<dyn Error + Send + Sync>> {
        // A job that a worker had taken goes back as it was.
        let is_whole = !job.raw.is_empty() && job.name.is_some();
        let message = if is_whole { job.raw.clone() } else { encode(job)? };
        let mut commands = pipe();
        commands.lpush(self.list(&job.queue, job.priority.unwrap_or(0)), message);
        Ok(commands)
    }

    fn age(&self, message: &[u8], by: Duration) -> Option<Vec<u8>> {
        message::age(message, by)
    }

    fn default_queue(&self) -> &'static str {
        "celery"
    }
}

/// Decodes `[message, exchange, routing key]`. The message stays as it is.
fn decode_unacked(raw: &[u8]) -> Job {
    let parts: Result<(&RawValue, IgnoredAny, String), _> = serde_json::from_slice(raw);
    match parts {
        Ok((message, _, queue)) => {
            let message = message.get().as_bytes();
            match read(&queue, message) {
                Ok(job) => Job { raw: message.to_vec(), ..job },
                Err(why) => Job::new_unreadable(&queue, raw, why),
            }
        }
        Err(error) => Job::new_unreadable("", raw, error.to_string()),
    }
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
    // Celery only displays these, and makes them with Python's repr.
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
