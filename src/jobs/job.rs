//! One job, in any queue's format.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Entry, arguments};
use crate::{hex, random, report};

/// A job, either read from a queue or built to be enqueued.
///
/// A message that is not in the queue's format has only its [raw bytes](Self::raw), and
/// [`why_unreadable`](Self::why_unreadable) gives the reason. If only the arguments can't be read, because they are
/// pickled, for example, the job has everything else, and [`why_opaque`](Self::why_opaque) gives the reason. Numbers in
/// arguments follow [`serde_json`](crate::serde_json): an integer that doesn't fit in 64 bits becomes the nearest
/// `f64`.
///
/// The `with_*` methods build a job, or change one that was read. They panic if an argument has no JSON form;
/// everything else is checked by [`enqueue`](super::Jobs::enqueue), which returns an error. A changed job is a new
/// message, so each of them clears the [raw bytes](Self::raw).
///
/// ```
/// use std::time::Duration;
/// use transient_fixtures::Job;
///
/// let job = Job::new("shop.send_mail")
///     .with_args(("asa@example.com",))
///     .with_kwarg("copy", true)
///     .with_countdown(Duration::from_secs(60));
/// assert_eq!(job.args(), ["asa@example.com"]);
/// assert!(job.eta().is_some());
/// ```
#[derive(Clone, PartialEq)]
pub struct Job {
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) args: Vec<Value>,
    pub(super) kwargs: Map<String, Value>,
    pub(super) queue: String,
    pub(super) priority: Option<u32>,
    pub(super) eta: Option<SystemTime>,
    pub(super) expires: Option<SystemTime>,
    pub(super) retries: u32,
    pub(super) group: Option<String>,
    pub(super) root: Option<String>,
    pub(super) raw: Vec<u8>,
    pub(super) opaque: Option<String>,
    pub(super) unreadable: Option<String>,
    pub(super) origin: Origin,
}

/// The entry that an unchanged job was read from, with the identity of the format that read it. All origins are equal,
/// because equal jobs can come from different places.
#[derive(Clone, Default)]
pub(super) struct Origin(Option<(Arc<str>, Arc<Entry>)>);

impl Origin {
    pub(super) fn new(format: Arc<str>, entry: Entry) -> Self {
        Self(Some((format, Arc::new(entry))))
    }

    pub(super) fn entry(&self) -> Option<&Entry> {
        self.0.as_ref().map(|(_, entry)| &**entry)
    }

    /// Whether another format read the job, so that its raw bytes mean nothing to this one.
    pub(super) fn is_of_other_format(&self, format: &str) -> bool {
        self.0.as_ref().is_some_and(|(own, _)| **own != *format)
    }
}

impl PartialEq for Origin {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Job {
    /// Creates a job with this name for the default queue.
    ///
    /// ```
    /// let job = transient_fixtures::Job::new("shop.send_mail");
    /// assert_eq!(job.name(), Some("shop.send_mail"));
    /// ```
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..Self::empty("") }
    }

    /// Creates a job for a message that is not in the queue's format: the result of
    /// [`JobFormat::decode`](super::JobFormat::decode) for it.
    ///
    /// ```
    /// use transient_fixtures::Job;
    ///
    /// let job = Job::new_unreadable("mail", b"junk", "it is not JSON");
    /// assert_eq!(job.to_string(), r#"mail: unreadable (it is not JSON), 4 bytes: "junk""#);
    /// ```
    #[must_use]
    pub fn new_unreadable(queue: &str, raw: &[u8], why: impl Into<String>) -> Self {
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

    /// Returns the unique id. [`enqueue`](super::Jobs::enqueue) chooses a random one if there is none.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Returns the name of the task, such as `shop.send_mail`; `None` if the message is unreadable.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Returns the positional arguments.
    #[must_use]
    pub fn args(&self) -> &[Value] {
        &self.args
    }

    /// Returns the keyword arguments.
    #[must_use]
    pub fn kwargs(&self) -> &Map<String, Value> {
        &self.kwargs
    }

    /// Returns the name of the queue. It is empty for a new job without one, which goes to the format's
    /// [default queue](super::JobFormat::default_queue).
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// Returns the priority, if one is set. On Redis, Celery's workers take 0 first and 9 last.
    #[must_use]
    pub fn priority(&self) -> Option<u32> {
        self.priority
    }

    /// Returns the time before which no worker runs the job.
    #[must_use]
    pub fn eta(&self) -> Option<SystemTime> {
        self.eta
    }

    /// Returns the time after which no worker runs the job.
    #[must_use]
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires
    }

    /// Returns how often a worker has tried the job before.
    #[must_use]
    pub fn retries(&self) -> u32 {
        self.retries
    }

    /// Returns the id of the group that the job belongs to.
    #[must_use]
    pub fn group(&self) -> Option<&str> {
        self.group.as_deref()
    }

    /// Returns the id of the first job in the chain of jobs that led to this one. It can be the job's own id.
    #[must_use]
    pub fn root(&self) -> Option<&str> {
        self.root.as_deref()
    }

    /// Returns the message as it is stored in Redis. It is empty for a new job and for one that a `with_*` method
    /// changed.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Returns the reason why the arguments can't be read. [`args`](Self::args) and [`kwargs`](Self::kwargs) are then
    /// empty.
    #[must_use]
    pub fn why_opaque(&self) -> Option<&str> {
        self.opaque.as_deref()
    }

    /// Returns the reason why the message, or a part of it other than the arguments, can't be read.
    #[must_use]
    pub fn why_unreadable(&self) -> Option<&str> {
        self.unreadable.as_deref()
    }

    /// Sets the positional arguments, from a tuple, an array, or a single value.
    ///
    /// ```
    /// use transient_fixtures::Job;
    ///
    /// assert_eq!(Job::new("shop.send_mail").with_args(("asa@example.com", 3)).args().len(), 2);
    /// assert_eq!(Job::new("shop.send_mail").with_args("asa@example.com").args(), ["asa@example.com"]);
    /// ```
    ///
    /// # Panics
    ///
    /// Panics at the caller's line if the arguments have no JSON form.
    #[must_use]
    #[track_caller]
    pub fn with_args(self, args: impl Serialize) -> Self {
        match arguments(args) {
            Ok(args) => Self { args, opaque: None, ..self.changed() },
            Err(error) => panic!("{}", report::jobs::no_json(&error)),
        }
    }

    /// Adds one keyword argument, or replaces it.
    ///
    /// ```
    /// use transient_fixtures::Job;
    ///
    /// let job = Job::new("shop.send_mail").with_kwarg("copy", true);
    /// assert_eq!(job.kwargs()["copy"], true);
    /// ```
    ///
    /// # Panics
    ///
    /// Panics at the caller's line if the argument has no JSON form.
    #[must_use]
    #[track_caller]
    pub fn with_kwarg(self, name: impl Into<String>, value: impl Serialize) -> Self {
        let mut job = self.changed();
        match serde_json::to_value(value) {
            Ok(value) => job.kwargs.insert(name.into(), value),
            Err(error) => panic!("{}", report::jobs::no_json(&error)),
        };
        job
    }

    /// Sets the queue.
    ///
    /// ```
    /// use transient_fixtures::Job;
    ///
    /// assert_eq!(Job::new("shop.send_mail").with_queue("mail").queue(), "mail");
    /// ```
    #[must_use]
    pub fn with_queue(self, queue: impl Into<String>) -> Self {
        Self { queue: queue.into(), ..self.changed() }
    }

    /// Sets the priority. Celery accepts 0 to 9.
    ///
    /// ```
    /// use transient_fixtures::Job;
    ///
    /// assert_eq!(Job::new("shop.send_mail").with_priority(9).priority(), Some(9));
    /// ```
    #[must_use]
    pub fn with_priority(self, priority: u32) -> Self {
        Self { priority: Some(priority), ..self.changed() }
    }

    /// Sets the time after which no worker runs the job.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use transient_fixtures::Job;
    ///
    /// let job = Job::new("shop.send_mail").with_expires(SystemTime::now() + Duration::from_secs(3600));
    /// assert!(job.expires().is_some());
    /// ```
    #[must_use]
    pub fn with_expires(self, expires: SystemTime) -> Self {
        Self { expires: Some(expires), ..self.changed() }
    }

    /// Sets the time before which no worker runs the job.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use transient_fixtures::Job;
    ///
    /// let job = Job::new("shop.send_mail").with_eta(SystemTime::now() + Duration::from_secs(60));
    /// assert!(job.eta() > Some(SystemTime::now()));
    /// ```
    #[must_use]
    pub fn with_eta(self, eta: SystemTime) -> Self {
        Self { eta: Some(eta), ..self.changed() }
    }

    /// Sets the [eta](Self::with_eta) to now plus this duration. It saturates at a time that
    /// [`enqueue`](super::Jobs::enqueue) rejects.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use transient_fixtures::Job;
    ///
    /// let job = Job::new("shop.send_mail").with_countdown(Duration::from_secs(60));
    /// assert!(job.eta() > Some(SystemTime::now()));
    /// ```
    #[must_use]
    pub fn with_countdown(self, wait: Duration) -> Self {
        self.with_eta(SystemTime::now().checked_add(wait).unwrap_or_else(|| UNIX_EPOCH + TEN_THOUSAND_YEARS))
    }

    /// Sets the id, which is random otherwise.
    ///
    /// ```
    /// use transient_fixtures::Job;
    ///
    /// assert_eq!(Job::new("shop.send_mail").with_id("order-7").id(), Some("order-7"));
    /// ```
    #[must_use]
    pub fn with_id(self, id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..self.changed() }
    }

    /// Sets how often a worker has tried the job before.
    ///
    /// ```
    /// use transient_fixtures::Job;
    ///
    /// assert_eq!(Job::new("shop.send_mail").with_retries(2).retries(), 2);
    /// ```
    #[must_use]
    pub fn with_retries(self, retries: u32) -> Self {
        Self { retries, ..self.changed() }
    }

    /// Sets the id of the group that the job belongs to.
    ///
    /// ```
    /// use transient_fixtures::Job;
    ///
    /// assert_eq!(Job::new("shop.send_mail").with_group("newsletter").group(), Some("newsletter"));
    /// ```
    #[must_use]
    pub fn with_group(self, group: impl Into<String>) -> Self {
        Self { group: Some(group.into()), ..self.changed() }
    }

    /// Sets the id of the first job in the chain of jobs that led to this one.
    ///
    /// ```
    /// use transient_fixtures::Job;
    ///
    /// assert_eq!(Job::new("shop.send_mail").with_root("order-7").root(), Some("order-7"));
    /// ```
    #[must_use]
    pub fn with_root(self, root: impl Into<String>) -> Self {
        Self { root: Some(root.into()), ..self.changed() }
    }

    /// Sets the message's bytes. Every other `with_*` method clears them, so call this one last.
    ///
    /// It is for [`JobFormat::decode`](super::JobFormat::decode), if the message is not simply [`Entry::message`].
    /// Celery's format enqueues the bytes of such a job as they are, so a test can enqueue any message, also a broken
    /// one.
    ///
    /// ```
    /// use transient_fixtures::{Job, TestRequest};
    ///
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let jobs = TestRequest::clean().jobs();
    /// jobs.enqueue(Job::new("broken").with_raw(*b"not a message of Celery"))?;
    /// assert!(jobs.pending("celery")?[0].why_unreadable().is_some());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_raw(self, raw: impl Into<Vec<u8>>) -> Self {
        Self { raw: raw.into(), ..self.changed() }
    }

    /// Removes the arguments and records why they can't be read, for [`JobFormat::decode`](super::JobFormat::decode).
    ///
    /// ```
    /// use transient_fixtures::Job;
    ///
    /// let job = Job::new("shop.send_mail").with_opaque("they are pickled");
    /// assert_eq!(job.why_opaque(), Some("they are pickled"));
    /// ```
    #[must_use]
    pub fn with_opaque(self, why: impl Into<String>) -> Self {
        Self { args: Vec::new(), kwargs: Map::new(), opaque: Some(why.into()), ..self.changed() }
    }

    /// Forgets the message that the job was read from.
    pub(super) fn changed(self) -> Self {
        Self { raw: Vec::new(), origin: Origin::default(), ..self }
    }
}

/// Shows the raw message as text.
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

/// Writes one line, such as `mail: shop.send_mail("asa@example.com", copy=true), due in 60 s`.
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

/// Later than every date with a text form, and earlier than the last `SystemTime` of Windows.
const TEN_THOUSAND_YEARS: Duration = Duration::from_secs(10_000 * 365 * 24 * 60 * 60);

/// Returns a random UUID, version 4.
pub(super) fn uuid() -> String {
    hex::uuid(random::bytes())
}
