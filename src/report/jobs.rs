//! Text about jobs.

use std::fmt::{Debug, Display, Write};
use std::time::SystemTime;

/// How many jobs a failed assertion lists.
const LISTED: usize = 20;

/// The longest unreadable message that is shown, in bytes.
const SHOWN: usize = 120;

// Why a Celery message can't be read.
pub(crate) const NO_HEADERS: &str = "it has no headers";
pub(crate) const NO_BODY: &str = "it has no body";
pub(crate) const NO_NAME_IN_BODY: &str = "neither does its body";

// Why a Sidekiq job can't be read.
#[cfg(feature = "sidekiq")]
pub(crate) const NO_CLASS: &str = "it has no class";
#[cfg(feature = "sidekiq")]
pub(crate) const NO_ARGS: &str = "its args are not an array";

// Why an apalis job can't be read.
#[cfg(feature = "apalis")]
pub(crate) const NO_ATTEMPTS: &str = "its metadata lacks the number of attempts, so no worker can read it";

// Why a job can't be enqueued in these formats.
#[cfg(any(feature = "sidekiq", feature = "apalis"))]
pub(crate) fn no_kwargs(job: &str) -> String {
    format!("{job} can't have keyword arguments")
}

#[cfg(any(feature = "sidekiq", feature = "apalis", feature = "rq"))]
pub(crate) fn no_priority_or_expiry(job: &str) -> String {
    format!("{job} can't have a priority or an expiry")
}

#[cfg(feature = "apalis")]
pub(crate) const ONE_ARGUMENT: &str =
    "an apalis job has exactly one argument. Put several values into a tuple inside of it";

#[cfg(feature = "apalis")]
pub(crate) fn name_of_other_queue(queue: &str) -> String {
    format!("an apalis job's queue is its name. Leave out the queue {queue:?}")
}

// Why an RQ job can't be read.
#[cfg(feature = "rq")]
pub(crate) const NO_DATA: &str = "its hash has no field `data`";
#[cfg(feature = "rq")]
pub(crate) const NO_PLAIN_PICKLE: &str =
    "its pickle has values without a JSON form (dates, objects, bytes, a shared list), which only Python can read";

// For queues of ids.
pub(crate) const NO_BODY_OF_ID: &str = "its id is queued, but the job is missing";

pub(crate) const NEVER_STILL: &str = "new keys kept appearing in the job database while its jobs were read. Stop the producers and workers first, or wait for them";

// Why a job can't be enqueued.
pub(crate) const NO_NAME: &str = "it has no name";
pub(crate) const NO_TIME_IN_TEXT: &str = "its eta or expiry is before 1970 or after 9999";

pub(crate) fn no_name(why: &str) -> String {
    format!("its headers name no task, and {why}")
}

pub(crate) fn no_time(field: &str, text: &str) -> String {
    format!("its {field} {text:?} is not a time")
}

pub(crate) fn body_is_not_json(content_type: Option<&str>) -> String {
    format!("its body is {}, not JSON", content_type.unwrap_or("of unknown type"))
}

pub(crate) fn other_body(error: &dyn Display) -> String {
    format!("its body is not a Celery body: {error}")
}

pub(crate) fn no_base64(error: &dyn Display) -> String {
    format!("its body is not Base64: {error}")
}

#[cfg(feature = "rq")]
pub(crate) fn no_json_data(error: &dyn Display) -> String {
    format!("its data is neither a pickle nor JSON: {error}")
}

#[cfg(feature = "rq")]
pub(crate) fn other_data(error: &dyn Display) -> String {
    format!("its data is not a function call: {error}")
}

#[cfg(feature = "rq")]
pub(crate) fn no_id_of_rq(id: &str) -> String {
    format!("RQ rejects its id {id:?}: only a to z, A to Z, 0 to 9, _ and - are allowed")
}

pub(crate) fn compressed(how: &str) -> String {
    format!("its body is compressed with an unsupported method ({how})")
}

pub(crate) fn not_aged(name: &str, queue: &str) -> String {
    format!(
        "could not advance time: the due time in the message of the job {name:?} in the queue {queue:?} can't be changed. \
         Nothing has changed. Remove the job first, or implement JobFormat::age for its format"
    )
}

pub(crate) fn no_priority(priority: u32) -> String {
    format!("priority {priority} is not in 0 to 9")
}

pub(crate) fn opaque_arguments(why: &str) -> String {
    format!("unreadable arguments: {why}")
}

pub(crate) const NO_JOB: &str = "no job";

pub(crate) fn a_job(name: &str) -> String {
    format!("a job {name}")
}

pub(crate) fn no_job(name: &str) -> String {
    format!("no job {name}")
}

pub(crate) fn with_args(args: &dyn Display) -> String {
    format!(" with args {args}")
}

pub(crate) fn with_kwargs(kwargs: &dyn Display) -> String {
    format!(" with kwargs {kwargs}")
}

pub(crate) fn in_queue(queue: &str) -> String {
    format!(" in the queue {queue}")
}

pub(crate) fn times(expected: &str, count: usize, found: usize) -> String {
    let times = if count == 1 { "exactly once".to_owned() } else { format!("exactly {count} times") };
    format!("{expected} {times}, found {found}")
}

pub(crate) fn only(expected: &str) -> String {
    format!("{expected} and no other job")
}

pub(crate) fn readable(expected: &str, why: &str) -> String {
    format!("{expected} with readable arguments, found one with unreadable arguments ({why})")
}

/// A failed assertion, with all queued jobs and the keys that the format does not recognise.
pub(crate) fn unexpected(
    expected: &str,
    jobs: impl ExactSizeIterator<Item = impl Display>,
    foreign: &[String],
) -> String {
    let mut text = format!("expected {expected}. ");
    let count = jobs.len();
    match count {
        0 if foreign.is_empty() => {
            return text + "No jobs are queued. Check that the application uses the database of jobs_url()";
        }
        0 => text.push_str("No jobs are queued in the keys of the format."),
        1 => text.push_str("Queued job:"),
        _ => {
            let _ = write!(text, "Queued jobs ({count}):");
        }
    }
    list(&mut text, jobs);
    if !foreign.is_empty() {
        text.push_str("\nThe format does not recognise these keys of the job database, which can hold other jobs:");
        list(&mut text, foreign.iter());
        text.push_str("\nUse their format (jobs_with_format), or exclude keys without jobs (ignoring_keys)");
    }
    text
}

fn list(text: &mut String, lines: impl ExactSizeIterator<Item = impl Display>) {
    let count = lines.len();
    for line in lines.take(LISTED) {
        let _ = write!(text, "\n  {line}");
    }
    if count > LISTED {
        let _ = write!(text, "\n  and {} more", count - LISTED);
    }
}

pub(crate) fn foreign_key(key: &[u8], kind: &str) -> String {
    let shown = String::from_utf8_lossy(&key[..key.len().min(SHOWN)]);
    let cut = if key.len() > SHOWN { "…" } else { "" };
    format!("{shown:?}{cut} ({kind})")
}

pub(crate) fn unreadable(raw: &[u8], why: Option<&str>) -> String {
    let shown = String::from_utf8_lossy(&raw[..raw.len().min(SHOWN)]);
    let cut = if raw.len() > SHOWN { "…" } else { "" };
    format!("unreadable ({}), {} bytes: {shown:?}{cut}", why.unwrap_or(NO_NAME), raw.len())
}

pub(crate) fn due(eta: SystemTime) -> String {
    match eta.duration_since(SystemTime::now()) {
        Ok(left) => format!("due in {} s", left.as_secs()),
        Err(past) => format!("overdue by {} s", past.duration().as_secs()),
    }
}

/// A panic of an assertion. `error`: its `Debug` form shows the causes as well.
pub(crate) fn not_listed(error: &dyn Debug) -> String {
    format!("could not check the queued jobs: {error:?}")
}

pub(crate) fn no_json(error: &dyn Display) -> String {
    format!("the arguments of a job have no JSON form: {error}")
}

/// The source has the reason.
pub(crate) fn not_encoded(name: &str) -> String {
    format!("the format can't express the job {name:?}")
}
