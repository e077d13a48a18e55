//! The names of our connections, and of those that we open for a test, in the server's CLIENT LIST.

use std::process;

/// The prefix of all names.
const PREFIX: &str = "transient-fixtures:";

/// The prefixes of the connection that holds a shared server, and of those that wait for it.
pub(crate) const HOLDER: &str = "transient-fixtures:lease:";
pub(crate) const WAITER: &str = "transient-fixtures:waits:";

/// Returns `transient-fixtures:lease:PID:crate::module::test`, or the same for a waiter.
pub(crate) fn lease_name(prefix: &str, test: &str) -> String {
    format!("{prefix}{}:{}", process::id(), legal(test))
}

/// Returns `transient-fixtures:PID:crate::module::test`.
pub(crate) fn client_name(test: &str) -> String {
    format!("{PREFIX}{}:{}", process::id(), legal(test))
}

/// Returns a field of a line of CLIENT LIST: `id=7 addr=127.0.0.1:5 … name=… …`.
pub(crate) fn client_field<'list>(line: &'list str, name: &str) -> Option<&'list str> {
    line.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
}

/// Replaces characters that a client name can't have: spaces and control characters.
fn legal(test: &str) -> String {
    if test.bytes().all(|byte| byte.is_ascii_graphic()) {
        return test.to_owned();
    }
    test.replace(|character: char| !character.is_ascii_graphic(), "_")
}
