//! Time travel of a test.

use std::fmt::Debug;
use std::ops::RangeBounds;
use std::time::Duration;

use super::TestRequest;
use crate::error::{Error, Kind};
use crate::report;
use crate::time;

/// Time travel.
impl TestRequest {
    /// Lets time pass for both test databases: every key that has a timeout is that much nearer to its end, and the
    /// ends that have come are real ones: reads miss, `DBSIZE` shrinks, the event `expired` is published.
    ///
    /// Nobody sees one key aged and another one not. A key that another client refreshes meanwhile is aged before or
    /// not at all. Fields of hashes age as well where the server gives them timeouts (Redis 7.4, Valkey 9). Keys without
    /// a timeout stay as they are; those that come nearer to their end publish `expire`, and a WATCH on them is broken. It
    /// is a call that blocks for a few milliseconds (2 to 3 µs a key), for tests with and without `async`. Redis counts in
    /// milliseconds; what is over of one counts with the test's next travel.
    ///
    /// The server's own clock stays: TIME, ids of streams, and limiters and windows that are computed from them don't
    /// notice; neither do the idle times of keys, of consumers and of what they have pending in a stream. With
    /// `redis.clock = whole` (or `TRANSIENT_CLOCK=whole`), where servers are started for the tests under libfaketime,
    /// it is moved instead, and they do; then the whole server ages, with all its databases.
    /// [`Server::has_whole_clock`](crate::Server::has_whole_clock) says which it is.
    ///
    /// The application's own clock stays in any case. So, with the feature `session`, the end that a session carries in
    /// itself (`x` in Pyramid, `expiry_date` in tower-sessions) is made that much earlier: of the sessions under
    /// `redis.sessions.prefix`, and of every format that the test has asked for.
    ///
    /// With the feature `jobs`, the due times (`eta`) of Celery's queued jobs in database 15, and of those of every
    /// [`jobs_with_format`](Self::jobs_with_format) that the test has asked for, are made that much earlier, just after the keys have aged;
    /// their `expires` stay, and so do the due times of the jobs that a worker has taken, which it keeps to itself. The
    /// scores of the formats' sorted sets that are times age with the keys. Due times in other sorted sets are aged when
    /// they are named: [`travel_with_scores`](Self::travel_with_scores). Don't pause tokio's clock instead
    /// (`start_paused`): connections
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
    /// [`Error::is_server`], also when the server does not remove what has ended.
    pub fn travel(&self, duration: Duration) -> Result<(), Error> {
        self.travel_with_scores(duration, &[])
    }

    /// As [`travel`](Self::travel); and the scores of these sorted sets, which are due times (seconds, milliseconds or
    /// microseconds since 1970), are that much earlier. They are looked for in both test databases. Those of Celery,
    /// and of the formats that the test has used, are aged in any case.
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
    pub fn travel_with_scores(&self, duration: Duration, keys: &[&str]) -> Result<(), Error> {
        let duration = time::in_milliseconds(&self.lease, duration);
        if duration.is_zero() {
            return self.lease.check_held();
        }
        let [sessions, jobs] = self.lease.databases();
        let named = keys.iter().flat_map(|key| [sessions, jobs].map(|database| (database, (*key).to_owned(), None)));
        #[cfg(feature = "jobs")]
        let known = crate::jobs::timed_sets(&self.lease)?.into_iter().map(|(key, unit)| (jobs, key, Some(unit)));
        #[cfg(feature = "jobs")]
        let named = named.chain(known);
        let sets: Vec<time::TimedSet> = named.collect();
        time::age(&self.lease, duration, &sets)?;
        #[cfg(feature = "session")]
        crate::sessions::age(&self.lease, duration.min(time::FAR))?;
        #[cfg(feature = "jobs")]
        crate::jobs::age(&self.lease, duration.min(time::FAR))?;
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
        let left = time::milliseconds_left(&self.lease, key)?;
        Ok(u64::try_from(left).ok().map(Duration::from_millis))
    }

    /// Asserts how long that key still lives; or, where there is no key of that name, every key of both databases that the
    /// pattern fits (`*`, `?` and `[…]`, as the command KEYS takes them), of which there must be one.
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
    /// test_request.assert_ttl("code:*", ..=Duration::from_secs(300));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// At the caller's line, when it lives longer or shorter, for ever, or is not there.
    #[track_caller]
    pub fn assert_ttl(&self, key: &str, range: impl RangeBounds<Duration> + Debug) {
        let keys = match time::all_milliseconds_left(&self.lease, key) {
            Ok(keys) => keys,
            Err(error) => panic!("{}", report::travel::no_ttl(key, &error)),
        };
        assert!(!keys.is_empty(), "{}", report::travel::other_ttl(key, &range, None, false));
        for (key, left) in keys {
            let lives = u64::try_from(left).ok().map(Duration::from_millis);
            let is_there = left != time::NO_KEY;
            assert!(
                lives.is_some_and(|lives| range.contains(&lives)),
                "{}",
                report::travel::other_ttl(&String::from_utf8_lossy(&key), &range, lives, is_there)
            );
        }
    }
}
