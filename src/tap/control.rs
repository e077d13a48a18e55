//! The connection with which rules change a server's data. It bypasses the tap.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use redis::{Connection, Pipeline, RedisResult};

use crate::error::Error;
use crate::lease::{Database, Lease};
use crate::redis_io::select_each;
use crate::report;
use crate::settings::Provider;
use crate::sync::{lock, poll_until};

/// How long keys with a TTL of one millisecond may take to expire.
const EXPIRED_WITHIN: Duration = Duration::from_secs(1);

/// Gives matching keys that have a TTL a TTL of one millisecond, and returns them.
const EXPIRE: &str = "local keys = {} \
    for _, key in ipairs(redis.call('KEYS', ARGV[1])) do \
        if redis.call('PTTL', key) >= 0 then redis.call('PEXPIRE', key, 1) keys[#keys + 1] = key end \
    end \
    return keys";

/// A connection to the server, used only while the lease is held.
pub(crate) struct Control {
    /// `None` once the lease has ended.
    connection: Mutex<Option<Connection>>,
    is_held: Arc<AtomicBool>,
    databases: [u32; 2],
    is_shared: bool,
}

impl Control {
    /// # Errors
    ///
    /// Returns an error that [`is_server`](Error::is_server) if the server is gone.
    pub(crate) fn of(lease: &Lease) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Self {
            connection: Mutex::new(Some(lease.connect(Database::Sessions)?)),
            is_held: lease.held_flag(),
            databases: lease.databases(),
            is_shared: is_shared(lease),
        }))
    }

    /// Whether the server still answers. A client can close other clients' connections.
    pub(crate) fn is_open(&self) -> bool {
        lock(&self.connection).as_mut().is_some_and(|connection| redis::cmd("PING").exec(connection).is_ok())
    }

    pub(super) fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Executes commands in both test databases.
    pub(super) fn execute(&self, in_each: impl FnMut(&mut Pipeline)) {
        self.ask(|connection| select_each(self.databases, in_each).exec(connection));
    }

    /// Makes the keys that match this pattern and have a TTL expire.
    ///
    /// They really do, so that clients get the event. A TTL in the past would be a deletion.
    pub(super) fn expire(&self, pattern: &str) {
        self.ask(|connection| {
            let script = |commands: &mut Pipeline| _ = commands.cmd("EVAL").arg(EXPIRE).arg(0).arg(pattern);
            let found: Vec<Vec<Vec<u8>>> = select_each(self.databases, script).query(connection)?;
            if found.iter().all(Vec::is_empty) {
                return Ok(());
            }
            // Asking for a key whose TTL has ended removes it, which publishes the event.
            let mut found = found.iter().cycle();
            let exist = select_each(self.databases, |commands| {
                let keys = found.next().filter(|keys| !keys.is_empty());
                commands.cmd("EXISTS").arg(keys.map_or(&[Vec::new()][..], |keys| keys));
            });
            let are_gone = || match exist.query::<Vec<u64>>(connection) {
                Ok(counts) => counts.iter().all(|count| *count == 0).then_some(Ok(())),
                Err(error) => Some(Err(error)),
            };
            poll_until(Instant::now() + EXPIRED_WITHIN, Duration::from_millis(1), are_gone).unwrap_or(Ok(()))
        });
    }

    /// Empties both test databases, and removes scripts and functions.
    pub(super) fn forget_all(&self) {
        self.execute(|commands| _ = commands.cmd("FLUSHDB").ignore());
        self.ask(|connection| redis::cmd("SCRIPT").arg("FLUSH").exec(connection));
        if let Some(connection) = lock(&self.connection).as_mut() {
            // Redis before 7 has neither functions nor this command.
            let _: RedisResult<()> = redis::cmd("FUNCTION").arg("FLUSH").exec(connection);
        }
    }

    /// Warns if the server refuses: the fault is then missing. If the server is gone, the forwarded command fails too.
    fn ask(&self, question: impl FnOnce(&mut Connection) -> RedisResult<()>) {
        if !self.is_held.load(Ordering::Relaxed) {
            return;
        }
        let mut connection = lock(&self.connection);
        if let Some(Err(error)) = connection.as_mut().map(question)
            && !error.is_io_error()
        {
            report::print(&report::warning(&report::tap::rule_refused(&error)));
        }
    }

    pub(super) fn close(&self) {
        lock(&self.connection).take();
    }
}

/// Returns whether other programs can use the lease's server.
pub(crate) fn is_shared(lease: &Lease) -> bool {
    lease.server.provider() == Provider::Running
}
