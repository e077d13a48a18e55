//! What is said of jobs.

use std::fmt::{Display, Write};
use std::time::SystemTime;

/// How many jobs a failed assertion lists.
const LISTED: usize = 20;

/// How much of a message that can't be read is shown, in bytes.
const SHOWN: usize = 120;

// Why a message of Celery can't be read.
pub(crate) const NO_HEADERS: &str = "it has no headers";
pub(crate) const NO_BODY: &str = "it has no body";
pub(crate) const NO_NAME_IN_BODY: &str = "neither does its body";

// Why a job of Sidekiq can't be read.
#[cfg(feature = "sidekiq")]
pub(crate) const NO_CLASS: &str = "it names no class";
#[cfg(feature = "sidekiq")]
pub(crate) const NO_ARGS: &str = "its args are not an array";

// Why a job of apalis can't be read.
#[cfg(feature = "apalis")]
pub(crate) const NO_ATTEMPTS: &str = "its metadata do not say how often it was tried, so that no worker can read it";

// What these queues can't express.
#[cfg(any(feature = "sidekiq", feature = "apalis"))]
pub(crate) fn no_kwargs(job: &str) -> String {
    format!("{job} has no keyword arguments")
}

#[cfg(any(feature = "sidekiq", feature = "apalis"))]
pub(crate) fn no_priority_or_expiry(job: &str) -> String {
    format!("{job} has no priority and no expiry")
}

#[cfg(feature = "apalis")]
pub(crate) const ONE_ARGUMENT: &str = "an apalis job has one argument: make a tuple of several, and give it as the one";

#[cfg(feature = "apalis")]
pub(crate) fn name_of_other_queue(queue: &str) -> String {
    format!("an apalis job has the name of its queue, which is {queue:?}: leave the queue out")
}

// Why a job of RQ can't be read.
#[cfg(feature = "rq")]
pub(crate) const NO_DATA: &str = "its hash has no field data";
#[cfg(feature = "rq")]
pub(crate) const NO_PLAIN_PICKLE: &str =
    "its data is a pickle of more than JSON has (dates, objects, bytes, one list twice), which only Python reads";

// What RQ can't express.
#[cfg(feature = "rq")]
pub(crate) const NO_PRIORITY_OR_EXPIRY_OF_RQ: &str = "an RQ job has no priority, and no expiry that can be given here";

// Where queues hold ids.
pub(crate) const NO_BODY_OF_ID: &str = "its id is queued, but the job is missing";

pub(crate) const NEVER_STILL: &str =
    "list the queued jobs: new keys kept appearing meanwhile. Stop the producers and workers first, or wait for them";

// Why a job can't be queued.
pub(crate) const NO_NAME: &str = "it has no name";
pub(crate) const NO_TIME_IN_TEXT: &str = "its eta or expiry is before 1970 or after 9999";

pub(crate) fn no_name(why: &str) -> String {
    format!("its headers name no task, and {why}")
}

pub(crate) fn no_time(field: &str, text: &str) -> String {
    format!("its {field} {text:?} is not a time")
}

pub(crate) fn body_is_no_json(content_type: Option<&str>) -> String {
    format!("its body is {}, not JSON", content_type.unwrap_or("of no stated type"))
}

pub(crate) fn other_body(error: &dyn Display) -> String {
    format!("its body is not the JSON that it should be: {error}")
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
    format!("its data is not the call of a function: {error}")
}

#[cfg(feature = "rq")]
pub(crate) fn no_id_of_rq(id: &str) -> String {
    format!("its id {id:?} has letters that RQ refuses: it takes a to z, A to Z, 0 to 9, _ and -")
}

pub(crate) fn compressed(how: &str) -> String {
    format!("its body is compressed ({how}) and can't be read")
}

pub(crate) fn no_priority(priority: u32) -> String {
    format!("priority {priority} is not one of 0 to 9")
}

pub(crate) fn opaque_arguments(why: &str) -> String {
    format!("arguments can't be read: {why}")
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
    let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
    format!("{expected}, {times} and not {found}")
}

pub(crate) fn only(expected: &str) -> String {
    format!("{expected}, and no other")
}

pub(crate) fn readable(expected: &str, why: &str) -> String {
    format!("{expected} with readable arguments, but those of one can't be read ({why})")
}

/// What failed, all jobs that are queued, and the keys in which the format knows no jobs.
pub(crate) fn unexpected(
    expected: &str,
    jobs: impl ExactSizeIterator<Item = impl Display>,
    foreign: &[String],
) -> String {
    let mut text = format!("expected {expected}; ");
    let count = jobs.len();
    match count {
        0 if foreign.is_empty() => {
            return text
                + "nothing is queued. Is the job queued in another database than that of jobs_url(), or not at all?";
        }
        0 => text.push_str("nothing is queued in the keys that the format knows."),
        1 => text.push_str("queued is:"),
        _ => {
            let _ = write!(text, "queued are {count}:");
        }
    }
    list(&mut text, jobs);
    if !foreign.is_empty() {
        text.push_str("\nThe format does not know these keys of the job database. They may hold other jobs:");
        list(&mut text, foreign.iter());
        text.push_str("\nName their format with jobs_of(…), or exclude keys without jobs with ignoring_keys(…).");
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

pub(crate) fn not_listed(error: &dyn Display) -> String {
    format!("transient-fixtures failed to list the queued jobs: failed to {error}")
}

pub(crate) fn no_json(error: &dyn Display) -> String {
    format!("transient-fixtures failed to read the arguments of a job: they have no JSON form ({error}); give others")
}

pub(crate) fn not_encoded(name: &str, error: &dyn Display) -> String {
    format!("queue the job {name}: {error}; correct it")
}
