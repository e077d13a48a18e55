//! Time travel.

use std::fmt::Debug;
use std::ops::RangeBounds;
use std::time::Duration;

use super::TestRequest;
use crate::error::{Error, Kind};
use crate::redis_io::ttl;
use crate::report;
use crate::time;

/// Time travel.
impl TestRequest {
    /// Advances time for both test databases: every TTL shrinks by `duration`, and keys that run out expire for real.
    /// Reads miss them, `DBSIZE` shrinks, and the event `expired` is published.
    ///
    /// Clients see all keys aged or none. A key that another client sets again concurrently is aged before that or not
    /// at all. Hash fields age too where the server supports field TTLs (Redis 7.4, Valkey 9). Keys without a TTL stay.
    /// A key that ages publishes `expire` and breaks a WATCH on it.
    ///
    /// The call blocks for a few milliseconds, 2 to 3 µs per key, in sync and async tests. Redis counts in
    /// milliseconds; a fraction of one is added to the test's next travel.
    ///
    /// # Clocks
    ///
    /// The server's own clock does not move. TIME, new stream ids, and rate limiters and windows computed from them do
    /// not notice the travel; neither do the idle times of keys, stream consumers and pending entries. With
    /// `redis.clock = whole` (or `TRANSIENT_CLOCK=whole`), servers that are started for the tests run under
    /// libfaketime. Their clock moves instead, so that all of these follow, and all databases of the server age.
    /// [`Server::has_whole_clock`](crate::Server::has_whole_clock) returns which of the two happens.
    ///
    /// The application's clock never moves. So times that it compares with its own clock are made earlier instead:
    ///
    /// - With the feature `session`, the expiry inside a session (`x` in Pyramid, `expiry_date` in tower-sessions).
    ///   This applies to the sessions under `redis.sessions.prefix`, and to those of every format that the test has
    ///   used.
    /// - With the feature `jobs`, the due times (`eta`) of queued jobs, those of Celery and of every format that the
    ///   test has used, just after the keys. Their `expires` stays, and so do the due times of unacked jobs, which a
    ///   worker keeps in its memory. Scores that are due times in the sorted sets of a format age with the keys.
    /// - Due times in other sorted sets, if they are named: [`travel_with_due_times`](Self::travel_with_due_times).
    ///
    /// Don't pause tokio's clock instead (`start_paused`): connections to real sockets then time out.
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
    /// Returns an error that [`is_server`](Error::is_server) if the server is gone or does not remove expired keys, and
    /// one that [`is_data`](Error::is_data) if a queued job has a due time that can't be changed.
    pub fn travel(&self, duration: Duration) -> Result<(), Error> {
        self.travel_with_due_times(duration, &[])
    }

    /// Advances time like [`travel`](Self::travel), and makes the due times in these sorted sets earlier.
    ///
    /// The scores of such a set are due times in seconds, milliseconds or microseconds since 1970. Each key is looked
    /// up in both test databases. The sets of Celery, and of the formats that the test has used, need not be named.
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
    /// test_request.travel_with_due_times(Duration::from_secs(3601), &["schedule"])?;
    /// assert_eq!(jobs.zcount::<_, _, _, u32>("schedule", 0, now)?, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_server`](Error::is_server) if the server is gone or does not remove expired keys, and
    /// one that [`is_data`](Error::is_data) if a queued job has a due time that can't be changed.
    pub fn travel_with_due_times(&self, duration: Duration, keys: &[&str]) -> Result<(), Error> {
        let duration = time::whole_milliseconds(&self.lease, duration);
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
        let age_keys = || {
            time::age(&self.lease, duration, &sets)?;
            #[cfg(feature = "session")]
            crate::sessions::age(&self.lease, duration.min(time::FAR))?;
            Ok(())
        };
        #[cfg(feature = "jobs")]
        return crate::jobs::age(&self.lease, duration.min(time::FAR), age_keys);
        #[cfg(not(feature = "jobs"))]
        age_keys()
    }

    /// Advances time until just after a key expires. Looks for the key in the session database (14 by default) first,
    /// then in the job database (15 by default).
    ///
    /// ```
    /// use redis::Commands;
    /// use transient_fixtures::{TestRequest, get_redis, redis};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let test_request = TestRequest::clean();
    /// let mut redis = get_redis(&test_request)?;
    /// redis.set_ex::<_, _, ()>("price:1", 12_900, 3600)?;
    ///
    /// test_request.travel_to_expiry("price:1")?;
    /// assert!(!redis.exists::<_, bool>("price:1")?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_data`](Error::is_data) if there is no such key, it has no TTL, or a queued job has a
    /// due time that can't be changed, and one that [`is_server`](Error::is_server) if the server is gone or does not
    /// remove expired keys.
    pub fn travel_to_expiry(&self, key: &str) -> Result<(), Error> {
        match self.ttl(key)? {
            Some(left) => self.travel(left + Duration::from_millis(1)),
            None => Err(Error::new(Kind::Data, report::travel::without_ttl(key))),
        }
    }

    /// Advances time until every key and hash field with a TTL has expired. With `redis.clock = whole`, time advances
    /// by a thousand years.
    ///
    /// ```
    /// use redis::Commands;
    /// use transient_fixtures::{TestRequest, get_redis, redis};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let test_request = TestRequest::clean();
    /// let mut redis = get_redis(&test_request)?;
    /// redis.set_ex::<_, _, ()>("price:1", 12_900, 3600)?;
    /// redis.set::<_, _, ()>("price:2", 9_900)?;
    ///
    /// test_request.expire_all()?;
    /// // Nothing else removes this key in production either.
    /// assert_eq!(redis.keys::<_, Vec<String>>("*")?, ["price:2"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_server`](Error::is_server) if the server is gone or does not remove expired keys, and
    /// one that [`is_data`](Error::is_data) if a queued job has a due time that can't be changed.
    pub fn expire_all(&self) -> Result<(), Error> {
        self.travel(Duration::MAX)
    }

    /// Returns the TTL of a key, to the millisecond. `None` if the key does not exist or never expires. Looks in the
    /// session database (14 by default) first, then in the job database (15 by default).
    ///
    /// ```
    /// use std::time::Duration;
    /// use redis::Commands;
    /// use transient_fixtures::{TestRequest, get_redis, redis};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let test_request = TestRequest::clean();
    /// get_redis(&test_request)?.set_ex::<_, _, ()>("code:asa", "123456", 300)?;
    /// assert!(test_request.ttl("code:asa")?.is_some_and(|ttl| ttl <= Duration::from_secs(300)));
    /// assert_eq!(test_request.ttl("code:eva")?, None);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_server`](Error::is_server) if the server is gone.
    pub fn ttl(&self, key: &str) -> Result<Option<Duration>, Error> {
        let left = time::pttl(&self.lease, key)?;
        Ok(ttl(left))
    }

    /// Asserts that the TTL of a key is within a range.
    ///
    /// If no key has that name, it is a pattern (`*`, `?` and `[…]`, as the KEYS command takes them). At least one key
    /// of the two databases must match it, and the TTLs of all matching keys must be within the range.
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
    /// Panics at the caller's line if a TTL is outside the range, a key never expires, no key matches, or the server is
    /// gone.
    #[track_caller]
    pub fn assert_ttl(&self, key: &str, range: impl RangeBounds<Duration> + Debug) {
        let keys = match time::pttl_of_matching(&self.lease, key) {
            Ok(keys) => keys,
            Err(error) => panic!("{}", report::travel::ttl_not_read(key, &error)),
        };
        assert!(!keys.is_empty(), "{}", report::travel::other_ttl(key, &range, None, false));
        for (key, left) in keys {
            let ttl = ttl(left);
            let exists = left != time::NO_KEY;
            assert!(
                ttl.is_some_and(|ttl| range.contains(&ttl)),
                "{}",
                report::travel::other_ttl(&String::from_utf8_lossy(&key), &range, ttl, exists)
            );
        }
    }
}
