//! What is queued in database 15.

mod assertion;
mod celery;
mod format;
mod job;

use std::collections::{BTreeMap, HashSet};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use assertion::Enqueued;
pub use celery::Celery;
pub use format::JobFormat;
pub use job::Job;
use redis::{FromRedisValue, Pipeline, cmd, pipe};
use serde::Serialize;

use crate::error::{Error, Kind};
use crate::lease::{Commands, Database, Lease};
use crate::report;

/// How many keys the server looks at in one step of SCAN. A test's database has fewer.
const KEYS_AT_ONCE: usize = 10_000;

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
    let jobs = Jobs { lease: lease.clone(), format: Arc::new(format), connection: Arc::default() };
    lease.shared(Formats::default).add(&jobs.format);
    jobs
}

/// Makes the due times in the queued messages earlier: Celery's, and those of the formats that the test has used. A job
/// that a worker takes meanwhile stays as it is.
///
/// # Errors
///
/// [`Error::is_server`].
pub(crate) fn age(lease: &Arc<Lease>, by: Duration) -> Result<(), Error> {
    const REPLACE: &str = "local earlier = {}
        for number = 1, #ARGV, 2 do earlier[ARGV[number]] = ARGV[number + 1] end
        for place, message in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
            if earlier[message] then redis.call('LSET', KEYS[1], place - 1, earlier[message]) end
        end";
    let formats = lease.shared(Formats::default);
    // One at a time: two that read the same due time would make it earlier only once.
    let _one_at_a_time = formats.ageing.lock().unwrap_or_else(PoisonError::into_inner);
    let jobs = jobs(lease, Celery::new());
    let mut lists = BTreeMap::<String, BTreeMap<Vec<u8>, Vec<u8>>>::new();
    // One that several formats can read is made earlier once.
    for format in formats.all() {
        let jobs = Jobs { format, ..jobs.clone() };
        for job in jobs.all()?.into_iter().filter(|job| job.eta.is_some()) {
            let Some(earlier) = jobs.format.earlier(&job.raw, by) else { continue };
            for list in jobs.format.lists(&job.queue) {
                lists.entry(list).or_default().entry(job.raw.clone()).or_insert_with(|| earlier.clone());
            }
        }
    }
    let mut replace = pipe();
    for (list, messages) in &lists {
        let messages: Vec<_> = messages.iter().collect();
        replace.cmd("EVAL").arg(REPLACE).arg(1).arg(list).arg(messages).ignore();
    }
    if lists.is_empty() { Ok(()) } else { jobs.query(&replace) }
}

/// The formats in which a test has looked for jobs.
#[derive(Default)]
struct Formats {
    known: Mutex<Vec<Arc<dyn JobFormat>>>,
    /// Held while their due times are made earlier.
    ageing: Mutex<()>,
}

impl Formats {
    /// Formats that look the same are the same.
    fn add(&self, format: &Arc<dyn JobFormat>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let text = format!("{format:?}");
        if !known.iter().any(|other| format!("{other:?}") == text) {
            known.push(format.clone());
        }
    }

    fn all(&self) -> Vec<Arc<dyn JobFormat>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Jobs {
    /// The jobs that wait in that queue, in the order in which a worker takes them, with those that are not due yet.
    /// One round trip.
    ///
    /// # Errors
    ///
    /// [`Error::is_server`].
    pub fn pending(&self, queue: &str) -> Result<Vec<Job>, Error> {
        let lists = self.format.lists(queue);
        let mut commands = pipe();
        for list in &lists {
            commands.lrange(list, 0, -1);
        }
        let found: Vec<Vec<Vec<u8>>> = self.query(&commands)?;
        Ok(found.into_iter().flat_map(|raw| self.decode(queue, raw)).collect())
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

    /// The jobs that a worker has taken and not finished.
    ///
    /// # Errors
    ///
    /// [`Error::is_server`].
    pub fn taken(&self) -> Result<Vec<Job>, Error> {
        let Some(key) = self.format.taken() else { return Ok(Vec::new()) };
        let (values,): (Vec<Vec<u8>>,) = self.query(pipe().cmd("HVALS").arg(key))?;
        Ok(values.into_iter().map(|raw| self.format.decode_taken(&raw)).collect())
    }

    /// The jobs that wait in all queues.
    ///
    /// # Errors
    ///
    /// [`Error::is_server`].
    pub fn all(&self) -> Result<Vec<Job>, Error> {
        let mut keys = Vec::<String>::new();
        let mut cursor = 0_u64;
        loop {
            let scan = cmd("SCAN").arg(cursor).arg("COUNT").arg(KEYS_AT_ONCE).arg("TYPE").arg("list").take();
            let ((next, found),): ((u64, Vec<Vec<u8>>),) = self.query(pipe().add_command(scan))?;
            keys.extend(found.into_iter().filter_map(|key| String::from_utf8(key).ok()));
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        let mut queues: Vec<_> = keys.iter().filter_map(|key| self.format.queue_of(key)).collect();
        queues.sort_unstable();
        queues.dedup();
        let mut jobs = Vec::new();
        for queue in queues {
            jobs.extend(self.pending(&queue)?);
        }
        Ok(jobs)
    }

    /// Takes all jobs out of that queue, at once.
    ///
    /// # Errors
    ///
    /// [`Error::is_server`].
    pub fn drain(&self, queue: &str) -> Result<Vec<Job>, Error> {
        let lists = self.format.lists(queue);
        let mut commands = pipe();
        commands.cmd("WATCH").arg(&lists).ignore();
        for list in &lists {
            commands.lrange(list, 0, -1);
        }
        // For both steps: what is watched is the connection's, which clones share.
        let mut connection = self.connection();
        loop {
            // Read before anything is deleted: of a key that is no list, nothing is.
            let found: Vec<Vec<Vec<u8>>> = self.query_on(&mut connection, &commands)?;
            let deleted: Option<(u64,)> = self.query_on(&mut connection, pipe().atomic().del(&lists))?;
            // Else somebody has queued or taken one meanwhile.
            if deleted.is_some() {
                return Ok(found.into_iter().flat_map(|raw| self.decode(queue, raw)).collect());
            }
        }
    }

    /// Queues a job as the application would, so that a worker takes it. Returns its id. One that was found in a queue
    /// and not changed is queued as it was, with all that its message says besides.
    ///
    /// # Errors
    ///
    /// [`Error::is_data`] when the format can't express it; [`Error::is_server`].
    pub fn enqueue(&self, job: Job) -> Result<String, Error> {
        let found = !job.raw.is_empty() && self.decode_one(&job.queue, job.raw.clone()) == job;
        let job = if found { job } else { job.with_id() };
        let mut lists = self.format.lists(&job.queue);
        let (list, raw) = match self.format.encode(&job) {
            Ok((list, _)) if found => (list, job.raw),
            Ok(new) => new,
            // What can't be read can't be written anew, but as it was.
            Err(_) if found && !lists.is_empty() => (lists.swap_remove(0), job.raw),
            Err(error) => {
                let name = job.name.as_deref().unwrap_or_default();
                return Err(Error::with_source(Kind::Data, report::jobs::not_encoded(name, &*error), error));
            }
        };
        let push = if self.format.newest_first() { "LPUSH" } else { "RPUSH" };
        let (_,): (u64,) = self.query(pipe().cmd(push).arg(list).arg(raw))?;
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
        Enqueued::of(name, self.all_or_panic())
    }

    /// Asserts that no job of that name waits.
    ///
    /// # Panics
    ///
    /// At the caller's line, with all that is queued, when there is one, or when the server is gone.
    #[track_caller]
    pub fn assert_not_enqueued(&self, name: &str) {
        let jobs = self.all_or_panic();
        assert!(
            jobs.iter().all(|job| job.name.as_deref() != Some(name)),
            "{}",
            report::jobs::unexpected(&format!("no job {name}"), jobs.iter())
        );
    }

    /// Asserts that no job waits, in no queue.
    ///
    /// # Panics
    ///
    /// At the caller's line, with all that is queued, when there is one, or when the server is gone.
    #[track_caller]
    pub fn assert_nothing_enqueued(&self) {
        let jobs = self.all_or_panic();
        assert!(jobs.is_empty(), "{}", report::jobs::unexpected("no job", jobs.iter()));
    }

    #[track_caller]
    fn all_or_panic(&self) -> Vec<Job> {
        match self.all() {
            Ok(jobs) => jobs,
            Err(error) => panic!("{}", report::jobs::not_listed(&error)),
        }
    }

    /// In the order in which they are taken.
    fn decode(&self, queue: &str, mut raw: Vec<Vec<u8>>) -> Vec<Job> {
        if self.format.newest_first() {
            raw.reverse();
        }
        raw.into_iter().map(|raw| self.decode_one(queue, raw)).collect()
    }

    /// With its message, of which not every format takes care.
    fn decode_one(&self, queue: &str, raw: Vec<u8>) -> Job {
        let mut job = self.format.decode(queue, &raw);
        job.raw = raw;
        job
    }

    fn query<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, Error> {
        self.query_on(&mut self.connection(), commands)
    }

    fn connection(&self) -> MutexGuard<'_, Commands> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn query_on<T: FromRedisValue>(&self, connection: &mut Commands, commands: &Pipeline) -> Result<T, Error> {
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
