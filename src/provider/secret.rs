//! The secrets of an own server: its control user, by which it proves that it is ours, and the passwords of leases.

use crate::random;

/// The user that only we know, on every own server. A server that lets it in with the right secret was started by us.
pub(crate) const CONTROL_USER: &str = "transient-fixtures";

/// The configuration of an own server that must not be seen in the list of processes. It is read from standard input.
pub(super) struct Secrets {
    /// The password of the control user.
    pub(super) control: String,
    /// The first lease's; `None` where `redis.password = none`.
    pub(super) password: Option<String>,
}

impl Secrets {
    pub(super) fn new(with_password: bool) -> Self {
        Self { control: random::hex(), password: with_password.then(random::hex) }
    }

    /// As lines of `redis.conf`.
    pub(super) fn configuration(&self) -> String {
        let control = format!("user {CONTROL_USER} on >{} ~* &* +@all\n", self.control);
        match &self.password {
            Some(password) => format!("{control}requirepass {password}\n"),
            None => control,
        }
    }
}
