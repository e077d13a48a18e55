//! The entries that are read from a place.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use super::place::{Place, State};

/// One entry of a place, with its bodies.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub(super) place: Arc<Place>,
    pub(super) queue: Option<Arc<str>>,
    pub(super) value: Vec<u8>,
    pub(super) score: Option<f64>,
    pub(super) bodies: Vec<Option<Found>>,
    /// The TTLs of the bodies' keys in milliseconds, if the entry was drained.
    pub(super) ttls: Vec<Option<i64>>,
    /// Whether a stream's consumer group has it pending.
    pub(super) is_pending: bool,
    /// Whether it was due when it was read, in a place that also holds jobs without an eta.
    pub(super) is_immediate: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found {
    Bytes(Vec<u8>),
    Fields(Vec<(Vec<u8>, Vec<u8>)>),
}

impl Entry {
    /// Creates an entry without bodies, for testing a format's [`decode`](super::JobFormat::decode).
    ///
    /// ```
    /// use transient_fixtures::jobs::{Entry, Place};
    /// use transient_fixtures::{Celery, JobFormat};
    ///
    /// let entry = Entry::new(Place::list("mail"), Some("mail"), "junk");
    /// assert!(Celery::new().decode(&entry).why_unreadable().is_some());
    /// ```
    #[must_use]
    pub fn new(place: Place, queue: Option<&str>, value: impl Into<Vec<u8>>) -> Self {
        let (place, queue) = (Arc::new(place), queue.map(Arc::from));
        Self {
            place,
            queue,
            value: value.into(),
            score: None,
            bodies: Vec::new(),
            ttls: Vec::new(),
            is_pending: false,
            is_immediate: false,
        }
    }

    /// Returns the queue, or `None` in a place that several queues share.
    #[must_use]
    pub fn queue(&self) -> Option<&str> {
        self.queue.as_deref()
    }

    /// Returns the list's element, the set's member, the hash's value, or the id of the stream's entry.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// Returns [`value`](Self::value) as text, with U+FFFD for invalid UTF-8.
    ///
    /// ```
    /// use transient_fixtures::jobs::{Entry, Place};
    ///
    /// let entry = Entry::new(Place::list("mail"), Some("mail"), "job-7");
    /// assert_eq!(entry.text(), "job-7");
    /// ```
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.value)
    }

    /// Returns the first body that is a string or a hash field, or else the [`value`](Self::value).
    ///
    /// ```
    /// use transient_fixtures::jobs::{Entry, Place};
    ///
    /// // An entry without bodies is its own message.
    /// let entry = Entry::new(Place::list("mail"), Some("mail"), "{}");
    /// assert_eq!(entry.message(), b"{}");
    /// ```
    #[must_use]
    pub fn message(&self) -> &[u8] {
        let bytes = self.bodies.iter().flatten().find_map(|body| match body {
            Found::Bytes(bytes) => Some(bytes),
            Found::Fields(_) => None,
        });
        bytes.unwrap_or(&self.value)
    }

    /// Returns a field of the stream's entry, or of a body that is a whole hash.
    ///
    /// ```
    /// # use transient_fixtures::Job;
    /// # use transient_fixtures::jobs::{Entry, Place};
    /// fn decode(entry: &Entry) -> Job {
    ///     match entry.field("name") {
    ///         Some(name) => Job::new(String::from_utf8_lossy(name)),
    ///         None => Job::new_unreadable(entry.queue().unwrap_or_default(), entry.value(), "it has no name"),
    ///     }
    /// }
    /// # assert!(decode(&Entry::new(Place::list("mail"), Some("mail"), "7")).why_unreadable().is_some());
    /// ```
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        let fields = self.bodies.iter().flatten().filter_map(|body| match body {
            Found::Fields(fields) => Some(fields),
            Found::Bytes(_) => None,
        });
        fields.flatten().find(|(field, _)| field == name.as_bytes()).map(|(_, value)| value.as_slice())
    }

    /// Returns the due time, if the place's scores are [due times](Place::with_due_times).
    ///
    /// ```
    /// # use transient_fixtures::Job;
    /// # use transient_fixtures::jobs::{Entry, Place};
    /// fn decode(entry: &Entry) -> Job {
    ///     let job = Job::new(entry.text());
    ///     match entry.eta() {
    ///         Some(eta) => job.with_eta(eta),
    ///         None => job,
    ///     }
    /// }
    /// # assert_eq!(decode(&Entry::new(Place::list("mail"), Some("mail"), "send_mail")).eta(), None);
    /// ```
    #[must_use]
    pub fn eta(&self) -> Option<SystemTime> {
        let unit = self.place.unit.filter(|_| self.place.scores_are_due && !self.is_immediate);
        unit.zip(self.score).and_then(|(unit, score)| unit.time(score))
    }

    /// Returns whether a worker has taken the job and not acknowledged it.
    #[must_use]
    pub fn is_unacked(&self) -> bool {
        self.is_pending || self.place.state == State::Unacked
    }

    pub(super) fn state(&self) -> State {
        if self.is_pending { State::Unacked } else { self.place.state }
    }
}
