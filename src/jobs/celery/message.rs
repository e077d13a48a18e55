//! Decodes and ages one message of Celery.

use std::borrow::Cow;
use std::io::Read;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Iso8601;

use super::super::fact::Fact;
use super::super::job::Job;
use super::super::python::{MAX_BODY, deflate, inflate, iso_format};
use crate::report::jobs as say;

/// The fields of a message that a [`Job`] has.
#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"), expecting = "a message of Celery")]
struct Message<'a> {
    headers: Option<Facts<'a>>,
    properties: Option<Properties<'a>>,
    #[serde(default, rename = "content-type")]
    content_type: Fact<'a>,
    #[serde(default)]
    body: Fact<'a>,
}

impl Message<'_> {
    fn is_base64(&self) -> bool {
        self.properties.as_ref().is_some_and(|properties| properties.body_encoding.text() == Some("base64"))
    }

    fn compression(&self) -> Option<&str> {
        self.headers.as_ref()?.compression.text()
    }
}

#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"), expecting = "an object")]
struct Properties<'a> {
    priority: Fact<'a>,
    body_encoding: Fact<'a>,
}

/// The fields of a job, which are in the headers in protocol 2 and in the body in protocol 1.
#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"), expecting = "an object")]
struct Facts<'a> {
    task: Fact<'a>,
    id: Fact<'a>,
    eta: Fact<'a>,
    expires: Fact<'a>,
    retries: Fact<'a>,
    group: Fact<'a>,
    taskset: Fact<'a>,
    root_id: Fact<'a>,
    compression: Fact<'a>,
}

/// Decodes a message of protocol 2, which has the name in the headers, or of protocol 1, which has it in the body.
///
/// # Errors
///
/// Returns the reason if it is neither.
pub(super) fn read(queue: &str, message: &[u8]) -> Result<Job, String> {
    let message: Message<'_> = serde_json::from_slice(message).map_err(|error| error.to_string())?;
    let headers = message.headers.as_ref().ok_or(say::NO_HEADERS)?;
    let mut job = match headers.task.text() {
        Some(name) => protocol_2(Job::new(name), headers, &message),
        None => protocol_1(&message).map_err(|why| say::no_name(&why))?,
    };
    job.priority = message.properties.as_ref().and_then(|properties| properties.priority.number());
    queue.clone_into(&mut job.queue);
    Ok(job)
}

fn protocol_2(mut job: Job, headers: &Facts<'_>, message: &Message<'_>) -> Job {
    read_facts(&mut job, headers);
    job.group = headers.group.text().map(str::to_owned);
    job.root = headers.root_id.text().map(str::to_owned);
    let arguments = body(message).and_then(|body| {
        serde_json::from_slice::<(Vec<Value>, Map<String, Value>, IgnoredAny)>(&body)
            .map_err(|error| say::other_body(&error))
    });
    match arguments {
        Ok((args, kwargs, _)) => (job.args, job.kwargs) = (args, kwargs),
        Err(why) => job.opaque = Some(why),
    }
    job
}

fn protocol_1(message: &Message<'_>) -> Result<Job, String> {
    #[derive(Deserialize)]
    struct Arguments {
        #[serde(default)]
        args: Value,
        #[serde(default)]
        kwargs: Value,
    }
    let body = body(message)?;
    let other = |error| say::other_body(&error);
    let facts: Facts<'_> = serde_json::from_slice(&body).map_err(other)?;
    let Arguments { args, kwargs } = serde_json::from_slice(&body).map_err(other)?;
    let mut job = Job::new(facts.task.text().ok_or(say::NO_NAME_IN_BODY)?);
    read_facts(&mut job, &facts);
    job.group = facts.taskset.text().map(str::to_owned);
    job.args = args.as_array().cloned().unwrap_or_default();
    job.kwargs = kwargs.as_object().cloned().unwrap_or_default();
    Ok(job)
}

/// Reads the fields that have the same names in both protocols.
fn read_facts(job: &mut Job, facts: &Facts<'_>) {
    job.id = facts.id.text().map(str::to_owned);
    job.retries = facts.retries.number().unwrap_or(0);
    for (name, fact, place) in [("eta", &facts.eta, &mut job.eta), ("expires", &facts.expires, &mut job.expires)] {
        let Some(text) = fact.text() else { continue };
        *place = time(text);
        if place.is_none() {
            job.unreadable = Some(say::no_time(name, text));
        }
    }
}

/// Returns the JSON text of the body.
///
/// # Errors
///
/// Returns the reason if it can't be read.
fn body<'a>(message: &'a Message<'_>) -> Result<Cow<'a, [u8]>, String> {
    let body = message.body.text().ok_or(say::NO_BODY)?;
    match message.content_type.text() {
        Some("application/json") => {}
        other => return Err(say::body_is_not_json(other)),
    }
    let body = if message.is_base64() {
        BASE64_STANDARD.decode(body).map_err(|error| say::no_base64(&error))?.into()
    } else {
        Cow::Borrowed(body.as_bytes())
    };
    match message.compression() {
        None => Ok(body),
        Some(compression) => decompress(compression, &body).map(Cow::Owned).ok_or_else(|| say::compressed(compression)),
    }
}

/// kombu's names for the format of zlib.
const ZLIB: [&str; 3] = ["application/x-gzip", "gzip", "zlib"];

/// Decompresses a body. The names are kombu's.
fn decompress(compression: &str, body: &[u8]) -> Option<Vec<u8>> {
    match compression {
        zlib if ZLIB.contains(&zlib) => inflate(body),
        "application/x-bz2" | "bzip2" | "bzip" => {
            let mut text = Vec::new();
            let mut limited = bzip2_rs::DecoderReader::new(body).take(MAX_BODY as u64);
            limited.read_to_end(&mut text).ok().map(|_| text)
        }
        _ => None,
    }
}

/// The parts of a message, or of a body of protocol 1, that change with its due time.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Parts<'a> {
    #[serde(borrow)]
    headers: Option<EtaPart<'a>>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct EtaPart<'a> {
    #[serde(borrow)]
    eta: Option<&'a RawValue>,
}

/// Returns the message with an earlier due time. Only this text is replaced: decoding and encoding could change numbers
/// and the order of fields. Returns `None` if it has no due time, or one that can't be changed.
pub(super) fn age(raw: &[u8], by: Duration) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(raw).ok()?;
    let parts: Parts<'_> = serde_json::from_str(text).ok()?;
    if let Some(eta) = parts.headers?.eta {
        return with_earlier_eta(text, eta, by).map(String::into_bytes);
    }
    // In protocol 1, it is in the body.
    let message: Message<'_> = serde_json::from_str(text).ok()?;
    let body = body(&message).ok()?;
    let body = std::str::from_utf8(&body).ok()?;
    let aged = with_earlier_eta(body, serde_json::from_str::<EtaPart<'_>>(body).ok()?.eta?, by)?.into_bytes();
    let aged = match message.compression() {
        None => aged,
        Some(compression) if ZLIB.contains(&compression) => deflate(&aged),
        Some(_) => return None,
    };
    let aged = if message.is_base64() { BASE64_STANDARD.encode(aged) } else { String::from_utf8(aged).ok()? };
    Some(replaced(text, parts.body?, &serde_json::to_string(&aged).ok()?).into_bytes())
}

/// `eta` is a part of the text.
fn with_earlier_eta(text: &str, eta: &RawValue, by: Duration) -> Option<String> {
    let time = time(&serde_json::from_str::<String>(eta.get()).ok()?)?;
    // It saturates at 1970: an earlier time makes no difference, and Python has no years before 1.
    let aged = iso_format(time.checked_sub(by).unwrap_or(UNIX_EPOCH).max(UNIX_EPOCH))?;
    Some(replaced(text, eta, &format!("\"{aged}\"")))
}

/// Replaces a part of the text.
fn replaced(text: &str, part: &RawValue, new: &str) -> String {
    let start = part.get().as_ptr().addr() - text.as_ptr().addr();
    [&text[..start], new, &text[start + part.get().len()..]].concat()
}

/// Parses the output of Python's `isoformat`, and the shorter forms that Celery's workers accept. Like Celery, it
/// assumes UTC if there is no time zone.
fn time(text: &str) -> Option<SystemTime> {
    let forms = [text.to_owned(), format!("{text}Z"), format!("{text}T00:00Z")];
    let time = forms.iter().find_map(|form| OffsetDateTime::parse(form, &Iso8601::PARSING).ok())?;
    let since = time - OffsetDateTime::UNIX_EPOCH;
    match Duration::try_from(since) {
        Ok(since) => UNIX_EPOCH.checked_add(since),
        Err(_) => UNIX_EPOCH.checked_sub(since.unsigned_abs()),
    }
}
