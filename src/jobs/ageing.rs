//! Due times of jobs, for travel: scores of sorted sets, and what messages say.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::pipe;

use super::place::{BodyKind, Entry, Found, Kind, State};
use super::{Celery, JobFormat, Jobs, Key, formats};
use crate::error::Error;
use crate::lease::{Commands, Database, Formats, Lease};

/// Puts new messages in the place of old ones, where they still are. ARGV: type, key, field; then each old message and
/// its new one.
const REPLACE: &str = "local kind, key, field, new = ARGV[1], ARGV[2], ARGV[3], {}
    for number = 4, #ARGV, 2 do new[ARGV[number]] = ARGV[number + 1] end
    if kind == 'list' then
        for place, message in ipairs(redis.call('LRANGE', key, 0, -1)) do
            if new[message] then redis.call('LSET', key, place - 1, new[message]) end
        end
    elseif kind == 'zset' then
        for old, earlier in pairs(new) do
            local score = redis.call('ZSCORE', key, old)
            if score then
                redis.call('ZREM', key, old)
                redis.call('ZADD', key, score, earlier)
            end
        end
    elseif kind == 'hash' then
        local earlier = new[redis.call('HGET', key, field)]
        if earlier then redis.call('HSET', key, field, earlier) end
    else
        local earlier = new[redis.call('GET', key)]
        if earlier then redis.call('SET', key, earlier, 'KEEPTTL') end
    end";

/// Held while due times are made earlier.
#[derive(Default)]
struct Ageing(Mutex<()>);

/// The sorted sets of the job database whose scores are times, with how many units a second has: Celery's, and those of
/// the formats that the test has used.
///
/// # Errors
///
/// [`Error::is_server`].
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
            if let Key::Times(unit) = jobs.format.key(key) {
                sets.insert(key.to_owned(), unit.number());
            }
        }
    }
    Ok(sets.into_iter().collect())
}

/// Makes the due times in the queued messages earlier: Celery's, and those of the formats that the test has used. A job
/// that a worker takes meanwhile stays as it is.
///
/// # Errors
///
/// [`Error::is_server`].
pub(crate) fn age(lease: &Arc<Lease>, by: Duration) -> Result<(), Error> {
    // One at a time: two that read the same due time would make it earlier only once.
    let ageing = lease.shared(Ageing::default);
    let _one_at_a_time = ageing.0.lock().unwrap_or_else(PoisonError::into_inner);
    let mut messages = BTreeMap::<_, BTreeMap<Vec<u8>, Vec<u8>>>::new();
    // One that several formats can read is made earlier once.
    for format in with_celery(lease) {
        let jobs = Jobs::new(lease, format);
        for entry in jobs.contents(State::Waiting)?.entries {
            let Some(earlier) = jobs.format.earlier(entry.message(), by) else { continue };
            let Some(place) = place_of_message(&entry) else { continue };
            messages.entry(place).or_default().entry(entry.message().to_vec()).or_insert(earlier);
        }
    }
    let mut replace = pipe();
    for ((kind, key, field), messages) in &messages {
        let messages: Vec<_> = messages.iter().collect();
        replace.cmd("EVAL").arg(REPLACE).arg(0).arg(kind).arg(key).arg(field).arg(messages).ignore();
    }
    if messages.is_empty() { Ok(()) } else { Commands::default().query(lease, Database::Jobs, &replace) }
}

/// Celery's format, and those that the test has asked for.
fn with_celery(lease: &Lease) -> Vec<Arc<dyn JobFormat>> {
    let all = Formats::<dyn JobFormat>::default();
    let celery: Arc<dyn JobFormat> = Arc::new(Celery::new());
    for format in [celery].iter().chain(&formats(lease).all()) {
        all.add(format);
    }
    all.all()
}

/// Type, key and field; `None` where a message can't be replaced.
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
