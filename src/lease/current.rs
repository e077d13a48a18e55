//! Which lease a thread's test has: every fixture of a test joins it, and it ends with the test.

use std::cell::RefCell;
use std::panic;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError, TryLockError, Weak};
use std::thread::{self, Thread, ThreadId};
use std::time::Duration;

use super::{Ending, Lease};

struct Entry {
    thread: Thread,
    /// The name that the test's threads carry, where the test is known for certain.
    name: Option<&'static str>,
    lease: Weak<Lease>,
}

static ENTRIES: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

/// The lease that this thread's test has, if any.
///
/// The harness gives every test a thread of its own that carries the test's name, and `#[timeout]` of rstest runs the
/// body on another one of that name. Other threads are handed a clone.
pub(crate) fn find() -> Option<Arc<Lease>> {
    let thread = thread::current();
    let entries = entries();
    let of_this_test =
        |entry: &&Entry| entry.thread.id() == thread.id() || (entry.name.is_some() && entry.name == thread.name());
    // The newest first: a thread may run several tests, one after the other.
    entries.iter().rev().filter(of_this_test).find_map(|entry| entry.lease.upgrade().filter(|lease| lease.is_held()))
}

/// Remembers the lease for this thread. `name` is the path of the test, where it is known: then somebody ends the lease
/// when the test ends. Else we do.
pub(crate) fn set(lease: &Arc<Lease>, name: Option<&'static str>) {
    let thread = thread::current();
    let ends_here = name.is_none() && is_of_a_test(&thread);
    if ends_here {
        end_with_this_thread(lease);
    }
    let mut entries = entries();
    // Not upgraded: for that moment another test's lease would look used, or end here.
    entries.retain(|entry| entry.lease.strong_count() > 0);
    entries.push(Entry { thread: thread.clone(), name, lease: Arc::downgrade(lease) });
    drop(entries);
    // The test may have timed out while this thread of it waited for a server.
    let timed_out = |panic: &Panic| panic.thread != thread.id() && panic.timed_out.as_deref() == thread.name();
    if ends_here && panicked().iter().any(timed_out) {
        lease.end(Ending { in_use: true, failed: true, with_test: true });
    }
}

/// The harness names the threads of tests after their paths. Other threads, whose requests somebody else may use, have
/// no name or, as those of a runtime (`tokio-rt-worker`), mostly one that is no path.
fn is_of_a_test(thread: &Thread) -> bool {
    let is_path = |name: &str| name.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | ':'));
    thread.name().is_some_and(|name| name != "main" && is_path(name))
}

/// A request that was leaked into a static, or forgotten, must not keep the others waiting.
fn end_with_this_thread(lease: &Arc<Lease>) {
    struct OfThisThread(RefCell<Vec<Weak<Lease>>>);
    impl Drop for OfThisThread {
        fn drop(&mut self) {
            for lease in self.0.borrow().iter().filter_map(Weak::upgrade) {
                let id = thread::current().id();
                let failed = panicked().iter().any(|panic| panic.thread == id);
                lease.end(Ending { in_use: true, failed, with_test: true });
            }
        }
    }
    thread_local!(static LEASES: OfThisThread = const { OfThisThread(RefCell::new(Vec::new())) });
    LEASES.with(|leases| leases.0.borrow_mut().push(Arc::downgrade(lease)));
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
    // Another thread has them for a moment; this very thread only in the middle of a panic of our own: then not for ever.
    let entries = (0..100).find_map(|_| match ENTRIES.try_lock() {
        Ok(entries) => Some(entries),
        Err(TryLockError::Poisoned(entries)) => Some(entries.into_inner()),
        Err(TryLockError::WouldBlock) => {
            thread::sleep(Duration::from_millis(1));
            None
        }
    });
    let Some(entries) = entries else { return Vec::new() };
    let of_this_test = |entry: &&Entry| {
        entry.name.is_none()
            && is_of_a_test(&entry.thread)
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
    PANICKED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn entries() -> MutexGuard<'static, Vec<Entry>> {
    ENTRIES.lock().unwrap_or_else(PoisonError::into_inner)
}
