//! The session's cookie: as a server sets it, as a browser sends it, and back.

use ::cookie::{Cookie, CookieBuilder};

use super::format::SessionFormat;
use crate::settings::Settings;

/// The line behind `Set-Cookie:`.
pub(super) fn set_cookie(format: &dyn SessionFormat, id: &str, settings: &Settings) -> String {
    let mut cookie: CookieBuilder<'_> = Cookie::build((format.cookie_name(), format.cookie_value(id)))
        .path("/")
        .secure(settings.cookie_secure())
        .http_only(settings.cookie_httponly());
    if let Some(max_age) = settings.cookie_max_age() {
        cookie = cookie.max_age(::cookie::time::Duration::seconds(max_age.as_secs().try_into().unwrap_or(i64::MAX)));
    }
    as_sent(&cookie.build())
}

/// The line behind `Cookie:`.
pub(super) fn header(format: &dyn SessionFormat, id: &str) -> String {
    as_sent(&Cookie::new(format.cookie_name(), format.cookie_value(id)))
}

/// Encoded only where a cookie can't hold it as it is (RFC 6265, section 4.1.1): not every application decodes.
fn as_sent(cookie: &Cookie<'_>) -> String {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"%,;\\".contains(&byte);
    if cookie.value().bytes().all(plain) { cookie.to_string() } else { cookie.encoded().to_string() }
}

/// What a `Set-Cookie:` line says of the session.
pub(super) enum Received {
    /// It is another cookie.
    Other,
    /// The server takes the cookie away.
    Removed,
    /// The id.
    Session(String),
    /// The framework would not accept it.
    Tampered,
    /// It is no cookie.
    Malformed(::cookie::ParseError),
}

pub(super) fn receive(format: &dyn SessionFormat, line: &str) -> Received {
    let cookie = match Cookie::parse_encoded(line.trim()) {
        Ok(cookie) => cookie,
        Err(error) => return Received::Malformed(error),
    };
    let past = |end: ::cookie::time::OffsetDateTime| end <= ::cookie::time::OffsetDateTime::now_utc();
    if cookie.name() != format.cookie_name() {
        Received::Other
    } else if cookie.value().is_empty()
        || cookie.max_age().is_some_and(|age| !age.is_positive())
        || (cookie.max_age().is_none() && cookie.expires_datetime().is_some_and(past))
    {
        Received::Removed
    } else {
        format.id_in_cookie(cookie.value()).map_or(Received::Tampered, Received::Session)
    }
}

/// The id that a `Cookie:` line names, if the framework would accept it.
pub(super) fn id_in_header(format: &dyn SessionFormat, line: &str) -> Option<String> {
    let cookies = Cookie::split_parse_encoded(line).filter_map(Result::ok);
    let mut ours = cookies.filter(|cookie| cookie.name() == format.cookie_name());
    ours.find_map(|cookie| format.id_in_cookie(cookie.value())).filter(|id| !id.is_empty())
}
