//! One job, whichever queue it is in.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Entry, arguments};
use crate::report;

/// A job: one that was found in a queue, or one to be queued.
///
/// A message that is not of the queue's format has only `raw` and [`unreadable`](Self::unreadable). A readable message
/// with unreadable arguments (pickled, say) has everything else, and [`opaque`](Self::opaque) says why. Numbers in
/// arguments are as JSON has them in Rust: a whole number beyond 64 bits becomes the nearest `f64`.
///
/// ```
/// use std::time::Duration;
/// use transient_fixtures::Job;
///
/// let job = Job::new("shop.send_mail").args(("asa@example.com",)).kwarg("copy", true).countdown(Duration::from_secs(60));
/// assert_eq!(job.args, ["asa@example.com"]);
/// assert!(job.eta.is_some());
/// ```
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Job {
    /// What makes it one of its kind.
    pub id: Option<String>,
    /// What is to be done: in Celery the task's name, such as `shop.send_mail`.
    pub name: Option<String>,
    /// The arguments by position.
    pub args: Vec<Value>,
    /// The arguments by name.
    pub kwargs: Map<String, Value>,
    /// The queue that it is in. Of one to be queued: empty for the default queue of the format, in Celery `celery`.
    pub queue: String,
    /// Its priority, where it was given one. On Redis, Celery's workers take 0 first, 9 last.
    pub priority: Option<u8>,
    /// Not before this time.
    pub eta: Option<SystemTime>,
    /// Not after this time.
    pub expires: Option<SystemTime>,
    /// How often it was tried before.
    pub retries: u32,
    /// What the jobs of a group have in common.
    pub group: Option<String>,
    /// The id of the job that this one goes back to, which may be its own.
    pub root: Option<String>,
    /// The message as it is in Redis. Empty before it is queued, and of one that these methods have changed.
    pub raw: Vec<u8>,
    /// Why its arguments can't be read. `args` and `kwargs` are empty then.
    pub opaque: Option<String>,
    /// Why it can't be read as a message of the queue's format.
    pub unreadable: Option<String>,
    pub(super) origin: Origin,
}

/// Where a job was found. Equal jobs may be in different places.
#[derive(Clone, Default)]
pub(super) struct Origin(Option<Arc<Entry>>);

impl Origin {
    pub(super) fn set(&mut self, entry: Entry) {
        self.0 = Some(Arc::new(entry));
    }

    pub(super) fn get(&self) -> Option<Arc<Entry>> {
        self.0.clone()
    }
}

impl PartialEq for Origin {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Job {
    /// A job for the default queue.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..Self::empty("") }
    }

    /// A message that the format does not know.
    #[must_use]
    pub fn unreadable(queue: &str, raw: &[u8], why: impl Into<String>) -> Self {
        Self { raw: raw.to_vec(), unreadable: Some(why.into()), ..Self::empty(queue) }
    }

    fn empty(queue: &str) -> Self {
        Self {
            id: None,
            name: None,
            args: Vec::new(),
            kwargs: Map::new(),
            queue: queue.to_owned(),
            priority: None,
            eta: None,
            expires: None,
            retries: 0,
            group: None,
            root: None,
            raw: Vec::new(),
            opaque: None,
            unreadable: None,
            origin: Origin::default(),
        }
    }

    /// With these arguments by position: a tuple, an array, or one value.
    ///
    /// # Panics
    ///
    /// At the caller's line, when they have no JSON form.
    #[must_use]
    #[track_caller]
    pub fn args(mut self, args: impl Serialize) -> Self {
        self.raw.clear();
        match arguments(args) {
            Ok(args) => (self.args, self.opaque) = (args, None),
            Err(error) => panic!("{}", report::jobs::no_json(&error)),
        }
        self
    }

    /// With this argument by name.
    ///
    /// # Panics
    ///
    /// At the caller's line, when it has no JSON form.
    #[must_use]
    #[track_caller]
    pub fn kwarg(mut self, name: impl Into<String>, value: impl Serialize) -> Self {
        self.raw.clear();
        match serde_json::to_value(value) {
            Ok(value) => self.kwargs.insert(name.into(), value),
            Err(error) => panic!("{}", report::jobs::no_json(&error)),
        };
        self
    }

    /// In that queue.
    #[must_use]
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.raw.clear();
        self.queue = queue.into();
        self
    }

    /// With that priority, 0 to 9.
    #[must_use]
    pub fn priority(mut self, priority: u8) -> Self {
        self.raw.clear();
        self.priority = Some(priority);
        self
    }

    /// Not after that time.
    #[must_use]
    pub fn expires(mut self, expires: SystemTime) -> Self {
        self.raw.clear();
        self.expires = Some(expires);
        self
    }

    /// Not before that time.
    #[must_use]
    pub fn eta(mut self, eta: SystemTime) -> Self {
        self.raw.clear();
        self.eta = Some(eta);
        self
    }

    /// Not before that much time has passed.
    #[must_use]
    pub fn countdown(self, wait: Duration) -> Self {
        // What is too far for any clock is refused when it is queued.
        self.eta(SystemTime::now().checked_add(wait).unwrap_or_else(|| UNIX_EPOCH + TEN_THOUSAND_YEARS))
    }

    /// With that id instead of a random one.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.raw.clear();
        self.id = Some(id.into());
        self
    }

    pub(super) fn with_id(self) -> Self {
        if self.id.is_some() { self } else { self.id(uuid()) }
    }
}

/// With the message as text.
impl fmt::Debug for Job {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Job")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("args", &self.args)
            .field("kwargs", &self.kwargs)
            .field("queue", &self.queue)
            .field("priority", &self.priority)
            .field("eta", &self.eta)
            .field("expires", &self.expires)
            .field("retries", &self.retries)
            .field("group", &self.group)
            .field("root", &self.root)
            .field("raw", &String::from_utf8_lossy(&self.raw))
            .field("opaque", &self.opaque)
            .field("unreadable", &self.unreadable)
            .finish_non_exhaustive()
    }
}

/// One line: `mail: shop.send_mail("asa@example.com", copy=true)` and what else is to be said of it.
impl fmt::Display for Job {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: ", self.queue)?;
        let (Some(name), None) = (&self.name, &self.unreadable) else {
            return formatter.write_str(&report::jobs::unreadable(&self.raw, self.unreadable.as_deref()));
        };
        let args = self.args.iter().map(Value::to_string);
        let kwargs = self.kwargs.iter().map(|(name, value)| format!("{name}={value}"));
        let opaque = self.opaque.iter().map(|why| report::jobs::opaque_arguments(why));
        let arguments: Vec<_> = args.chain(kwargs).chain(opaque).collect();
        write!(formatter, "{name}({})", arguments.join(", "))?;
        if let Some(priority) = self.priority.filter(|priority| *priority > 0) {
            write!(formatter, ", priority {priority}")?;
        }
        if let Some(eta) = self.eta {
            write!(formatter, ", {}", report::jobs::due(eta))?;
        }
        if self.retries > 0 {
            write!(formatter, ", retries {}", self.retries)?;
        }
        Ok(())
    }
}

/// Beyond every date that has a text form, and within what Windows counts.
const TEN_THOUSAND_YEARS: Duration = Duration::from_secs(10_000 * 365 * 24 * 60 * 60);

/// A random UUID, version 4.
pub(super) fn uuid() -> String {
    let (one, two) = (RandomState::new().hash_one(1), RandomState::new().hash_one(2));
    let text = format!("{:016x}{:016x}", one & !0xf000 | 0x4000, two & !(0xc << 60) | (0x8 << 60));
    format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}
