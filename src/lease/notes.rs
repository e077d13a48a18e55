//! What the user's cache remembers of shared servers: who has the lock, and which leases were never released.
//!
//! A file `RUN_ID.DATABASE.open` says that a lease on that database was begun and not released: its process was killed,
//! so that what lies there is the tests' own. A server's `run_id` is another one after each restart.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use crate::cache;

/// Of a server that no test has used for so long, nothing is remembered.
const KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What is remembered of one server.
pub(super) struct Notes {
    directory: PathBuf,
    run_id: String,
    /// What keeps the servers apart that were at one address.
    address: String,
}

impl Notes {
    /// # Errors
    ///
    /// When the cache can't be written.
    pub(super) fn of(run_id: &str, address: &str) -> io::Result<Self> {
        Ok(Self { directory: cache::subdirectory("running")?, run_id: run_id.to_owned(), address: address.to_owned() })
    }

    /// The file whose lock keeps tests from using the server at once.
    pub(super) fn lock_file(&self) -> PathBuf {
        self.directory.join(&self.run_id)
    }

    /// Whether a lease on that database was begun and never released.
    pub(super) fn is_open(&self, database: u32) -> bool {
        self.open_note(database).exists()
    }

    /// A lease begins: what is written from now on is the test's.
    ///
    /// # Errors
    ///
    /// When the cache can't be written.
    pub(super) fn open(&self, databases: [u32; 2]) -> io::Result<()> {
        databases.into_iter().try_for_each(|database| fs::write(self.open_note(database), &self.address))
    }

    /// It was released.
    pub(super) fn close(&self, databases: [u32; 2]) {
        for database in databases {
            // One that stays makes the next lease take for its own what is there, unless there is a marker.
            let _ = fs::remove_file(self.open_note(database));
        }
    }

    /// Removes what is remembered of servers that were at this address before, and of those that no test has used for
    /// long: they are gone.
    pub(super) fn forget_predecessors(&self) {
        let address_file = self.directory.join(format!("{}.address", file_name(&self.address)));
        let before = fs::read_to_string(&address_file).unwrap_or_default();
        if before == self.run_id {
            return;
        }
        for entry in fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            let is_before = is_file_name(&before) && belongs_to(&entry.path(), &before);
            let changed = entry.metadata().and_then(|file| file.modified());
            let is_old = changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|unused| unused > KEPT_FOR));
            if is_before || (is_old && !belongs_to(&entry.path(), &self.run_id)) {
                let _ = fs::remove_file(entry.path());
            }
        }
        // Without it, the files of this server stay when it is gone.
        let _ = cache::write_private(&address_file, &self.run_id);
    }

    fn open_note(&self, database: u32) -> PathBuf {
        self.directory.join(format!("{}.{database}.open", self.run_id))
    }
}

/// A `run_id` that can be the name of a file.
pub(super) fn is_file_name(run_id: &str) -> bool {
    !run_id.is_empty() && run_id.chars().all(|digit| digit.is_ascii_alphanumeric())
}

fn belongs_to(path: &Path, run_id: &str) -> bool {
    path.file_name().and_then(|name| name.to_str()).and_then(|name| name.split('.').next()) == Some(run_id)
}

fn file_name(address: &str) -> String {
    address.replace(|other: char| !other.is_ascii_alphanumeric(), "-")
}
