//! Which lease a test has. All fixtures of a test share its lease, which ends with the test.
//!
//! The test harness gives every test a thread with the test's name, and `#[timeout]` of rstest runs the body on another
//! thread of that name. On such a thread a lease lasts until the thread ends, even if clones are dropped or leaked. On
//! other threads, and in tokio tasks, which have ids, it lasts until the last clone is dropped: a test passes a clone
//! to them.

use std::backtrace::Backtrace;
use std::cell::RefCell;
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, TryLockError, Weak};
use std::thread::{self, Thread, ThreadId};
use std::time::{Duration, Instant};

use super::{Ending, Lease};
use crate::provider::run;
use crate::sync::{lock, poll_until};

struct Entry {
    thread: Thread,
    task: Task,
    /// The name of the test's threads, if it is certain which test this is.
    name: Option<&'static str>,
    /// Whether other requests of the test share the lease.
    joins: bool,
    /// The test's name, for messages.
    test: String,
    lease: Weak<Lease>,
    /// Readable without upgrading `lease`: a temporary strong reference would make another test's lease look shared, or
    /// end it here.
    is_held: Arc<AtomicBool>,
}

impl Entry {
    /// Returns whether a test ends it, and not only its last clone.
    fn is_bound_to_test(&self) -> bool {
        self.name.is_some() || (self.task.is_none() && has_test_name(&self.thread))
    }

    fn is_held(&self) -> bool {
        self.is_held.load(Ordering::Relaxed)
    }
}

static ENTRIES: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

/// The panic hook waits this long for [`ENTRIES`]. Other threads lock them for microseconds; the panicking thread
/// itself holds the lock only if the panic is a bug of ours, and must not wait for itself forever.
const UNLOCKED_WITHIN: Duration = Duration::from_millis(100);

/// When a lease ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// With the guard of the test whose threads have this name.
    Guard(&'static str),
    /// With this thread if it is a test's; otherwise with the last clone.
    Thread,
    /// With the last clone. No other request shares it.
    Clones,
}

/// Returns the lease of this thread's test, or of this task.
pub(crate) fn find() -> Option<Arc<Lease>> {
    let (thread, task) = (thread::current(), Task::current());
    let entries = entries();
    let is_mine = |entry: &&Entry| {
        let is_same_task = entry.task == task && (!task.is_none() || entry.thread.id() == thread.id());
        let is_of_this_name = task.is_none() && entry.name.is_some() && entry.name == thread.name();
        entry.joins && (is_same_task || is_of_this_name)
    };
    // The newest first: a thread can run several tests in sequence.
    entries.iter().rev().filter(|entry| entry.is_held() && is_mine(entry)).find_map(|entry| entry.lease.upgrade())
}

/// Returns whether there is a clone of the lease besides the caller's and this module's.
pub(crate) fn has_clones(lease: &Arc<Lease>) -> bool {
    let is_bound = LEASES.try_with(|leases| leases.0.borrow().iter().any(|bound| Arc::ptr_eq(&bound.lease, lease)));
    Arc::strong_count(lease) > 1 + usize::from(is_bound.unwrap_or(false))
}

/// Registers a new lease.
pub(crate) fn add(lease: &Arc<Lease>, bound: Bound) {
    let (thread, task) = (thread::current(), Task::current());
    let ends_here = bound == Bound::Thread && task.is_none() && has_test_name(&thread);
    let name = if let Bound::Guard(name) = bound { Some(name) } else { None };
    let mut entries = entries();
    entries.retain(|entry| entry.lease.strong_count() > 0);
    entries.push(Entry {
        thread: thread.clone(),
        task,
        name,
        joins: bound != Bound::Clones,
        test: lease.test.clone(),
        lease: Arc::downgrade(lease),
        is_held: lease.held_flag(),
    });
    drop(entries);
    if !ends_here {
        return;
    }
    // The test may have timed out while this thread waited for a server.
    let timed_out = |panic: &Panic| panic.thread != thread.id() && panic.timed_out.as_deref() == thread.name();
    if panicked().iter().any(timed_out) {
        lease.end(Ending { in_use: true, failed: true, with_test: true });
    } else {
        let stack = Backtrace::force_capture();
        LEASES.with(|leases| leases.0.borrow_mut().push(BoundLease { lease: lease.clone(), stack }));
    }
}

/// The harness names the threads of tests after their paths. Other threads have no name, or mostly one that is not a
/// path, such as `tokio-rt-worker`.
fn has_test_name(thread: &Thread) -> bool {
    let is_path = |name: &str| name.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | ':'));
    thread.name().is_some_and(|name| name != "main" && is_path(name))
}

/// A lease that lasts until its thread ends.
struct BoundLease {
    lease: Arc<Lease>,
    /// The stack at the beginning. It contains the harness if this is a test's thread. It is resolved only when needed,
    /// since symbolication is slow.
    stack: Backtrace,
}

impl BoundLease {
    /// Returns whether the thread is a test's, and not only named like one.
    fn is_on_test_thread(&self) -> bool {
        let stack = self.stack.to_string();
        let is_stripped = !stack.contains("transient_fixtures");
        is_stripped
            || ["test::run_test", "test::__rust_begin_short_backtrace", "rstest::timeout"]
                .iter()
                .any(|name| stack.contains(name))
    }
}

/// Dropped when the thread ends.
struct ThreadLeases(RefCell<Vec<BoundLease>>);

thread_local!(static LEASES: ThreadLeases = const { ThreadLeases(RefCell::new(Vec::new())) });

impl Drop for ThreadLeases {
    fn drop(&mut self) {
        let id = thread::current().id();
        let failed = panicked().iter().any(|panic| panic.thread == id);
        for bound in self.0.take() {
            let in_use = Arc::strong_count(&bound.lease) > 1;
            // On a worker that has passed its request on, the last clone ends it.
            if !in_use || bound.is_on_test_thread() {
                bound.lease.end(Ending { in_use, failed, with_test: true });
            }
        }
    }
}

/// Returns the tests that have a lease now, if this thread or task belongs to none of them. A request that is made here
/// gets its own server, which the author may not expect.
pub(crate) fn concurrent_tests() -> Option<String> {
    let thread = thread::current();
    if Task::current().is_none() && (has_test_name(&thread) || thread.name() == Some("main")) {
        return None;
    }
    let entries = entries();
    let tests = entries.iter().filter(|entry| entry.is_held() && entry.is_bound_to_test());
    let names: Vec<_> = tests.map(|entry| entry.test.as_str()).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// Returns the test that holds a shared server, if waiting for the server here certainly blocks that test.
pub(super) fn self_deadlock() -> Option<String> {
    let (thread, task) = (thread::current(), Task::current());
    let entries = entries();
    let held: Vec<_> = entries.iter().filter(|entry| entry.is_held()).collect();
    if let Some(here) = held.iter().find(|entry| entry.thread.id() == thread.id()) {
        return Some(here.test.clone());
    }
    let is_elsewhere = !task.is_none() || !has_test_name(&thread);
    match held.as_slice() {
        // A lease of another thread or task ends with its last clone, so this wait can end.
        [only] if !only.is_bound_to_test() => None,
        [only] if run::is_process_per_test() => Some(only.test.clone()),
        // If several tests run at once, this thread or task can belong to another one.
        [only] if is_elsewhere && run::is_one_test_at_a_time() => Some(only.test.clone()),
        _ => None,
    }
}

/// Installs a panic hook that ends the leases of tests that time out. `#[timeout]` of rstest leaves the body running on
/// its own thread and panics on the test's thread, where we have no code. Call it before waiting for a lease, because
/// the test can time out during the wait.
pub(crate) fn install_timeout_hook() {
    static HOOK: Once = Once::new();
    if thread::panicking() {
        // A panicking thread can't set a hook.
        return;
    }
    HOOK.call_once(|| {
        let next = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            next(info);
            let thread = thread::current();
            let message = info.payload().downcast_ref::<String>();
            let is_timeout = message.is_some_and(|text| text.starts_with("Timeout ") && text.ends_with(" expired"));
            let test = thread.name().filter(|_| is_timeout).map(str::to_owned);
            panicked().push(Panic { thread: thread.id(), timed_out: test });
            for lease in timed_out(thread.id(), thread.name()) {
                lease.end(Ending { in_use: true, failed: true, with_test: true });
            }
        }));
    });
}

/// Returns the leases that the test's other thread, which runs its body, has.
fn timed_out(thread: ThreadId, name: Option<&str>) -> Vec<Arc<Lease>> {
    let entries = poll_until(Instant::now() + UNLOCKED_WITHIN, Duration::from_millis(1), || match ENTRIES.try_lock() {
        Ok(entries) => Some(entries),
        Err(TryLockError::Poisoned(entries)) => Some(entries.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    });
    let Some(entries) = entries else { return Vec::new() };
    let of_this_test = |entry: &&Entry| {
        entry.name.is_none()
            && entry.joins
            && entry.is_bound_to_test()
            && entry.thread.name() == name
            && entry.thread.id() != thread
    };
    entries.iter().filter(of_this_test).filter_map(|entry| entry.lease.upgrade()).collect()
}

/// A thread that has panicked.
struct Panic {
    thread: ThreadId,
    /// The name of the test, if rstest's `#[timeout]` caused the panic.
    timed_out: Option<String>,
}

fn panicked() -> MutexGuard<'static, Vec<Panic>> {
    static PANICKED: Mutex<Vec<Panic>> = Mutex::new(Vec::new());
    lock(&PANICKED)
}

fn entries() -> MutexGuard<'static, Vec<Entry>> {
    lock(&ENTRIES)
}

/// The current tokio task. Code outside of tasks is distinguished by its thread.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Task(Option<TaskId>);

#[cfg(feature = "tokio")]
type TaskId = tokio::task::Id;

#[cfg(not(feature = "tokio"))]
type TaskId = std::convert::Infallible;

impl Task {
    #[cfg(feature = "tokio")]
    fn current() -> Self {
        Self(tokio::task::try_id())
    }

    #[cfg(not(feature = "tokio"))]
    fn current() -> Self {
        Self(None)
    }

    fn is_none(self) -> bool {
        self.0.is_none()
    }
}
