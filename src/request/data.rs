//! What is in the test databases: captured, brought back, loaded.

use super::TestRequest;
use crate::error::Error;
use crate::seed;
use crate::snapshot::restore::{self, restore};
use crate::snapshot::{Snapshot, capture};

/// Data fixtures. Feature `snapshot`, on by default.
impl TestRequest {
    /// Loads `fixtures/NAME.redis` or `fixtures/NAME.json`, which stands beside the `Cargo.toml` of the crate under
    /// test, or upwards to its workspace's root. What is in the test databases already stays.
    ///
    /// A `.redis` file has a command a line, as redis-cli takes them:
    ///
    /// ```text
    /// # Comments and empty lines are skipped.
    /// SET brand:1 "Ångström" EX 300
    /// SET raw "\x00\xff\n"
    /// HSET cart:asa brand:1 2 note 'as it is "here", but for \''
    /// SELECT 15
    /// RPUSH celery "a job"
    /// ```
    ///
    /// It begins in the first test database (14). Between double quotation marks, `\xHH`, `\n`, `\r`, `\t`, `\a`, `\b`,
    /// `\"` and `\\` are what they are for redis-cli. The file is one MULTI: a line that the server refuses when it is
    /// queued (an unknown command, wrong arguments) loads nothing at all. Where a line fails only when it is executed
    /// (a command for another type), Redis executes the others all the same; then the test databases are emptied again
    /// if the test began with empty ones, or if they were empty before.
    ///
    /// A `.json` file is a snapshot's: [`Snapshot::save`]. Its keys replace those that are there, as
    /// [`restore`](Self::restore) does it. Where one fails, a test that began with empty databases has them empty again.
    /// Where there are both of
    /// one name, or the file is elsewhere, it is named with its ending.
    ///
    /// ```
    /// use transient_fixtures::TestRequest;
    ///
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let test_request = TestRequest::clean();
    /// // fixtures/brands.redis
    /// test_request.load("brands")?;
    /// assert_eq!(test_request.snapshot()?.get("brand:1").unwrap().to_string(), r#"string "Ångström", ttl 300 s"#);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::is_data`] when there is no such file, with those that there are; when a line can't be read, would reach
    /// beyond the test databases, or is refused: with file, line, and the server's own words. [`Error::is_server`].
    pub fn load(&self, name: &str) -> Result<(), Error> {
        seed::load(&self.lease, name, self.lease.is_clean)
    }
}

/// Snapshots. Feature `snapshot`, on by default.
impl TestRequest {
    /// What is in the two test databases now: every type, every timeout, those of hashes' fields too where the server
    /// has them, and streams with their consumer groups. [`Snapshot`] has an example.
    ///
    /// It is a handful of round trips for each thousand keys. What others write meanwhile is in it or not; a key that
    /// ends meanwhile is not. Reading writes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::is_server`].
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        capture::capture(&self.lease)
    }

    /// Replaces **all** that is in the two test databases by what the snapshot says. Timeouts have left what they had when
    /// it was captured. Pending entries of streams stay with their consumers; how long these are idle begins anew.
    ///
    /// Up to 5,000 elements (a key, or an element of a list, set, hash, sorted set or stream) are one MULTI: nobody sees a
    /// part of them. More are restored key by key, while the server serves others; only a key of more than 1,000
    /// elements can be seen half. Where the server refuses a command (an unknown one, for instance), nothing was
    /// changed. Where a command fails when it is executed, as can happen with a file that was written by hand, both
    /// databases are emptied.
    ///
    /// ```
    /// use redis::Commands;
    /// use transient_fixtures::{TestRequest, get_redis, redis};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let test_request = TestRequest::clean();
    /// get_redis(&test_request)?.set::<_, _, ()>("stock", 7)?;
    /// let before = test_request.snapshot()?;
    ///
    /// for buyers in 1..=3 {
    ///     test_request.restore(&before)?;
    ///     get_redis(&test_request)?.decr::<_, _, ()>("stock", buyers)?;
    ///     assert_eq!(get_redis(&test_request)?.get::<_, i64>("stock")?, 7 - buyers);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::is_data`] when the snapshot has a key of a type that can't be written, has keys of another database, or
    /// the server does not know what is in it (fields of hashes with timeouts, for instance); [`Error::is_server`].
    pub fn restore(&self, snapshot: &Snapshot) -> Result<(), Error> {
        restore(&self.lease, snapshot, restore::Before::Clear, None)
    }
}
