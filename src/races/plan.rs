//! What an exploration does: its clients, its faults and its bounds.

use std::time::Duration;

use super::client::Run;

/// The default bounds. An exploration that reaches them fails.
pub(super) const SCHEDULES: usize = 200_000;
pub(super) const WITHIN: Duration = Duration::from_secs(60);

/// How long one schedule can take.
pub(super) const SCHEDULE_WITHIN: Duration = Duration::from_secs(20);

pub(super) struct Planned {
    pub(super) name: String,
    pub(super) run: Run,
}

/// A fault of the client with this index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Cutting(usize),
    LosingReply(usize),
    Dying(usize),
}

/// The keys that can expire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expiring {
    pub(super) pattern: String,
    /// The client that must have written the key last.
    pub(super) client: Option<usize>,
}

/// An exploration with all names resolved.
pub(super) struct Plan {
    pub(super) clients: Vec<Planned>,
    /// Each with the number of times that it can happen in a schedule.
    pub(super) faults: Vec<(Fault, usize)>,
    pub(super) expiring: Vec<(Expiring, usize)>,
    pub(super) time: Vec<Duration>,
}

/// Counts equal values.
pub(super) fn counted<T: PartialEq>(values: impl IntoIterator<Item = T>) -> Vec<(T, usize)> {
    let mut counts: Vec<(T, usize)> = Vec::new();
    for value in values {
        match counts.iter_mut().find(|(other, _)| *other == value) {
            Some((_, count)) => *count += 1,
            None => counts.push((value, 1)),
        }
    }
    counts
}
