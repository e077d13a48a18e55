//! Celery's messages, protocol 2, as kombu's Redis transport keeps them.

use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Iso8601;

use super::format::JobFormat;
use super::job::{Job, uuid};

/// What kombu puts between a queue's name and a priority.
const SEPARATOR: &str = "\u{6}\u{16}";

/// Where kombu keeps what workers answer to `celery inspect` and its like.
const REPLIES: &str = ".reply.celery.pidbox";

/// The priorities that have a list of their own, unless the application says otherwise.
const PRIORITY_STEPS: [u8; 4] = [0, 3, 6, 9];

/// The jobs of Celery 5: [protocol 2](https://docs.celeryq.dev/en/stable/internals/protocol.html) with JSON bodies, on
/// kombu's Redis transport. What [`TestRequest::jobs`](crate::TestRequest::jobs) has.
///
/// Messages of protocol 1, and bodies that are pickled or compressed, are [unreadable](Job::unreadable): shown, and not
/// unpacked. Of a job that a worker has taken, the message says the routing key: the queue's name, where the application
/// has no exchanges with other keys. Every list in database 15 is taken for a queue, but for the replies to a worker's
/// remote control. Where the transport options `sep` or `unacked_key` are set, the jobs under them are not found.
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
    fn lists(&self, queue: &str) -> Vec<String> {
        // The list of the queue's own name is there for whoever writes without priorities.
        let steps = self.steps.iter().copied().filter(|step| *step > 0);
        std::iter::once(0).chain(steps).map(|step| self.list_of_step(queue, step)).collect()
    }

    fn queue_of(&self, list: &str) -> Option<String> {
        let list = list.strip_prefix(&self.prefix).filter(|list| !list.ends_with(REPLIES))?;
        // A step that we were not told of is shown as a queue of its own, not passed over.
        let known = |step: &str| step.parse().is_ok_and(|step: u8| self.steps.contains(&step));
        match list.rsplit_once(SEPARATOR) {
            Some((queue, step)) if known(step) => Some(queue.to_owned()),
            _ => Some(list.to_owned()),
        }
    }

    fn newest_first(&self) -> bool {
        true
    }

    fn earlier(&self, raw: &[u8], by: Duration) -> Option<Vec<u8>> {
        let message: Value = serde_json::from_slice(raw).ok()?;
        let before = message.pointer("/headers/eta")?.as_str()?;
        // Python has no years before 1, and what is due is due.
        let after = iso_format(time(before)?.checked_sub(by).unwrap_or(UNIX_EPOCH).max(UNIX_EPOCH))?;
        // In place: written anew, its numbers and the order of its fields might be others.
        let text = std::str::from_utf8(raw).ok()?;
        let places = [format!("\"eta\": \"{before}\""), format!("\"eta\":\"{before}\"")];
        let place = places.iter().find(|place| text.contains(*place))?;
        Some(text.replacen(place, &format!("\"eta\": \"{after}\""), 1).into_bytes())
    }

    fn taken(&self) -> Option<String> {
        Some(format!("{}unacked", self.prefix))
    }

    fn decode(&self, queue: &str, raw: &[u8]) -> Job {
        let message = serde_json::from_slice(raw).map_err(|error| error.to_string());
        message.and_then(|message| read(queue, &message)).unwrap_or_else(|why| Job::unreadable(queue, raw, why))
    }

    /// `[message, exchange, routing key]`
    fn decode_taken(&self, raw: &[u8]) -> Job {
        let parts: Result<(Value, Value, String), _> = serde_json::from_slice(raw);
        match parts {
            Ok((message, _, queue)) => match read(&queue, &message) {
                Ok(job) => Job { raw: message.to_string().into_bytes(), ..job },
                Err(why) => Job::unreadable(&queue, raw, why),
            },
            Err(error) => Job::unreadable("", raw, error.to_string()),
        }
    }

    fn encode(&self, job: &Job) -> Result<(String, Vec<u8>), Box<dyn Error + Send + Sync>> {
        if job.name.is_none() {
            return Err("it has no name".into());
        }
        let priority = job.priority.unwrap_or(0);
        if priority > 9 {
            return Err(format!("priority {priority} is not one of 0 to 9").into());
        }
        let eta = job.eta.map(|eta| iso_format(eta).ok_or("its eta is before 1970 or after 9999")).transpose()?;
        let body = json!([job.args, job.kwargs, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]);
        // Celery shows these to people; it makes them with Python's repr.
        let (args, kwargs) = (Value::from(job.args.clone()).to_string(), Value::from(job.kwargs.clone()).to_string());
        let message = json!({
            "body": BASE64_STANDARD.encode(serde_json::to_vec(&body)?),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {
                "lang": "rust", "task": job.name, "id": job.id, "shadow": null, "eta": eta, "expires": null,
                "group": null, "group_index": null, "retries": job.retries, "timelimit": [null, null],
                "root_id": job.id, "parent_id": null, "argsrepr": args, "kwargsrepr": kwargs,
                "origin": "transient-fixtures", "ignore_result": false,
            },
            "properties": {
                "correlation_id": job.id, "reply_to": uuid(), "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": job.queue},
                "priority": priority, "body_encoding": "base64", "delivery_tag": uuid(),
            },
        });
        Ok((self.list(&job.queue, priority), serde_json::to_vec(&message)?))
    }
}

/// # Errors
///
/// What makes it no message of protocol 2.
fn read(queue: &str, message: &Value) -> Result<Job, String> {
    let headers = message.get("headers").ok_or("it has no headers")?;
    let name = headers.get("task").and_then(Value::as_str).ok_or("its headers name no task, as protocol 2 does")?;
    let (args, kwargs) = arguments(message)?;
    let eta = headers.get("eta").and_then(Value::as_str);
    let priority = message.pointer("/properties/priority").and_then(Value::as_u64);
    let mut job = Job::new(name).queue(queue);
    job.id = headers.get("id").and_then(Value::as_str).map(str::to_owned);
    job.args = args;
    job.kwargs = kwargs;
    job.priority = priority.and_then(|priority| priority.try_into().ok());
    job.eta = eta.and_then(time);
    if let (Some(text), None) = (eta, job.eta) {
        job.unreadable = Some(format!("its eta {text:?} is no time"));
    }
    job.retries =
        headers.get("retries").and_then(Value::as_u64).and_then(|retries| retries.try_into().ok()).unwrap_or(0);
    Ok(job)
}

fn arguments(message: &Value) -> Result<(Vec<Value>, Map<String, Value>), String> {
    match message.get("content-type").and_then(Value::as_str) {
        Some("application/json") => {}
        other => return Err(format!("its body is {}, not JSON", other.unwrap_or("of no stated type"))),
    }
    if let Some(compression) = message.pointer("/headers/compression").and_then(Value::as_str) {
        return Err(format!("its body is compressed ({compression})"));
    }
    let body = message.get("body").and_then(Value::as_str).ok_or("it has no body")?;
    let body = match message.pointer("/properties/body_encoding").and_then(Value::as_str) {
        Some("base64") => BASE64_STANDARD.decode(body).map_err(|error| format!("its body is no Base64: {error}"))?,
        _ => body.as_bytes().to_vec(),
    };
    let (args, kwargs, _): (Vec<Value>, Map<String, Value>, Value) =
        serde_json::from_slice(&body).map_err(|error| format!("its body is not [args, kwargs, embed]: {error}"))?;
    Ok((args, kwargs))
}

/// As Python's `isoformat`: Celery before 5.3 drops a job whose time has more digits, or other letters behind it.
fn iso_format(time: SystemTime) -> Option<String> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    let time = OffsetDateTime::UNIX_EPOCH.checked_add(since.try_into().ok()?)?;
    let (date, microsecond) = (time.date(), time.microsecond());
    let (hour, minute, second) = time.to_hms();
    Some(format!("{date}T{hour:02}:{minute:02}:{second:02}.{microsecond:06}+00:00"))
}

/// What Python's `isoformat` writes, and the shorter forms that Celery's workers read as well. Without a zone it is UTC,
/// as Celery takes it.
fn time(text: &str) -> Option<SystemTime> {
    let forms = [text.to_owned(), format!("{text}Z"), format!("{text}T00:00Z")];
    let time = forms.iter().find_map(|form| OffsetDateTime::parse(form, &Iso8601::PARSING).ok())?;
    let since = time - OffsetDateTime::UNIX_EPOCH;
    match Duration::try_from(since) {
        Ok(since) => UNIX_EPOCH.checked_add(since),
        Err(_) => UNIX_EPOCH.checked_sub(since.unsigned_abs()),
    }
}
