//! Reads jobs: one transaction reads all places, so the result is one consistent picture.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use redis::{Pipeline, Value, pipe};

use super::entry::{Entry, Found};
use super::job::Origin;
use super::place::{BodyKind, Kind, Place, State};
use super::reading::{Reading, plain_columns, plain_read, script};
use super::{Job, Jobs, KeyRole};
use crate::error::{Error, Kind as ErrorKind};
use crate::lease::guard::{MARKER, OLD_MARKER};
use crate::report;

/// How often to start again while new keys appear.
const TRIES: usize = 100;

/// How often to read bodies by ids that can change, before the script reads both.
const GUESSES: usize = 3;

/// A place, and its queue unless several share it.
pub(super) type QueuePlace = (Option<String>, Place);

/// The keys of the job database, with their types.
pub(super) type Keys = Vec<(Vec<u8>, String)>;

/// The entries in one state.
pub(super) struct Contents {
    pub(super) entries: Vec<Entry>,
    /// Descriptions of the keys that the format does not know.
    pub(super) foreign: Vec<String>,
}

impl Jobs {
    /// Returns the entries of all queues in this state.
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_server`](Error::is_server) if the server does not answer, a key has the wrong type,
    /// or new keys keep appearing.
    pub(super) fn contents(&self, state: State) -> Result<Contents, Error> {
        let mut keys = Keys::new();
        for _ in 0..TRIES {
            let (places, _) = self.sort_keys(&keys);
            let places = in_state(places, state);
            let (now, entries) = self.read(&places, None, true)?;
            let (places_now, foreign) = self.sort_keys(&now);
            let known: HashSet<_> = places.iter().map(|(_, place)| &place.key).collect();
            // Otherwise a job can have moved from a place that was read to one that was not known yet.
            if in_state(places_now, state).iter().all(|(_, place)| known.contains(&place.key)) {
                let entries = entries.into_iter().filter(|entry| entry.state() == state).collect();
                return Ok(Contents { entries, foreign });
            }
            keys = now;
        }
        Err(Error::new(ErrorKind::Server, report::jobs::NEVER_STILL))
    }

    /// Returns the entries that wait in one queue, in the order in which workers take them. `take` removes them in the
    /// same step.
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_server`](Error::is_server) if the server does not answer, or a key has the wrong
    /// type.
    pub(super) fn waiting(&self, queue: &str, take: bool) -> Result<Vec<Entry>, Error> {
        let own = self.format.places(queue).into_iter().map(|place| (Some(queue.to_owned()), place));
        let shared = self.format.shared_places().into_iter().filter(|place| place.queue_field.is_some());
        let places = own.chain(shared.map(|place| (None, place))).collect();
        let (_, entries) = self.read(&in_state(places, State::Waiting), Some((queue, take)), false)?;
        Ok(entries.into_iter().filter(|entry| entry.state() == State::Waiting).collect())
    }

    /// Returns the places that exist, and descriptions of the unknown keys.
    pub(super) fn sort_keys(&self, keys: &Keys) -> (Vec<QueuePlace>, Vec<String>) {
        let types: HashMap<&[u8], &str> = keys.iter().map(|(key, kind)| (key.as_slice(), kind.as_str())).collect();
        let exists = |place: &Place| types.get(place.key.as_bytes()) == Some(&place.type_name());
        let (mut queues, mut single, mut known) = (BTreeSet::new(), Vec::new(), HashSet::new());
        // A shared place of the wrong type is unknown too, and reading its jobs is an error of the server.
        let shared = self.format.shared_places().into_iter().filter(|place| types.contains_key(place.key.as_bytes()));
        let shared: Vec<_> = shared.collect();
        known.extend(shared.iter().filter(|place| exists(place)).map(|place| place.key.clone().into_bytes()));
        for (key, kind) in keys {
            let is_ours = [MARKER, OLD_MARKER].iter().any(|marker| marker.as_bytes() == key);
            let is_ignored = self.ignored.iter().any(|prefix| key.starts_with(prefix.as_bytes()));
            match std::str::from_utf8(key).map(|key| self.format.key_role(key)) {
                _ if is_ours || is_ignored => {}
                _ if shared.iter().any(|place| place.key.as_bytes() == key) => continue,
                Ok(KeyRole::Queue(queue)) => {
                    queues.insert(queue);
                    continue;
                }
                Ok(KeyRole::Place(place)) if exists(&place) => single.push(place),
                Ok(KeyRole::Timestamps(_)) if kind == "zset" => {}
                Ok(KeyRole::Other) => {}
                Ok(KeyRole::OtherOfType(wanted)) if kind == wanted => {}
                _ => continue,
            }
            known.insert(key.clone());
        }
        let mut places = Vec::new();
        for queue in queues {
            for place in self.format.places(&queue).into_iter().filter(exists) {
                if known.insert(place.key.clone().into_bytes()) {
                    places.push((Some(queue.clone()), place));
                }
            }
        }
        places.extend(shared.into_iter().chain(single).map(|place| (None, place)));
        let foreign = keys.iter().filter(|(key, _)| !known.contains(key));
        let mut foreign: Vec<_> = foreign.map(|(key, kind)| report::jobs::foreign_key(key, kind)).collect();
        foreign.sort_unstable();
        (places, foreign)
    }

    /// Returns all keys if `list_keys` is set, and the entries of these places. `of_queue` limits shared places to one
    /// queue, and states whether to remove the entries.
    pub(super) fn read(
        &self,
        places: &[QueuePlace],
        of_queue: Option<(&str, bool)>,
        list_keys: bool,
    ) -> Result<(Keys, Vec<Entry>), Error> {
        let (queue, take) = of_queue.unwrap_or_default();
        let mut readings: Vec<_> = places.iter().map(|(_, place)| Reading::new(place, queue, take)).collect();
        self.guess_ids(&mut readings)?;
        for _ in 0..GUESSES {
            if let Some(found) = self.read_once(places, &mut readings, (queue, take), list_keys)? {
                return Ok(found);
            }
        }
        readings.iter_mut().for_each(Reading::fall_back);
        let found = self.read_once(places, &mut readings, (queue, take), list_keys)?;
        Ok(found.unwrap_or_default())
    }

    /// Reads the ids whose bodies the next transaction reads.
    fn guess_ids(&self, readings: &mut [Reading]) -> Result<(), Error> {
        let mut commands = pipe();
        for reading in readings.iter().filter(|reading| reading.has_ids()) {
            commands.add_command(plain_read(reading.place));
        }
        if commands.is_empty() {
            return Ok(());
        }
        let replies = self.query::<Vec<Value>>(&commands)?;
        for (reading, reply) in readings.iter_mut().filter(|reading| reading.has_ids()).zip(replies) {
            reading.ids = Some(plain_columns(reading.place, reply).0);
        }
        Ok(())
    }

    /// Reads everything in one transaction. Returns `None` if the ids have changed since they were guessed; the
    /// readings then have the new ones.
    fn read_once(
        &self,
        places: &[QueuePlace],
        readings: &mut [Reading],
        (queue, take): (&str, bool),
        list_keys: bool,
    ) -> Result<Option<(Keys, Vec<Entry>)>, Error> {
        let mut commands = pipe();
        commands.atomic();
        for reading in &*readings {
            reading.add_commands(&mut commands);
        }
        let scripted: Vec<_> = readings.iter().filter(|reading| reading.ids.is_none()).map(|r| r.place).collect();
        let has_script = list_keys || !scripted.is_empty();
        if has_script {
            commands.add_command(script(&scripted, queue, take, list_keys));
        }
        if commands.is_empty() {
            return Ok(Some((Keys::new(), Vec::new())));
        }
        let mut replies = self.query::<Vec<Value>>(&commands)?;
        let mut scripted = array(replies.pop_if(|_| has_script).unwrap_or(Value::Nil)).into_iter();
        let keys = pairs(array(scripted.next().unwrap_or(Value::Nil)));
        let keys = keys.into_iter().map(|(key, kind)| (key, String::from_utf8_lossy(&kind).into_owned())).collect();
        let mut scripted = array(scripted.next().unwrap_or(Value::Nil)).into_iter();
        let (mut replies, mut is_settled, mut found) = (replies.into_iter(), true, Vec::new());
        for (reading, (queue, place)) in readings.iter_mut().zip(places) {
            let columns = if reading.ids.is_some() {
                reading.columns(&mut replies, &mut is_settled)
            } else {
                scripted.next().map(array).unwrap_or_default()
            };
            if is_settled {
                found.extend(entries(queue.as_deref(), place, columns));
            }
        }
        Ok(is_settled.then_some((keys, found)))
    }

    /// Decodes an entry, and adds the message, the queue and the eta that the format left out.
    pub(super) fn decode(&self, entry: Entry) -> Job {
        let is_lost = !entry.bodies.is_empty() && entry.bodies.iter().all(Option::is_none);
        let mut job = if is_lost {
            Job::new_unreadable(entry.queue.as_deref().unwrap_or_default(), &entry.value, report::jobs::NO_BODY_OF_ID)
        } else {
            self.format.decode(&entry)
        };
        if job.raw.is_empty() {
            job.raw = entry.message().to_vec();
        }
        if job.queue.is_empty() {
            entry.queue.as_deref().unwrap_or(&entry.place.key).clone_into(&mut job.queue);
        }
        job.eta = job.eta.or_else(|| entry.eta());
        job.origin = Origin::new(self.format_identity.clone(), entry);
        job
    }
}

/// Returns the commands that put an entry back where it was.
pub(super) fn restore(entry: &Entry) -> Pipeline {
    let mut commands = pipe();
    let (key, value) = (&entry.place.key, &entry.value);
    let mut ttls = entry.ttls.iter().copied();
    for (body, found) in entry.place.bodies.iter().zip(&entry.bodies) {
        let id = body.id_of(value);
        let at = [body.key.as_bytes(), id].concat();
        match found {
            Some(Found::Bytes(bytes)) if body.kind == BodyKind::Field => commands.hset(&body.key, id, bytes),
            // The job can still be there, if it was not drained.
            Some(Found::Bytes(bytes)) => commands.cmd("SET").arg(&at).arg(bytes).arg("KEEPTTL"),
            Some(Found::Fields(fields)) => commands.hset_multiple(&at, fields),
            None => &mut commands,
        };
        if let Some(ttl) = ttls.next().flatten() {
            commands.pexpire(at, ttl.max(1));
        }
    }
    match entry.place.kind {
        Kind::List if entry.place.newest_first => commands.lpush(key, value),
        Kind::List => commands.rpush(key, value),
        Kind::SortedSet => commands.zadd(key, value, entry.score.unwrap_or_default()),
        Kind::Set => commands.sadd(key, value),
        // Only the values of a hash are read, not the field names.
        Kind::Hash => &mut commands,
        Kind::Stream { .. } => match entry.bodies.last() {
            Some(Some(Found::Fields(fields))) => commands.xadd(key, "*", fields),
            _ => &mut commands,
        },
    };
    commands
}

/// Keeps the places with jobs in this state. A stream can have jobs in several.
fn in_state(mut places: Vec<QueuePlace>, state: State) -> Vec<QueuePlace> {
    places.retain(|(_, place)| place.state == state || matches!(place.kind, Kind::Stream { .. }));
    places
}

/// Converts the columns of one place (the values, their scores, their bodies) to entries, in the order in which workers
/// take them.
fn entries(queue: Option<&str>, place: &Place, columns: Vec<Value>) -> Vec<Entry> {
    let mut columns = columns.into_iter();
    let mut column = || array(columns.next().unwrap_or(Value::Nil));
    let (values, scores, bodies, ttls) = (column(), column(), column(), column());
    let mut scores = scores.into_iter().map(bytes);
    let columns = |columns: Vec<Value>| columns.into_iter().map(|column| array(column).into_iter()).collect::<Vec<_>>();
    let (mut bodies, mut ttls) = (columns(bodies), columns(ttls));
    let is_stream = matches!(place.kind, Kind::Stream { .. });
    let (shared_place, queue) = (Arc::new(place.clone()), queue.map(Arc::<str>::from));
    let now = SystemTime::now();
    let is_due = |score| place.unit.is_some_and(|unit| unit.time(score).is_some_and(|due| due <= now));
    let mut entries: Vec<_> = values
        .into_iter()
        .map(|value| {
            let score = scores.next().and_then(|score| String::from_utf8_lossy(&score).parse::<f64>().ok());
            Entry {
                place: shared_place.clone(),
                queue: queue.clone(),
                value: bytes(value),
                score: score.filter(|_| !is_stream),
                is_pending: is_stream && score == Some(1.0),
                is_immediate: place.has_immediate_jobs && score.is_some_and(is_due),
                bodies: bodies.iter_mut().map(|column| body(column.next().unwrap_or(Value::Nil))).collect(),
                ttls: ttls.iter_mut().map(|column| ttl(&column.next().unwrap_or(Value::Nil))).collect(),
            }
        })
        .collect();
    if place.newest_first {
        entries.reverse();
    }
    entries
}

fn body(value: Value) -> Option<Found> {
    match value {
        Value::Nil => None,
        Value::Array(fields) if fields.is_empty() => None,
        Value::Array(fields) => Some(Found::Fields(pairs(fields))),
        Value::Map(fields) if fields.is_empty() => None,
        Value::Map(fields) => {
            Some(Found::Fields(fields.into_iter().map(|(name, value)| (bytes(name), bytes(value))).collect()))
        }
        other => Some(Found::Bytes(bytes(other))),
    }
}

/// Returns a TTL in milliseconds.
fn ttl(value: &Value) -> Option<i64> {
    match value {
        Value::Int(ttl) => Some(*ttl).filter(|ttl| *ttl >= 0),
        _ => None,
    }
}

/// Also accepts RESP3, which the server's URL can ask for.
pub(super) fn array(value: Value) -> Vec<Value> {
    match value {
        Value::Array(values) | Value::Set(values) => values,
        _ => Vec::new(),
    }
}

fn bytes(value: Value) -> Vec<u8> {
    match value {
        Value::BulkString(bytes) => bytes,
        Value::SimpleString(text) => text.into_bytes(),
        Value::Double(number) => number.to_string().into_bytes(),
        _ => Vec::new(),
    }
}

/// Reads pairs from a flat array, or from RESP3's array of arrays.
pub(super) fn pairs(values: Vec<Value>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut values = values.into_iter().flat_map(|value| match value {
        Value::Array(pair) => pair,
        value => vec![value],
    });
    std::iter::from_fn(|| values.next().map(bytes).zip(values.next().map(bytes))).collect()
}
