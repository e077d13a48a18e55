//! What is said of sessions.

use std::fmt::{Debug, Display};

/// How much of a value a report shows, in characters.
const SHOWN: usize = 200;

pub(crate) fn shown(value: &dyn Display) -> String {
    cut(&value.to_string())
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{}… ({} bytes)", &text[..cut], text.len()),
        None => text.to_owned(),
    }
}

pub(crate) fn wrong_type(name: &str, expected: &str, stored: &str, error: &dyn Display) -> String {
    format!(
        "read {name:?} of the session as {expected}: stored is {stored} ({}); get it as the type that it was set as",
        cut(&error.to_string())
    )
}

pub(crate) fn no_json(name: &str, error: &dyn Display) -> String {
    format!("set {name:?} of the session: the value has no JSON form ({error}); set one that has")
}

pub(crate) fn unreadable(key: &str, format: &dyn Debug, error: &dyn Display) -> String {
    format!(
        "read the session at {}: it is no session of {} ({error}); is the application's format, or its serializer, \
         another one? Or delete the key",
        crate::report::shorten_key(key.as_bytes()),
        name_of(format)
    )
}

pub(crate) fn not_encoded(key: &str, format: &dyn Debug, error: &dyn Display) -> String {
    format!(
        "write the session at {}: {} can't express it ({error}); set other values",
        crate::report::shorten_key(key.as_bytes()),
        name_of(format)
    )
}

pub(crate) fn tampered(cookie: &str) -> String {
    format!(
        "take the cookie {cookie:?}: its signature is wrong, or it is not signed; give the visitor the secret or key \
         that the application has"
    )
}

pub(crate) fn no_cookie(cookie: &str, error: &dyn Display) -> String {
    format!("take the cookie {cookie:?}: the line is no cookie ({error}); hand over what stands behind `Set-Cookie:`")
}

#[cfg(feature = "http")]
pub(crate) fn no_request(method: &str, uri: &str, error: &dyn Display) -> String {
    format!("transient-fixtures failed to make the request {method} {uri}: {error}; correct the method or the URI")
}

/// The type's name: what `Debug` writes first.
fn name_of(format: &dyn Debug) -> String {
    let text = format!("{format:?}");
    text.split(|character: char| !character.is_alphanumeric()).next().unwrap_or_default().to_owned()
}
