//! The sessions of actix-session, as its Redis store keeps them.

use std::error::Error;
use std::fmt;

use ::cookie::{Cookie, CookieJar, Key};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::cookie::SessionCookie;
use super::format::{SessionData, SessionFormat, StoredSession};
use super::values::{from_texts, to_texts};
use crate::settings::{SameSite, Settings};

/// The sessions of actix-session 0.11, as its `RedisSessionStore` keeps them: a JSON object of JSON texts, and a cookie
/// that is encrypted or signed with the application's key. Feature `actix-session`.
///
/// ```
/// use transient_fixtures::{ActixSession, Error, TestRequest};
///
/// # fn main() -> Result<(), Error> {
/// // In the application: SessionMiddleware::new(store, Key::from(&KEY))
/// const KEY: [u8; 64] = [7; 64];
///
/// let visitor = TestRequest::clean().visitor_of(ActixSession::encrypted(KEY));
/// visitor.log_in("asa")?;
/// assert_eq!(visitor.session().get::<String>("actix_identity.user_id")?.as_deref(), Some("asa"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ActixSession {
    cookie_name: String,
    prefix: String,
    key: Key,
    encrypted: bool,
}

impl ActixSession {
    /// With the cookie `id`, encrypted with that key: the library's default (`CookieContentSecurity::Private`).
    #[must_use]
    pub fn encrypted(key: [u8; 64]) -> Self {
        Self { cookie_name: "id".to_owned(), prefix: String::new(), key: Key::from(&key), encrypted: true }
    }

    /// With a cookie that is signed only (`CookieContentSecurity::Signed`).
    #[must_use]
    pub fn signed(key: [u8; 64]) -> Self {
        Self { encrypted: false, ..Self::encrypted(key) }
    }

    /// With the name that the application gives to `cookie_name`.
    #[must_use]
    pub fn with_cookie_name(mut self, name: impl Into<String>) -> Self {
        self.cookie_name = name.into();
        self
    }

    /// With what the application's `cache_keygen` puts before the id.
    #[must_use]
    pub fn with_key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }
}

/// Without the key.
impl fmt::Debug for ActixSession {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ActixSession").field("cookie_name", &self.cookie_name).finish_non_exhaustive()
    }
}

impl SessionFormat for ActixSession {
    fn new_id(&self, random: [u8; 48]) -> String {
        // 64 letters and digits, as the library's; those of Base64 that are neither are replaced.
        BASE64_URL_SAFE_NO_PAD.encode(random).replace('-', "A").replace('_', "B")
    }

    fn key(&self, id: &str) -> String {
        format!("{}{id}", self.prefix)
    }

    fn encode(&self, session: &StoredSession) -> Result<SessionData, Box<dyn Error + Send + Sync>> {
        Ok(to_texts(&session.values)?.into())
    }

    fn decode(&self, data: &SessionData, session: &mut StoredSession) -> Result<(), Box<dyn Error + Send + Sync>> {
        session.values = from_texts(data.bytes())?;
        Ok(())
    }

    /// As the library sets it, unless its builder is told otherwise.
    fn cookies(&self, id: &str, settings: &Settings) -> Vec<SessionCookie> {
        let mut cookie = SessionCookie::new(&self.cookie_name, self.cookie_value(id));
        (cookie.secure, cookie.http_only, cookie.same_site) = (true, true, Some(SameSite::Lax));
        cookie.max_age = settings.cookie_max_age();
        vec![cookie]
    }

    fn cookie_name(&self) -> &str {
        &self.cookie_name
    }

    fn cookie_value(&self, id: &str) -> String {
        let mut jar = CookieJar::new();
        let cookie = Cookie::new(self.cookie_name.clone(), id.to_owned());
        if self.encrypted {
            jar.private_mut(&self.key).add(cookie);
        } else {
            jar.signed_mut(&self.key).add(cookie);
        }
        jar.get(&self.cookie_name).map(|cookie| cookie.value().to_owned()).unwrap_or_default()
    }

    fn id_in_cookie(&self, value: &str) -> Option<String> {
        let jar = CookieJar::new();
        let cookie = Cookie::new(self.cookie_name.clone(), value.to_owned());
        let cookie =
            if self.encrypted { jar.private(&self.key).decrypt(cookie) } else { jar.signed(&self.key).verify(cookie) };
        cookie.map(|cookie| cookie.value().to_owned())
    }

    /// Of actix-identity, which keeps it in the session.
    fn user_key(&self) -> &'static str {
        "actix_identity.user_id"
    }
}
