//! What has changed from one snapshot to another.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use super::value::{Entry, Value};
use super::{Bytes, Snapshot, compare, text};
use crate::report;

/// By how much what is left of a timeout may be off without having been moved, besides the time that the captures took.
const TOLERANCE: Duration = Duration::from_secs(1);

/// What has changed from one snapshot to a later one, a line each: what was added, removed and changed, and the
/// timeouts that have moved. [`Snapshot`] has an example.
#[derive(Clone, Debug, PartialEq)]
pub struct Diff {
    changes: Vec<Change>,
}

/// One change.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// A key that was not there.
    #[non_exhaustive]
    Added {
        /// Its database.
        database: u32,
        /// The key.
        key: Bytes,
        /// What it holds.
        entry: Entry,
    },
    /// A key that is not there any more.
    #[non_exhaustive]
    Removed {
        /// Its database.
        database: u32,
        /// The key.
        key: Bytes,
        /// What it held.
        entry: Entry,
    },
    /// A key that holds something else.
    #[non_exhaustive]
    Changed {
        /// Its database.
        database: u32,
        /// The key.
        key: Bytes,
        /// What it held.
        before: Value,
        /// What it holds.
        after: Value,
    },
    /// A key of a type that can't be compared here: see [`Opaque`](super::Opaque). Nobody knows whether it holds
    /// something else.
    #[non_exhaustive]
    NotComparable {
        /// Its database.
        database: u32,
        /// The key.
        key: Bytes,
        /// The name that the command TYPE has for its type.
        type_name: String,
    },
    /// A timeout that was set, taken away or moved, by more than a second.
    #[non_exhaustive]
    TtlMoved {
        /// Its database.
        database: u32,
        /// The key.
        key: Bytes,
        /// The hash's field, if it is the field's timeout.
        field: Option<Bytes>,
        /// What would be left of it by now; `None` for ever.
        before: Option<Duration>,
        /// What is left of it; `None` for ever.
        after: Option<Duration>,
    },
}

impl Snapshot {
    /// What has changed from this snapshot to a later one.
    ///
    /// A timeout has moved when it is off by more than a second from where it would be by now; so one that was set again
    /// to the same (a session that is used, [`restore`](crate::TestRequest::restore)) has moved too. A file does not say
    /// when its timeouts began to run: compared with a file, a timeout has not moved where it can have run from there
    /// since its test began, or since the file was read. The file may be on either side.
    #[must_use]
    pub fn diff(&self, later: &Self) -> Diff {
        let clock = Clock::between(self, later);
        let nothing = BTreeMap::new();
        let mut changes = Vec::new();
        let mut databases: Vec<_> = self.databases.keys().chain(later.databases.keys()).collect();
        databases.sort_unstable();
        databases.dedup();
        for database in databases.into_iter().copied() {
            let before = self.databases.get(&database).unwrap_or(&nothing);
            let after = later.databases.get(&database).unwrap_or(&nothing);
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
        // Stable: by database and key within each kind.
        changes.sort_by_key(Change::kind);
        Diff { changes }
    }
}

/// How timeouts ran from one snapshot to another, in seconds. Negative where the second one was captured first.
#[derive(Clone, Copy)]
struct Clock {
    /// How long one that has not moved may have run: at least, and at most.
    ran: (f64, f64),
    /// How long it has run, where that is known.
    passed: Option<f64>,
    tolerance: f64,
}

impl Clock {
    fn between(before: &Snapshot, after: &Snapshot) -> Self {
        let elapsed = |from: Instant, to: Instant| {
            to.saturating_duration_since(from).as_secs_f64() - from.saturating_duration_since(to).as_secs_f64()
        };
        let passed = elapsed(before.captured, after.captured);
        // One from a file may have begun to run at any time; the other one, since its test began.
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

    /// What would be left of it, where that is known.
    fn expected(self, before: Duration) -> Duration {
        let left = before.as_secs_f64() - self.passed.unwrap_or_default();
        Duration::try_from_secs_f64(left.max(0.0)).unwrap_or(before)
    }
}

fn compare_entries(
    changes: &mut Vec<Change>,
    (database, key): (u32, &Bytes),
    before: &Entry,
    after: &Entry,
    clock: Clock,
) {
    if let (Value::Other(one), Value::Other(other)) = (&before.value, &after.value)
        && one.compare(other).is_none()
    {
        changes.push(Change::NotComparable { database, key: key.clone(), type_name: one.type_name.clone() });
    } else if compare::differ(&before.value, &after.value) {
        let (before, after) = (before.value.clone(), after.value.clone());
        changes.push(Change::Changed { database, key: key.clone(), before, after });
    }
    let mut compare_ttls = |field: Option<&Bytes>, before, after| {
        if clock.has_moved(before, after) {
            let before = before.map(|before| clock.expected(before));
            changes.push(Change::TtlMoved { database, key: key.clone(), field: field.cloned(), before, after });
        }
    };
    compare_ttls(None, before.ttl, after.ttl);
    if let (Value::Hash(before), Value::Hash(after)) = (&before.value, &after.value) {
        for (name, field) in before {
            if let Some(after) = after.get(name) {
                compare_ttls(Some(name), field.ttl, after.ttl);
            }
        }
    }
}

impl Diff {
    /// Whether nothing has changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The changes, in the order in which they are shown.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// At most so many lines: what was lost, changed, or lives for ever goes first.
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

    /// The lower, the more of a surprise.
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

/// One line.
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
    use super::{Bytes, Change, Diff, Duration, Entry, Value};

    #[test]
    fn the_biggest_surprises_go_first() {
        let (database, minute) = (14, Some(Duration::from_secs(60)));
        let key = |key: &str| Bytes::from(key);
        let entry = |ttl| Entry { value: Value::String("x".into()), ttl };
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
