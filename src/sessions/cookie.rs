//! The session's cookies: as a server sets them, as a browser sends them, and back.

use std::time::{Duration, SystemTime};

use ::cookie::Cookie;

use super::format::SessionFormat;
use crate::settings::{SameSite, Settings};

/// A cookie that a framework sets for a session.
///
/// ```
/// use transient_fixtures::{SameSite, SessionCookie};
///
/// let mut cookie = SessionCookie::new("theme", "dark");
/// cookie.same_site = Some(SameSite::Lax);
/// assert_eq!(cookie.path.as_deref(), Some("/"));
/// assert!(!cookie.secure && !cookie.http_only && cookie.max_age.is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionCookie {
    /// Its name.
    pub name: String,
    /// What it says.
    pub value: String,
    /// The path that it is for.
    pub path: Option<String>,
    /// The domain that it is for; `None` is the host that sets it.
    pub domain: Option<String>,
    /// Whether it is for HTTPS only.
    pub secure: bool,
    /// Whether it is hidden from scripts.
    pub http_only: bool,
    /// With which requests of other sites it is sent.
    pub same_site: Option<SameSite>,
    /// How long a browser keeps it (`Max-Age`).
    pub max_age: Option<Duration>,
    /// Until when a browser keeps it (`Expires`).
    pub expires: Option<SystemTime>,
}

impl SessionCookie {
    /// For the path `/`, and without other attributes.
    #[must_use]
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
            path: Some("/".to_owned()),
            domain: None,
            secure: false,
            http_only: false,
            same_site: None,
            max_age: None,
            expires: None,
        }
    }

    /// With the attributes that `redis.sessions.cookie_*` give.
    #[must_use]
    pub fn with_settings(name: impl Into<String>, value: impl Into<String>, settings: &Settings) -> Self {
        Self {
            path: Some(settings.cookie_path().to_owned()).filter(|path| !path.is_empty()),
            domain: settings.cookie_domain().map(str::to_owned),
            secure: settings.cookie_secure(),
            http_only: settings.cookie_httponly(),
            same_site: settings.cookie_same_site(),
            max_age: settings.cookie_max_age(),
            ..Self::new(name, value)
        }
    }

    /// The line behind `Set-Cookie:`.
    pub(super) fn set_cookie(&self) -> String {
        let mut cookie = Cookie::new(&*self.name, &*self.value);
        cookie.set_secure(self.secure);
        cookie.set_http_only(self.http_only);
        cookie.set_same_site(self.same_site.map(|same_site| match same_site {
            SameSite::Strict => ::cookie::SameSite::Strict,
            SameSite::Lax => ::cookie::SameSite::Lax,
            SameSite::None => ::cookie::SameSite::None,
        }));
        if let Some(path) = &self.path {
            cookie.set_path(&**path);
        }
        if let Some(domain) = &self.domain {
            cookie.set_domain(&**domain);
        }
        if let Some(age) = self.max_age {
            cookie.set_max_age(::cookie::time::Duration::seconds(age.as_secs().try_into().unwrap_or(i64::MAX)));
        }
        if let Some(end) = self.expires {
            cookie.set_expires(::cookie::time::OffsetDateTime::from(end));
        }
        as_sent(&cookie)
    }
}

/// The line behind `Cookie:`.
pub(super) fn header(cookies: &[SessionCookie]) -> String {
    let pairs: Vec<_> = cookies.iter().map(|cookie| as_sent(&Cookie::new(&*cookie.name, &*cookie.value))).collect();
    pairs.join("; ")
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
