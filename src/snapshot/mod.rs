//! Snapshots of the test databases: captured, shown, compared, saved to a file and restored.
//!
//! A snapshot holds typed values, read by the ordinary commands of Redis. It never holds a DUMP, whose format differs
//! between versions and products. So a snapshot of one server can be restored on another.

mod bytes;
pub(crate) mod capture;
mod compare;
mod diff;
mod file;
mod form;
pub(crate) mod lines;
mod parts;
pub(crate) mod read;
pub(crate) mod restore;
mod streams;
mod text;
mod value;
pub(crate) mod write;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub use bytes::RedisBytes;
pub use diff::{Change, Diff};
pub use value::{Entry, Field, Group, Member, Opaque, Pending, RedisValue, Stream, StreamEntry, StreamId};

/// The content of the two test databases at one time.
///
/// [`TestRequest::snapshot`](crate::TestRequest::snapshot) captures one, and
/// [`TestRequest::restore`](crate::TestRequest::restore) puts it back. [`save`](Self::save) and
/// [`from_file`](Self::from_file) keep it in a file; `Serialize` and `Deserialize` use the same JSON form.
///
/// [`Display`](std::fmt::Display) shows one line per key, ordered by the bytes of the keys. The text is made for tools
/// that compare it with an earlier run, such as [insta](https://docs.rs/insta)
/// (`insta::assert_snapshot!(test_request.snapshot()?)`), so it is the same in every run: TTLs are rounded up, to a
/// second below a minute, to 5 s below an hour, to a minute below a day, else to an hour. Long values are cut and
/// followed by their length. UTF-8 is shown as text, everything else with the escapes of redis-cli.
///
/// Two snapshots are equal if their keys and values are equal and the same keys have a TTL. The remaining time is not
/// compared, and neither are the idle times of stream consumers, which cannot be restored.
///
/// ```
/// use redis::Commands;
/// use transient_fixtures::{TestRequest, get_redis, redis};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let test_request = TestRequest::clean();
/// let mut redis = get_redis(&test_request)?;
/// redis.set_ex::<_, _, ()>("brand:1", "Ångström", 300)?;
/// redis.hset::<_, _, _, ()>("cart:asa", "brand:1", 2)?;
///
/// let snapshot = test_request.snapshot()?;
/// assert_eq!(
///     snapshot.to_string(),
///     r#"database 14: 2 keys
///   brand:1 string "Ångström", ttl 300 s
///   cart:asa hash {"brand:1": "2"}
/// database 15: no keys"#
/// );
///
/// redis.hincr::<_, _, _, ()>("cart:asa", "brand:1", 1)?;
/// let diff = snapshot.diff(&test_request.snapshot()?);
/// assert_eq!(diff.to_string(), r#"changed 14 cart:asa hash: "brand:1": "2" -> "3""#);
///
/// test_request.restore(&snapshot)?;
/// assert_eq!(test_request.snapshot()?, snapshot);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Snapshot {
    databases: BTreeMap<u32, BTreeMap<RedisBytes, Entry>>,
    /// When the TTLs were read from the server, or from the file.
    captured: Instant,
    /// How long the test had run at the capture. `None` for a snapshot from a file.
    ran_for: Option<Duration>,
    /// How long the capture took.
    took: Duration,
}

impl PartialEq for Snapshot {
    fn eq(&self, other: &Self) -> bool {
        self.databases == other.databases
    }
}

impl Snapshot {
    /// Returns the entry of a key. Looks in the session database (14 by default) first, then in the job database (15 by
    /// default).
    ///
    /// ```
    /// use redis::Commands;
    /// use transient_fixtures::snapshot::RedisValue;
    /// use transient_fixtures::{TestRequest, get_redis, redis};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let test_request = TestRequest::clean();
    /// get_redis(&test_request)?.rpush::<_, _, ()>("seen", &["brand:1", "brand:2"])?;
    ///
    /// let snapshot = test_request.snapshot()?;
    /// let seen = snapshot.get("seen").unwrap();
    /// assert_eq!(seen.value, RedisValue::List(vec!["brand:1".into(), "brand:2".into()]));
    /// assert_eq!(seen.ttl, None);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<&Entry> {
        self.databases.values().find_map(|entries| entries.get(key.as_ref()))
    }

    /// Returns the entry of a key in the database with that number.
    ///
    /// ```
    /// use redis::Commands;
    /// use transient_fixtures::{TestRequest, get_jobs_redis, redis};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let test_request = TestRequest::clean();
    /// get_jobs_redis(&test_request)?.set::<_, _, ()>("lock", "1")?;
    ///
    /// let snapshot = test_request.snapshot()?;
    /// assert!(snapshot.get_in(15, "lock").is_some());
    /// assert!(snapshot.get_in(14, "lock").is_none());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn get_in(&self, database: u32, key: impl AsRef<[u8]>) -> Option<&Entry> {
        self.databases.get(&database)?.get(key.as_ref())
    }

    /// Iterates over the database number, key and entry of every key, in this order.
    ///
    /// ```
    /// use redis::Commands;
    /// use transient_fixtures::{TestRequest, get_redis, redis};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let test_request = TestRequest::clean();
    /// get_redis(&test_request)?.set::<_, _, ()>("cart:1", "2 boots")?;
    ///
    /// let snapshot = test_request.snapshot()?;
    /// assert!(snapshot.entries().all(|(database, key, _)| database == 14 && key.as_slice().starts_with(b"cart:")));
    /// # Ok(())
    /// # }
    /// ```
    pub fn entries(&self) -> impl Iterator<Item = (u32, &RedisBytes, &Entry)> {
        self.databases
            .iter()
            .flat_map(|(database, entries)| entries.iter().map(move |(key, entry)| (*database, key, entry)))
    }

    /// The snapshot of empty databases, at the start of a test.
    pub(crate) fn empty() -> Self {
        Self {
            databases: BTreeMap::new(),
            captured: Instant::now(),
            ran_for: Some(Duration::ZERO),
            took: Duration::ZERO,
        }
    }

    /// Returns the number of keys in both databases.
    #[must_use]
    pub fn len(&self) -> usize {
        self.databases.values().map(BTreeMap::len).sum()
    }

    /// Returns whether both databases are empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
