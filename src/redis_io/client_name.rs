//! The names that our connections, and those that we open for a test, have in the server's CLIENT LIST.

use std::process;

/// What every name starts with.
const PREFIX: &str = "transient-fixtures:";

/// What the names start with by which leases on a shared server exclude each other.
pub(crate) fn lease_prefix() -> String {
    format!("{PREFIX}lease:")
}

/// `transient-fixtures:lease:PID:crate::module::test`: the connection that has, or waits for, a shared server.
pub(crate) fn lease_name(test: &str) -> String {
    format!("{}{}:{}", lease_prefix(), process::id(), legal(test))
}

/// `transient-fixtures:PID:crate::module::test`.
pub(crate) fn client_name(test: &str) -> String {
    format!("{PREFIX}{}:{}", process::id(), legal(test))
}

/// A client name has no spaces and no control characters.
fn legal(test: &str) -> String {
    if test.bytes().all(|byte| byte.is_ascii_graphic()) {
        return test.to_owned();
    }
    test.replace(|character: char| !character.is_ascii_graphic(), "_")
}
