//! The lock on a shared server's test databases, between threads and processes: an OS lock on the file named by its
//! `run_id`.
//!
//! There are two files. A waiter first locks the queue file, and waits for the server's own file while holding it. So a
//! test that has just released the server can't take it again while another test waits: the waiter at the head of the
//! queue is first. Others overtake it only if it is suspended. The kernel releases the locks of a process when the
//! process ends, so a dead holder blocks no other test.

use std::fs::{File, TryLockError};
use std::io::{Seek, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{io, process, thread};

use super::registry;
use crate::cache;
use crate::error::{Error, Kind};
use crate::report;

/// After this long, a waiter prints a message that names the holder.
const ANNOUNCE_AFTER: Duration = Duration::from_secs(10);

/// How often a waiter checks who holds the server, and whether a suspended process blocks the queue.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// An OS lock, held until it is dropped.
pub(super) struct Lock(File);

/// Closing the file is not enough: a forked child may have it open as well.
impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

impl Lock {
    /// Waits for the lock on this file.
    ///
    /// # Errors
    ///
    /// Returns an error that [`Error::is_busy`], with the holder's name, if the limit is exceeded.
    pub(super) fn acquire(path: &Path, limit: &mut WaitLimit<'_>) -> Result<Self, Error> {
        let mut waiter = Waiter { path, limit };
        match waiter.wait(&path.with_extension("queue"), Some(path))? {
            Locked::Waited(_front) => waiter.wait(path, None).map(Locked::lock),
            Locked::Overtook(lock) => Ok(lock),
        }
    }

    /// Writes the holder's name to the file.
    ///
    /// # Errors
    ///
    /// Returns an error if the file can't be written.
    pub(super) fn write_holder(&mut self, test: &str) -> io::Result<()> {
        // The number distinguishes two leases of one test.
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let signature = format!("{} {number} {test}", process::id());
        self.0.rewind()?;
        self.0.write_all(signature.as_bytes())?;
        // Truncate last, so that a concurrent reader always finds a name.
        self.0.set_len(signature.len() as u64)
    }
}

/// How long a test waits for a shared server. The time restarts whenever the holder changes.
pub(super) struct WaitLimit<'url> {
    url: &'url str,
    timeout: Duration,
    since: Instant,
    holder: Option<(Option<u32>, u64)>,
    announced: bool,
}

impl<'url> WaitLimit<'url> {
    /// Starts the time. Messages call the server `url`.
    pub(super) fn new(url: &'url str, timeout: Duration) -> Self {
        Self { url, timeout, since: Instant::now(), holder: None, announced: false }
    }

    /// Checks the limit for a holder, and prints a message after a while. `lease` distinguishes the holder's leases.
    /// Returns whether the holder has changed.
    ///
    /// # Errors
    ///
    /// Returns an error that [`Error::is_busy`] if the limit for this holder is exceeded.
    pub(super) fn check(&mut self, holder: &str, lease: (Option<u32>, u64)) -> Result<bool, Error> {
        let changed = self.holder != Some(lease);
        if changed {
            self.holder = Some(lease);
            self.since = Instant::now();
        }
        let waited = self.since.elapsed();
        if waited >= self.timeout {
            return Err(Error::new(Kind::Busy, report::lease::busy(self.url, holder, self.timeout)));
        }
        if waited >= ANNOUNCE_AFTER && !self.announced {
            self.announced = true;
            report::shout(&report::lease::waiting(self.url, holder));
        }
        Ok(changed)
    }
}

struct Waiter<'path, 'limit, 'url> {
    path: &'path Path,
    limit: &'limit mut WaitLimit<'url>,
}

/// The lock that was waited for, or the free lock that comes next.
enum Locked {
    Waited(Lock),
    Overtook(Lock),
}

impl Locked {
    fn lock(self) -> Lock {
        match self {
            Self::Waited(lock) | Self::Overtook(lock) => lock,
        }
    }
}

impl Waiter<'_, '_, '_> {
    /// Waits for the lock on `path`. If the `next` lock is free at two checks in a row, the head of the queue is
    /// suspended (Ctrl-Z) and is overtaken.
    fn wait(&mut self, path: &Path, next: Option<&Path>) -> Result<Locked, Error> {
        let no_lock = |error: io::Error| Error::with_source(Kind::Server, report::no_lock(path), error);
        let open = |path: &Path| cache::open_lock(path).map_err(no_lock);
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) => return Ok(Locked::Waited(Lock(file))),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(no_lock(error)),
        }
        // Locking a file has no timeout. A waiter that gives up leaves a thread that takes the lock and releases it.
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let locked = file.lock().map(|()| Lock(file));
            let _ = sender.send(locked);
        });
        let mut was_free = false;
        loop {
            let holder = Holder::read(self.path);
            if holder.process == Some(process::id()) {
                if let Some(test) = registry::self_deadlock() {
                    return Err(Error::new(Kind::Busy, report::lease::waits_for_itself(self.limit.url, &test)));
                }
                if let Some(test) = registry::concurrent_tests().filter(|_| !self.limit.announced) {
                    self.limit.announced = true;
                    report::shout(&report::lease::may_wait_for_itself(self.limit.url, &test));
                }
            }
            self.limit.check(&holder.name, holder.lease)?;
            match receiver.recv_timeout(CHECK_EVERY.min(self.limit.timeout)) {
                Ok(locked) => return locked.map(Locked::Waited).map_err(no_lock),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(no_lock(io::Error::other("the waiting thread ended")));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if let Some(next) = next {
                let file = open(next)?;
                let is_free = file.try_lock().is_ok();
                let lock = Lock(file);
                if is_free && was_free {
                    return Ok(Locked::Overtook(lock));
                }
                was_free = is_free;
            }
        }
    }
}

/// The last holder that wrote its name. It holds the lock, except in the moment between locking and writing.
struct Holder {
    process: Option<u32>,
    /// Distinguishes its leases.
    lease: (Option<u32>, u64),
    name: String,
}

impl Holder {
    fn read(path: &Path) -> Self {
        let signature = cache::read(path).unwrap_or_default();
        let mut words = signature.splitn(3, ' ');
        let mut next = || words.next().unwrap_or_default();
        let (process, number, test_name) = (next().parse().ok(), next().parse().unwrap_or_default(), next());
        let name =
            process.map_or_else(report::lease::unknown_holder, |process| report::lease::holder(process, test_name));
        Self { process, lease: (process, number), name }
    }
}
