//! Where jobs are: keys of Redis, and what is found there.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A key in which a queue keeps jobs: what kind of key it is, what its jobs wait for, and where their bodies are.
///
/// ```
/// use transient_fixtures::jobs::{Body, Place, Unit};
///
/// // Messages, put in by LPUSH and taken by BRPOP.
/// let messages = Place::list("queue:mail").newest_first();
/// // Ids, each with its due time in seconds; the job of the id 7 is the string at `job:7`.
/// let delayed = Place::sorted_set("delayed:mail").due_in(Unit::SECONDS).body(Body::string("job:"));
/// // Ids that a worker has taken.
/// let taken = Place::set("running:mail").taken().body(Body::string("job:"));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    pub(super) key: String,
    pub(super) kind: Kind,
    pub(super) newest_first: bool,
    pub(super) unit: Option<Unit>,
    pub(super) scores_are_due: bool,
    pub(super) or_now: bool,
    pub(super) state: State,
    pub(super) queue_field: Option<String>,
    pub(super) bodies: Vec<Body>,
}

/// The type of a key.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    List,
    SortedSet,
    Stream { group: Option<String> },
    Set,
    Hash,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Waiting,
    Taken,
    Dead,
}

impl Place {
    fn new(key: impl Into<String>, kind: Kind) -> Self {
        Self {
            key: key.into(),
            kind,
            newest_first: false,
            unit: None,
            scores_are_due: false,
            or_now: false,
            state: State::Waiting,
            queue_field: None,
            bodies: Vec::new(),
        }
    }

    /// A list, from whose head workers take (RPUSH and LPOP).
    #[must_use]
    pub fn list(key: impl Into<String>) -> Self {
        Self::new(key, Kind::List)
    }

    /// A sorted set, from which workers take the lowest score first.
    #[must_use]
    pub fn sorted_set(key: impl Into<String>) -> Self {
        Self::new(key, Kind::SortedSet)
    }

    /// A stream. With a group, what that group has not been given yet waits, and what it has been given and not
    /// acknowledged is taken; without one, every entry waits.
    #[must_use]
    pub fn stream(key: impl Into<String>, group: Option<&str>) -> Self {
        Self::new(key, Kind::Stream { group: group.map(str::to_owned) })
    }

    /// A set, in no order.
    #[must_use]
    pub fn set(key: impl Into<String>) -> Self {
        Self::new(key, Kind::Set)
    }

    /// A hash, whose values are the entries.
    #[must_use]
    pub fn hash(key: impl Into<String>) -> Self {
        Self::new(key, Kind::Hash)
    }

    /// For a list: jobs are put in at the head and taken from the tail (LPUSH and RPOP).
    #[must_use]
    pub fn newest_first(mut self) -> Self {
        self.newest_first = true;
        self
    }

    /// For a sorted set: its scores are due times in that unit, which [`travel`](crate::TestRequest::travel) ages.
    #[must_use]
    pub fn due_in(mut self, unit: Unit) -> Self {
        (self.unit, self.scores_are_due) = (Some(unit), true);
        self
    }

    /// For a sorted set: its scores are times in that unit, which age as well, but don't say when a job is due: when an
    /// entry ends, or was made.
    #[must_use]
    pub fn times_in(mut self, unit: Unit) -> Self {
        (self.unit, self.scores_are_due) = (Some(unit), false);
        self
    }

    /// For a sorted set of [due times](Self::due_in): it has the jobs for now as well, with the time at which they were
    /// queued. What is due when it is read has no due time then.
    #[must_use]
    pub fn or_now(mut self) -> Self {
        self.or_now = true;
        self
    }

    /// A worker has taken its jobs and not finished them: they are no longer queued.
    #[must_use]
    pub fn taken(mut self) -> Self {
        self.state = State::Taken;
        self
    }

    /// Its jobs have failed for the last time: they are no longer queued.
    #[must_use]
    pub fn dead(mut self) -> Self {
        self.state = State::Dead;
        self
    }

    /// It has jobs of several queues. Its entries are JSON objects, whose field of that name is the queue.
    #[must_use]
    pub fn queue_in(mut self, field: impl Into<String>) -> Self {
        self.queue_field = Some(field.into());
        self
    }

    /// Its entries are ids, and the job is elsewhere. A place may have several such bodies, which are all read.
    #[must_use]
    pub fn body(mut self, body: Body) -> Self {
        self.bodies.push(body);
        self
    }

    /// As Redis' command TYPE says it.
    pub(super) fn type_name(&self) -> &'static str {
        match self.kind {
            Kind::List => "list",
            Kind::SortedSet => "zset",
            Kind::Stream { .. } => "stream",
            Kind::Set => "set",
            Kind::Hash => "hash",
        }
    }
}

/// What a score of a sorted set counts, since 1970.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unit {
    per_second: f64,
}

impl Unit {
    /// Seconds, with fractions.
    pub const SECONDS: Self = Self::per_second(1.0);
    /// Milliseconds.
    pub const MILLISECONDS: Self = Self::per_second(1e3);
    /// Microseconds.
    pub const MICROSECONDS: Self = Self::per_second(1e6);

    /// This many units per second: `4_096_000.0` for milliseconds with a counter in the lowest twelve bits.
    #[must_use]
    pub const fn per_second(per_second: f64) -> Self {
        Self { per_second }
    }

    pub(super) fn number(self) -> f64 {
        self.per_second
    }

    /// `None` for a score that is not a time (`inf`). Earlier than 1970 is 1970.
    pub(super) fn time(self, score: f64) -> Option<SystemTime> {
        let since = Duration::try_from_secs_f64((score / self.per_second).max(0.0)).ok()?;
        // To the microsecond: a score has no more digits.
        let micros = u64::try_from((since.as_nanos() + 500) / 1000).ok()?;
        UNIX_EPOCH.checked_add(Duration::from_micros(micros))
    }
}

/// Where the job of an id is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    pub(super) kind: BodyKind,
    /// The key, or what stands in front of the id in it.
    pub(super) key: String,
    pub(super) id_ends_at: Option<char>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyKind {
    String,
    Field,
    Hash,
}

impl Body {
    /// The string at `PREFIX` and the id.
    #[must_use]
    pub fn string(prefix: impl Into<String>) -> Self {
        Self { kind: BodyKind::String, key: prefix.into(), id_ends_at: None }
    }

    /// The field of a hash that is named as the id.
    #[must_use]
    pub fn field_of(hash: impl Into<String>) -> Self {
        Self { kind: BodyKind::Field, key: hash.into(), id_ends_at: None }
    }

    /// The whole hash at `PREFIX` and the id: [`Entry::field`] has its fields.
    #[must_use]
    pub fn hash(prefix: impl Into<String>) -> Self {
        Self { kind: BodyKind::Hash, key: prefix.into(), id_ends_at: None }
    }

    /// The id is what stands before that letter of the entry: `7` in `7:worker`.
    #[must_use]
    pub fn id_before(mut self, letter: char) -> Self {
        self.id_ends_at = Some(letter);
        self
    }

    pub(super) fn id_of<'a>(&self, entry: &'a [u8]) -> &'a [u8] {
        let mut letter = [0; 4];
        let ends_at: &[u8] = self.id_ends_at.map_or(&[], |end| end.encode_utf8(&mut letter).as_bytes());
        let end = entry.windows(ends_at.len().max(1)).position(|window| window == ends_at);
        &entry[..end.unwrap_or(entry.len())]
    }
}

/// What a key of the job database is to a format.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Key {
    /// One of the places of that queue.
    Queue(String),
    /// A place of its own, whose name only the key says: what one worker has taken.
    Place(Place),
    /// A sorted set whose scores are times that age with [`travel`](crate::TestRequest::travel).
    Times(Unit),
    /// Anything else that the format keeps: the bodies of jobs, the names of queues, notes of workers, results.
    Other,
    /// As [`Other`](Self::Other), if it is of that type, as Redis' command TYPE says it. For names that other keys may
    /// have too.
    Note(&'static str),
    /// Not a key of the format.
    Unknown,
}

/// What was found in a place, with its bodies.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub(super) place: Arc<Place>,
    pub(super) queue: Option<Arc<str>>,
    pub(super) value: Vec<u8>,
    pub(super) score: Option<f64>,
    pub(super) bodies: Vec<Option<Found>>,
    /// Of a stream's entry.
    pub(super) taken: bool,
    /// It was due when it was read, where the place has jobs for now as well.
    pub(super) is_for_now: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found {
    Bytes(Vec<u8>),
    Fields(Vec<(Vec<u8>, Vec<u8>)>),
}

impl Entry {
    /// An entry of a place, as a test of a format gives it to [`decode`](super::JobFormat::decode).
    #[must_use]
    pub fn new(place: Place, queue: Option<&str>, value: impl Into<Vec<u8>>) -> Self {
        let (place, queue) = (Arc::new(place), queue.map(Arc::from));
        Self { place, queue, value: value.into(), score: None, bodies: Vec::new(), taken: false, is_for_now: false }
    }

    /// The queue; `None` in a place that several queues share.
    #[must_use]
    pub fn queue(&self) -> Option<&str> {
        self.queue.as_deref()
    }

    /// The list's element, the set's member, the hash's value, or the id of a stream's entry.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// As [`value`](Self::value), as text; invalid UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.value)
    }

    /// The message: the first body that is a string or a field, else the entry itself.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        let bytes = self.bodies.iter().flatten().find_map(|body| match body {
            Found::Bytes(bytes) => Some(bytes),
            Found::Fields(_) => None,
        });
        bytes.unwrap_or(&self.value)
    }

    /// A field of a body that is a hash, or of a stream's entry.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        let fields = self.bodies.iter().flatten().filter_map(|body| match body {
            Found::Fields(fields) => Some(fields),
            Found::Bytes(_) => None,
        });
        fields.flatten().find(|(field, _)| field == name.as_bytes()).map(|(_, value)| value.as_slice())
    }

    /// When it is due, where the place says so.
    #[must_use]
    pub fn due(&self) -> Option<SystemTime> {
        let unit = self.place.unit.filter(|_| self.place.scores_are_due && !self.is_for_now);
        unit.zip(self.score).and_then(|(unit, score)| unit.time(score))
    }

    /// Whether a worker has taken it.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.taken || self.place.state == State::Taken
    }

    pub(super) fn state(&self) -> State {
        if self.taken { State::Taken } else { self.place.state }
    }
}
