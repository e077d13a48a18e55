//! Captures the test databases.

use std::collections::BTreeMap;
use std::time::Instant;

use redis::{Connection, RedisResult, cmd};

use super::read::Reader;
use super::{RedisBytes, Snapshot};
use crate::error::Error;
use crate::lease::guard::{MARKER, OLD_MARKER};
use crate::lease::{Database, Lease};

/// The COUNT of one SCAN.
const SCANNED_AT_ONCE: usize = 10_000;

/// How many keys are read per round trip.
const READ_AT_ONCE: usize = 1_000;

/// Captures both test databases.
///
/// # Errors
///
/// Returns an error that [`is_server`](Error::is_server) if the server does not answer.
pub(crate) fn capture(lease: &Lease) -> Result<Snapshot, Error> {
    let mut redis = lease.connect(Database::Sessions)?;
    capture_with(&mut redis, lease).map_err(|error| lease.no_answer(error))
}

fn capture_with(redis: &mut Connection, lease: &Lease) -> RedisResult<Snapshot> {
    let mut databases = BTreeMap::new();
    let (captured, ran_for) = (Instant::now(), Some(lease.ran_for()));
    let reader = Reader::new(redis, lease.server.run_id())?;
    for database in lease.databases() {
        let () = cmd("SELECT").arg(database).query(redis)?;
        let (mut keys, mut entries) = (scan(redis)?.into_iter(), Vec::new());
        loop {
            let batch: Vec<_> = keys.by_ref().take(READ_AT_ONCE).collect();
            if batch.is_empty() {
                break;
            }
            entries.append(&mut reader.read(redis, batch)?.entries);
        }
        // Collecting sorted keys builds the tree in one go.
        databases.insert(database, entries.into_iter().collect());
    }
    Ok(Snapshot { databases, captured, ran_for, took: captured.elapsed() })
}

/// All keys except this crate's own marker. SCAN can return a key twice.
fn scan(redis: &mut Connection) -> RedisResult<Vec<RedisBytes>> {
    let mut keys = Vec::<RedisBytes>::new();
    let mut cursor = 0_u64;
    loop {
        let (next, mut found): (u64, Vec<RedisBytes>) =
            cmd("SCAN").arg(cursor).arg("COUNT").arg(SCANNED_AT_ONCE).query(redis)?;
        keys.append(&mut found);
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    keys.retain(|key| *key != MARKER && *key != OLD_MARKER);
    keys.sort_unstable();
    keys.dedup();
    Ok(keys)
}
