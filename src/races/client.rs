//! A client of an exploration, and the thread that runs it.

use std::any::Any;
use std::fmt::{self, Debug};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::{io, thread};

use super::coordinator::{Coordinator, End, Place};
use super::silent_panics::catch_silently;
use crate::tap::Tap;

/// A client of an exploration: the URLs that its code must use, and its steps outside Redis.
///
/// Clones are the same client. [`Exploration`](super::Exploration) has an example.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    index: usize,
    redis_url: String,
    jobs_url: String,
    coordinator: Arc<Coordinator>,
}

/// The panic that ends a client's thread at a point, because the schedule is over.
struct Unwound;

impl Client {
    pub(super) fn new(name: &str, index: usize, tap: &Tap, coordinator: &Arc<Coordinator>) -> Self {
        let inner = Inner {
            name: name.to_owned(),
            index,
            redis_url: tap.redis_url().to_owned(),
            jobs_url: tap.jobs_url().to_owned(),
            coordinator: coordinator.clone(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Returns the client's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Returns the URL of the session database (14 by default), through the client's own tap.
    #[must_use]
    pub fn redis_url(&self) -> &str {
        &self.inner.redis_url
    }

    /// Returns the URL of the job database (15 by default), through the same tap.
    #[must_use]
    pub fn jobs_url(&self) -> &str {
        &self.inner.jobs_url
    }

    /// Marks a step outside Redis, such as a database write. The client stops before it, as before a command.
    ///
    /// Call it directly before the step. In asynchronous code it blocks the client's runtime, which no other client
    /// uses.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU32, Ordering};
    /// use transient_fixtures::{TestRequest, races};
    ///
    /// let test_request = TestRequest::clean();
    /// let database = Arc::new(AtomicU32::new(0));
    /// let write = move |client: &races::Client| {
    ///     client.point("write the database");
    ///     database.fetch_add(1, Ordering::SeqCst);
    /// };
    /// let explored = races::explore(&test_request).client("a", write.clone()).client("b", write).check(|_, _| ());
    /// assert_eq!(explored.schedules(), 6); // Each client has two steps: its start and its point.
    /// ```
    pub fn point(&self, name: &str) {
        self.stop(Place::Point(name.to_owned()));
    }

    /// Waits until another client has passed its [point](Self::point) with this name.
    ///
    /// It also waits for a step of [`time`](super::Exploration::time), by the name that diagrams show, such as
    /// `+3 s`. As the first act of a client it delays the client's start, and is not a step of its own.
    ///
    /// ```
    /// use transient_fixtures::{TestRequest, races};
    ///
    /// let test_request = TestRequest::clean();
    /// let explored = races::explore(&test_request)
    ///     .client("login", |client| client.point("302 sent"))
    ///     .client("next page", |client| client.after("302 sent"))
    ///     .check(|_, _| ());
    /// assert_eq!(explored.schedules(), 1);
    /// ```
    pub fn after(&self, name: &str) {
        if !self.inner.coordinator.begins_after(self.inner.index, name) {
            self.stop(Place::After(name.to_owned()));
        }
    }

    /// Whether the schedule has ended, and the client must end as well.
    pub(super) fn is_ending(&self) -> bool {
        self.inner.coordinator.state().is_ending
    }

    fn stop(&self, place: Place) {
        if !self.inner.coordinator.stop(self.inner.index, place) {
            // Without the panic hook: this is not a failure.
            resume_unwind(Box::new(Unwound));
        }
    }
}

impl Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Client").field("name", &self.inner.name).finish_non_exhaustive()
    }
}

/// The return value of a client: `()`, or a `Result` whose error is the failure.
pub trait Returned: sealed::Sealed {
    #[doc(hidden)]
    fn into_parts(self) -> (Option<Box<dyn Any + Send>>, Option<String>);
}

mod sealed {
    pub trait Sealed {}
}

impl sealed::Sealed for () {}

impl Returned for () {
    fn into_parts(self) -> (Option<Box<dyn Any + Send>>, Option<String>) {
        (None, None)
    }
}

impl<T, E> sealed::Sealed for Result<T, E> {}

impl<T: Any + Send, E: Debug> Returned for Result<T, E> {
    fn into_parts(self) -> (Option<Box<dyn Any + Send>>, Option<String>) {
        match self {
            Ok(value) => (Some(Box::new(value)), None),
            Err(error) => (None, Some(format!("{error:?}"))),
        }
    }
}

pub(super) type Run = Arc<dyn Fn(&Client) -> (Option<Box<dyn Any + Send>>, Option<String>) + Send + Sync>;

/// The thread of a client, which runs its closure once in each schedule.
pub(super) struct ClientThread {
    thread: Option<JoinHandle<()>>,
    coordinator: Arc<Coordinator>,
    is_over: Arc<AtomicBool>,
}

impl ClientThread {
    pub(super) fn spawn(client: Client, run: Run) -> io::Result<Self> {
        let coordinator = client.inner.coordinator.clone();
        let is_over = Arc::new(AtomicBool::new(false));
        let flag = is_over.clone();
        let thread = thread::Builder::new().name(format!("transient-fixtures client {}", client.name()));
        let thread = thread.spawn(move || {
            let (coordinator, index) = (client.inner.coordinator.clone(), client.inner.index);
            while coordinator.wait_start(index, &flag) {
                let end = match catch_silently(|| run(&client)) {
                    Ok((value, failure)) => End::Returned(value, failure),
                    Err((_, panic)) if panic.is::<Unwound>() => End::Unwound,
                    Err((message, _)) => End::Panicked(message),
                };
                coordinator.ended(index, end);
            }
        })?;
        Ok(Self { thread: Some(thread), coordinator, is_over })
    }

    /// Does not wait for the thread: it hangs.
    pub(super) fn abandon(mut self) {
        self.thread = None;
    }
}

impl Drop for ClientThread {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        self.coordinator.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
