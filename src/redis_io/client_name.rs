//! The names that our connections, and those that we open for a test, have in the server's CLIENT LIST.

use std::process;

/// What every name starts with.
const PREFIX: &str = "transient-fixtures:";

/// What the name of the connection starts with that has a shared server, and of those that wait for it.
pub(crate) const HOLDER: &str = "transient-fixtures:lease:";
pub(crate) const WAITER: &str = "transient-fixtures:waits:";

/// `transient-fixtures:lease:PID:crate::module::test`, or that of a waiter.
pub(crate) fn lease_name(prefix: &str, test: &str) -> String {
    format!("{prefix}{}:{}", process::id(), legal(test))
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
