//! Work that a signal ends in an orderly way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The signal that has arrived, or 0.
pub(crate) struct Stop(Arc<AtomicUsize>);

impl Stop {
    /// The first signal is noted from here on; the second one ends this process.
    pub(crate) fn at_signals() -> Self {
        let signal = Arc::new(AtomicUsize::new(0));
        #[cfg(unix)]
        note(&signal);
        Self(signal)
    }

    /// The exit code for the signal that has arrived.
    pub(crate) fn code(&self) -> Option<u8> {
        let signal = self.0.load(Ordering::Relaxed);
        u8::try_from(signal).ok().filter(|signal| *signal > 0).map(|signal| 128 + signal)
    }
}

#[cfg(unix)]
fn note(signal: &Arc<AtomicUsize>) {
    use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::flag;

    let is_stopped = Arc::new(std::sync::atomic::AtomicBool::new(false));
    for number in crate::signals::unless_ignored(&[SIGHUP, SIGINT, SIGTERM]) {
        // Without a handler, a signal ends this process.
        let _ = flag::register_conditional_shutdown(number, 128 + number, is_stopped.clone());
        let _ = flag::register(number, is_stopped.clone());
        let _ = flag::register_usize(number, signal.clone(), usize::try_from(number).unwrap_or_default());
    }
}
