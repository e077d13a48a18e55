//! How our connections, and those that we open for a test, call themselves in the server's CLIENT LIST.

use std::process;

/// What every name starts with.
const PREFIX: &str = "transient-fixtures:";

/// `transient-fixtures:PID:crate::module::test`. A client name has no spaces and no control characters.
pub(crate) fn client_name(test: &str) -> String {
    let legal = |byte: u8| byte.is_ascii_graphic();
    if test.bytes().all(legal) {
        return format!("{PREFIX}{}:{test}", process::id());
    }
    let test = test.replace(|character: char| !character.is_ascii_graphic(), "_");
    format!("{PREFIX}{}:{test}", process::id())
}
