//! Containers shared by the processes of one user, one process at a time.
//!
//! Under cargo-nextest every test is a process, and a container takes longer to start than a test to run. So each
//! container has a slot: a file that says where it is, locked by the process that uses it. When that process ends, the
//! kernel lets the lock go, and the next one finds the container there, which waits for a while before it ends.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::PathBuf;

use super::cache;

/// A slot that this process has.
pub(super) struct Slot {
    path: PathBuf,
    lock: File,
}

/// Closing the file would do, but for a forked child that has it open as well.
impl Drop for Slot {
    fn drop(&mut self) {
        let _ = self.lock.unlock();
    }
}

impl Slot {
    /// The first slot that nobody has, of those for containers of that kind.
    ///
    /// # Errors
    ///
    /// When the cache can't be written.
    pub(super) fn take(kind: impl Hash) -> io::Result<Self> {
        let mut hash = DefaultHasher::new();
        kind.hash(&mut hash);
        let directory = cache::subdirectory("containers")?;
        let mut number = 0;
        loop {
            let path = directory.join(format!("{:016x}-{number}", hash.finish()));
            // The text has a file of its own: on some platforms a locked one can't be read.
            let lock = File::options().create(true).truncate(false).write(true).open(path.with_extension("lock"))?;
            match lock.try_lock() {
                Ok(()) => return Ok(Self { path, lock }),
                Err(fs::TryLockError::WouldBlock) => number += 1,
                Err(fs::TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// The URL and the `run_id` of the server that was left here.
    pub(super) fn server(&self) -> Option<(String, String)> {
        let text = fs::read_to_string(&self.path).ok()?;
        let (url, run_id) = text.split_once(' ')?;
        Some((url.to_owned(), run_id.to_owned()))
    }

    /// Leaves a server here for the next process, or none.
    pub(super) fn put(&self, server: Option<(&str, &str)>) {
        // Who can't read what is here starts a container: slower, not wrong.
        let _ = match server {
            Some((url, run_id)) => fs::write(&self.path, format!("{url} {run_id}")),
            None => fs::remove_file(&self.path),
        };
    }
}
