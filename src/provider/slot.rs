//! Started servers that several processes share, one process at a time.
//!
//! With cargo-nextest every test is a process, and starting a server takes longer than running a test. So each shared
//! server has a slot: a file with the server's address, locked by the process that uses it. When this process ends, the
//! kernel releases the lock, and the next process finds the server there.
//!
//! The file alone proves nothing: a server counts as ours only if it accepts the control user with the secret that it
//! got at its start.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use redis::{Client, Connection, InfoDict, IntoConnectionInfo, RedisResult, cmd};
use url::Url;

use super::Server;
use super::secret::CONTROL_USER;
use crate::cache;
use crate::redis_io::retry_if_interrupted;
use crate::settings::Provider;

/// A slot that this process has locked.
pub(super) struct Slot {
    path: PathBuf,
    lock: File,
}

/// The contents of a slot: how to reach its server.
#[derive(Clone)]
pub(super) struct SlotRecord {
    pub(super) url: String,
    pub(super) run_id: String,
    /// The password of the control user.
    pub(super) secret: String,
    /// How often the server's password was changed.
    pub(super) password_changes: u64,
}

impl SlotRecord {
    /// The record of a new server.
    pub(super) fn new(server: &Server) -> Self {
        let (url, secret) = server.control();
        Self { url, run_id: server.run_id().to_owned(), secret, password_changes: 0 }
    }
}

/// Closing the file is not enough: a forked child may have it open as well.
impl Drop for Slot {
    fn drop(&mut self) {
        let _ = self.lock.unlock();
    }
}

impl Slot {
    /// Takes the first free slot for servers of this kind, in this directory of the cache.
    ///
    /// # Errors
    ///
    /// Returns an error if the cache can't be written.
    pub(super) fn take(directory: &str, kind: &str) -> io::Result<Self> {
        let kind = cache::file_name(kind);
        let directory = cache::subdirectory(directory)?;
        let mut number = 0;
        loop {
            let path = directory.join(format!("{kind}-{number}"));
            // The record is in a separate file, because on some platforms a locked file can't be read.
            let lock = cache::open_lock(&path.with_extension("lock"))?;
            match lock.try_lock() {
                Ok(()) => return Ok(Self { path, lock }),
                Err(fs::TryLockError::WouldBlock) => number += 1,
                Err(fs::TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// Returns the path of the slot's file.
    pub(super) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Returns the server in this slot, with a connection as its control user, if it answers and is ours.
    pub(super) fn claim(
        &self,
        provider: Provider,
        sessions: u32,
        within: Duration,
    ) -> Option<(Server, Connection, SlotRecord)> {
        let record = self.read()?;
        let (control, info) = connect(&record.url, &record.secret, within).ok()?;
        let url = Url::parse(&record.url).ok()?;
        let server = Server::new(provider, url, &info, sessions, Some(record.secret.clone())).ok()?;
        (server.run_id() == record.run_id).then_some((server, control, record))
    }

    fn read(&self) -> Option<SlotRecord> {
        let text = cache::read(&self.path).ok()?;
        let mut words = text.split_whitespace().map(str::to_owned);
        let mut next = || words.next();
        Some(SlotRecord { url: next()?, run_id: next()?, secret: next()?, password_changes: next()?.parse().ok()? })
    }

    /// Stores a server for the next process.
    pub(super) fn store(&self, record: &SlotRecord) {
        let SlotRecord { url, run_id, secret, password_changes } = record;
        // A process that can't read the record starts a server: slower, not wrong.
        let _ = cache::write_private(&self.path, &format!("{url} {run_id} {secret} {password_changes}"));
    }

    /// Removes the server: the next process starts one.
    pub(super) fn clear(&self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Connects to the started server at `url` as its control user, and returns its INFO.
///
/// # Errors
///
/// Returns an error if the server does not answer, or does not accept the secret.
pub(super) fn connect(url: &str, secret: &str, within: Duration) -> RedisResult<(Connection, InfoDict)> {
    let info = url.into_connection_info()?;
    let user = info.redis_settings().clone().set_username(CONTROL_USER).set_password(secret);
    let client = Client::open(info.set_redis_settings(user))?;
    retry_if_interrupted(|| {
        let mut connection = client.get_connection_with_timeout(within)?;
        connection.set_read_timeout(Some(within))?;
        let info = cmd("INFO").arg("server").query(&mut connection)?;
        Ok((connection, info))
    })
}
