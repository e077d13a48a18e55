//! The secrets of an own server: its control user, by which it proves that it is ours, and the passwords of leases.

use std::fmt::Write as _;

/// The user that only we know, on every own server. A server that lets it in with the right secret was started by us.
pub(crate) const CONTROL_USER: &str = "transient-fixtures";

/// 128 random bits in hexadecimal: nothing in it needs escaping in a URL or a configuration file.
///
/// # Panics
///
/// When the operating system has no random bytes, without which no lease could be kept apart from others.
pub(crate) fn random_hex() -> String {
    let mut bytes = [0; 16];
    if let Err(error) = getrandom::fill(&mut bytes) {
        panic!("{}", crate::report::no_random_bytes(&error));
    }
    bytes.iter().fold(String::with_capacity(32), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The configuration of an own server that must not be seen in the list of processes. It is read from standard input.
pub(super) struct Secrets {
    /// The password of the control user.
    pub(super) control: String,
    /// The first lease's; `None` where `redis.password = none`.
    pub(super) password: Option<String>,
}

impl Secrets {
    pub(super) fn new(with_password: bool) -> Self {
        Self { control: random_hex(), password: with_password.then(random_hex) }
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
