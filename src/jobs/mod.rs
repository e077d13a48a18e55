//! The jobs in database 15, and how an application's own queue describes its keys: [`JobFormat`].

mod ageing;
#[cfg(feature = "apalis")]
mod apalis;
mod assertion;
mod celery;
mod fact;
mod format;
mod job;
mod place;
mod python;
mod read;
#[cfg(feature = "rq")]
mod rq;
#[cfg(feature = "sidekiq")]
mod sidekiq;

use std::collections::{BTreeMap, HashSet};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use ageing::{age, timed_sets};
#[cfg(feature = "apalis")]
pub use apalis::Apalis;
pub use assertion::Enqueued;
pub use celery::Celery;
pub use format::JobFormat;
pub use job::Job;
pub use place::{Body, Entry, Key, Place, Unit};
use redis::{FromRedisValue, Pipeline, Value};
#[cfg(feature = "rq")]
pub use rq::Rq;
use serde::Serialize;
#[cfg(feature = "sidekiq")]
pub use sidekiq::Sidekiq;

use self::place::{Kind as PlaceKind, State};
use self::read::restore;
use crate::error::{Error, Kind};
use crate::lease::{Commands, Database, Formats, Lease};
use crate::report;

/// The jobs in database 15: what the code under test has queued, and what a worker is to find.
///
/// ```
/// use transient_fixtures::{Error, Job, TestRequest};
///
/// # fn main() -> Result<(), Error> {
/// let jobs = TestRequest::clean().jobs();
/// jobs.assert_nothing_enqueued();
///
/// jobs.enqueue(Job::new("shop.send_mail").args(("asa@example.com", 3)).queue("mail"))?;
///
/// jobs.assert_enqueued("shop.send_mail").with_args(("asa@example.com", 3)).times(1);
/// assert_eq!(jobs.pending("mail")?[0].name.as_deref(), Some("shop.send_mail"));
/// assert_eq!(jobs.drain("mail")?.len(), 1);
/// jobs.assert_nothing_enqueued();
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Jobs {
    lease: Arc<Lease>,
    format: Arc<dyn JobFormat>,
    /// The prefixes of keys that hold no jobs.
    ignored: Vec<String>,
    connection: Arc<Mutex<Commands>>,
}

/// A connection has no text form.
impl Debug for Jobs {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Jobs").field("format", &self.format).finish_non_exhaustive()
    }
}

/// The jobs of a format, of which travel takes care from now on.
pub(crate) fn jobs(lease: &Arc<Lease>, format: impl JobFormat) -> Jobs {
    let jobs = Jobs::new(lease, Arc::new(format));
    formats(lease).add(&jobs.format);
    jobs
}

/// The formats that the test has asked for.
fn formats(lease: &Lease) -> Arc<Formats<dyn JobFormat>> {
    lease.shared(Formats::default)
}

/// The jobs that wait, in the formats that the test has asked for, else in Celery's. A place that several formats know is
/// read in the one that can read most of its jobs.
///
/// # Errors
///
/// [`Error::is_server`].
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
            let key = job.origin.get().map(|entry| entry.place.key.clone());
            own.entry(key.unwrap_or_default()).or_default().push(job);
        }
        own.retain(|key, jobs| places.get(key).is_none_or(|known| unreadable(jobs) < unreadable(known)));
        places.append(&mut own);
    }
    Ok(places.into_values().flatten().collect())
}

impl Jobs {
    fn new(lease: &Arc<Lease>, format: Arc<dyn JobFormat>) -> Self {
        Self { lease: lease.clone(), format, ignored: Vec::new(), connection: Arc::default() }
    }

    /// The same jobs, without the keys that begin with this prefix: the negative assertions pass over them. For data that
    /// an application keeps beside its jobs.
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

    /// The jobs that wait in that queue, in the order in which a worker takes them, with those that are not due yet.
    /// One round trip.
    ///
    /// # Errors
    ///
    /// [`Error::is_server`].
    pub fn pending(&self, queue: &str) -> Result<Vec<Job>, Error> {
        Ok(self.waiting(queue, false)?.into_iter().map(|entry| self.decode(entry)).collect())
    }

    /// All jobs that are to run at a later time, of every queue, with those that a worker has taken and holds until
    /// then; the soonest first.
    ///
    /// # Errors
    ///
    /// [`Error::is_server`].
    pub fn scheduled(&self) -> Result<Vec<Job>, Error> {
        let mut jobs = self.all()?;
        // A worker may have taken one of them meanwhile.
        let known: HashSet<_> = jobs.iter().filter_map(|job| job.id.clone()).collect();
        jobs.extend(self.taken()?.into_iter().filter(|job| job.id.as_ref().is_none_or(|id| !known.contains(id))));
        jobs.retain(|job| job.eta.is_some());
        jobs.sort_by_key(|job| job.eta);
        Ok(jobs)
    }

    /// The jobs that a worker has taken and not finished, as far as the queue notes that in Redis.
    ///
    /// # Errors
    ///
    /// [`Error::is_server`].
    pub fn taken(&self) -> Result<Vec<Job>, Error> {
        self.in_state(State::Taken)
    }

    /// The jobs that have failed for the last time, as far as the queue keeps them.
    ///
    /// # Errors
    ///
    /// [`Error::is_server`].
    pub fn dead(&self) -> Result<Vec<Job>, Error> {
        self.in_state(State::Dead)
    }

    /// The jobs that wait in all queues. Two round trips, or more while keys appear; what is read is read at one moment.
    ///
    /// # Errors
    ///
    /// [`Error::is_server`].
    pub fn all(&self) -> Result<Vec<Job>, Error> {
        self.in_state(State::Waiting)
    }

    fn in_state(&self, state: State) -> Result<Vec<Job>, Error> {
        Ok(self.contents(state)?.entries.into_iter().map(|entry| self.decode(entry)).collect())
    }

    /// Takes all jobs out of that queue, with those that are not due yet, in one step, which other clients can't
    /// interrupt.
    ///
    /// # Errors
    ///
    /// [`Error::is_server`].
    pub fn drain(&self, queue: &str) -> Result<Vec<Job>, Error> {
        Ok(self.waiting(queue, true)?.into_iter().map(|entry| self.decode(entry)).collect())
    }

    /// Queues a job as the application would, so that a worker takes it. Returns its id. One that was found in a queue
    /// and not changed is queued as it was, with all that its message says besides.
    ///
    /// # Errors
    ///
    /// [`Error::is_data`] when the format can't express it; [`Error::is_server`].
    pub fn enqueue(&self, mut job: Job) -> Result<String, Error> {
        let origin = job.origin.get().filter(|origin| {
            let can_be_restored = origin.state() == State::Waiting && origin.place.kind != PlaceKind::Hash;
            can_be_restored && self.decode(Entry::clone(origin)) == job
        });
        let mut commands = if let Some(origin) = origin {
            restore(&origin)
        } else {
            if job.queue.is_empty() {
                self.format.default_queue().clone_into(&mut job.queue);
            }
            job = job.with_id();
            self.format.encode(&job).map_err(|error| {
                let name = job.name.as_deref().unwrap_or_default();
                Error::with_source(Kind::Data, report::jobs::not_encoded(name), error)
            })?
        };
        let _: Value = self.query(commands.atomic())?;
        Ok(job.id.unwrap_or_default())
    }

    /// Asserts that at least one job of that name waits, in whichever queue. What it returns asserts more.
    ///
    /// # Panics
    ///
    /// At the caller's line, with all that is queued, when there is none, or when the server is gone.
    #[track_caller]
    #[expect(clippy::must_use_candidate, reason = "it asserts by itself")]
    pub fn assert_enqueued(&self, name: &str) -> Enqueued {
        let (jobs, foreign) = self.all_or_panic();
        Enqueued::of(name, jobs, foreign)
    }

    /// Asserts that no job of that name waits.
    ///
    /// # Panics
    ///
    /// At the caller's line, with all that is queued, when there is one; when there may be one, because something is
    /// queued whose name can't be read, or the job database has a key that the format does not know; or when the server
    /// is gone.
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

    /// Asserts that no job waits, in no queue.
    ///
    /// # Panics
    ///
    /// At the caller's line, with all that is queued, when there is one, or a key that the format does not know; or when
    /// the server is gone.
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
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        connection.query(&self.lease, Database::Jobs, commands)
    }
}

/// A JSON array of positional arguments: of a tuple, an array, or one value by itself.
fn arguments(args: impl Serialize) -> Result<Vec<serde_json::Value>, serde_json::Error> {
    Ok(match serde_json::to_value(args)? {
        serde_json::Value::Array(args) => args,
        serde_json::Value::Null => Vec::new(),
        one => vec![one],
    })
}
