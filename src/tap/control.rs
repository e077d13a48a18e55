//! The connection with which rules change a server's data. It bypasses the tap.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use redis::{Connection, Pipeline, RedisResult};

use crate::error::Error;
use crate::lease::{Database, Lease};
use crate::provider::Server;
use crate::redis_io::{expire, keys_with_ttl, select_each};
use crate::report;
use crate::sync::lock;

/// A connection to the server, used only while the lease is held.
pub(crate) struct Control {
    /// `None` once the lease has ended.
    connection: Mutex<Option<Connection>>,
    is_held: Arc<AtomicBool>,
    databases: [u32; 2],
    server: Server,
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
            server: lease.server.clone(),
        }))
    }

    /// Whether the server still answers. A client can close other clients' connections.
    pub(crate) fn is_open(&self) -> bool {
        lock(&self.connection).as_mut().is_some_and(|connection| redis::cmd("PING").exec(connection).is_ok())
    }

    /// Executes commands in both test databases.
    pub(super) fn execute(&self, in_each: impl FnMut(&mut Pipeline)) {
        self.ask(|connection| select_each(self.databases, in_each).exec(connection));
    }

    /// Makes the keys that match this pattern and have a TTL expire.
    pub(super) fn expire(&self, pattern: &str) {
        self.ask(|connection| {
            let keys = keys_with_ttl(connection, self.databases, pattern)?;
            let ttl = self.server.shortest_ttl(connection);
            expire(connection, &keys, ttl)
        });
    }

    /// Empties both test databases.
    pub(super) fn empty(&self) {
        self.execute(|commands| _ = commands.cmd("FLUSHDB").ignore());
    }

    /// Empties both test databases, and removes scripts and functions.
    pub(super) fn forget_all(&self) {
        self.empty();
        self.ask(|connection| {
            redis::cmd("SCRIPT").arg("FLUSH").exec(connection)?;
            // Redis before 7 has neither functions nor this command.
            let _: RedisResult<()> = redis::cmd("FUNCTION").arg("FLUSH").exec(connection);
            Ok(())
        });
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
