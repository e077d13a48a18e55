//! Sidekiq's queues.

use std::error::Error;
use std::time::{SystemTime, UNIX_EPOCH};

use redis::{Pipeline, pipe};
use serde::Deserialize;
use serde_json::{Value, json};

use super::fact::Fact;
use super::format::JobFormat;
use super::job::Job;
use super::place::{Entry, Key, Place, Unit};
use crate::report::jobs as say;

/// Keys that hold no jobs, with their types: names of queues and of processes, as [Sidekiq's API][api] reads them; and of
/// later versions, that dead processes were looked for.
///
/// [api]: https://github.com/sidekiq/sidekiq/blob/main/lib/sidekiq/api.rb
const NOTES: [(&str, &str); 3] = [("queues", "set"), ("processes", "set"), ("process_cleanup", "string")];

/// Prefixes of such keys: counts; which jobs are not queued twice, by Sidekiq's enterprise edition and by rusty-sidekiq;
/// how long jobs took.
const NOTE_PREFIXES: [(&str, &str); 4] =
    [("stat:", "string"), ("unique:", "string"), ("sidekiq:unique:", "string"), ("j|", "hash")];

/// Suffixes of the keys in which a process [says what it does][launcher], and is told what to do: `HOST:PID:NONCE:work`.
///
/// [launcher]: https://github.com/sidekiq/sidekiq/blob/main/lib/sidekiq/launcher.rb
const NOTE_SUFFIXES: [(&str, &str); 4] = [(":work", "hash"), (":workers", "hash"), ("-signals", "list"), ("", "hash")];

/// The jobs of [Sidekiq](https://github.com/sidekiq/sidekiq/wiki/Job-Format), and of what speaks its format.
///
/// Its lists are `queue:NAME`; `schedule` and `retry` have the jobs for later, whose times travel; `dead` has those that
/// [`Jobs::dead`](super::Jobs::dead) lists. Workers keep what they have taken to themselves, so that
/// [`Jobs::taken`](super::Jobs::taken) has none. A job of Active Job has the name of the class that it wraps.
///
/// Tested against Ruby's Sidekiq 6.4.1 and rusty-sidekiq 0.15.
///
/// ```
/// use std::time::Duration;
/// use transient_fixtures::{Job, Sidekiq, TestRequest};
///
/// # fn main() -> Result<(), transient_fixtures::Error> {
/// let jobs = TestRequest::clean().jobs_of(Sidekiq::new());
/// jobs.enqueue(Job::new("MailWorker").args(("asa@example.com",)).queue("mail").countdown(Duration::from_secs(60)))?;
/// jobs.assert_enqueued("MailWorker").with_args(("asa@example.com",)).on_queue("mail").times(1).only();
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Sidekiq {
    prefix: String,
}

impl Sidekiq {
    /// Without a namespace.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With the namespace of `redis-namespace`, or of rusty-sidekiq: `shop` for keys such as `shop:queue:default`.
    #[must_use]
    pub fn with_namespace(namespace: &str) -> Self {
        Self { prefix: format!("{namespace}:") }
    }

    fn key_of(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

impl JobFormat for Sidekiq {
    fn places(&self, queue: &str) -> Vec<Place> {
        vec![Place::list(self.key_of(&format!("queue:{queue}"))).newest_first()]
    }

    fn shared(&self) -> Vec<Place> {
        let set = |name| Place::sorted_set(self.key_of(name)).queue_in("queue");
        let (schedule, retry) = (set("schedule"), set("retry"));
        let dead = set("dead").times_in(Unit::SECONDS).dead();
        vec![schedule.due_in(Unit::SECONDS), retry.due_in(Unit::SECONDS), dead]
    }

    fn key(&self, key: &str) -> Key {
        let Some(name) = key.strip_prefix(&self.prefix) else { return Key::Unknown };
        match name.strip_prefix("queue:") {
            Some(queue) => Key::Queue(queue.to_owned()),
            // Of Sidekiq's enterprise edition, and of rusty-sidekiq: when the next job of a kind is to be queued.
            None if name == "periodic" => Key::Times(Unit::SECONDS),
            // Of another type, it may be a queue under a namespace.
            None => note(name).map_or(Key::Unknown, Key::Note),
        }
    }

    fn decode(&self, entry: &Entry) -> Job {
        let raw = entry.message();
        read(raw).unwrap_or_else(|why| Job::unreadable(entry.queue().unwrap_or_default(), raw, why))
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
            // 0 after the first failure.
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

/// The type of a key that holds no jobs.
fn note(name: &str) -> Option<&'static str> {
    let by_name = NOTES.iter().find(|(note, _)| name == *note);
    let by_prefix = || NOTE_PREFIXES.iter().find(|(start, _)| name.starts_with(start));
    let of_process = || NOTE_SUFFIXES.iter().find(|(end, _)| name.strip_suffix(end).is_some_and(is_process));
    by_name.or_else(by_prefix).or_else(of_process).map(|(_, kind)| *kind)
}

/// `HOST:PID:NONCE`.
fn is_process(name: &str) -> bool {
    let mut pieces = name.rsplitn(3, ':');
    let nonce = pieces.next().is_some_and(|nonce| nonce.len() == 12 && nonce.bytes().all(|b| b.is_ascii_hexdigit()));
    nonce && pieces.next().is_some_and(|pid| pid.parse::<u32>().is_ok())
}

/// # Errors
///
/// Why it is not a job of Sidekiq.
fn read(message: &[u8]) -> Result<Job, String> {
    /// As far as it matters here.
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
    let mut job = Job::new(name).queue(message.queue.text().unwrap_or("default"));
    job.args = args;
    job.id = message.jid.text().map(str::to_owned);
    job.retries = message.retry_count.number().map_or(0, |count: u32| count.saturating_add(1));
    Ok(job)
}
