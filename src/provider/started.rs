//! A server that we started, as a provider hands it to a lease.

use redis::Connection;

use super::Server;

/// A server that we started, or one of ours that another process has left.
pub(crate) struct Started {
    pub(crate) server: Server,
    /// Our own connection, as the control user.
    pub(crate) control: Connection,
    pub(crate) owner: Box<dyn Owner>,
    /// The password that its first lease has; `None` where `redis.password = none`.
    pub(crate) password: Option<String>,
    /// For a server that another process has left: how often its password was changed before.
    pub(crate) earlier_password_changes: Option<u64>,
}

/// What ends a server: by being dropped, or when this process is gone.
pub(crate) trait Owner: Send {
    /// Told when a test gets the server, and when one has passed. With `TRANSIENT_KEEP`, a server whose test did not
    /// pass outlives its owner.
    fn leased(&mut self, leased: bool);

    /// Told before the server's password is changed for the `count`-th time.
    fn password_changes(&mut self, _count: u64) {}

    /// Whether the processes of this test run share the server.
    fn is_shared(&self) -> bool {
        false
    }
}
