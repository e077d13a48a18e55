//! RQ's queues.

mod pickle;

use std::error::Error;
use std::time::{SystemTime, UNIX_EPOCH};

use miniz_oxide::deflate::compress_to_vec_zlib;
use redis::{Pipeline, pipe};
use serde_json::{Map, Value, json};

use super::format::JobFormat;
use super::job::Job;
use super::place::{Body, Entry, Key, Place, Unit};
use super::python::{inflate, iso_format};
use crate::report::jobs as say;

/// Keys that hold no jobs that wait, by what follows the prefix, with their types: bodies and results of jobs, names of
/// queues, workers and groups, locks.
const NOTES: [(&str, &str); 18] = [
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
    // Of rq-scheduler.
    ("scheduler_lock", "string"),
    ("scheduler_instance", "hash"),
];

/// Sorted sets of what is done or was canceled, and of what runs or has run when.
const TIMES: [&str; 6] = ["finished", "canceled", "executions", "cron_job", "cron_jobs", "cron_schedulers"];

/// How hard zlib tries: Python's default.
const COMPRESSION: u8 = 6;

/// Seconds that a job may take, where nobody says otherwise.
const TIMEOUT: &str = "180";

/// The jobs of [RQ](https://python-rq.org), which keeps a job in the
/// [hash](https://github.com/rq/rq/blob/v2.12.0/rq/job.py) `rq:job:ID`, and ids in lists and
/// [registries](https://github.com/rq/rq/blob/v2.12.0/rq/registry.py).
///
/// These wait: the list `rq:queue:NAME`, those of `rq:scheduled:NAME` that are to run later, those of `rq:deferred:NAME`
/// that wait for another job, and in RQ 3 those of `rq:ready:NAME`, and what a rate limit holds back. So do those of the
/// package rq-scheduler. What a worker has [taken](super::Jobs::taken) is in `rq:wip:NAME`, and for a moment in
/// `rq:queue:NAME:intermediate`, so that no queue's name may end in `:intermediate`; what has [failed](super::Jobs::dead),
/// in `rq:failed:NAME`. What was canceled or is finished does not wait. Due times and the times of the registries travel.
/// Of the jobs of rq-scheduler and of those that a rate limit holds back, only the job says its queue:
/// [`pending`](super::Jobs::pending) and [`drain`](super::Jobs::drain) leave them out; [`all`](super::Jobs::all) and the
/// assertions don't.
///
/// A job's name is RQ's `func_name`: `shop.send_mail`, but of an object's method only the method's name. Arguments are read
/// from pickles (RQ's default) and JSON, whichever it is. Those that hold what JSON can't express, such as dates and objects,
/// are [opaque](Job::opaque); the name is read all the same. What another serializer has written is
/// [unreadable](Job::unreadable). `raw` is what the serializer has written, before its compression. RQ notes how many
/// retries are left, not how many there were: [`retries`](Job::retries) counts those that the job itself has asked for. A
/// job whose `ttl` is over is an id without its job, which workers pass over and the negative assertions don't.
///
/// ```
/// use std::time::Duration;
/// use transient_fixtures::{Job, Rq, TestRequest};
///
/// # fn main() -> Result<(), transient_fixtures::Error> {
/// let jobs = TestRequest::clean().jobs_of(Rq::new());
/// jobs.enqueue(Job::new("shop.send_mail").args(("asa@example.com",)).queue("mail").countdown(Duration::from_secs(60)))?;
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
    /// With RQ's defaults: keys begin with `rq:`, and jobs that are queued here are pickled.
    #[must_use]
    pub fn new() -> Self {
        Self { prefix: "rq".to_owned(), writes_json: false }
    }

    /// With the `RQ_KEY_PREFIX` of the application, which RQ 3 knows: `shop` for keys such as `shop:queue:default`.
    ///
    /// ```
    /// use transient_fixtures::{Job, Rq, TestRequest};
    ///
    /// let jobs = TestRequest::clean().jobs_of(Rq::new().with_key_prefix("shop").with_json_serializer());
    /// jobs.enqueue(Job::new("shop.send_mail")).unwrap();
    /// jobs.assert_enqueued("shop.send_mail").only();
    /// ```
    #[must_use]
    pub fn with_key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// For workers with `JSONSerializer`: jobs that are queued here are written as JSON.
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
        let registry = |name| Place::sorted_set(key(name)).times_in(Unit::SECONDS);
        vec![
            Place::list(key("queue")).body(self.job()),
            registry("scheduled").due_in(Unit::SECONDS).body(self.job()),
            registry("ready").body(self.job()),
            registry("deferred").body(self.job()),
            Place::list(format!("{}:intermediate", key("queue"))).taken().body(self.job()),
            // Since RQ 2, `ID:EXECUTION`; before, the id alone, which may have any letter.
            registry("wip").taken().body(self.job()).body(self.job().id_before(':')),
            registry("failed").dead().body(self.job()),
        ]
    }

    fn key(&self, key: &str) -> Key {
        let name = key.strip_prefix(&self.prefix).and_then(|rest| rest.strip_prefix(':'));
        let (kind, name) = name.map(|name| name.split_once(':').unwrap_or((name, ""))).unwrap_or_default();
        let shared = |place: Place| Key::Place(place.body(self.job()));
        match kind {
            // When a job was first seen to be stuck there.
            "queue" if name.contains(":intermediate:first_seen:") => Key::Note("string"),
            "queue" => Key::Queue(name.strip_suffix(":intermediate").unwrap_or(name).to_owned()),
            "scheduled" | "ready" | "deferred" | "wip" | "failed" => Key::Queue(name.to_owned()),
            // Of rq-scheduler.
            "scheduler" if name == "scheduled_jobs" => shared(Place::sorted_set(key).due_in(Unit::SECONDS)),
            "rl" if name.ends_with(":rate_limited") => shared(Place::sorted_set(key).times_in(Unit::SECONDS)),
            // These are in their queues too.
            "rl" if name.ends_with(":allowed") => Key::Times(Unit::SECONDS),
            _ if TIMES.contains(&kind) => Key::Times(Unit::SECONDS),
            "job" if name.ends_with(":dependents") || name.ends_with(":dependencies") => Key::Note("set"),
            "worker" if name.ends_with(":executions") => Key::Note("set"),
            // Of another type, it may be a queue under a prefix.
            _ => NOTES.iter().find(|(note, _)| *note == kind).map_or(Key::Unknown, |(_, kind)| Key::Note(kind)),
        }
    }

    fn decode(&self, entry: &Entry) -> Job {
        let text = |field| entry.field(field).filter(|text| !text.is_empty()).map(String::from_utf8_lossy);
        let queue = entry.queue().map_or_else(|| text("origin").unwrap_or_default(), Into::into);
        let Some(data) = entry.field("data") else {
            return Job::unreadable(&queue, entry.value(), say::NO_DATA);
        };
        // RQ takes what is not compressed as it is.
        let data = inflate(data).unwrap_or_else(|| data.to_vec());
        let job = read(&data).unwrap_or_else(|why| Job::unreadable(&queue, &data, why));
        let id = entry.text();
        let id =
            id.rsplit_once(':').filter(|(_, last)| entry.is_taken() && is_execution(last)).map_or(&*id, |(id, _)| id);
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
            return Err(say::NO_PRIORITY_OR_EXPIRY_OF_RQ.into());
        }
        if id.is_empty() || !id.bytes().all(|letter| letter.is_ascii_alphanumeric() || b"_-".contains(&letter)) {
            return Err(say::no_id_of_rq(id).into());
        }
        // The second one is the object whose method is called.
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

/// 32 hexadecimal digits.
fn is_execution(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Name, object, arguments by position and by name, as a pickle or as JSON.
///
/// # Errors
///
/// Why it is not a job of RQ.
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

/// The name, which is the first of the four, whatever the others are.
fn name_in(data: &[u8]) -> Option<String> {
    if pickle::is_pickle(data) {
        return pickle::first_text(data);
    }
    let list = data.trim_ascii_start().strip_prefix(b"[")?;
    serde_json::Deserializer::from_slice(list).into_iter().next()?.ok()
}
