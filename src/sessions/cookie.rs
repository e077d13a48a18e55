//! Writes and reads the session's cookies, as `Cookie:` and as `Set-Cookie:`.

use std::time::{Duration, SystemTime};

use ::cookie::Cookie;

use super::format::SessionFormat;
use crate::settings::{SameSite, Settings};

/// A cookie that a framework sets for a session.
///
/// More attributes can be added. Create one with [`new`](Self::new) or [`from_settings`](Self::from_settings), and set
/// the fields.
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
    /// The name.
    pub name: String,
    /// The value, not encoded.
    pub value: String,
    /// `Path`: the URL path that the cookie is sent to.
    pub path: Option<String>,
    /// `Domain`: the hosts that the cookie is sent to. `None` means only the host that set it.
    pub domain: Option<String>,
    /// `Secure`: whether the cookie is sent over HTTPS only.
    pub secure: bool,
    /// `HttpOnly`: whether scripts can't read the cookie.
    pub http_only: bool,
    /// `SameSite`: whether the cookie is sent with requests from other sites.
    pub same_site: Option<SameSite>,
    /// `Max-Age`: how long a browser keeps the cookie, in whole seconds.
    pub max_age: Option<Duration>,
    /// `Expires`: when a browser deletes the cookie.
    pub expires: Option<SystemTime>,
}

impl SessionCookie {
    /// Creates a cookie for the path `/`, without other attributes.
    ///
    /// ```
    /// let cookie = transient_fixtures::SessionCookie::new("theme", "dark");
    /// assert_eq!((&*cookie.name, &*cookie.value, cookie.path.as_deref()), ("theme", "dark", Some("/")));
    /// ```
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

    /// Creates a cookie with the attributes of the settings (`redis.sessions.cookie_*`).
    ///
    /// ```
    /// use transient_fixtures::{SessionCookie, TestRequest};
    ///
    /// let test_request = TestRequest::new();
    /// let cookie = SessionCookie::from_settings("theme", "dark", test_request.settings());
    /// assert_eq!(cookie.http_only, test_request.settings().cookie_http_only());
    /// ```
    #[must_use]
    pub fn from_settings(name: impl Into<String>, value: impl Into<String>, settings: &Settings) -> Self {
        Self {
            path: Some(settings.cookie_path().to_owned()).filter(|path| !path.is_empty()),
            domain: settings.cookie_domain().map(str::to_owned),
            secure: settings.cookie_secure(),
            http_only: settings.cookie_http_only(),
            same_site: settings.cookie_same_site(),
            max_age: settings.cookie_max_age(),
            ..Self::new(name, value)
        }
    }

    /// The value of a `Set-Cookie:` header.
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
        if let Some(expires) = self.expires {
            cookie.set_expires(::cookie::time::OffsetDateTime::from(expires));
        }
        as_sent(&cookie)
    }
}

/// The value of a `Cookie:` header.
pub(super) fn header(cookies: &[SessionCookie]) -> String {
    let pairs: Vec<_> = cookies.iter().map(|cookie| as_sent(&Cookie::new(&*cookie.name, &*cookie.value))).collect();
    pairs.join("; ")
}

/// Percent-encodes a value only if a cookie can't hold it (RFC 6265, section 4.1.1): not every application decodes.
fn as_sent(cookie: &Cookie<'_>) -> String {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"%,;\\".contains(&byte);
    if cookie.value().bytes().all(plain) { cookie.to_string() } else { cookie.encoded().to_string() }
}

/// The effect of a `Set-Cookie:` value on the session.
pub(super) enum Received {
    /// None: it is another cookie.
    Other,
    /// The cookie is removed.
    Removed,
    /// The id of the session.
    Session(String),
    /// The framework would reject the cookie.
    Tampered,
    /// It is not a cookie.
    Malformed(::cookie::ParseError),
}

pub(super) fn receive(format: &dyn SessionFormat, value: &str) -> Received {
    let cookie = match Cookie::parse_encoded(value.trim()) {
        Ok(cookie) => cookie,
        Err(error) => return Received::Malformed(error),
    };
    let is_past = |time: ::cookie::time::OffsetDateTime| time <= ::cookie::time::OffsetDateTime::now_utc();
    if cookie.name() != format.cookie_name() {
        Received::Other
    } else if cookie.value().is_empty()
        || cookie.max_age().is_some_and(|age| !age.is_positive())
        || (cookie.max_age().is_none() && cookie.expires_datetime().is_some_and(is_past))
    {
        Received::Removed
    } else {
        format.id_in_cookie(cookie.value()).map_or(Received::Tampered, Received::Session)
    }
}

/// The session id in a `Cookie:` value, if the framework would accept it.
pub(super) fn id_in_header(format: &dyn SessionFormat, value: &str) -> Option<String> {
    let cookies = Cookie::split_parse_encoded(value).filter_map(Result::ok);
    let mut ours = cookies.filter(|cookie| cookie.name() == format.cookie_name());
    ours.find_map(|cookie| format.id_in_cookie(cookie.value())).filter(|id| !id.is_empty())
}
