//! The changes between two snapshots.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use super::value::{Entry, RedisValue};
use super::{RedisBytes, Snapshot, compare, text};
use crate::report;

/// How far a TTL can be off without counting as moved, on top of the time that the captures took.
const TOLERANCE: Duration = Duration::from_secs(1);

/// The changes between two snapshots, as [`Snapshot::diff`] returns them.
///
/// [`Display`](fmt::Display) shows one line per change: added keys first, then removed and changed ones, then those
/// that cannot be compared, and the TTLs that moved.
#[derive(Clone, Debug, PartialEq)]
pub struct Diff {
    changes: Vec<Change>,
}

/// A change between two snapshots.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// A key was added.
    #[non_exhaustive]
    Added {
        /// The database number.
        database: u32,
        /// The key.
        key: RedisBytes,
        /// Its entry in the later snapshot.
        entry: Entry,
    },
    /// A key was deleted or has expired.
    #[non_exhaustive]
    Removed {
        /// The database number.
        database: u32,
        /// The key.
        key: RedisBytes,
        /// Its entry in the earlier snapshot.
        entry: Entry,
    },
    /// The value of a key has changed.
    #[non_exhaustive]
    Changed {
        /// The database number.
        database: u32,
        /// The key.
        key: RedisBytes,
        /// The value in the earlier snapshot.
        before: RedisValue,
        /// The value in the later snapshot.
        after: RedisValue,
    },
    /// A key has a type whose values cannot be compared here: see [`Opaque`](super::Opaque). The value may have changed
    /// or not.
    #[non_exhaustive]
    NotComparable {
        /// The database number.
        database: u32,
        /// The key.
        key: RedisBytes,
        /// The type, as the TYPE command names it.
        type_name: String,
    },
    /// A TTL was set, removed or moved by more than a second.
    #[non_exhaustive]
    TtlMoved {
        /// The database number.
        database: u32,
        /// The key.
        key: RedisBytes,
        /// The field of the hash, if the TTL is that of a field.
        field: Option<RedisBytes>,
        /// The TTL that would be left by now had it not moved. `None` if there was no TTL.
        before: Option<Duration>,
        /// The TTL that is left. `None` if there is no TTL.
        after: Option<Duration>,
    },
}

impl Snapshot {
    /// Returns the changes from this snapshot to a later one.
    ///
    /// A TTL has moved if it differs by more than a second from the earlier TTL minus the time between the captures. So
    /// a TTL that was set again to the same value has moved, as that of a session that was used, or after
    /// [`restore`](crate::TestRequest::restore).
    ///
    /// A file does not tell when its TTLs were set. Compared with a snapshot from a file, any TTL between the stored
    /// one and the stored one minus the time since the test began, or since the file was read, counts as unchanged.
    /// Either snapshot can be from a file.
    ///
    /// ```
    /// use redis::Commands;
    /// use transient_fixtures::snapshot::Change;
    /// use transient_fixtures::{TestRequest, get_redis, redis};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let test_request = TestRequest::clean();
    /// let mut redis = get_redis(&test_request)?;
    /// redis.set_ex::<_, _, ()>("code:asa", "123456", 300)?;
    /// let before = test_request.snapshot()?;
    ///
    /// redis.persist::<_, ()>("code:asa")?;
    /// let diff = before.diff(&test_request.snapshot()?);
    /// assert_eq!(diff.to_string(), "TTL moved 14 code:asa: 300 s -> none");
    /// assert!(matches!(diff.changes(), [Change::TtlMoved { after: None, .. }]));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn diff(&self, later: &Self) -> Diff {
        let clock = Clock::between(self, later);
        let empty = BTreeMap::new();
        let mut changes = Vec::new();
        let mut databases: Vec<_> = self.databases.keys().chain(later.databases.keys()).collect();
        databases.sort_unstable();
        databases.dedup();
        for database in databases.into_iter().copied() {
            let before = self.databases.get(&database).unwrap_or(&empty);
            let after = later.databases.get(&database).unwrap_or(&empty);
            for (key, entry) in before {
                match after.get(key) {
                    Some(after) => compare_entries(&mut changes, (database, key), entry, after, clock),
                    None => changes.push(Change::Removed { database, key: key.clone(), entry: entry.clone() }),
                }
            }
            for (key, entry) in after.iter().filter(|(key, _)| !before.contains_key(*key)) {
                changes.push(Change::Added { database, key: key.clone(), entry: entry.clone() });
            }
        }
        // The sort is stable: within a kind, changes stay ordered by database and key.
        changes.sort_by_key(Change::kind);
        Diff { changes }
    }
}

/// How far TTLs ran down between two snapshots, in seconds. Negative if the second one was captured first.
#[derive(Clone, Copy)]
struct Clock {
    /// The least and the most by which an unmoved TTL can have run down.
    ran: (f64, f64),
    /// The exact time between the captures. `None` if one snapshot is from a file.
    passed: Option<f64>,
    tolerance: f64,
}

impl Clock {
    fn between(before: &Snapshot, after: &Snapshot) -> Self {
        let elapsed = |from: Instant, to: Instant| {
            to.saturating_duration_since(from).as_secs_f64() - from.saturating_duration_since(to).as_secs_f64()
        };
        let passed = elapsed(before.captured, after.captured);
        // The TTLs of a file can have been set at any time; those of a capture, since its test began.
        let is_known = before.ran_for.is_some() && after.ran_for.is_some();
        let ran = match (before.ran_for, after.ran_for) {
            (Some(_), Some(_)) => (passed, passed),
            (None, Some(longest)) => (passed.min(0.0), passed.max(longest.as_secs_f64())),
            (Some(longest), None) => (passed.min(-longest.as_secs_f64()), passed.max(0.0)),
            (None, None) => (passed.min(0.0), passed.max(0.0)),
        };
        Self {
            ran,
            passed: is_known.then_some(passed),
            tolerance: (TOLERANCE + before.took + after.took).as_secs_f64(),
        }
    }

    fn has_moved(self, before: Option<Duration>, after: Option<Duration>) -> bool {
        let (Some(before), Some(after)) = (before, after) else { return before != after };
        let less = before.as_secs_f64() - after.as_secs_f64();
        less < self.ran.0 - self.tolerance || less > self.ran.1 + self.tolerance
    }

    /// The TTL that would be left, as far as the time between the captures is known.
    fn expected(self, before: Duration) -> Duration {
        let left = before.as_secs_f64() - self.passed.unwrap_or_default();
        Duration::try_from_secs_f64(left.max(0.0)).unwrap_or(before)
    }
}

fn compare_entries(
    changes: &mut Vec<Change>,
    (database, key): (u32, &RedisBytes),
    before: &Entry,
    after: &Entry,
    clock: Clock,
) {
    if let (RedisValue::Other(one), RedisValue::Other(other)) = (&before.value, &after.value)
        && one.compare(other).is_none()
    {
        changes.push(Change::NotComparable { database, key: key.clone(), type_name: one.type_name.clone() });
    } else if compare::differ(&before.value, &after.value) {
        let (before, after) = (before.value.clone(), after.value.clone());
        changes.push(Change::Changed { database, key: key.clone(), before, after });
    }
    let mut compare_ttls = |field: Option<&RedisBytes>, before, after| {
        if clock.has_moved(before, after) {
            let before = before.map(|before| clock.expected(before));
            changes.push(Change::TtlMoved { database, key: key.clone(), field: field.cloned(), before, after });
        }
    };
    compare_ttls(None, before.ttl, after.ttl);
    if let (RedisValue::Hash(before), RedisValue::Hash(after)) = (&before.value, &after.value) {
        for (name, field) in before {
            if let Some(after) = after.get(name) {
                compare_ttls(Some(name), field.ttl, after.ttl);
            }
        }
    }
}

impl Diff {
    /// Returns whether nothing has changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Returns the changes in the order in which [`Display`](fmt::Display) shows them.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Shows at most that many lines, the most surprising changes first.
    pub(crate) fn bounded(&self, lines: usize) -> String {
        let mut changes: Vec<_> = self.changes.iter().collect();
        changes.sort_by_key(|change| change.surprise());
        let shown: Vec<_> = changes.iter().take(lines).map(ToString::to_string).collect();
        report::snapshot::bounded(&shown, changes.len() - shown.len())
    }
}

impl Change {
    fn kind(&self) -> u8 {
        match self {
            Self::Added { .. } => 0,
            Self::Removed { .. } => 1,
            Self::Changed { .. } => 2,
            Self::NotComparable { .. } => 3,
            Self::TtlMoved { .. } => 4,
        }
    }

    /// The rank in a shortened report: lost and changed data and lost TTLs come first.
    fn surprise(&self) -> u8 {
        match self {
            Self::TtlMoved { after: None, .. } => 0,
            Self::Removed { .. } => 1,
            Self::Changed { .. } => 2,
            Self::Added { entry: Entry { ttl: None, .. }, .. } => 3,
            Self::TtlMoved { .. } => 4,
            Self::NotComparable { .. } => 5,
            Self::Added { .. } => 6,
        }
    }
}

impl fmt::Display for Diff {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.changes.is_empty() {
            return formatter.write_str(report::snapshot::NO_DIFFERENCE);
        }
        for (number, change) in self.changes.iter().enumerate() {
            write!(formatter, "{}{change}", if number > 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}

/// Shows the change on one line.
impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added { database, key, entry } => write!(formatter, "added {database} {} {entry}", text::key(key)),
            Self::Removed { database, key, entry } => {
                write!(formatter, "removed {database} {} {entry}", text::key(key))
            }
            Self::Changed { database, key, before, after } => {
                write!(formatter, "changed {database} {} {}", text::key(key), compare::difference(before, after))
            }
            Self::NotComparable { database, key, type_name } => {
                let why = report::snapshot::NOT_COMPARABLE;
                write!(formatter, "not comparable {database} {} {type_name}: {why}", text::key(key))
            }
            Self::TtlMoved { database, key, field, before, after } => {
                write!(formatter, "TTL moved {database} {}", text::key(key))?;
                if let Some(field) = field {
                    write!(formatter, " field {}", text::shown(field))?;
                }
                write!(formatter, ": {} -> {}", text::seconds(*before), text::seconds(*after))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, Diff, Duration, Entry, RedisBytes, RedisValue};

    #[test]
    fn shows_the_most_surprising_changes_first() {
        let (database, minute) = (14, Some(Duration::from_secs(60)));
        let key = |key: &str| RedisBytes::from(key);
        let entry = |ttl| Entry { value: RedisValue::String("x".into()), ttl };
        let diff = Diff {
            changes: vec![
                Change::Added { database, key: key("new"), entry: entry(minute) },
                Change::Added { database, key: key("for ever"), entry: entry(None) },
                Change::Removed { database, key: key("gone"), entry: entry(None) },
                Change::TtlMoved { database, key: key("kept"), field: None, before: minute, after: None },
            ],
        };
        assert_eq!(
            diff.bounded(3),
            "TTL moved 14 kept: 60 s -> none\nremoved 14 gone string \"x\"\nadded 14 \"for ever\" string \"x\"\nand 1 more"
        );
        assert!(!diff.bounded(4).contains("more") && diff.bounded(4).lines().count() == 4);
        assert_eq!(Diff { changes: vec![] }.bounded(4), "no difference");
    }
}
