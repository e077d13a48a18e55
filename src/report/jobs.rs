//! What is said of jobs.

use std::fmt::{Display, Write};
use std::time::SystemTime;

/// How many jobs a failed assertion lists.
const LISTED: usize = 20;

/// How much of a message that can't be read is shown, in bytes.
const SHOWN: usize = 120;

pub(crate) fn unexpected(expected: &str, jobs: impl ExactSizeIterator<Item = impl Display>) -> String {
    let mut text = format!("expected {expected}; ");
    let count = jobs.len();
    if count == 0 {
        return text + "nothing is queued. Is the job queued in another database than 15, or not at all?";
    }
    let _ = write!(text, "queued {}:", if count == 1 { "is".to_owned() } else { format!("are {count}") });
    for job in jobs.take(LISTED) {
        let _ = write!(text, "\n  {job}");
    }
    if count > LISTED {
        let _ = write!(text, "\n  and {} more", count - LISTED);
    }
    text
}

pub(crate) fn unreadable(raw: &[u8], why: Option<&str>) -> String {
    let shown = String::from_utf8_lossy(&raw[..raw.len().min(SHOWN)]);
    let cut = if raw.len() > SHOWN { "…" } else { "" };
    format!("unreadable ({}), {} bytes: {shown:?}{cut}", why.unwrap_or("it has no name"), raw.len())
}

pub(crate) fn due(eta: SystemTime) -> String {
    match eta.duration_since(SystemTime::now()) {
        Ok(left) => format!("due in {} s", left.as_secs()),
        Err(past) => format!("due for {} s", past.duration().as_secs()),
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
