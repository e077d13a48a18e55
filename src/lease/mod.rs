//! Exclusive use of servers. A [`Lease`] gives one test the test databases of one server, and an identity that the
//! server enforces.
//!
//! - [`acquire`](acquire::acquire): how a test begins, on one screen;
//! - [`handle`]: a lease, and the only way to our connections; `formats`: the formats that its test uses;
//! - [`own`]: leases on servers that we started, each with its own password; [`pool`]: the idle ones;
//! - [`shared`]: leases on a server that was running before us, which exclude each other by a [`file_lock`] and by the
//!   server's [`queue`]; [`control`]: the connection that marks the server as leased;
//! - [`turn`]: how they wait for each other; [`user_turn`]: one in which a user writes keys, which no test clears;
//! - [`guard`]: decides whose keys are in a shared server's test databases; [`notes`]: the part of that memory that is
//!   in the cache;
//! - [`registry`]: which lease a test has, and when the test ends;
//! - [`ended`]: servers that were ended because a finished test still used them.

pub(crate) mod acquire;
mod control;
pub(crate) mod ended;
mod file_lock;
#[cfg(any(feature = "session", feature = "jobs"))]
mod formats;
pub(crate) mod guard;
mod handle;
mod notes;
mod own;
mod pool;
mod queue;
pub(crate) mod registry;
mod shared;
mod turn;
#[cfg(feature = "snapshot")]
pub(crate) mod user_turn;

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

#[cfg(any(feature = "session", feature = "jobs"))]
pub(crate) use formats::Formats;
#[cfg(any(feature = "session", feature = "jobs"))]
pub(crate) use handle::Commands;
pub(crate) use handle::{Database, Lease};
use redis::{RedisError, RedisResult};

use crate::error::Error;
use crate::settings::Settings;

/// The server of a lease: an own one, or a turn on a shared one.
trait Hold: Send {
    /// Empties both test databases, or all databases of a started server.
    fn flush(&mut self) -> RedisResult<()>;

    /// Returns how many logins were refused in the last `since`.
    fn refused_logins(&mut self, _since: Duration) -> RedisResult<u64> {
        Ok(0)
    }

    /// Returns a flag that is cleared if the server is lost before the end.
    fn held_flag(&self) -> Arc<AtomicBool> {
        Arc::new(AtomicBool::new(true))
    }

    /// Gives the server back.
    fn end(self: Box<Self>, test: &str, settings: &Settings, ending: Ending);
}

/// How a lease ends.
#[derive(Clone, Copy)]
pub(crate) struct Ending {
    /// Whether a clone of the request is still alive.
    pub(crate) in_use: bool,
    pub(crate) failed: bool,
    /// Whether the test itself is over, and not only its use of a server.
    pub(crate) with_test: bool,
}

/// Wraps an error for callers that expect one of the redis crate. [`own_error`] reverses it.
fn into_redis_error(error: Error) -> RedisError {
    io::Error::other(error).into()
}

/// Our own error in one of the redis crate, so that it is not wrapped in another report.
fn own_error(error: &RedisError) -> Option<Error> {
    // redis keeps an I/O error in an `Arc`, which is a separate error type.
    let source = std::error::Error::source(error)?;
    let shared = || source.downcast_ref::<Arc<dyn std::error::Error + Send + Sync>>()?.downcast_ref();
    let io = source.downcast_ref::<io::Error>().or_else(shared)?;
    io.get_ref()?.downcast_ref::<Error>().cloned()
}

#[cfg(test)]
mod tests {
    use redis::RedisError;

    use super::{into_redis_error, io, own_error};
    use crate::error::{Error, Kind};

    #[test]
    fn our_errors_are_recovered_from_redis_errors() {
        let own = own_error(&into_redis_error(Error::new(Kind::Busy, "timed out")));
        assert!(own.is_some_and(|error| error.is_busy() && error.to_string() == "timed out"));
        assert!(own_error(&RedisError::from(io::Error::from(io::ErrorKind::TimedOut))).is_none());
        assert!(own_error(&RedisError::from((redis::ErrorKind::Parse, "wrong"))).is_none());
    }
}
