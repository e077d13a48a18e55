//! What one message of Celery says: the name and all that is said of the job, whatever its body is.

use std::io::Read;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Iso8601;

use super::super::job::Job;
use crate::report::jobs as say;

/// How long a body may be that was compressed, in bytes. No job of a test has more.
pub(in super::super) const LONGEST_BODY: usize = 64 * 1024 * 1024;

/// A message of protocol 2, whose headers say what it is; or of protocol 1, whose body does.
///
/// # Errors
///
/// What makes it neither.
pub(super) fn read(queue: &str, message: &Value) -> Result<Job, String> {
    let headers = message.get("headers").ok_or(say::NO_HEADERS)?;
    let mut job = match headers.get("task").and_then(Value::as_str) {
        Some(name) => protocol_2(Job::new(name), headers, message),
        None => protocol_1(message).map_err(|why| say::no_name(&why))?,
    };
    let priority = message.pointer("/properties/priority").and_then(Value::as_u64);
    job.priority = priority.and_then(|priority| priority.try_into().ok());
    queue.clone_into(&mut job.queue);
    Ok(job)
}

fn protocol_2(mut job: Job, headers: &Value, message: &Value) -> Job {
    read_facts(&mut job, headers);
    job.group = text(headers, "group");
    job.root = text(headers, "root_id");
    let arguments = body(message).and_then(|body| {
        serde_json::from_slice::<(Vec<Value>, Map<String, Value>, Value)>(&body)
            .map_err(|error| say::other_body(&error))
    });
    match arguments {
        Ok((args, kwargs, _)) => (job.args, job.kwargs) = (args, kwargs),
        Err(why) => job.opaque = Some(why),
    }
    job
}

fn protocol_1(message: &Value) -> Result<Job, String> {
    let task: Value = serde_json::from_slice(&body(message)?).map_err(|error| say::other_body(&error))?;
    let name = task.get("task").and_then(Value::as_str).ok_or(say::NO_NAME_IN_BODY)?;
    let mut job = Job::new(name);
    read_facts(&mut job, &task);
    job.group = text(&task, "taskset");
    job.args = task.get("args").and_then(Value::as_array).cloned().unwrap_or_default();
    job.kwargs = task.get("kwargs").and_then(Value::as_object).cloned().unwrap_or_default();
    Ok(job)
}

/// What both protocols say in the same words.
fn read_facts(job: &mut Job, facts: &Value) {
    job.id = text(facts, "id");
    job.retries = facts.get("retries").and_then(Value::as_u64).and_then(|count| count.try_into().ok()).unwrap_or(0);
    for (name, place) in [("eta", &mut job.eta), ("expires", &mut job.expires)] {
        let Some(text) = facts.get(name).and_then(Value::as_str) else { continue };
        *place = time(text);
        if place.is_none() {
            job.unreadable = Some(say::no_time(name, text));
        }
    }
}

fn text(facts: &Value, name: &str) -> Option<String> {
    facts.get(name).and_then(Value::as_str).map(str::to_owned)
}

/// The JSON text of the body.
///
/// # Errors
///
/// Why it can't be read.
fn body(message: &Value) -> Result<Vec<u8>, String> {
    let stated = |pointer| message.pointer(pointer).and_then(Value::as_str);
    let body = stated("/body").ok_or(say::NO_BODY)?;
    match stated("/content-type") {
        Some("application/json") => {}
        other => return Err(say::body_is_no_json(other)),
    }
    let body = match stated("/properties/body_encoding") {
        Some("base64") => BASE64_STANDARD.decode(body).map_err(|error| say::no_base64(&error))?,
        _ => body.as_bytes().to_vec(),
    };
    match stated("/headers/compression") {
        None => Ok(body),
        Some(compression) => decompress(compression, &body).ok_or_else(|| say::compressed(compression)),
    }
}

/// By kombu's names. Its "gzip" is zlib's format.
fn decompress(compression: &str, body: &[u8]) -> Option<Vec<u8>> {
    match compression {
        "application/x-gzip" | "gzip" | "zlib" => {
            miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(body, LONGEST_BODY).ok()
        }
        "application/x-bz2" | "bzip2" | "bzip" => {
            let mut text = Vec::new();
            let mut limited = bzip2_rs::DecoderReader::new(body).take(LONGEST_BODY as u64);
            limited.read_to_end(&mut text).ok().map(|_| text)
        }
        _ => None,
    }
}

/// The same message with an earlier due time. In place: written anew, its numbers and the order of its fields might be
/// others.
pub(super) fn earlier(raw: &[u8], by: Duration) -> Option<Vec<u8>> {
    let message: Value = serde_json::from_slice(raw).ok()?;
    let text = std::str::from_utf8(raw).ok()?;
    if let Some(eta) = message.pointer("/headers/eta").and_then(Value::as_str) {
        return with_earlier_eta(text, eta, by).map(String::into_bytes);
    }
    // Protocol 1 has it in the body.
    if message.pointer("/headers/compression").is_some() {
        return None;
    }
    let body = String::from_utf8(body(&message).ok()?).ok()?;
    let eta = serde_json::from_str::<Value>(&body).ok()?.get("eta")?.as_str()?.to_owned();
    let (before, after) = (message.get("body")?.as_str()?, with_earlier_eta(&body, &eta, by)?);
    let after = match message.pointer("/properties/body_encoding").and_then(Value::as_str) {
        Some("base64") => BASE64_STANDARD.encode(after),
        _ => return None,
    };
    Some(text.replacen(before, &after, 1).into_bytes())
}

fn with_earlier_eta(text: &str, eta: &str, by: Duration) -> Option<String> {
    // Python has no years before 1, and what is due is due.
    let after = iso_format(time(eta)?.checked_sub(by).unwrap_or(UNIX_EPOCH).max(UNIX_EPOCH))?;
    let places = [format!("\"eta\": \"{eta}\""), format!("\"eta\":\"{eta}\"")];
    let place = places.iter().find(|place| text.contains(*place))?;
    Some(text.replacen(place, &format!("\"eta\": \"{after}\""), 1))
}

/// As Python's `isoformat`: Celery before 5.3 drops a job whose time has more digits, or other letters behind it.
pub(in super::super) fn iso_format(time: SystemTime) -> Option<String> {
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
