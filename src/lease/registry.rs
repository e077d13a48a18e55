//! Which lease a test has: every fixture of a test joins it, and it ends with the test.
//!
//! The harness gives every test a thread of its own that carries the test's name, and `#[timeout]` of rstest runs the
//! body on another one of that name. On such a thread a lease lasts until the thread ends, whatever clones are dropped
//! or leaked. Everywhere else (other threads, tokio's tasks, which are told apart by their ids) it lasts until the last
//! clone; there, a test hands over a clone.

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
    /// The name that the test's threads carry, where the test is known for certain.
    name: Option<&'static str>,
    /// Whether other requests of the test join it.
    joins: bool,
    /// The test, for messages.
    test: String,
    lease: Weak<Lease>,
    /// Asked without an upgrade, for the moment of which another test's lease would look used, or end here.
    is_held: Arc<AtomicBool>,
}

impl Entry {
    /// Whether a test ends it, and not only its last clone.
    fn is_of_a_test(&self) -> bool {
        self.name.is_some() || (self.task.is_none() && is_named_as_a_test(&self.thread))
    }

    fn is_held(&self) -> bool {
        self.is_held.load(Ordering::Relaxed)
    }
}

static ENTRIES: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

/// The panic hook waits this long for [`ENTRIES`]. Other threads lock them for microseconds; the panicking thread itself
/// holds the lock only if the panic is a bug of ours, and must not wait for itself forever.
const UNLOCKED_WITHIN: Duration = Duration::from_millis(100);

/// How a lease comes to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// The guard of the test of that name, as its threads carry it, ends it.
    Guard(&'static str),
    /// It ends with this thread, where that is a test's, else with its last clone.
    Thread,
    /// It ends with its last clone, and nobody joins it.
    Clones,
}

/// The lease that this thread's test has, or this task, if any.
pub(crate) fn find() -> Option<Arc<Lease>> {
    let (thread, task) = (thread::current(), Task::current());
    let entries = entries();
    let is_mine = |entry: &&Entry| {
        let is_same_task = entry.task == task && (!task.is_none() || entry.thread.id() == thread.id());
        let is_of_this_name = task.is_none() && entry.name.is_some() && entry.name == thread.name();
        entry.joins && (is_same_task || is_of_this_name)
    };
    // The newest first: a thread may run several tests, one after the other.
    entries.iter().rev().filter(|entry| entry.is_held() && is_mine(entry)).find_map(|entry| entry.lease.upgrade())
}

/// Whether somebody holds a clone of that lease, besides the caller and this module.
pub(crate) fn has_clones(lease: &Arc<Lease>) -> bool {
    let is_bound = LEASES.try_with(|leases| leases.0.borrow().iter().any(|bound| Arc::ptr_eq(&bound.lease, lease)));
    Arc::strong_count(lease) > 1 + usize::from(is_bound.unwrap_or(false))
}

/// Remembers a new lease.
pub(crate) fn add(lease: &Arc<Lease>, bound: Bound) {
    let (thread, task) = (thread::current(), Task::current());
    let ends_here = bound == Bound::Thread && task.is_none() && is_named_as_a_test(&thread);
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
    // The test may have timed out while this thread of it waited for a server.
    let timed_out = |panic: &Panic| panic.thread != thread.id() && panic.timed_out.as_deref() == thread.name();
    if panicked().iter().any(timed_out) {
        lease.end(Ending { in_use: true, failed: true, with_test: true });
    } else {
        let stack = Backtrace::force_capture();
        LEASES.with(|leases| leases.0.borrow_mut().push(BoundLease { lease: lease.clone(), stack }));
    }
}

/// The harness names the threads of tests after their paths. Other threads have no name or, as those of a runtime
/// (`tokio-rt-worker`), mostly one that is no path.
fn is_named_as_a_test(thread: &Thread) -> bool {
    let is_path = |name: &str| name.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | ':'));
    thread.name().is_some_and(|name| name != "main" && is_path(name))
}

/// A lease that lasts until its thread ends.
struct BoundLease {
    lease: Arc<Lease>,
    /// Where it was taken: there is the harness, where this is its thread. Only looked at where that matters, since
    /// finding the names takes long.
    stack: Backtrace,
}

impl BoundLease {
    /// Whether the thread is really a test's, and not only named like one.
    fn is_on_a_tests_thread(&self) -> bool {
        let stack = self.stack.to_string();
        let is_stripped = !stack.contains("transient_fixtures");
        is_stripped
            || ["test::run_test", "test::__rust_begin_short_backtrace", "rstest::timeout"]
                .iter()
                .any(|name| stack.contains(name))
    }
}

/// Dropped when the thread ends.
struct OfThisThread(RefCell<Vec<BoundLease>>);

thread_local!(static LEASES: OfThisThread = const { OfThisThread(RefCell::new(Vec::new())) });

impl Drop for OfThisThread {
    fn drop(&mut self) {
        let id = thread::current().id();
        let failed = panicked().iter().any(|panic| panic.thread == id);
        for bound in self.0.take() {
            let in_use = Arc::strong_count(&bound.lease) > 1;
            // On a worker that has handed its request on, the last clone ends it.
            if !in_use || bound.is_on_a_tests_thread() {
                bound.lease.end(Ending { in_use, failed, with_test: true });
            }
        }
    }
}

/// The tests that have a lease now, where a request that is made here is none of them: it gets a server of its own, which
/// its author may not expect.
pub(crate) fn tests_beside() -> Option<String> {
    let thread = thread::current();
    if Task::current().is_none() && (is_named_as_a_test(&thread) || thread.name() == Some("main")) {
        return None;
    }
    let entries = entries();
    let tests = entries.iter().filter(|entry| entry.is_held() && entry.is_of_a_test());
    let names: Vec<_> = tests.map(|entry| entry.test.as_str()).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// The test that holds a shared server, where waiting for it here certainly keeps that test from going on.
pub(super) fn waits_for_itself() -> Option<String> {
    let (thread, task) = (thread::current(), Task::current());
    let entries = entries();
    let held: Vec<_> = entries.iter().filter(|entry| entry.is_held()).collect();
    if let Some(here) = held.iter().find(|entry| entry.thread.id() == thread.id()) {
        return Some(here.test.clone());
    }
    let is_elsewhere = !task.is_none() || !is_named_as_a_test(&thread);
    match held.as_slice() {
        // A thread or task that is not a test's gives its lease back with the last clone, so this wait may end.
        [only] if !only.is_of_a_test() => None,
        [only] if run::is_process_per_test() => Some(only.test.clone()),
        // Of several tests at once, this thread or task may be another one's.
        [only] if is_elsewhere && run::is_one_test_at_a_time() => Some(only.test.clone()),
        _ => None,
    }
}

/// `#[timeout]` of rstest leaves the body running on its own thread and panics on the test's, which has no code of ours.
/// To be called before a lease is waited for: the test may time out meanwhile.
pub(crate) fn end_when_it_times_out() {
    static HOOK: Once = Once::new();
    if thread::panicking() {
        // No hook can be set then.
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

/// The leases of that test which another thread has: the one that runs its body.
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
            && entry.is_of_a_test()
            && entry.thread.name() == name
            && entry.thread.id() != thread
    };
    entries.iter().filter(of_this_test).filter_map(|entry| entry.lease.upgrade()).collect()
}

/// A thread that has panicked.
struct Panic {
    thread: ThreadId,
    /// The name of the test whose `#[timeout]` of rstest it was that fired.
    timed_out: Option<String>,
}

fn panicked() -> MutexGuard<'static, Vec<Panic>> {
    static PANICKED: Mutex<Vec<Panic>> = Mutex::new(Vec::new());
    lock(&PANICKED)
}

fn entries() -> MutexGuard<'static, Vec<Entry>> {
    lock(&ENTRIES)
}

/// The task that runs, of tokio's. What runs outside of one is told apart by its thread.
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
