//! How a test ended: what it returned, or that it panicked.
//!
//! Of what it returned, `Err` is a failure, and whatever else there is is not, but for an exit code that says so. A test
//! may return any type, and only the attribute's expansion knows which. There, method resolution picks [`OfResult`] for a
//! `Result` or an `ExitCode` and, one reference later, [`OfAnything`] for the rest.

use std::any::Any;
use std::future::{self, Future};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::process::ExitCode;
use std::task::Poll;
use std::thread;

/// What a test returned.
pub struct Returned<'outcome, Outcome>(pub &'outcome Outcome);

/// A `Result`, or an exit code.
pub trait OfResult {
    /// Whether it is an `Err`, or a code that says so.
    fn failed(&self) -> bool;
}

impl<Value, Error> OfResult for Returned<'_, Result<Value, Error>> {
    fn failed(&self) -> bool {
        self.0.is_err()
    }
}

impl OfResult for Returned<'_, ExitCode> {
    fn failed(&self) -> bool {
        *self.0 != ExitCode::SUCCESS
    }
}

/// Anything else.
pub trait OfAnything {
    /// It is no failure.
    fn failed(&self) -> bool {
        false
    }
}

impl<Outcome> OfAnything for &Returned<'_, Outcome> {}

/// [`catch_unwind`] for a future.
pub(crate) async fn catch<Outcome>(body: impl Future<Output = Outcome>) -> thread::Result<Outcome> {
    let mut body = pin!(body);
    future::poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| body.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

/// What a panic says; nothing, where it says no text.
pub(crate) fn message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or_default()
}

/// A connection's driver is a task of the runtime, which closes its socket when it next runs.
pub(crate) async fn let_tasks_end() {
    for _ in 0..10 {
        let mut yielded = false;
        future::poll_fn(|context| {
            if yielded {
                return Poll::Ready(());
            }
            yielded = true;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}
