//! The content of the test databases: captured, restored, loaded from files.

use super::TestRequest;
use crate::error::Error;
use crate::seed;
use crate::snapshot::restore::{self, restore};
use crate::snapshot::{Snapshot, capture};

/// Data fixtures. Needs the feature `snapshot`, which is on by default.
impl TestRequest {
    /// Loads the data fixture `fixtures/NAME.redis` or `fixtures/NAME.json` into the test databases. Other keys stay.
    ///
    /// The directory `fixtures` is looked up beside the `Cargo.toml` of the crate under test, then in each parent
    /// directory up to the root of its workspace. If there is a file of each kind, give the name with its extension.
    ///
    /// A `.redis` file has one command per line, in the syntax of redis-cli:
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
    /// The commands go to the session database (14 by default) until a SELECT of the job database (15 by default).
    /// Double quotes support the escapes of redis-cli: `\xHH`, `\n`, `\r`, `\t`, `\a`, `\b`, `\"` and `\\`. Commands
    /// that reach beyond the data of the test databases, such as FLUSHALL, CONFIG or EVAL, are errors.
    ///
    /// The whole file is one MULTI. If the server rejects a line when it is queued (an unknown command, a wrong number
    /// of arguments), nothing is loaded. If a line fails only on execution (a command for another type), Redis executes
    /// the other lines. Then both test databases are emptied if the test began with empty ones or they were empty
    /// before the call.
    ///
    /// A `.json` file is a snapshot that [`Snapshot::save`] wrote. Its keys replace existing keys of the same names. If
    /// a command fails on execution and the test began with empty databases, both are emptied.
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
    /// Returns an error that [`is_data`](Error::is_data) if there is no such file, or a line is malformed, forbidden or
    /// rejected by the server. The error lists the existing fixtures, or names the file and line with the server's own
    /// message. Returns an error that [`is_server`](Error::is_server) if the server is gone.
    pub fn load(&self, name: &str) -> Result<(), Error> {
        seed::load(&self.lease, name, self.lease.is_clean)
    }
}

/// Snapshots. Needs the feature `snapshot`, which is on by default.
impl TestRequest {
    /// Captures the content of the two test databases: values of every type, TTLs of keys and hash fields, and streams
    /// with their consumer groups. [`Snapshot`] has an example.
    ///
    /// The capture takes a handful of round trips per thousand keys and writes nothing. It is not atomic: concurrent
    /// writes may or may not be included, and a key that expires during the capture is left out.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, get_redis, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let test_request = TestRequest::clean();
    /// get_redis(&test_request)?.set::<_, _, ()>("stock", 7)?;
    /// assert_eq!(test_request.snapshot()?.get("stock").unwrap().to_string(), r#"string "7""#);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_server`](Error::is_server) if the server is gone.
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        capture::capture(&self.lease)
    }

    /// Replaces **all** keys of the two test databases with those of the snapshot.
    ///
    /// TTLs start again at their value at the capture. Pending stream entries stay with their consumers, whose idle
    /// times start at zero.
    ///
    /// Up to 5,000 elements (keys, and elements of lists, sets, hashes, sorted sets and streams) of up to 4 MiB in
    /// total are restored atomically, in one MULTI. More are restored key by key, while the server serves other
    /// clients. These can see a key half restored only if it has more than 1,000 elements or 4 MiB.
    ///
    /// If the server rejects a command, for example an unknown one, nothing has changed. If a command fails on
    /// execution, which can happen with a file that was written by hand, both databases are emptied.
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
    /// Returns an error that [`is_data`](Error::is_data) if the snapshot has a value of a type that cannot be written,
    /// has keys of another database, or needs a feature that the server does not support, such as TTLs of hash fields.
    /// Returns an error that [`is_server`](Error::is_server) if the server is gone.
    pub fn restore(&self, snapshot: &Snapshot) -> Result<(), Error> {
        restore(&self.lease, snapshot, restore::Before::Clear, None)
    }
}
