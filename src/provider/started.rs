//! A server that we started, as a provider passes it to a lease.

use redis::Connection;

use super::Server;

/// A new server, or one of ours that another process has left.
pub(crate) struct Started {
    pub(crate) server: Server,
    /// Our own connection, as the control user.
    pub(crate) control: Connection,
    pub(crate) owner: Box<dyn Owner>,
    /// The password of the first lease; `None` with `redis.password = none`.
    pub(crate) password: Option<String>,
    /// How often the password was changed before, if another process has left the server.
    pub(crate) earlier_password_changes: Option<u64>,
}

/// Ends a server when it is dropped, or when this process is gone.
pub(crate) trait Owner: Send {
    /// Called when a test gets the server, and when it has passed. With `TRANSIENT_KEEP`, a server whose test did not
    /// pass outlives its owner.
    fn leased(&mut self, leased: bool);

    /// Called before the server's password is changed for the `count`-th time.
    fn password_changes(&mut self, _count: u64) {}

    /// Returns whether the processes of this test run share the server.
    fn is_shared(&self) -> bool {
        false
    }
}
