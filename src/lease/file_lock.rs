//! The lock on a running server's test databases, across threads and processes: a lock on the file of its `run_id`.
//!
//! There are two files. Whoever wants the server first stands in the queue's lock, and from there waits for the
//! server's own. So a test that has just given the server back can't take it again while another one waits: it would
//! have to pass the one in front, who holds the queue, and is passed only where he was stopped. The kernel releases the
//! locks of a process with the process, so that a dead holder blocks nobody.

use std::fs::{File, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Seek, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{fs, io, process, thread};

use super::registry;
use crate::error::{Error, Kind};
use crate::report;

/// When a waiter says for whom it waits.
const SAY_AFTER: Duration = Duration::from_secs(10);

/// How often a waiter looks who has the server, and whether the one in front of it has left a free server to itself.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Held until it is dropped.
pub(super) struct Lock(File);

/// Closing the file would do, but for a forked child that has it open as well.
impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

impl Lock {
    /// Waits for the server whose lock file that is.
    ///
    /// # Errors
    ///
    /// [`Error::is_busy`] when the patience is over, with the name of the holder.
    pub(super) fn acquire(path: &Path, patience: &mut Patience<'_>) -> Result<Self, Error> {
        let mut waiter = Waiter { path, patience };
        match waiter.wait(&path.with_extension("queue"), Some(path))? {
            Taken::Waited(_front) => waiter.wait(path, None).map(Taken::lock),
            Taken::Passed(lock) => Ok(lock),
        }
    }

    /// Leaves the holder's name in the file.
    ///
    /// # Errors
    ///
    /// When the file can't be written.
    pub(super) fn sign(&mut self, test: &str) -> io::Result<()> {
        // The number tells two leases of one test apart.
        static SIGNED: AtomicU64 = AtomicU64::new(0);
        let number = SIGNED.fetch_add(1, Ordering::Relaxed);
        let signature = format!("{} {number} {test}", process::id());
        self.0.rewind()?;
        self.0.write_all(signature.as_bytes())?;
        // Cut afterwards: a reader finds a name at any time.
        self.0.set_len(signature.len() as u64)
    }
}

/// How long a test waits for a shared server: the time starts anew whenever the holder changes.
pub(super) struct Patience<'url> {
    url: &'url str,
    timeout: Duration,
    since: Instant,
    holder: Option<u64>,
    said: bool,
}

impl<'url> Patience<'url> {
    /// For the server that is called `url` in messages.
    pub(super) fn new(url: &'url str, timeout: Duration) -> Self {
        Self { url, timeout, since: Instant::now(), holder: None, said: false }
    }

    /// Says so after a while. `lease` tells the holder's leases apart. True if the holder has changed.
    ///
    /// # Errors
    ///
    /// [`Error::is_busy`] when that holder has been waited for for too long.
    pub(super) fn still_waits_for(&mut self, holder: &str, lease: u64) -> Result<bool, Error> {
        let changed = self.holder != Some(lease);
        if changed {
            self.holder = Some(lease);
            self.since = Instant::now();
        }
        let waited = self.since.elapsed();
        if waited >= self.timeout {
            return Err(Error::new(Kind::Busy, report::lease::busy(self.url, holder, self.timeout)));
        }
        if waited >= SAY_AFTER && !self.said {
            self.said = true;
            report::shout(&report::lease::waiting(self.url, holder));
        }
        Ok(changed)
    }
}

struct Waiter<'path, 'patience, 'url> {
    path: &'path Path,
    patience: &'patience mut Patience<'url>,
}

/// A lock that was waited for, or the one behind it that was free.
enum Taken {
    Waited(Lock),
    Passed(Lock),
}

impl Taken {
    fn lock(self) -> Lock {
        match self {
            Self::Waited(lock) | Self::Passed(lock) => lock,
        }
    }
}

impl Waiter<'_, '_, '_> {
    /// Waits for the lock on that file. Where the one `behind` it is found free twice in a row, the one in front does not
    /// take it: it was stopped (Ctrl-Z), and is passed.
    fn wait(&mut self, path: &Path, behind: Option<&Path>) -> Result<Taken, Error> {
        let no_lock = |error: io::Error| Error::with_source(Kind::Server, report::no_lock(path), error);
        let open = |path: &Path| File::options().create(true).truncate(false).write(true).open(path).map_err(no_lock);
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) => return Ok(Taken::Waited(Lock(file))),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(no_lock(error)),
        }
        // A lock can't be waited for with a limit. Who gives up leaves a thread behind that takes it and lets it go.
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let locked = file.lock().map(|()| Lock(file));
            let _ = sender.send(locked);
        });
        let mut was_free = false;
        loop {
            let holder = Holder::read(self.path);
            if holder.process == Some(process::id()) {
                if let Some(test) = registry::waits_for_itself() {
                    return Err(Error::new(Kind::Busy, report::lease::waits_for_itself(self.patience.url, &test)));
                }
                if let Some(test) = registry::tests_beside().filter(|_| !self.patience.said) {
                    self.patience.said = true;
                    report::shout(&report::lease::may_wait_for_itself(self.patience.url, &test));
                }
            }
            self.patience.still_waits_for(&holder.name, holder.lease)?;
            match receiver.recv_timeout(LOOK_EVERY.min(self.patience.timeout)) {
                Ok(locked) => return locked.map(Taken::Waited).map_err(no_lock),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(no_lock(io::Error::other("the waiting thread ended")));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if let Some(behind) = behind {
                let file = open(behind)?;
                let is_free = file.try_lock().is_ok();
                let lock = Lock(file);
                if is_free && was_free {
                    return Ok(Taken::Passed(lock));
                }
                was_free = is_free;
            }
        }
    }
}

/// Who signed last; that is the one who holds the lock, but for the moment between locking and signing.
struct Holder {
    process: Option<u32>,
    /// What tells its leases apart.
    lease: u64,
    name: String,
}

impl Holder {
    fn read(path: &Path) -> Self {
        let signature = fs::read_to_string(path).unwrap_or_default();
        let mut words = signature.splitn(3, ' ');
        let mut next = || words.next().unwrap_or_default();
        let (process, number, test_name) = (next().parse().ok(), next(), next());
        let name =
            process.map_or_else(report::lease::unknown_holder, |process| report::lease::holder(process, test_name));
        let mut lease = DefaultHasher::new();
        (process, number).hash(&mut lease);
        Self { process, lease: lease.finish(), name }
    }
}
