//! The format of RQ.

mod pickle;

use std::error::Error;
use std::time::{SystemTime, UNIX_EPOCH};

use miniz_oxide::deflate::compress_to_vec_zlib;
use redis::{Pipeline, pipe};
use serde_json::{Map, Value, json};

use super::entry::Entry;
use super::format::JobFormat;
use super::job::Job;
use super::place::{Body, KeyRole, Place, TimeUnit};
use super::python::{inflate, iso_format};
use crate::report::jobs as say;

/// Keys without waiting jobs: the word after the prefix, and the type. They are bodies and results of jobs, names of
/// queues, workers and groups, and locks.
const OTHER_KEYS: [(&str, &str); 18] = [
    ("job", "hash"),
    ("queues", "set"),
    ("results", "stream"),
    ("execution", "hash"),
    ("worker", "hash"),
    ("workers", "set"),
    ("group", "set"),
    ("groups", "set"),
    ("clean_groups", "string"),
    ("clean_registries", "string"),
    ("suspended", "string"),
    ("scheduler", "hash"),
    ("scheduler-lock", "string"),
    ("cron_scheduler", "hash"),
    ("rl", "hash"),
    ("rl-keys", "set"),
    // From rq-scheduler.
    ("scheduler_lock", "string"),
    ("scheduler_instance", "hash"),
];

/// Sorted sets without waiting jobs: the word after the prefix. They hold finished and canceled jobs, executions, and
/// cron schedules.
const TIMESTAMP_SETS: [&str; 6] = ["finished", "canceled", "executions", "cron_job", "cron_jobs", "cron_schedulers"];

/// zlib's compression level: Python's default.
const COMPRESSION: u8 = 6;

/// RQ's default timeout of a job, in seconds.
const TIMEOUT: &str = "180";

/// The format of Python's [RQ](https://python-rq.org). Requires the feature `rq`.
///
/// RQ keeps a job in the [hash](https://github.com/rq/rq/blob/v2.12.0/rq/job.py) `rq:job:ID`, and ids in lists and
/// [registries](https://github.com/rq/rq/blob/v2.12.0/rq/registry.py):
///
/// - Waiting: `rq:queue:NAME`, `rq:scheduled:NAME`, `rq:deferred:NAME` (until another job is done), in RQ 3 also
///   `rq:ready:NAME` and the jobs that a rate limit holds back; and the jobs of the package rq-scheduler.
/// - [Unacknowledged](super::Jobs::unacked): `rq:wip:NAME` and, for a moment, `rq:queue:NAME:intermediate`. So the name
///   of a queue can't end in `:intermediate`.
/// - [Dead](super::Jobs::dead): `rq:failed:NAME`.
///
/// Finished and canceled jobs are not listed. [`travel`](crate::TestRequest::travel) ages due times and the times in
/// the registries. A job of rq-scheduler, or one that a rate limit holds back, names its queue only in its hash. So
/// [`pending`](super::Jobs::pending) and [`drain`](super::Jobs::drain) skip these, but [`all`](super::Jobs::all) and
/// the assertions include them.
///
/// A job's name is RQ's `func_name`, such as `shop.send_mail`, or only the method's name for a method of an object.
/// Arguments are read from pickles (RQ's default) and from JSON. If they hold anything that JSON can't express, such as
/// a date or an object, they are [opaque](Job::why_opaque), but the name is read. Data from another serializer is
/// [unreadable](Job::why_unreadable). [`raw`](Job::raw) is the output of the serializer, uncompressed. RQ stores how
/// many retries remain, not how many there were, so [`retries`](Job::retries) counts only those that the job requested
/// itself. A priority and an expiry can't be set. If the `ttl` of a job has run out, only its id remains: workers skip
/// it, and the negative assertions fail on it.
///
/// ```
/// use std::time::Duration;
/// use transient_fixtures::{Job, Rq, TestRequest};
///
/// # fn main() -> Result<(), transient_fixtures::Error> {
/// let jobs = TestRequest::clean().jobs_with_format(Rq::new());
/// let job = Job::new("shop.send_mail").with_args(("asa@example.com",)).with_queue("mail");
/// jobs.enqueue(job.with_countdown(Duration::from_secs(60)))?;
/// jobs.assert_enqueued("shop.send_mail").with_args(("asa@example.com",)).on_queue("mail").times(1).only();
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Rq {
    prefix: String,
    writes_json: bool,
}

impl Rq {
    /// Creates the format with RQ's defaults: keys begin with `rq:`, and [`enqueue`](super::Jobs::enqueue) pickles.
    ///
    /// ```
    /// use transient_fixtures::{Rq, TestRequest};
    ///
    /// TestRequest::clean().jobs_with_format(Rq::new()).assert_nothing_enqueued();
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self { prefix: "rq".to_owned(), writes_json: false }
    }

    /// Sets the `RQ_KEY_PREFIX` of the application, such as `shop` for keys like `shop:queue:default`. RQ supports it
    /// since version 3.
    ///
    /// ```
    /// use transient_fixtures::{Job, Rq, TestRequest};
    ///
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let jobs = TestRequest::clean().jobs_with_format(Rq::new().with_key_prefix("shop"));
    /// jobs.enqueue(Job::new("shop.send_mail"))?;
    /// jobs.assert_enqueued("shop.send_mail").only();
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Makes [`enqueue`](super::Jobs::enqueue) write JSON, for workers with RQ's `JSONSerializer`. Both are always
    /// read.
    ///
    /// ```
    /// use transient_fixtures::{Job, Rq, TestRequest};
    ///
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let jobs = TestRequest::clean().jobs_with_format(Rq::new().with_json_serializer());
    /// jobs.enqueue(Job::new("shop.send_mail"))?;
    /// assert_eq!(jobs.pending("default")?[0].raw(), br#"["shop.send_mail",null,[],{}]"#);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_json_serializer(mut self) -> Self {
        self.writes_json = true;
        self
    }

    fn key_of(&self, name: &str) -> String {
        format!("{}:{name}", self.prefix)
    }

    fn job(&self) -> Body {
        Body::hash(self.key_of("job:"))
    }
}

impl Default for Rq {
    fn default() -> Self {
        Self::new()
    }
}

impl JobFormat for Rq {
    fn places(&self, queue: &str) -> Vec<Place> {
        let key = |name| self.key_of(&format!("{name}:{queue}"));
        let registry = |name| Place::sorted_set(key(name)).with_timestamps(TimeUnit::SECONDS);
        vec![
            Place::list(key("queue")).with_body(self.job()),
            registry("scheduled").with_due_times(TimeUnit::SECONDS).with_body(self.job()),
            registry("ready").with_body(self.job()),
            registry("deferred").with_body(self.job()),
            Place::list(format!("{}:intermediate", key("queue"))).unacked().with_body(self.job()),
            // The entries are `ID:EXECUTION` since RQ 2. Before, they were ids, which could contain any character.
            registry("wip").unacked().with_body(self.job()).with_body(self.job().with_id_before(':')),
            registry("failed").dead().with_body(self.job()),
        ]
    }

    fn key_role(&self, key: &str) -> KeyRole {
        let name = key.strip_prefix(&self.prefix).and_then(|rest| rest.strip_prefix(':'));
        let (kind, name) = name.map(|name| name.split_once(':').unwrap_or((name, ""))).unwrap_or_default();
        let shared = |place: Place| KeyRole::Place(place.with_body(self.job()));
        match kind {
            // When a job was first found stuck there.
            "queue" if name.contains(":intermediate:first_seen:") => KeyRole::OtherOfType("string"),
            "queue" => KeyRole::Queue(name.strip_suffix(":intermediate").unwrap_or(name).to_owned()),
            "scheduled" | "ready" | "deferred" | "wip" | "failed" => KeyRole::Queue(name.to_owned()),
            // From rq-scheduler.
            "scheduler" if name == "scheduled_jobs" => shared(Place::sorted_set(key).with_due_times(TimeUnit::SECONDS)),
            "rl" if name.ends_with(":rate_limited") => {
                shared(Place::sorted_set(key).with_timestamps(TimeUnit::SECONDS))
            }
            // Its jobs are in their queues too.
            "rl" if name.ends_with(":allowed") => KeyRole::Timestamps(TimeUnit::SECONDS),
            _ if TIMESTAMP_SETS.contains(&kind) => KeyRole::Timestamps(TimeUnit::SECONDS),
            "job" if name.ends_with(":dependents") || name.ends_with(":dependencies") => KeyRole::OtherOfType("set"),
            "worker" if name.ends_with(":executions") => KeyRole::OtherOfType("set"),
            // A key of another type can be a queue under a prefix of this name.
            _ => {
                let other = OTHER_KEYS.iter().find(|(word, _)| *word == kind);
                other.map_or(KeyRole::Unknown, |(_, kind)| KeyRole::OtherOfType(kind))
            }
        }
    }

    fn decode(&self, entry: &Entry) -> Job {
        let text = |field| entry.field(field).filter(|text| !text.is_empty()).map(String::from_utf8_lossy);
        let queue = entry.queue().map_or_else(|| text("origin").unwrap_or_default(), Into::into);
        let Some(data) = entry.field("data") else {
            return Job::new_unreadable(&queue, entry.value(), say::NO_DATA);
        };
        // RQ also accepts data that is not compressed.
        let data = inflate(data).unwrap_or_else(|| data.to_vec());
        let job = read(&data).unwrap_or_else(|why| Job::new_unreadable(&queue, &data, why));
        let id = entry.text();
        let id =
            id.rsplit_once(':').filter(|(_, last)| entry.is_unacked() && is_execution(last)).map_or(&*id, |(id, _)| id);
        Job {
            id: Some(id.to_owned()),
            queue: queue.into_owned(),
            retries: text("number_of_retries").and_then(|count| count.parse().ok()).unwrap_or(0),
            group: text("group_id").map(String::from),
            raw: data,
            ..job
        }
    }

    fn encode(&self, job: &Job) -> Result<Pipeline, Box<dyn Error + Send + Sync>> {
        let (name, id) = (job.name.as_deref().ok_or(say::NO_NAME)?, job.id.as_deref().unwrap_or_default());
        if let Some(why) = &job.opaque {
            return Err(say::opaque_arguments(why).into());
        }
        if job.priority.is_some() || job.expires.is_some() {
            return Err(say::no_priority_or_expiry("an RQ job").into());
        }
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)) {
            return Err(say::no_id_of_rq(id).into());
        }
        // The second item is the object whose method is called.
        let call = [json!(name), Value::Null, json!(job.args), json!(job.kwargs)];
        let data = if self.writes_json { serde_json::to_vec(&call)? } else { pickle::write_tuple(&call) };
        let now = iso_format(SystemTime::now()).ok_or(say::NO_TIME_IN_TEXT)?.replace("+00:00", "Z");
        let mut fields = vec![
            ("data", compress_to_vec_zlib(&data, COMPRESSION)),
            ("origin", job.queue.clone().into()),
            ("description", name.into()),
            ("timeout", TIMEOUT.into()),
            ("status", if job.eta.is_some() { "scheduled" } else { "queued" }.into()),
            ("created_at", now.clone().into()),
        ];
        if job.retries > 0 {
            fields.push(("number_of_retries", job.retries.to_string().into()));
        }
        let (list, mut commands) = (self.key_of(&format!("queue:{}", job.queue)), pipe());
        commands.sadd(self.key_of("queues"), &list);
        if let Some(group) = &job.group {
            fields.push(("group_id", group.clone().into()));
            commands.sadd(self.key_of(&format!("group:{group}")), id).sadd(self.key_of("groups"), group);
        }
        if let Some(eta) = job.eta {
            let due = eta.duration_since(UNIX_EPOCH)?.as_secs_f64();
            commands.zadd(self.key_of(&format!("scheduled:{}", job.queue)), id, due);
        } else {
            fields.push(("enqueued_at", now.into()));
            commands.rpush(list, id);
        }
        commands.hset_multiple(self.key_of(&format!("job:{id}")), &fields);
        Ok(commands)
    }
}

/// Returns whether this is the id of an execution: 32 hexadecimal digits.
fn is_execution(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Decodes name, object, positional and keyword arguments, from a pickle or from JSON.
///
/// # Errors
///
/// Returns the reason if it is not an RQ job.
fn read(data: &[u8]) -> Result<Job, String> {
    let call = if pickle::is_pickle(data) {
        pickle::read(data).ok_or_else(|| say::NO_PLAIN_PICKLE.to_owned())
    } else {
        serde_json::from_slice(data).map_err(|error| say::no_json_data(&error))
    };
    let call = call.and_then(|call| {
        serde_json::from_value::<(String, Value, Vec<Value>, Map<String, Value>)>(call)
            .map_err(|error| say::other_data(&error))
    });
    match call {
        Ok((name, _, args, kwargs)) => Ok(Job { args, kwargs, ..Job::new(name) }),
        Err(why) => match name_in(data) {
            Some(name) => Ok(Job { opaque: Some(why), ..Job::new(name) }),
            None => Err(why),
        },
    }
}

/// Returns the name, which is the first of the four, even if the others can't be read.
fn name_in(data: &[u8]) -> Option<String> {
    if pickle::is_pickle(data) {
        return pickle::first_text(data);
    }
    let list = data.trim_ascii_start().strip_prefix(b"[")?;
    serde_json::Deserializer::from_slice(list).into_iter().next()?.ok()
}
