//! A process that was stopped (Ctrl-Z, a debugger) and goes on.
//!
//! A read that waits with a timeout then ends with EINTR, although no signal handler ran; see "Interruption of system
//! calls and library functions by stop signals" in signal(7). Nothing is wrong with the server, so we ask again, on
//! another connection: the answer to the first question may still come on the old one.

use std::error::Error;
use std::io;

use redis::RedisResult;

/// Whether a question failed only because this process was stopped meanwhile.
pub(crate) fn was_stopped(error: &(dyn Error + 'static)) -> bool {
    let io = error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::Interrupted);
    io || error.source().is_some_and(was_stopped)
}

/// What connects and asks, until it was not stopped meanwhile.
pub(super) fn again_if_stopped<T>(mut ask: impl FnMut() -> RedisResult<T>) -> RedisResult<T> {
    loop {
        match ask() {
            Err(error) if was_stopped(&error) => {}
            answer => return answer,
        }
    }
}
