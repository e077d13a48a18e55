//! Time passes on demand: the test databases age on the real server.
//!
//! Ageing must never show a half-aged database, and what ends must really expire. So one script ages both databases
//! while nobody else is served, and stays until what ends has ended; a second one meets what has ended, if anything has,
//! so that the server removes it.

use std::collections::BTreeSet;
use std::fmt::Debug;
#[cfg(unix)]
use std::io;
use std::ops::RangeBounds;
use std::thread;
use std::time::{Duration, Instant};

use redis::{Connection, RedisError, RedisResult, cmd};

use crate::error::{Error, Kind};
use crate::report;
use crate::request::{TestRequest, get_redis, knows};

const AGE: &str = include_str!("travel.lua");
const TOUCH: &str = include_str!("touch.lua");

/// Longer than any life: a thousand years. No clock and no date goes further; the ends of keys do.
const FAR: Duration = Duration::from_secs(1_000 * 365 * 24 * 60 * 60);

/// The server reads how far its clock is moved whenever it asks for the time.
#[cfg(unix)]
const CLOCK_MOVED_WITHIN: Duration = Duration::from_secs(5);

/// A server removes the ended fields of hashes about ten times a second. Nobody sees them meanwhile, but in HLEN and
/// EXISTS.
const FIELDS_GONE_WITHIN: Duration = Duration::from_secs(2);

/// What PTTL says where there is no key; where the key has no end it says -1.
const NO_KEY: i64 = -2;

/// Where Celery's workers note when they have taken which job.
const CELERY_TAKEN: &str = "unacked_index";

/// Time travel.
impl TestRequest {
    /// Lets time pass for both test databases: every key that has a timeout is that much nearer to its end, and the
    /// ends that have come are real ones: reads miss, `DBSIZE` shrinks, the event `expired` is published.
    ///
    /// Nobody sees one key aged and another one not. A key that another client refreshes meanwhile is aged before or
    /// not at all. Fields of hashes age as well where the server gives them timeouts (Redis 7.4, Valkey 9). Keys without
    /// a timeout stay as they are; those that come nearer to their end publish `expire`, and a WATCH on them is broken. It
    /// is a call that blocks for a few milliseconds (2 to 3 µs a key), for tests with and without `async`.
    ///
    /// The server's own clock stays: TIME, ids of streams, and limiters and windows that are computed from them don't
    /// notice; neither do the idle times of keys, of consumers and of what they have pending in a stream. With `redis.clock = whole` (or `TRANSIENT_CLOCK=whole`), where servers are started for the tests under
    /// libfaketime, it is moved instead, and they do; then the whole server ages, with all its databases.
    /// [`Server::has_whole_clock`](crate::Server::has_whole_clock) says which it is.
    ///
    /// The application's own clock stays in any case. So, with the feature `jobs`, the due times (`eta`) of Celery's
    /// queued jobs in database 15, and of those of every [`jobs_of`](Self::jobs_of) that the test has asked for, are made
    /// that much earlier, just after the keys have aged; their `expires` stay, and so do the due times of the jobs that a
    /// worker has taken, which it keeps to itself. Due times that are kept as scores of a sorted set are aged when they are named:
    /// [`travel_with_scores`](Self::travel_with_scores). Don't pause tokio's clock instead (`start_paused`): connections
    /// to real sockets then time out.
    ///
    /// ```
    /// use std::time::Duration;
    /// use redis::Commands;
    /// use transient_fixtures::{TestRequest, get_redis, redis};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let test_request = TestRequest::clean();
    /// let mut redis = get_redis(&test_request)?;
    /// redis.set_ex::<_, _, ()>("code:asa", "123456", 300)?;
    ///
    /// test_request.travel(Duration::from_secs(299))?;
    /// assert!(redis.exists::<_, bool>("code:asa")?);
    /// test_request.travel(Duration::from_secs(2))?;
    /// assert!(!redis.exists::<_, bool>("code:asa")?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::is_server`].
    pub fn travel(&self, time: Duration) -> Result<(), Error> {
        self.travel_with_scores(time, &[])
    }

    /// As [`travel`](Self::travel); and the scores of these sorted sets, which are due times (seconds, milliseconds or
    /// microseconds since 1970), are that much earlier. They are looked for in both test databases. The one that
    /// Celery's workers keep is aged in any case.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use redis::Commands;
    /// use transient_fixtures::{TestRequest, get_jobs_redis, redis};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let test_request = TestRequest::clean();
    /// let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    /// let mut jobs = get_jobs_redis(&test_request)?;
    /// jobs.zadd::<_, _, _, ()>("schedule", "send_mail", now + 3600)?;
    ///
    /// test_request.travel_with_scores(Duration::from_secs(3601), &["schedule"])?;
    /// assert_eq!(jobs.zcount::<_, _, _, u32>("schedule", 0, now)?, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::is_server`].
    pub fn travel_with_scores(&self, time: Duration, keys: &[&str]) -> Result<(), Error> {
        self.age(time, keys).map_err(|error| self.lost(error))?;
        #[cfg(feature = "jobs")]
        self.age_jobs(time.min(FAR))?;
        Ok(())
    }

    /// Lets time pass until just after the end of that key of database 14, or of database 15 where 14 has none.
    ///
    /// # Errors
    ///
    /// [`Error::is_data`] when there is no such key, or it has no timeout; [`Error::is_server`].
    pub fn travel_to_expiry(&self, key: &str) -> Result<(), Error> {
        match self.ttl(key)? {
            Some(left) => self.travel(left + Duration::from_millis(1)),
            None => Err(Error::new(Kind::Data, report::travel::no_end(key))),
        }
    }

    /// Lets so much time pass that everything that has a timeout is gone. (With the whole clock, what ends within a
    /// thousand years.)
    ///
    /// # Errors
    ///
    /// [`Error::is_server`].
    pub fn far_future(&self) -> Result<(), Error> {
        self.travel(Duration::MAX)
    }

    /// How long that key of database 14, or of database 15 where 14 has none, still lives; `None` where it is not there
    /// or lives for ever.
    ///
    /// # Errors
    ///
    /// [`Error::is_server`].
    pub fn ttl(&self, key: &str) -> Result<Option<Duration>, Error> {
        let left = self.milliseconds_left(key).map_err(|error| self.no_answer(error))?;
        Ok(u64::try_from(left).ok().map(Duration::from_millis))
    }

    /// Asserts how long that key still lives.
    ///
    /// ```
    /// use std::time::Duration;
    /// use redis::Commands;
    /// use transient_fixtures::{TestRequest, get_redis, redis};
    ///
    /// # fn main() -> redis::RedisResult<()> {
    /// let test_request = TestRequest::clean();
    /// get_redis(&test_request)?.set_ex::<_, _, ()>("code:asa", "123456", 300)?;
    /// test_request.assert_ttl("code:asa", Duration::from_secs(290)..=Duration::from_secs(300));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// At the caller's line, when it lives longer or shorter, for ever, or is not there.
    #[track_caller]
    pub fn assert_ttl(&self, key: &str, range: impl RangeBounds<Duration> + Debug) {
        let left = match self.milliseconds_left(key) {
            Ok(left) => left,
            Err(error) => panic!("{}", report::travel::no_ttl(key, &self.no_answer(error))),
        };
        let lives = u64::try_from(left).ok().map(Duration::from_millis);
        let is_there = left != NO_KEY;
        assert!(
            lives.is_some_and(|lives| range.contains(&lives)),
            "{}",
            report::travel::other_ttl(key, &range, lives, is_there)
        );
    }

    /// PTTL of the key of database 14, or of database 15 where 14 has none, in milliseconds.
    fn milliseconds_left(&self, key: &str) -> RedisResult<i64> {
        let mut redis = get_redis(self)?;
        let (sessions, jobs) = self.settings().databases();
        let mut commands = redis::pipe();
        for database in [sessions, jobs] {
            commands.cmd("SELECT").arg(database).ignore().cmd("PTTL").arg(key);
        }
        let (one, two): (i64, i64) = commands.query(&mut redis)?;
        Ok(if one == NO_KEY { two } else { one })
    }

    fn age(&self, time: Duration, scores: &[&str]) -> RedisResult<()> {
        let mut redis = get_redis(self)?;
        let moved = move_clock(self, &mut redis, time.min(FAR))?;
        let (tells_end, has_fields) = (knows(&mut redis, "PEXPIRETIME")?, knows(&mut redis, "HPEXPIRETIME")?);
        let (sessions, jobs) = self.settings().databases();
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        // With the clock, the keys have aged already. Due times have not: the application's clock is not the server's.
        let databases: &[u32] = if moved { &[] } else { &[sessions, jobs] };
        let mut age = cmd("EVAL");
        age.arg(AGE).arg(0).arg(milliseconds(time)).arg(milliseconds(time.min(FAR)));
        age.arg(u8::from(tells_end)).arg(u8::from(has_fields));
        age.arg(last_milliseconds(self)).arg(databases.len()).arg(databases);
        let mut sets: BTreeSet<_> = scores.iter().flat_map(|key| [(sessions, *key), (jobs, *key)]).collect();
        sets.insert((jobs, CELERY_TAKEN));
        for (database, key) in sets {
            age.arg(database).arg(key);
        }
        let ended: u8 = age.query(&mut redis)?;
        let fields_ended = has_fields && (moved || ended & 2 != 0);
        if ended == 0 && !moved {
            return Ok(());
        }
        let mut touch = cmd("EVAL");
        touch.arg(TOUCH).arg(0).arg(u8::from(fields_ended)).arg(sessions).arg(jobs);
        let deadline = Instant::now() + FIELDS_GONE_WITHIN;
        while touch.query::<u64>(&mut redis)? > 0 && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn lost(&self, error: RedisError) -> Error {
        Error::with_source(Kind::Server, report::travel::not_travelled(self.server(), &error), error)
    }
}

/// Moves the server's own clock, where that is possible, and waits until the server has seen it. False where it is not.
#[cfg(unix)]
fn move_clock(request: &TestRequest, redis: &mut Connection, time: Duration) -> RedisResult<bool> {
    let Some(clock) = request.server().clock() else { return Ok(false) };
    let now = |redis: &mut Connection| -> RedisResult<Duration> {
        let (seconds, micros): (u64, u64) = cmd("TIME").query(redis)?;
        Ok(Duration::from_secs(seconds) + Duration::from_micros(micros))
    };
    let before = now(redis)?;
    clock.advance(time)?;
    let deadline = Instant::now() + CLOCK_MOVED_WITHIN;
    while now(redis)? < before + time {
        if Instant::now() > deadline {
            return Err(io::Error::other("its clock did not move").into());
        }
    }
    Ok(true)
}

#[cfg(not(unix))]
fn move_clock(_: &TestRequest, _: &mut Connection, _: Duration) -> RedisResult<bool> {
    Ok(false)
}

/// What is about to end is given that long. Redis before 7.2 looks at the clock twice, when an end is set and when it is
/// checked, and what has ended in between is deleted without the event `expired`.
fn last_milliseconds(request: &TestRequest) -> u32 {
    let server = request.server();
    let mut numbers = server.version().split('.').map_while(|number| number.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    if server.product() == "Redis" && version < (7, 2) { 10 } else { 1 }
}
