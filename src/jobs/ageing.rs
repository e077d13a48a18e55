//! Ages the times of jobs for `travel`: scores of sorted sets, and due times in messages.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use redis::pipe;

use super::entry::{Entry, Found};
use super::place::{BodyKind, Kind, State};
use super::{Celery, JobFormat, Jobs, KeyRole, formats};
use crate::error::{Error, Kind as ErrorKind};
use crate::lease::{Commands, Database, Formats, Lease};
use crate::report;
use crate::sync::lock;

/// Replaces messages that are still there. ARGV: type, key and field, then pairs of an old message and the new one.
const REPLACE: &str = "local kind, key, field, new = ARGV[1], ARGV[2], ARGV[3], {}
    for number = 4, #ARGV, 2 do new[ARGV[number]] = ARGV[number + 1] end
    if kind == 'list' then
        for index, message in ipairs(redis.call('LRANGE', key, 0, -1)) do
            if new[message] then redis.call('LSET', key, index - 1, new[message]) end
        end
    elseif kind == 'zset' then
        for old, aged in pairs(new) do
            local score = redis.call('ZSCORE', key, old)
            if score then
                redis.call('ZREM', key, old)
                redis.call('ZADD', key, score, aged)
            end
        end
    elseif kind == 'hash' then
        local aged = new[redis.call('HGET', key, field)]
        if aged then redis.call('HSET', key, field, aged) end
    else
        local aged = new[redis.call('GET', key)]
        if aged then redis.call('SET', key, aged, 'KEEPTTL') end
    end";

/// Locked while messages age.
#[derive(Default)]
struct Ageing(Mutex<()>);

/// Returns the sorted sets of the job database whose scores are times, each with its units per second. They belong to
/// Celery and to the formats that the test has used.
///
/// # Errors
///
/// Returns an error that [`is_server`](Error::is_server) if the server does not answer.
pub(crate) fn timed_sets(lease: &Arc<Lease>) -> Result<Vec<(String, f64)>, Error> {
    let (keys, _) = Jobs::new(lease, Arc::new(Celery::new())).read(&[], None, true)?;
    let mut sets = BTreeMap::new();
    for format in with_celery(lease) {
        let jobs = Jobs::new(lease, format);
        let (places, _) = jobs.sort_keys(&keys);
        let places = places.into_iter().filter(|(_, place)| place.kind == Kind::SortedSet);
        sets.extend(places.filter_map(|(_, place)| Some((place.key, place.unit?.number()))));
        for (key, _) in keys.iter().filter(|(_, kind)| kind == "zset") {
            let Ok(key) = std::str::from_utf8(key) else { continue };
            if let KeyRole::Timestamps(unit) = jobs.format.key_role(key) {
                sets.insert(key.to_owned(), unit.number());
            }
        }
    }
    Ok(sets.into_iter().collect())
}

/// Moves the due times in the waiting messages back: those of Celery and of the formats that the test has used. A job
/// that a worker takes concurrently keeps its due time. `age_keys` runs when it is certain that all due times can be
/// moved.
///
/// # Errors
///
/// Returns the error of `age_keys`; one that [`is_server`](Error::is_server) if the server does not answer; one that
/// [`is_data`](Error::is_data) if a job's due time can't be moved.
pub(crate) fn age(lease: &Arc<Lease>, by: Duration, age_keys: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
    // Two concurrent calls that read the same due time would move it back only once.
    let ageing = lease.shared(Ageing::default);
    let _one_at_a_time = lock(&ageing.0);
    let mut messages = BTreeMap::<_, BTreeMap<Vec<u8>, Vec<u8>>>::new();
    let (now, mut moved, mut stuck) = (SystemTime::now(), HashSet::new(), Vec::new());
    // A message that several formats can read ages once.
    for format in with_celery(lease) {
        let jobs = Jobs::new(lease, format);
        for entry in jobs.contents(State::Waiting)?.entries {
            let identity = (entry.place.key.clone(), entry.value.clone());
            let aged = jobs.format.age(entry.message(), by).zip(place_of_message(&entry));
            if let Some((aged, place)) = aged {
                messages.entry(place).or_default().entry(entry.message().to_vec()).or_insert(aged);
                moved.insert(identity);
            } else if entry.eta().is_none() {
                let job = jobs.decode(entry);
                // A job that is due stays due.
                if job.eta.is_some_and(|eta| eta > now) {
                    stuck.push((identity, job));
                }
            }
        }
    }
    if let Some((_, job)) = stuck.iter().find(|(identity, _)| !moved.contains(identity)) {
        let name = job.name.as_deref().unwrap_or_default();
        return Err(Error::new(ErrorKind::Data, report::jobs::not_aged(name, &job.queue)));
    }
    age_keys()?;
    let mut replace = pipe();
    for ((kind, key, field), messages) in &messages {
        let messages: Vec<_> = messages.iter().collect();
        replace.cmd("EVAL").arg(REPLACE).arg(0).arg(kind).arg(key).arg(field).arg(messages).ignore();
    }
    if messages.is_empty() { Ok(()) } else { Commands::default().query(lease, Database::Jobs, &replace) }
}

/// Celery's format, and those that the test has used.
fn with_celery(lease: &Lease) -> Vec<Arc<dyn JobFormat>> {
    let all = Formats::<dyn JobFormat>::default();
    let celery: Arc<dyn JobFormat> = Arc::new(Celery::new());
    for format in [celery].iter().chain(&formats(lease).all()) {
        all.add(format);
    }
    all.all()
}

/// Returns the type, key and field of an entry's message, or `None` if it can't be replaced.
fn place_of_message(entry: &Entry) -> Option<(&'static str, Vec<u8>, Vec<u8>)> {
    let mut bodies = entry.place.bodies.iter().zip(&entry.bodies);
    if let Some((body, _)) = bodies.find(|(_, found)| matches!(found, Some(Found::Bytes(_)))) {
        let id = body.id_of(&entry.value);
        return Some(match body.kind {
            BodyKind::Field => ("hash", body.key.clone().into_bytes(), id.to_vec()),
            _ => ("string", [body.key.as_bytes(), id].concat(), Vec::new()),
        });
    }
    match entry.place.kind {
        Kind::List | Kind::SortedSet => {
            Some((entry.place.type_name(), entry.place.key.clone().into_bytes(), Vec::new()))
        }
        _ => None,
    }
}
