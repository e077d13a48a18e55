//! The names of the keys of a database.

use redis::{Connection, RedisResult, cmd};

use crate::lease::guard::{MARKER, OLD_MARKER};
use crate::snapshot::RedisBytes;

/// The COUNT of one SCAN. A server takes a fraction of a millisecond for it.
const SCANNED_AT_ONCE: usize = 2_000;

/// Names in one piece of memory: a string for each takes twice as much.
#[derive(Default)]
pub(super) struct Names {
    bytes: Vec<u8>,
    /// The start and length of each.
    places: Vec<(usize, u32)>,
}

impl Names {
    /// Scans a database. Leaves out this crate's own markers. `seen` is told the number of keys so far; if it returns
    /// false, the result is `None`.
    pub(super) fn scan(
        redis: &mut Connection,
        pattern: Option<&str>,
        mut seen: impl FnMut(usize) -> bool,
    ) -> RedisResult<Option<Self>> {
        let mut names = Self::default();
        let mut cursor = 0_u64;
        loop {
            let mut step = cmd("SCAN");
            step.arg(cursor).arg("COUNT").arg(SCANNED_AT_ONCE);
            if let Some(pattern) = pattern {
                step.arg("MATCH").arg(pattern);
            }
            let (next, found): (u64, Vec<RedisBytes>) = step.query(redis)?;
            found.iter().filter(|key| **key != MARKER && **key != OLD_MARKER).for_each(|key| names.push(key));
            if !seen(names.places.len()) {
                return Ok(None);
            }
            if next == 0 {
                names.sort();
                return Ok(Some(names));
            }
            cursor = next;
        }
    }

    fn push(&mut self, name: &RedisBytes) {
        let name = name.as_slice();
        self.places.push((self.bytes.len(), u32::try_from(name.len()).unwrap_or(u32::MAX)));
        self.bytes.extend_from_slice(name);
    }

    /// SCAN can return a key twice.
    fn sort(&mut self) {
        let Self { bytes, places } = self;
        let name = |place: &(usize, u32)| &bytes[place.0..place.0 + place.1 as usize];
        places.sort_unstable_by(|one, other| name(one).cmp(name(other)));
        places.dedup_by(|one, other| name(one) == name(other));
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = RedisBytes> {
        self.places.iter().map(|(start, length)| self.bytes[*start..*start + *length as usize].into())
    }
}
