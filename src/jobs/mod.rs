//! Jobs in the job database (15 by default), and the trait for the application's own queue: [`JobFormat`].

mod ageing;
#[cfg(feature = "apalis")]
mod apalis;
mod assertion;
mod celery;
mod entry;
mod fact;
mod format;
mod job;
mod place;
mod python;
mod read;
mod reading;
#[cfg(feature = "rq")]
mod rq;
#[cfg(feature = "sidekiq")]
mod sidekiq;

use std::collections::{BTreeMap, HashSet};
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

pub(crate) use ageing::{age, timed_sets};
#[cfg(feature = "apalis")]
pub use apalis::Apalis;
pub use assertion::EnqueuedAssertion;
pub use celery::Celery;
pub use entry::Entry;
pub use format::JobFormat;
pub use job::Job;
pub use place::{Body, KeyRole, Place, TimeUnit};
use redis::{FromRedisValue, Pipeline, Value};
#[cfg(feature = "rq")]
pub use rq::Rq;
use serde::Serialize;
#[cfg(feature = "sidekiq")]
pub use sidekiq::Sidekiq;

use self::job::uuid;
use self::place::{Kind as PlaceKind, State};
use self::read::restore;
use crate::error::{Error, Kind};
use crate::lease::{Commands, Database, Formats, Lease};
use crate::report;
use crate::sync::lock;

/// The jobs in the job database (15 by default): those that the code under test enqueued, and those for a worker to
/// run.
///
/// ```
/// use transient_fixtures::{Error, Job, TestRequest};
///
/// # fn main() -> Result<(), Error> {
/// let jobs = TestRequest::clean().jobs();
/// jobs.assert_nothing_enqueued();
///
/// jobs.enqueue(Job::new("shop.send_mail").with_args(("asa@example.com", 3)).with_queue("mail"))?;
///
/// jobs.assert_enqueued("shop.send_mail").with_args(("asa@example.com", 3)).times(1);
/// assert_eq!(jobs.pending("mail")?[0].name(), Some("shop.send_mail"));
/// assert_eq!(jobs.drain("mail")?.len(), 1);
/// jobs.assert_nothing_enqueued();
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Jobs {
    lease: Arc<Lease>,
    format: Arc<dyn JobFormat>,
    /// The format's `Debug` text. Each call of `TestRequest::jobs` makes a new format, and equal ones have equal texts.
    format_identity: Arc<str>,
    /// Key prefixes that the assertions ignore.
    ignored: Vec<String>,
    connection: Arc<Mutex<Commands>>,
}

/// Shows the format only: a connection has no text form.
impl Debug for Jobs {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Jobs").field("format", &self.format).finish_non_exhaustive()
    }
}

/// Returns the jobs in this format, and lets `travel` age the format's times from now on.
pub(crate) fn jobs(lease: &Arc<Lease>, format: impl JobFormat) -> Jobs {
    let jobs = Jobs::new(lease, Arc::new(format));
    formats(lease).add(&jobs.format);
    jobs
}

/// The formats that the test has used.
fn formats(lease: &Lease) -> Arc<Formats<dyn JobFormat>> {
    lease.shared(Formats::default)
}

/// Returns the waiting jobs in the formats that the test has used, or in Celery's if it has used none. If several
/// formats have the same place, the one that reads most of its jobs is used.
///
/// # Errors
///
/// Returns an error that [`is_server`](Error::is_server) if the server does not answer.
pub(crate) fn waiting(lease: &Arc<Lease>) -> Result<Vec<Job>, Error> {
    let mut formats = formats(lease).all();
    if formats.is_empty() {
        formats.push(Arc::new(Celery::new()));
    }
    let unreadable = |jobs: &[Job]| jobs.iter().filter(|job| job.unreadable.is_some()).count();
    let mut places = BTreeMap::<String, Vec<Job>>::new();
    for format in formats {
        let mut own = BTreeMap::<String, Vec<Job>>::new();
        for job in Jobs::new(lease, format).all()? {
            let key = job.origin.entry().map(|entry| entry.place.key.clone());
            own.entry(key.unwrap_or_default()).or_default().push(job);
        }
        own.retain(|key, jobs| places.get(key).is_none_or(|known| unreadable(jobs) < unreadable(known)));
        places.append(&mut own);
    }
    Ok(places.into_values().flatten().collect())
}

impl Jobs {
    fn new(lease: &Arc<Lease>, format: Arc<dyn JobFormat>) -> Self {
        let format_identity = format!("{format:?}").into();
        Self { lease: lease.clone(), format, format_identity, ignored: Vec::new(), connection: Arc::default() }
    }

    /// Ignores keys that begin with this prefix, unless the format knows them as its own. It is for data that the
    /// application keeps beside its jobs, and over which the negative assertions would fail.
    ///
    /// ```
    /// use redis::Commands;
    /// use transient_fixtures::{TestRequest, get_jobs_redis, redis};
    ///
    /// # fn main() -> redis::RedisResult<()> {
    /// let test_request = TestRequest::clean();
    /// get_jobs_redis(&test_request)?.set::<_, _, ()>("lock:mail", 1)?;
    /// test_request.jobs().ignoring_keys("lock:").assert_nothing_enqueued();
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn ignoring_keys(mut self, prefix: impl Into<String>) -> Self {
        self.ignored.push(prefix.into());
        self
    }

    /// Returns the jobs that wait in this queue, also those that are not due yet, in the order in which workers take
    /// them. It takes one round trip, or a few if the queue holds only ids.
    ///
    /// ```
    /// use transient_fixtures::{Job, TestRequest};
    ///
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let jobs = TestRequest::clean().jobs();
    /// jobs.enqueue(Job::new("shop.send_mail").with_queue("mail").with_priority(9))?;
    /// jobs.enqueue(Job::new("shop.send_sms").with_queue("mail").with_priority(0))?;
    /// let names: Vec<_> = jobs.pending("mail")?.iter().filter_map(|job| job.name().map(str::to_owned)).collect();
    /// assert_eq!(names, ["shop.send_sms", "shop.send_mail"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_server`](Error::is_server) if the server does not answer, or if a key of the queue
    /// has the wrong type.
    pub fn pending(&self, queue: &str) -> Result<Vec<Job>, Error> {
        Ok(self.waiting(queue, false)?.into_iter().map(|entry| self.decode(entry)).collect())
    }

    /// Returns the jobs with an [eta](Job::eta) from all queues, the earliest first. It includes those that a worker
    /// has taken and holds until they are due.
    ///
    /// ```
    /// use std::time::Duration;
    /// use transient_fixtures::{Job, TestRequest};
    ///
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let jobs = TestRequest::clean().jobs();
    /// jobs.enqueue(Job::new("shop.send_mail"))?;
    /// jobs.enqueue(Job::new("shop.remind").with_countdown(Duration::from_secs(3600)))?;
    /// assert_eq!(jobs.scheduled()?.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_server`](Error::is_server) if the server does not answer, if a key of the format has
    /// the wrong type, or if new keys keep appearing.
    pub fn scheduled(&self) -> Result<Vec<Job>, Error> {
        let mut jobs = self.all()?;
        // A worker can take a job between the two reads.
        let known: HashSet<_> = jobs.iter().filter_map(|job| job.id.clone()).collect();
        jobs.extend(self.unacked()?.into_iter().filter(|job| job.id.as_ref().is_none_or(|id| !known.contains(id))));
        jobs.retain(|job| job.eta.is_some());
        jobs.sort_by_key(|job| job.eta);
        Ok(jobs)
    }

    /// Returns the jobs that workers have taken and not acknowledged. Not every queue records these in Redis.
    ///
    /// ```
    /// use transient_fixtures::{Job, TestRequest};
    ///
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let jobs = TestRequest::clean().jobs();
    /// jobs.enqueue(Job::new("shop.send_mail"))?;
    /// // No worker has taken it.
    /// assert!(jobs.unacked()?.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error under the same conditions as [`scheduled`](Self::scheduled).
    pub fn unacked(&self) -> Result<Vec<Job>, Error> {
        self.in_state(State::Unacked)
    }

    /// Returns the jobs that failed and will not be retried. Not every queue keeps these.
    ///
    /// ```
    /// use transient_fixtures::{Job, TestRequest};
    ///
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// // Celery keeps no dead jobs.
    /// assert!(TestRequest::clean().jobs().dead()?.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error under the same conditions as [`scheduled`](Self::scheduled).
    pub fn dead(&self) -> Result<Vec<Job>, Error> {
        self.in_state(State::Dead)
    }

    /// Returns the jobs that wait in all queues, also those that are not due yet. All are read at one moment, which
    /// takes two round trips, or a few more if queues hold only ids, or while new keys appear.
    ///
    /// ```
    /// use transient_fixtures::{Job, TestRequest};
    ///
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let jobs = TestRequest::clean().jobs();
    /// jobs.enqueue(Job::new("shop.send_mail").with_queue("mail"))?;
    /// jobs.enqueue(Job::new("shop.count").with_queue("statistics"))?;
    /// assert_eq!(jobs.all()?.len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error under the same conditions as [`scheduled`](Self::scheduled).
    pub fn all(&self) -> Result<Vec<Job>, Error> {
        self.in_state(State::Waiting)
    }

    fn in_state(&self, state: State) -> Result<Vec<Job>, Error> {
        Ok(self.contents(state)?.entries.into_iter().map(|entry| self.decode(entry)).collect())
    }

    /// Removes and returns the jobs that wait in this queue, also those that are not due yet. It is one atomic step.
    ///
    /// ```
    /// use transient_fixtures::{Job, TestRequest};
    ///
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let jobs = TestRequest::clean().jobs();
    /// jobs.enqueue(Job::new("shop.send_mail").with_queue("mail"))?;
    /// assert_eq!(jobs.drain("mail")?.len(), 1);
    /// assert!(jobs.pending("mail")?.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_server`](Error::is_server) if the server does not answer, or if a key of the queue
    /// has the wrong type. In the latter case nothing is removed.
    pub fn drain(&self, queue: &str) -> Result<Vec<Job>, Error> {
        Ok(self.waiting(queue, true)?.into_iter().map(|entry| self.decode(entry)).collect())
    }

    /// Adds a job to its queue for a worker to run, and returns its id.
    ///
    /// A job that was [drained](Self::drain) with this format and not changed since goes back where it was, byte for
    /// byte, even if it is unreadable. Every other job is encoded by the [format](JobFormat::encode).
    ///
    /// ```
    /// use transient_fixtures::{Job, TestRequest};
    ///
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let jobs = TestRequest::clean().jobs();
    /// let id = jobs.enqueue(Job::new("shop.send_mail").with_args(("asa@example.com",)))?;
    /// let drained = jobs.drain("celery")?;
    /// assert_eq!(drained[0].id(), Some(id.as_str()));
    ///
    /// jobs.enqueue(drained[0].clone())?;
    /// assert_eq!(jobs.pending("celery")?, drained);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_data`](Error::is_data) if the format can't express the job, and one that
    /// [`is_server`](Error::is_server) if the server does not answer.
    pub fn enqueue(&self, mut job: Job) -> Result<String, Error> {
        if job.origin.is_of_other_format(&self.format_identity) {
            job = job.changed();
        }
        let origin = job
            .origin
            .entry()
            .filter(|origin| origin.state() == State::Waiting && origin.place.kind != PlaceKind::Hash);
        let mut commands = if let Some(origin) = origin {
            restore(origin)
        } else {
            if job.queue.is_empty() {
                self.format.default_queue().clone_into(&mut job.queue);
            }
            job.id.get_or_insert_with(uuid);
            self.format.encode(&job).map_err(|error| {
                let name = job.name.as_deref().unwrap_or_default();
                Error::with_source(Kind::Data, report::jobs::not_encoded(name), error)
            })?
        };
        let _: Value = self.query(commands.atomic())?;
        Ok(job.id.unwrap_or_default())
    }

    /// Asserts that at least one job with this name waits in any queue. The result can assert more about it.
    ///
    /// ```
    /// use transient_fixtures::{Job, TestRequest};
    ///
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let jobs = TestRequest::clean().jobs();
    /// jobs.enqueue(Job::new("shop.send_mail").with_args(("asa@example.com",)).with_queue("mail"))?;
    /// jobs.assert_enqueued("shop.send_mail").with_args(("asa@example.com",)).on_queue("mail").times(1).only();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics at the caller's line, and lists all waiting jobs, if there is no such job. It also panics if the jobs
    /// can't be read.
    #[track_caller]
    #[expect(clippy::must_use_candidate, reason = "it asserts by itself")]
    pub fn assert_enqueued(&self, name: &str) -> EnqueuedAssertion {
        let (jobs, foreign) = self.all_or_panic();
        EnqueuedAssertion::new(name, jobs, foreign)
    }

    /// Asserts that no job with this name waits in any queue.
    ///
    /// ```
    /// use transient_fixtures::{Job, TestRequest};
    ///
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let jobs = TestRequest::clean().jobs();
    /// jobs.enqueue(Job::new("shop.send_mail"))?;
    /// jobs.assert_not_enqueued("shop.send_sms");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics at the caller's line, and lists all waiting jobs, if there is such a job. It also panics if there could
    /// be one: because the name of a waiting job can't be read, or because the job database has a key that the format
    /// does not know. And it panics if the jobs can't be read.
    #[track_caller]
    pub fn assert_not_enqueued(&self, name: &str) {
        let (jobs, foreign) = self.all_or_panic();
        let is_other = |job: &Job| job.name.as_deref().is_some_and(|other| other != name);
        assert!(
            jobs.iter().all(is_other) && foreign.is_empty(),
            "{}",
            report::jobs::unexpected(&report::jobs::no_job(name), jobs.iter(), &foreign)
        );
    }

    /// Asserts that no job waits in any queue.
    ///
    /// ```
    /// use transient_fixtures::TestRequest;
    ///
    /// TestRequest::clean().jobs().assert_nothing_enqueued();
    /// ```
    ///
    /// # Panics
    ///
    /// Panics at the caller's line, and lists all waiting jobs, if there is one, or if the job database has a key that
    /// the format does not know. It also panics if the jobs can't be read.
    #[track_caller]
    pub fn assert_nothing_enqueued(&self) {
        let (jobs, foreign) = self.all_or_panic();
        let text = || report::jobs::unexpected(report::jobs::NO_JOB, jobs.iter(), &foreign);
        assert!(jobs.is_empty() && foreign.is_empty(), "{}", text());
    }

    #[track_caller]
    fn all_or_panic(&self) -> (Vec<Job>, Vec<String>) {
        match self.contents(State::Waiting) {
            Ok(contents) => {
                let jobs = contents.entries.into_iter().map(|entry| self.decode(entry));
                (jobs.collect(), contents.foreign)
            }
            Err(error) => panic!("{}", report::jobs::not_listed(&error)),
        }
    }

    fn query<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, Error> {
        let mut connection = lock(&self.connection);
        connection.query(&self.lease, Database::Jobs, commands)
    }
}

/// Converts a tuple, an array or a single value to JSON arguments.
fn arguments(args: impl Serialize) -> Result<Vec<serde_json::Value>, serde_json::Error> {
    Ok(match serde_json::to_value(args)? {
        serde_json::Value::Array(args) => args,
        serde_json::Value::Null => Vec::new(),
        one => vec![one],
    })
}
