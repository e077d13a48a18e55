//! Keeps passwords out of the record.

use std::sync::Arc;

use crate::tap::arguments::arguments;
use crate::tap::keys;
use crate::tap::record::Reply;

/// Settings whose value is a password.
const SECRET_SETTINGS: [&[u8]; 5] =
    [b"requirepass", b"masterauth", b"primaryauth", b"tls-key-file-pass", b"tls-client-key-file-pass"];

/// Returns true if commands with this name can contain a password.
pub(in crate::tap) fn can_have_secrets(name: &str) -> bool {
    matches!(name, "AUTH" | "HELLO" | "MIGRATE" | "ACL SETUSER" | "CONFIG SET")
}

/// Returns a command without its passwords, as an inline command. Returns `None` if it has none.
pub(in crate::tap) fn without_secrets(name: &str, head: &[u8]) -> Option<Vec<u8>> {
    let has = |secrets: &[&[u8]]| {
        arguments(head).skip(1).any(|word| secrets.iter().any(|secret| word.eq_ignore_ascii_case(secret)))
    };
    match name {
        "HELLO" if has(&[b"AUTH"]) => {}
        "CONFIG SET" if has(&SECRET_SETTINGS) => return Some(hidden(name)),
        "AUTH" | "MIGRATE" | "ACL SETUSER" => return Some(hidden(name)),
        _ => return None,
    }
    // Keep the version and the client's name.
    let words: Vec<_> = arguments(head).collect();
    let mut words = words.as_slice();
    let mut shown = Vec::new();
    while let [word, rest @ ..] = words {
        shown.extend_from_slice(word);
        words = rest;
        if word.eq_ignore_ascii_case(b"AUTH") {
            shown.extend_from_slice(b" *** ***");
            words = rest.get(2..).unwrap_or_default();
        }
        shown.push(b' ');
    }
    Some(shown)
}

/// Returns a command without any of its arguments, as an inline command.
pub(in crate::tap) fn hidden(name: &str) -> Vec<u8> {
    format!("{name} ***").into_bytes()
}

/// Which replies to a command can contain a password.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::tap) enum Hidden {
    #[default]
    Nothing,
    /// An error can quote the command.
    Errors,
    Everything,
}

impl Hidden {
    pub(in crate::tap) fn of(name: &str, head: &[u8]) -> Self {
        let names_secret = |word: &[u8]| {
            let word = word.to_ascii_lowercase();
            // The server's patterns can have classes: `[a-z]`.
            word.contains(&b'[') || SECRET_SETTINGS.iter().any(|setting| keys::matches(&word, setting))
        };
        match name {
            "CONFIG GET" if arguments(head).skip(2).any(names_secret) => Self::Everything,
            "ACL GETUSER" | "ACL LIST" => Self::Everything,
            "ACL SETUSER" | "CONFIG SET" => Self::Errors,
            _ => Self::Nothing,
        }
    }

    /// Returns the bytes that are shown in place of this reply. Returns `None` if the reply itself can be shown.
    pub(in crate::tap) fn instead_of(self, reply: &[u8]) -> Option<Arc<[u8]>> {
        if self == Self::Nothing {
            return None;
        }
        match (self, Reply::read(reply)) {
            (_, Reply::Error(code)) => Some(format!("-{code} ***\r\n").into_bytes().into()),
            (_, Reply::Queued) | (Self::Nothing | Self::Errors, _) => None,
            (Self::Everything, _) => Some(b"+***\r\n"[..].into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_removed_from_commands() {
        for (name, command, shown) in [
            ("AUTH", "AUTH asa hunter2", Some("AUTH ***")),
            ("HELLO", "hello 3 auth asa hunter2 setname shop", Some("hello 3 auth *** *** setname shop ")),
            ("HELLO", "HELLO 3", None),
            ("CONFIG SET", "CONFIG SET maxmemory 0 RequirePass hunter2", Some("CONFIG SET ***")),
            ("CONFIG SET", "CONFIG SET maxmemory 0", None),
            ("ACL SETUSER", "ACL SETUSER asa >hunter2", Some("ACL SETUSER ***")),
            ("GET", "GET auth", None),
        ] {
            let found = without_secrets(name, format!("{command}\r\n").as_bytes());
            assert_eq!(found.as_deref().map(String::from_utf8_lossy).as_deref(), shown, "{command}");
        }
    }

    #[test]
    fn passwords_are_removed_from_replies() {
        let instead = |name: &str, command: &str, reply: &str| {
            let hidden = Hidden::of(name, format!("{command}\r\n").as_bytes());
            hidden.instead_of(reply.as_bytes()).map(|reply| String::from_utf8(reply.to_vec()).unwrap())
        };
        let pair = "*2\r\n$11\r\nrequirepass\r\n$7\r\nhunter2\r\n";
        for pattern in ["requirepass", "*", "REQUIRE*", "[q-s]equirepass", "save masterauth"] {
            let found = instead("CONFIG GET", &format!("CONFIG GET {pattern}"), pair);
            assert_eq!(found.as_deref(), Some("+***\r\n"), "{pattern}");
        }
        assert_eq!(instead("CONFIG GET", "CONFIG GET maxmemory*", "*0\r\n"), None);
        assert_eq!(instead("ACL SETUSER", "ACL SETUSER asa hunter2", "+OK\r\n"), None);
        let error = "-ERR Error in ACL SETUSER modifier 'hunter2': Syntax error\r\n";
        assert_eq!(instead("ACL SETUSER", "ACL SETUSER asa hunter2", error).as_deref(), Some("-ERR ***\r\n"));
        assert_eq!(instead("GET", "GET a", "-WRONGTYPE no\r\n"), None);
    }
}
