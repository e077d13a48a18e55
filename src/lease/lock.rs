//! The lock on a running server's test databases, across threads and processes: a lock on the file of its `run_id`.
//!
//! There are two files. Whoever wants the server first stands in the queue's lock, and from there waits for the
//! server's own. So a test that has just given the server back can't take it again while another one waits: it would
//! have to pass the one in front, who holds the queue, and is passed only where he was stopped. The kernel releases the
//! locks of a process with the process, so that a dead holder blocks nobody.

use std::fs::{File, TryLockError};
use std::io::{Seek, Write};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{fs, io, process, thread};

use crate::error::{Error, Kind};
use crate::report;

/// When a waiter says for whom it waits.
const SAY_AFTER: Duration = Duration::from_secs(10);

/// How often those behind look whether the one in front has left a free server to itself.
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
    /// Waits for the server that is called `url` in messages.
    ///
    /// # Errors
    ///
    /// [`Error::is_busy`] after `timeout`, with the name of the holder.
    pub(super) fn acquire(path: &Path, url: &str, timeout: Duration) -> Result<Self, Error> {
        let mut waiter = Waiter { path, url, timeout, start: Instant::now(), said: false };
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
        let name = format!("process {}, test {test}", process::id());
        self.0.rewind()?;
        self.0.write_all(name.as_bytes())?;
        // Cut afterwards: whoever reads it meanwhile finds a name.
        self.0.set_len(name.len() as u64)
    }
}

struct Waiter<'lock> {
    path: &'lock Path,
    url: &'lock str,
    timeout: Duration,
    start: Instant,
    said: bool,
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

impl Waiter<'_> {
    /// Waits for the lock on that file. Where the one `behind` it is found free twice in a row, he who is in front does not
    /// take it: he was stopped (Ctrl-Z), and is passed.
    fn wait(&mut self, path: &Path, behind: Option<&Path>) -> Result<Taken, Error> {
        let no_lock = |error: io::Error| Error::with_source(Kind::Server, report::no_lock(path, &error), error);
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
            let until = if self.said { self.timeout } else { self.timeout.min(SAY_AFTER) };
            let left = until.saturating_sub(self.start.elapsed());
            match receiver.recv_timeout(if behind.is_some() { left.min(LOOK_EVERY) } else { left }) {
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
            if self.start.elapsed() >= self.timeout {
                let report = report::lease_busy(self.url, &holder(self.path), self.timeout);
                return Err(Error::new(Kind::Busy, report));
            }
            if self.start.elapsed() >= SAY_AFTER && !self.said {
                self.said = true;
                report::shout(&report::waiting(self.url, &holder(self.path)));
            }
        }
    }
}

/// Who signed last; that is the one who holds the lock, but for the moment between locking and signing.
fn holder(path: &Path) -> String {
    let signed = fs::read_to_string(path).unwrap_or_default();
    if signed.is_empty() { "another test".to_owned() } else { signed }
}
