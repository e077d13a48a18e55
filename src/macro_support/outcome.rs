//! The outcome of a test: a returned value or a panic.
//!
//! `Err` and a non-zero `ExitCode` are failures; every other returned value is a success. A test can return any type,
//! and only the expansion of the attribute knows it. There, method resolution picks [`OfResult`] for a `Result` or an
//! `ExitCode` and, one auto-reference later, [`OfAnything`] for every other type.

use std::any::Any;
use std::future::{self, Future};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::process::ExitCode;
use std::task::Poll;
use std::thread;

/// The value that a test returned.
pub struct Returned<'outcome, Outcome>(pub &'outcome Outcome);

/// A `Result` or an `ExitCode`.
pub trait OfResult {
    /// Returns whether this is an `Err` or a non-zero exit code.
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

/// Any other type.
pub trait OfAnything {
    /// Returns `false`.
    fn failed(&self) -> bool {
        false
    }
}

impl<Outcome> OfAnything for &Returned<'_, Outcome> {}

/// Does what [`catch_unwind`] does, for a future.
pub(crate) async fn catch<Outcome>(body: impl Future<Output = Outcome>) -> thread::Result<Outcome> {
    let mut body = pin!(body);
    future::poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| body.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

/// The message of a panic. Empty if the payload is not text.
pub(crate) fn message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or_default()
}

/// Yields to other tasks. The driver of a dropped connection is a task that closes its socket when it runs next.
pub(crate) async fn let_tasks_finish() {
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
