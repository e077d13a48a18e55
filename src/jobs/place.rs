//! The keys that hold jobs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A key that holds jobs: its type, the state of its jobs, and where their bodies are.
///
/// ```
/// use transient_fixtures::jobs::{Body, Place, TimeUnit};
///
/// // Messages, added with LPUSH and taken with BRPOP.
/// let messages = Place::list("queue:mail").newest_first();
/// // Ids, each with its due time in seconds. The job with the id 7 is the string at `job:7`.
/// let delayed = Place::sorted_set("delayed:mail").with_due_times(TimeUnit::SECONDS).with_body(Body::string("job:"));
/// // Ids that a worker has taken and not acknowledged.
/// let running = Place::set("running:mail").unacked().with_body(Body::string("job:"));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    pub(super) key: String,
    pub(super) kind: Kind,
    pub(super) newest_first: bool,
    pub(super) unit: Option<TimeUnit>,
    pub(super) scores_are_due: bool,
    pub(super) has_immediate_jobs: bool,
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
    Unacked,
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
            has_immediate_jobs: false,
            state: State::Waiting,
            queue_field: None,
            bodies: Vec::new(),
        }
    }

    /// Creates a list whose producers add at the tail and whose workers take from the head (RPUSH and LPOP).
    ///
    /// ```
    /// use transient_fixtures::jobs::Place;
    ///
    /// let place = Place::list("queue:mail");
    /// ```
    #[must_use]
    pub fn list(key: impl Into<String>) -> Self {
        Self::new(key, Kind::List)
    }

    /// Creates a sorted set whose workers take the lowest score first.
    ///
    /// ```
    /// use transient_fixtures::jobs::Place;
    ///
    /// let place = Place::sorted_set("delayed:mail");
    /// ```
    #[must_use]
    pub fn sorted_set(key: impl Into<String>) -> Self {
        Self::new(key, Kind::SortedSet)
    }

    /// Creates a stream.
    ///
    /// With a consumer group, entries that the group has not read yet wait, and its pending entries are
    /// unacknowledged. Without one, every entry waits.
    ///
    /// ```
    /// use transient_fixtures::jobs::Place;
    ///
    /// let place = Place::stream("jobs:mail", Some("workers"));
    /// ```
    #[must_use]
    pub fn stream(key: impl Into<String>, group: Option<&str>) -> Self {
        Self::new(key, Kind::Stream { group: group.map(str::to_owned) })
    }

    /// Creates a set, whose jobs have no order.
    ///
    /// ```
    /// use transient_fixtures::jobs::Place;
    ///
    /// let place = Place::set("running:mail").unacked();
    /// ```
    #[must_use]
    pub fn set(key: impl Into<String>) -> Self {
        Self::new(key, Kind::Set)
    }

    /// Creates a hash whose values are the entries.
    ///
    /// ```
    /// use transient_fixtures::jobs::Place;
    ///
    /// let place = Place::hash("unacked").unacked();
    /// ```
    #[must_use]
    pub fn hash(key: impl Into<String>) -> Self {
        Self::new(key, Kind::Hash)
    }

    /// Reverses the order of a list: producers add at the head and workers take from the tail (LPUSH and RPOP).
    ///
    /// ```
    /// use transient_fixtures::jobs::Place;
    ///
    /// let place = Place::list("queue:mail").newest_first();
    /// ```
    #[must_use]
    pub fn newest_first(mut self) -> Self {
        self.newest_first = true;
        self
    }

    /// Declares the scores of a sorted set to be due times in this unit. [`travel`](crate::TestRequest::travel) ages
    /// them.
    ///
    /// ```
    /// use transient_fixtures::jobs::{Place, TimeUnit};
    ///
    /// let place = Place::sorted_set("delayed:mail").with_due_times(TimeUnit::MILLISECONDS);
    /// ```
    #[must_use]
    pub fn with_due_times(mut self, unit: TimeUnit) -> Self {
        (self.unit, self.scores_are_due) = (Some(unit), true);
        self
    }

    /// Declares the scores of a sorted set to be other times in this unit, such as the expiry or creation of an entry.
    /// [`travel`](crate::TestRequest::travel) ages them too.
    ///
    /// ```
    /// use transient_fixtures::jobs::{Place, TimeUnit};
    ///
    /// let place = Place::sorted_set("failed:mail").with_timestamps(TimeUnit::SECONDS).dead();
    /// ```
    #[must_use]
    pub fn with_timestamps(mut self, unit: TimeUnit) -> Self {
        (self.unit, self.scores_are_due) = (Some(unit), false);
        self
    }

    /// Declares that a sorted set with [due times](Self::with_due_times) also holds the jobs without an eta.
    ///
    /// The score of these is the time at which they were enqueued. So a job that is due when it is read has no
    /// [eta](super::Job::eta).
    ///
    /// ```
    /// use transient_fixtures::jobs::{Place, TimeUnit};
    ///
    /// let place = Place::sorted_set("jobs:mail").with_due_times(TimeUnit::SECONDS).with_immediate_jobs();
    /// ```
    #[must_use]
    pub fn with_immediate_jobs(mut self) -> Self {
        self.has_immediate_jobs = true;
        self
    }

    /// Marks the jobs as taken by a worker and not acknowledged. They are no longer waiting.
    ///
    /// ```
    /// use transient_fixtures::jobs::Place;
    ///
    /// let place = Place::list("running:mail").unacked();
    /// ```
    #[must_use]
    pub fn unacked(mut self) -> Self {
        self.state = State::Unacked;
        self
    }

    /// Marks the jobs as failed without another retry. They are no longer waiting.
    ///
    /// ```
    /// use transient_fixtures::jobs::Place;
    ///
    /// let place = Place::list("failed:mail").dead();
    /// ```
    #[must_use]
    pub fn dead(mut self) -> Self {
        self.state = State::Dead;
        self
    }

    /// Declares that the place holds jobs of several queues.
    ///
    /// Its entries are then JSON objects, in which this field names the queue.
    ///
    /// ```
    /// use transient_fixtures::jobs::Place;
    ///
    /// // Entries such as {"queue": "mail", "class": "SendMail"}.
    /// let place = Place::sorted_set("schedule").with_queue_field("queue");
    /// ```
    #[must_use]
    pub fn with_queue_field(mut self, field: impl Into<String>) -> Self {
        self.queue_field = Some(field.into());
        self
    }

    /// Declares the entries to be ids of jobs that are stored elsewhere. A place can have several bodies, which are all
    /// read.
    ///
    /// ```
    /// use transient_fixtures::jobs::{Body, Place};
    ///
    /// let place = Place::list("queue:mail").with_body(Body::hash("job:"));
    /// ```
    #[must_use]
    pub fn with_body(mut self, body: Body) -> Self {
        self.bodies.push(body);
        self
    }

    /// The name that the command TYPE returns.
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

/// The unit of the scores of a sorted set, which count from 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeUnit {
    per_second: f64,
}

impl TimeUnit {
    /// Seconds, with fractions.
    pub const SECONDS: Self = Self::per_second(1.0);
    /// Milliseconds.
    pub const MILLISECONDS: Self = Self::per_second(1e3);
    /// Microseconds.
    pub const MICROSECONDS: Self = Self::per_second(1e6);

    /// Creates a unit of which one second has this many.
    ///
    /// For example, `4_096_000.0` is milliseconds with a counter in the lowest 12 bits.
    ///
    /// ```
    /// use transient_fixtures::jobs::{Place, TimeUnit};
    ///
    /// let place = Place::sorted_set("delayed").with_due_times(TimeUnit::per_second(1e9));
    /// ```
    #[must_use]
    pub const fn per_second(per_second: f64) -> Self {
        Self { per_second }
    }

    pub(super) fn number(self) -> f64 {
        self.per_second
    }

    /// Returns `None` for a score that is not a time, such as `inf`. A negative score becomes 1970.
    pub(super) fn time(self, score: f64) -> Option<SystemTime> {
        let since = Duration::try_from_secs_f64((score / self.per_second).max(0.0)).ok()?;
        // Rounded to microseconds: a double has no more digits.
        let micros = u64::try_from((since.as_nanos() + 500) / 1000).ok()?;
        UNIX_EPOCH.checked_add(Duration::from_micros(micros))
    }
}

/// The location of the job with a given id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    pub(super) kind: BodyKind,
    /// The key of the hash for a field, else the prefix of the key.
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
    /// Creates a body that is a string, whose key is the prefix followed by the id.
    ///
    /// ```
    /// use transient_fixtures::jobs::{Body, Place};
    ///
    /// // The job with the id 7 is the string at `job:7`.
    /// let place = Place::list("queue:mail").with_body(Body::string("job:"));
    /// ```
    #[must_use]
    pub fn string(prefix: impl Into<String>) -> Self {
        Self { kind: BodyKind::String, key: prefix.into(), id_ends_at: None }
    }

    /// Creates a body that is a field of this hash, whose name is the id.
    ///
    /// ```
    /// use transient_fixtures::jobs::{Body, Place};
    ///
    /// // The job with the id 7 is the field `7` of the hash `jobs`.
    /// let place = Place::list("queue:mail").with_body(Body::hash_field("jobs"));
    /// ```
    #[must_use]
    pub fn hash_field(hash: impl Into<String>) -> Self {
        Self { kind: BodyKind::Field, key: hash.into(), id_ends_at: None }
    }

    /// Creates a body that is a whole hash, whose key is the prefix followed by the id.
    /// [`Entry::field`](super::Entry::field) returns its fields.
    ///
    /// ```
    /// use transient_fixtures::jobs::{Body, Place};
    ///
    /// // The job with the id 7 is the hash at `job:7`.
    /// let place = Place::list("queue:mail").with_body(Body::hash("job:"));
    /// ```
    #[must_use]
    pub fn hash(prefix: impl Into<String>) -> Self {
        Self { kind: BodyKind::Hash, key: prefix.into(), id_ends_at: None }
    }

    /// Declares the id to be only the part of the entry before this separator, such as `7` in `7:worker`.
    ///
    /// ```
    /// use transient_fixtures::jobs::{Body, Place};
    ///
    /// // The job of the entry `7:worker` is the string at `job:7`.
    /// let place = Place::set("running").unacked().with_body(Body::string("job:").with_id_before(':'));
    /// ```
    #[must_use]
    pub fn with_id_before(mut self, separator: char) -> Self {
        self.id_ends_at = Some(separator);
        self
    }

    pub(super) fn id_of<'a>(&self, entry: &'a [u8]) -> &'a [u8] {
        let Some(separator) = self.id_ends_at else { return entry };
        let mut buffer = [0; 4];
        let separator = separator.encode_utf8(&mut buffer).as_bytes();
        let end = entry.windows(separator.len()).position(|window| window == separator);
        &entry[..end.unwrap_or(entry.len())]
    }
}

/// The role of a key in the job database: the result of [`JobFormat::key_role`](super::JobFormat::key_role).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum KeyRole {
    /// One of the [places](super::JobFormat::places) of this queue.
    Queue(String),
    /// A place that belongs to no queue, such as the jobs that one worker has taken.
    Place(Place),
    /// A sorted set without jobs, whose scores are times. [`travel`](crate::TestRequest::travel) ages them.
    Timestamps(TimeUnit),
    /// Any other key of the format: bodies of jobs, names of queues, worker metadata, results.
    Other,
    /// Like [`Other`](Self::Other), but only if the key has this type, as the command TYPE returns it. It is for names
    /// that keys of other origin can have too.
    OtherOfType(&'static str),
    /// Not a key of the format. The negative assertions fail on it.
    Unknown,
}
