//! What is in the test databases: captured, shown, compared, kept in a file, brought back.
//!
//! A snapshot holds what Redis's own commands tell, by type, and never a DUMP, whose form is another in each version
//! and product. So one that was captured on one server is restored on another.

mod bytes;
pub(crate) mod capture;
mod compare;
mod diff;
mod file;
pub(crate) mod restore;
mod text;
mod value;
mod write;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub use bytes::Bytes;
pub use diff::{Change, Diff};
use serde::{Deserialize, Serialize};
pub use value::{Entry, Field, Group, Member, Opaque, Pending, Stream, StreamEntry, StreamId, Value};

/// What was in the two test databases.
///
/// [`Display`](std::fmt::Display) shows one line a key, ordered by the keys' bytes. It is made to be compared with the
/// text of an earlier run, as [insta](https://docs.rs/insta) does (`insta::assert_snapshot!(test_request.snapshot()?)`):
/// what is left of a timeout is rounded up, to a second below a minute, to 5 s below an hour, to a minute below a day,
/// else to an hour. Long values are cut, with their length behind them. UTF-8 is shown as text, all else with the
/// escapes of redis-cli.
///
/// Two snapshots are equal where their keys and values are, and the same keys have timeouts, whatever is left of these.
/// What of a stream can't be brought back is not compared: how long its consumers are idle.
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
#[derive(Clone, Serialize, Deserialize)]
#[serde(into = "file::Form", try_from = "file::Form")]
pub struct Snapshot {
    databases: BTreeMap<u32, BTreeMap<Bytes, Entry>>,
    /// When what is left of the timeouts was, or was taken to be, what it says.
    captured: Instant,
    /// How long its test had run when it was captured; `None` for a snapshot from a file.
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
    /// What that key of database 14, or of database 15 where 14 has none, holds.
    ///
    /// ```
    /// use redis::Commands;
    /// use transient_fixtures::snapshot::Value;
    /// use transient_fixtures::{TestRequest, get_redis, redis};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let test_request = TestRequest::clean();
    /// get_redis(&test_request)?.rpush::<_, _, ()>("seen", &["brand:1", "brand:2"])?;
    ///
    /// let snapshot = test_request.snapshot()?;
    /// let seen = snapshot.get("seen").unwrap();
    /// assert_eq!(seen.value, Value::List(vec!["brand:1".into(), "brand:2".into()]));
    /// assert_eq!(seen.ttl, None);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<&Entry> {
        self.databases.values().find_map(|entries| entries.get(key.as_ref()))
    }

    /// What that key of that database holds.
    #[must_use]
    pub fn get_in(&self, database: u32, key: impl AsRef<[u8]>) -> Option<&Entry> {
        self.databases.get(&database)?.get(key.as_ref())
    }

    /// All keys: the database's number, the key, and what it holds, in their order.
    pub fn entries(&self) -> impl Iterator<Item = (u32, &Bytes, &Entry)> {
        self.databases
            .iter()
            .flat_map(|(database, entries)| entries.iter().map(move |(key, entry)| (*database, key, entry)))
    }

    /// Of databases that are empty.
    pub(crate) fn empty() -> Self {
        Self {
            databases: BTreeMap::new(),
            captured: Instant::now(),
            ran_for: Some(Duration::ZERO),
            took: Duration::ZERO,
        }
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.databases.values().map(BTreeMap::len).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
