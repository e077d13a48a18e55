//! Decides whose keys are in the test databases of a shared server.
//!
//! Losing a user's data is the one unforgivable failure. So a release leaves a marker with the names of the remaining
//! keys, and the next lease takes a database only if the marker lists every key in it. An empty database gets no
//! marker: any key that appears later is foreign. One script checks and takes the databases, so no key can be written
//! in between.

use redis::{Connection, RedisResult, cmd};

use super::notes::Notes;
use crate::error::{Error, Kind};
use crate::redis_io::select_each;
use crate::report;

/// The key that lists the keys that a release has left in a database. The next lease removes it.
pub(crate) const MARKER: &str = "transient-fixtures:left";

/// The marker of versions before 0.1.0, which does not list keys.
pub(crate) const OLD_MARKER: &str = "transient-fixtures:left-by-tests";

/// A release that leaves more keys needs `redis.adopt` at the next lease.
const MAX_KEYS: u32 = 100_000;

/// The same limit for the names, in bytes.
const MAX_NAME_BYTES: u32 = 16 << 20;

/// The state of one database: how many keys are foreign, the name of one of them, and whether a release left too many
/// keys to list.
type Found = (u64, Vec<u8>, bool);

/// Takes the databases for a lease and empties them if `clean`; otherwise the markers stay until [`remove_markers`].
/// With `adopt`, foreign keys are accepted.
///
/// # Errors
///
/// Returns an error that [`Error::is_refused`] if a database holds keys that no lease is known to have left: then
/// nothing was changed. Returns an error that [`Error::is_server`] if the server does not answer.
pub(super) fn take(
    control: &mut Connection,
    databases: &[u32],
    notes: &Notes,
    adopt: bool,
    clean: bool,
    url: &str,
) -> Result<(), Error> {
    let mut script = cmd("EVAL");
    script.arg(include_str!("take.lua")).arg(0).arg(MARKER).arg(OLD_MARKER).arg(u8::from(clean)).arg(MAX_KEYS);
    for &database in databases {
        let known = if adopt {
            "adopt"
        } else if notes.is_open(database) {
            "open"
        } else {
            ""
        };
        script.arg(database).arg(known);
    }
    let (taken, found): (bool, Vec<Found>) =
        script.query(control).map_err(|error| Error::with_source(Kind::Server, report::server_lost(&url), error))?;
    for (database, (count, example, too_many)) in databases.iter().copied().zip(found).filter(|(_, found)| found.0 > 0)
    {
        if !taken {
            let example = report::shorten_key(&example);
            let report = report::refused::foreign_keys(url, database, count, &example, too_many);
            return Err(Error::new(Kind::Refused, report));
        }
        report::shout(&report::lease::adopted(url, database, count, clean));
    }
    Ok(())
}

/// Removes the markers. Write the note of the lease first: a process that is killed in between must leave one of the
/// two.
///
/// # Errors
///
/// Returns an error if the server does not answer.
pub(super) fn remove_markers(control: &mut Connection, databases: [u32; 2]) -> RedisResult<()> {
    let remove = select_each(databases, |pipeline| {
        pipeline.cmd("DEL").arg(MARKER).arg(OLD_MARKER).ignore();
    });
    remove.exec(control)
}

/// Lists the remaining keys in the markers.
///
/// # Errors
///
/// Returns an error if the server does not answer, or rejects the marker.
pub(super) fn write_markers(control: &mut Connection, databases: [u32; 2]) -> RedisResult<()> {
    let mut script = cmd("EVAL");
    script.arg(include_str!("mark.lua")).arg(0).arg(MARKER).arg(MAX_KEYS).arg(MAX_NAME_BYTES).arg(&databases[..]);
    script.exec(control)
}
