//! Text about sessions.

use std::fmt::{Debug, Display};

/// The longest value that a report shows, in characters.
const SHOWN: usize = 200;

pub(crate) fn shown(value: &dyn Display) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{}… ({} bytes)", &text[..cut], text.len()),
        None => text,
    }
}

/// `stored`: cut by [`shown`]. The source describes the difference.
pub(crate) fn wrong_type(name: &str, expected: &str, stored: &str) -> String {
    format!("the session value {name:?} can't be read as {expected}: found {stored}. Read it as the type that was set")
}

/// The source has the reason.
pub(crate) fn no_json(name: &str) -> String {
    format!("the session value {name:?} can't be serialized as JSON. Set a value that can")
}

/// The source has the reason.
pub(crate) fn unreadable(key: &str, format: &dyn Debug) -> String {
    format!(
        "the key {} does not hold a session of {}. Use the application's session format and serializer, or delete the \
         key",
        super::shorten_key(key.as_bytes()),
        name_of(format)
    )
}

/// The source has the reason.
pub(crate) fn not_encoded(key: &str, format: &dyn Debug) -> String {
    format!("{} can't store the session at {}", name_of(format), super::shorten_key(key.as_bytes()))
}

pub(crate) fn tampered(cookie: &str) -> String {
    format!(
        "the cookie {cookie:?} has no signature or a wrong one. Give the session format the secret or key of the \
         application"
    )
}

/// The source has the reason.
pub(crate) fn no_cookie(cookie: &str) -> String {
    format!("invalid Set-Cookie value, expected the cookie {cookie:?}. Pass the text that follows `Set-Cookie:`")
}

#[cfg(feature = "http")]
pub(crate) fn no_request(method: &str, uri: &str, error: &dyn Display) -> String {
    format!("could not build the request {method} {uri}: {error}")
}

/// The name of the type, which `Debug` writes first.
fn name_of(format: &dyn Debug) -> String {
    let text = format!("{format:?}");
    text.split(|character: char| !character.is_alphanumeric()).next().unwrap_or_default().to_owned()
}
