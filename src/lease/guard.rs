//! Whose keys are in the test databases of a shared server.
//!
//! Losing somebody's data is the one unforgivable failure. So a release leaves the names of the keys that are there, in
//! a marker beside them, and the next lease takes a database only if every key in it is among them. An empty database
//! has no marker: whatever is found there later is somebody's. Looking and taking are one script, so that nothing can be
//! written in between.

use redis::{Connection, RedisResult, cmd};

use super::notes::Notes;
use crate::error::{Error, Kind};
use crate::redis_io::select_each;
use crate::report;

/// Holds the names of the keys that a release has left in a database. Removed at the next lease.
pub(crate) const MARKER: &str = "transient-fixtures:left";

/// What versions before 0.1.0 left, which does not say which keys were there.
pub(crate) const OLD_MARKER: &str = "transient-fixtures:left-by-tests";

/// A release that leaves more keys than that needs `redis.adopt` at the next lease.
const MOST_KEYS: u32 = 100_000;

/// The same for the bytes of their names.
const MOST_BYTES: u32 = 16 << 20;

/// What a script found in one database: how many keys are not known, the name of one, and whether a release left too many
/// to remember.
type Found = (u64, Vec<u8>, bool);

/// Takes both databases for a lease, emptied if it is to be `clean`; else the markers stay until [`forget`]. With `adopt`,
/// whatever is there may go.
///
/// # Errors
///
/// [`Error::is_refused`] if a database holds keys that no lease of ours is known to have left; nothing was changed then.
/// [`Error::is_server`].
pub(super) fn take(
    control: &mut Connection,
    databases: [u32; 2],
    notes: &Notes,
    adopt: bool,
    clean: bool,
    url: &str,
) -> Result<(), Error> {
    let mut script = cmd("EVAL");
    script.arg(include_str!("take.lua")).arg(0).arg(MARKER).arg(OLD_MARKER).arg(u8::from(clean)).arg(MOST_KEYS);
    for database in databases {
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
    for (database, (count, example, too_many)) in databases.into_iter().zip(found).filter(|(_, found)| found.0 > 0) {
        if !taken {
            let example = report::shorten_key(&example);
            let report = report::refused::foreign_keys(url, database, count, &example, too_many);
            return Err(Error::new(Kind::Refused, report));
        }
        report::shout(&report::lease::adopted(url, database, count, clean));
    }
    Ok(())
}

/// Removes the markers. A note must say by then that the lease has begun: a process that is killed in between leaves one
/// of the two.
///
/// # Errors
///
/// When the server does not answer.
pub(super) fn forget(control: &mut Connection, databases: [u32; 2]) -> RedisResult<()> {
    let forget = select_each(databases, |pipeline| {
        pipeline.cmd("DEL").arg(MARKER).arg(OLD_MARKER).ignore();
    });
    forget.exec(control)
}

/// Leaves the names of the keys that are there.
///
/// # Errors
///
/// When the server does not answer, or does not take the marker.
pub(super) fn leave(control: &mut Connection, databases: [u32; 2]) -> RedisResult<()> {
    let mut script = cmd("EVAL");
    script.arg(include_str!("leave.lua")).arg(0).arg(MARKER).arg(MOST_KEYS).arg(MOST_BYTES).arg(&databases[..]);
    script.exec(control)
}
