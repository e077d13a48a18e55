//! The secrets of a started server: the control user, which proves that it is ours, and the passwords of leases.

use crate::random;

/// The user on every started server whose password only we know. If it can log in, we have started the server.
pub(crate) const CONTROL_USER: &str = "transient-fixtures";

/// The part of a started server's configuration that must not appear in the process list. The server reads it from
/// standard input.
pub(super) struct Secrets {
    /// The password of the control user.
    pub(super) control: String,
    /// The password of the first lease; `None` with `redis.password = none`.
    pub(super) password: Option<String>,
}

impl Secrets {
    pub(super) fn new(with_password: bool) -> Self {
        Self { control: random::hex(), password: with_password.then(random::hex) }
    }

    /// Returns the lines of `redis.conf`.
    pub(super) fn configuration(&self) -> String {
        let control = format!("user {CONTROL_USER} on >{} ~* &* +@all\n", self.control);
        match &self.password {
            Some(password) => format!("{control}requirepass {password}\n"),
            None => control,
        }
    }
}
