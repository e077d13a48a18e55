//! Locking and waiting.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Locks a mutex, even if a test has panicked while holding it: none of ours is ever left in an inconsistent state.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Calls `poll` every so often until it returns something, and a last time at the deadline.
pub(crate) fn poll_until<T>(deadline: Instant, every: Duration, mut poll: impl FnMut() -> Option<T>) -> Option<T> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if let found @ Some(_) = poll() {
            return found;
        }
        if left.is_zero() {
            return None;
        }
        thread::sleep(every.min(left));
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::poll_until;

    const EVERY: Duration = Duration::from_millis(1);

    #[test]
    fn polls_once_when_the_deadline_has_passed() {
        let mut calls = 0;
        let found: Option<()> = poll_until(Instant::now(), EVERY, || {
            calls += 1;
            None
        });
        assert_eq!((found, calls), (None, 1));
    }

    #[test]
    fn stops_polling_at_the_first_result() {
        let mut calls = 0;
        let deadline = Instant::now() + Duration::from_secs(60);
        let found = poll_until(deadline, EVERY, || {
            calls += 1;
            (calls == 3).then_some(calls)
        });
        assert_eq!((found, calls), (Some(3), 3));
    }
}
