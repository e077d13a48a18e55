//! What the user's cache remembers of shared servers: who has the lock, and which leases were never released.
//!
//! A file `RUN_ID.DATABASE.open` says that a lease on that database was begun and not released: its process was killed,
//! so that what lies there is the tests' own. A server's `run_id` is another one after each restart.

use std::collections::HashSet;
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

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
        Ok(Self {
            directory: cache::shared_subdirectory("running")?,
            run_id: run_id.to_owned(),
            address: address.to_owned(),
        })
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
        let entries: Vec<_> = fs::read_dir(&self.directory).into_iter().flatten().flatten().collect();
        let is_recent = |entry: &&DirEntry| {
            let changed = entry.metadata().and_then(|file| file.modified());
            !changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|unused| unused > KEPT_FOR))
        };
        // A server that is in use has a recent file, and may have a note that is old.
        let in_use: HashSet<_> =
            entries.iter().filter(is_recent).filter_map(|entry| server_of(&entry.path())).collect();
        for path in entries.iter().map(DirEntry::path) {
            let Some(server) = server_of(&path).filter(|server| *server != self.run_id) else { continue };
            if server == before || !in_use.contains(&server) {
                let _ = fs::remove_file(path);
            }
        }
        // Without it, the files of this server stay when it is gone.
        let _ = cache::write_private(&address_file, &self.run_id);
    }

    fn open_note(&self, database: u32) -> PathBuf {
        self.directory.join(format!("{}.{database}.open", self.run_id))
    }
}

/// The `run_id`, or the address, that a file is of.
fn server_of(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_str()?.split('.').next()?.to_owned())
}

fn file_name(address: &str) -> String {
    address.replace(|other: char| !other.is_ascii_alphanumeric(), "-")
}
