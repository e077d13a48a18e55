//! The format of Sidekiq.

use std::error::Error;
use std::time::{SystemTime, UNIX_EPOCH};

use redis::{Pipeline, pipe};
use serde::Deserialize;
use serde_json::{Value, json};

use super::entry::Entry;
use super::fact::Fact;
use super::format::JobFormat;
use super::job::Job;
use super::place::{KeyRole, Place, TimeUnit};
use crate::report::jobs as say;

/// Keys without jobs, and their types: the names of queues and processes that [Sidekiq's API][api] reads, and the lock
/// of newer versions for cleaning up dead processes.
///
/// [api]: https://github.com/sidekiq/sidekiq/blob/main/lib/sidekiq/api.rb
const OTHER_KEYS: [(&str, &str); 3] = [("queues", "set"), ("processes", "set"), ("process_cleanup", "string")];

/// Prefixes of keys without jobs, and their types: counters, the locks of unique jobs in Sidekiq Enterprise and
/// rusty-sidekiq, and job metrics.
const OTHER_PREFIXES: [(&str, &str); 4] =
    [("stat:", "string"), ("unique:", "string"), ("sidekiq:unique:", "string"), ("j|", "hash")];

/// Suffixes of the keys of a [process][launcher], such as `HOST:PID:NONCE:work`, and their types.
///
/// [launcher]: https://github.com/sidekiq/sidekiq/blob/main/lib/sidekiq/launcher.rb
const PROCESS_SUFFIXES: [(&str, &str); 4] =
    [(":work", "hash"), (":workers", "hash"), ("-signals", "list"), ("", "hash")];

/// The format of [Sidekiq](https://github.com/sidekiq/sidekiq/wiki/Job-Format) and of compatible libraries. Requires
/// the feature `sidekiq`.
///
/// The lists `queue:NAME` hold the waiting jobs, and the sorted sets `schedule` and `retry` those that are not due yet.
/// [`travel`](crate::TestRequest::travel) ages their times. [`Jobs::dead`](super::Jobs::dead) reads `dead`. Workers
/// keep the jobs that they have taken in memory, so [`Jobs::unacked`](super::Jobs::unacked) finds none. The name of an
/// Active Job is the class that it wraps.
///
/// It is tested against Ruby's Sidekiq 6.4.1 and rusty-sidekiq 0.15.
///
/// ```
/// use std::time::Duration;
/// use transient_fixtures::{Job, Sidekiq, TestRequest};
///
/// # fn main() -> Result<(), transient_fixtures::Error> {
/// let jobs = TestRequest::clean().jobs_with_format(Sidekiq::new());
/// let job = Job::new("MailWorker").with_args(("asa@example.com",)).with_queue("mail");
/// jobs.enqueue(job.with_countdown(Duration::from_secs(60)))?;
/// jobs.assert_enqueued("MailWorker").with_args(("asa@example.com",)).on_queue("mail").times(1).only();
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Sidekiq {
    prefix: String,
}

impl Sidekiq {
    /// Creates the format, without a namespace.
    ///
    /// ```
    /// use transient_fixtures::{Sidekiq, TestRequest};
    ///
    /// TestRequest::clean().jobs_with_format(Sidekiq::new()).assert_nothing_enqueued();
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the namespace of `redis-namespace` or rusty-sidekiq, such as `shop` for keys like `shop:queue:default`.
    ///
    /// ```
    /// use transient_fixtures::{Job, Sidekiq, TestRequest};
    ///
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let jobs = TestRequest::clean().jobs_with_format(Sidekiq::new().with_namespace("shop"));
    /// jobs.enqueue(Job::new("MailWorker"))?;
    /// jobs.assert_enqueued("MailWorker").only();
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_namespace(mut self, namespace: &str) -> Self {
        self.prefix = format!("{namespace}:");
        self
    }

    fn key_of(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

impl JobFormat for Sidekiq {
    fn places(&self, queue: &str) -> Vec<Place> {
        vec![Place::list(self.key_of(&format!("queue:{queue}"))).newest_first()]
    }

    fn shared_places(&self) -> Vec<Place> {
        let set = |name| Place::sorted_set(self.key_of(name)).with_queue_field("queue");
        let (schedule, retry) = (set("schedule"), set("retry"));
        let dead = set("dead").with_timestamps(TimeUnit::SECONDS).dead();
        vec![schedule.with_due_times(TimeUnit::SECONDS), retry.with_due_times(TimeUnit::SECONDS), dead]
    }

    fn key_role(&self, key: &str) -> KeyRole {
        let Some(name) = key.strip_prefix(&self.prefix) else { return KeyRole::Unknown };
        match name.strip_prefix("queue:") {
            Some(queue) => KeyRole::Queue(queue.to_owned()),
            // When Sidekiq Enterprise or rusty-sidekiq enqueues the next periodic job.
            None if name == "periodic" => KeyRole::Timestamps(TimeUnit::SECONDS),
            // A key of another type can be a queue under a namespace of this name.
            None => type_of_other_key(name).map_or(KeyRole::Unknown, KeyRole::OtherOfType),
        }
    }

    fn decode(&self, entry: &Entry) -> Job {
        let raw = entry.message();
        read(raw).unwrap_or_else(|why| Job::new_unreadable(entry.queue().unwrap_or_default(), raw, why))
    }

    fn encode(&self, job: &Job) -> Result<Pipeline, Box<dyn Error + Send + Sync>> {
        let name = job.name.as_deref().ok_or(say::NO_NAME)?;
        if !job.kwargs.is_empty() {
            return Err(say::no_kwargs("a Sidekiq job").into());
        }
        if job.priority.is_some() || job.expires.is_some() {
            return Err(say::no_priority_or_expiry("a Sidekiq job").into());
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
        let mut message = json!({
            "class": name, "args": job.args, "queue": job.queue, "jid": job.id, "retry": true, "created_at": now,
        });
        if let Some(count) = job.retries.checked_sub(1) {
            // It is 0 after the first failure.
            message["retry_count"] = json!(count);
        }
        let mut commands = pipe();
        if let Some(eta) = job.eta {
            let due = eta.duration_since(UNIX_EPOCH)?.as_secs_f64();
            commands.zadd(self.key_of("schedule"), message.to_string(), due);
        } else {
            message["enqueued_at"] = json!(now);
            commands.sadd(self.key_of("queues"), &job.queue);
            commands.lpush(self.key_of(&format!("queue:{}", job.queue)), message.to_string());
        }
        Ok(commands)
    }
}

/// Returns the type that a key without jobs has.
fn type_of_other_key(name: &str) -> Option<&'static str> {
    let by_name = OTHER_KEYS.iter().find(|(other, _)| name == *other);
    let by_prefix = || OTHER_PREFIXES.iter().find(|(start, _)| name.starts_with(start));
    let of_process = || PROCESS_SUFFIXES.iter().find(|(end, _)| name.strip_suffix(end).is_some_and(is_process));
    by_name.or_else(by_prefix).or_else(of_process).map(|(_, kind)| *kind)
}

/// Returns whether this is `HOST:PID:NONCE`.
fn is_process(name: &str) -> bool {
    let mut pieces = name.rsplitn(3, ':');
    let nonce = pieces.next().is_some_and(|nonce| nonce.len() == 12 && nonce.bytes().all(|b| b.is_ascii_hexdigit()));
    nonce && pieces.next().is_some_and(|pid| pid.parse::<u32>().is_ok())
}

/// Decodes a message.
///
/// # Errors
///
/// Returns the reason if it is not a Sidekiq job.
fn read(message: &[u8]) -> Result<Job, String> {
    /// The fields that a [`Job`] has.
    #[derive(Deserialize)]
    #[serde(bound(deserialize = "'de: 'a"), expecting = "a job of Sidekiq")]
    struct Message<'a> {
        #[serde(default)]
        class: Fact<'a>,
        #[serde(default)]
        wrapped: Fact<'a>,
        #[serde(default)]
        args: Value,
        #[serde(default)]
        queue: Fact<'a>,
        #[serde(default)]
        jid: Fact<'a>,
        #[serde(default)]
        retry_count: Fact<'a>,
    }
    let message: Message<'_> = serde_json::from_slice(message).map_err(|error| error.to_string())?;
    let Value::Array(args) = message.args else { return Err(say::NO_ARGS.to_owned()) };
    let name = message.wrapped.text().or(message.class.text()).ok_or(say::NO_CLASS)?;
    let mut job = Job::new(name).with_args(args).with_queue(message.queue.text().unwrap_or("default"));
    job.id = message.jid.text().map(str::to_owned);
    job.retries = message.retry_count.number().map_or(0, |count: u32| count.saturating_add(1));
    Ok(job)
}
