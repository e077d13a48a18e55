//! Notes in the user's cache about shared servers: who holds the lock, and which leases were never released.
//!
//! The file `RUN_ID.DATABASE.open` records that a lease on this database has begun. It is removed at release. If it is
//! still there, the process of the lease was killed, and the remaining keys are the test's. A server gets a new
//! `run_id` at each restart.

use std::collections::HashSet;
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cache;

/// Notes about a server are removed when no test has used it for this long.
const KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The notes about one server.
pub(super) struct Notes {
    directory: PathBuf,
    run_id: String,
    /// Identifies the previous servers at the same address.
    address: String,
}

impl Notes {
    /// Returns the notes about the server with this `run_id`.
    ///
    /// # Errors
    ///
    /// Returns an error if the cache can't be written.
    pub(super) fn of(run_id: &str, address: &str) -> io::Result<Self> {
        Ok(Self {
            directory: cache::shared_subdirectory("running")?,
            run_id: run_id.to_owned(),
            address: address.to_owned(),
        })
    }

    /// Returns the file whose lock excludes concurrent leases.
    pub(super) fn lock_file(&self) -> PathBuf {
        self.directory.join(&self.run_id)
    }

    /// Returns whether a lease on this database has begun and was never released.
    pub(super) fn is_open(&self, database: u32) -> bool {
        cache::is_own_file(&self.open_note(database))
    }

    /// Notes that a lease begins: from now on, new keys are the test's.
    ///
    /// # Errors
    ///
    /// Returns an error if the cache can't be written.
    pub(super) fn open(&self, databases: [u32; 2]) -> io::Result<()> {
        databases.into_iter().try_for_each(|database| cache::write_private(&self.open_note(database), &self.address))
    }

    /// Notes that the lease was released.
    pub(super) fn close(&self, databases: &[u32]) {
        for database in databases {
            // If this fails, the next lease clears foreign keys unless there is a marker.
            let _ = fs::remove_file(self.open_note(*database));
        }
    }

    /// Removes the notes about servers that were at this address before, and about servers that no test has used for a
    /// long time: they are gone.
    pub(super) fn forget_predecessors(&self) {
        let address_file = self.directory.join(format!("{}.address", file_name(&self.address)));
        let before = cache::read(&address_file).unwrap_or_default();
        if before == self.run_id {
            return;
        }
        let entries: Vec<_> = fs::read_dir(&self.directory).into_iter().flatten().flatten().collect();
        let is_recent = |entry: &&DirEntry| {
            let changed = entry.metadata().and_then(|file| file.modified());
            !changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|unused| unused > KEPT_FOR))
        };
        // A server in use has a recent lock file, but may have an old note.
        let in_use: HashSet<_> =
            entries.iter().filter(is_recent).filter_map(|entry| server_of(&entry.path())).collect();
        for path in entries.iter().map(DirEntry::path) {
            let Some(server) = server_of(&path).filter(|server| *server != self.run_id) else { continue };
            if server == before || !in_use.contains(&server) {
                let _ = fs::remove_file(path);
            }
        }
        // If this fails, the notes about this server stay when it is gone.
        let _ = cache::write_private(&address_file, &self.run_id);
    }

    fn open_note(&self, database: u32) -> PathBuf {
        self.directory.join(format!("{}.{database}.open", self.run_id))
    }
}

/// Returns the `run_id`, or the address, that a file is named after.
fn server_of(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_str()?.split('.').next()?.to_owned())
}

fn file_name(address: &str) -> String {
    address.replace(|other: char| !other.is_ascii_alphanumeric(), "-")
}
