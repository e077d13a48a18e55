//! EINTR after a process was suspended (Ctrl-Z, a debugger) and resumed.
//!
//! A read with a timeout then fails with EINTR, even without a signal handler; see "Interruption of system calls and
//! library functions by stop signals" in signal(7). The server is fine, so we retry on another connection: the answer
//! to the first question may still arrive on the old one.

use std::error::Error;
use std::io;
use std::sync::Arc;

use redis::RedisResult;

/// Returns whether a question failed only because this process was suspended.
pub(crate) fn was_interrupted(error: &(dyn Error + 'static)) -> bool {
    io_kind(error) == Some(io::ErrorKind::Interrupted)
}

/// Returns the kind of the I/O error in the chain of causes, if there is one.
fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    // The redis crate keeps it in an `Arc`, which is a separate error type.
    let shared = || error.downcast_ref::<Arc<dyn Error + Send + Sync>>()?.downcast_ref();
    match error.downcast_ref::<io::Error>().or_else(shared) {
        Some(io) => Some(io.kind()),
        None => io_kind(error.source()?),
    }
}

/// Connects and asks again until the call is not interrupted.
pub(crate) fn retry_if_interrupted<T>(mut ask: impl FnMut() -> RedisResult<T>) -> RedisResult<T> {
    loop {
        match ask() {
            Err(error) if was_interrupted(&error) => {}
            answer => return answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use redis::RedisError;

    use super::{io, was_interrupted};
    use crate::error::{Error, Kind};

    #[test]
    fn finds_an_interrupted_call_at_any_depth() {
        let of_kind = |kind| RedisError::from(io::Error::from(kind));
        assert!(was_interrupted(&of_kind(io::ErrorKind::Interrupted)));
        assert!(!was_interrupted(&of_kind(io::ErrorKind::TimedOut)));
        assert!(was_interrupted(&Error::with_source(
            Kind::Server,
            "could not prepare it",
            of_kind(io::ErrorKind::Interrupted)
        )));
        assert!(!was_interrupted(&RedisError::from((redis::ErrorKind::Parse, "Interrupted"))));
    }
}
