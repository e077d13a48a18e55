//! The sessions of actix-session, as its Redis store writes them.

use std::error::Error;
use std::fmt;

use ::cookie::{Cookie, CookieJar, Key};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::cookie::SessionCookie;
use super::format::{SessionData, SessionFormat, StoredSession};
use super::values::{from_texts, to_texts};
use crate::settings::{SameSite, Settings};

/// The sessions of actix-session 0.11, as its `RedisSessionStore` writes them. Feature `actix-session`.
///
/// A session is a JSON object whose values are JSON texts. The cookie is encrypted or signed with the application's
/// key.
///
/// ```
/// use transient_fixtures::{ActixSession, Error, TestRequest};
///
/// # fn main() -> Result<(), Error> {
/// // In the application: SessionMiddleware::new(store, Key::from(&KEY))
/// const KEY: [u8; 64] = [7; 64];
///
/// let visitor = TestRequest::clean().visitor_with_format(ActixSession::encrypted(KEY));
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
    /// Creates the format with the cookie `id`, encrypted with that key: the library's default
    /// (`CookieContentSecurity::Private`).
    ///
    /// ```
    /// use transient_fixtures::{ActixSession, SessionFormat};
    ///
    /// let format = ActixSession::encrypted([7; 64]);
    /// let value = format.cookie_value("an-id");
    /// assert_eq!(format.id_in_cookie(&value).as_deref(), Some("an-id"));
    /// ```
    #[must_use]
    pub fn encrypted(key: [u8; 64]) -> Self {
        Self { cookie_name: "id".to_owned(), prefix: String::new(), key: Key::from(&key), encrypted: true }
    }

    /// Creates the format with a cookie that is signed but not encrypted (`CookieContentSecurity::Signed`).
    ///
    /// ```
    /// use transient_fixtures::{ActixSession, TestRequest};
    ///
    /// let visitor = TestRequest::clean().visitor_with_format(ActixSession::signed([7; 64]));
    /// assert!(visitor.cookie().ends_with(&visitor.session().id()));
    /// ```
    #[must_use]
    pub fn signed(key: [u8; 64]) -> Self {
        Self { encrypted: false, ..Self::encrypted(key) }
    }

    /// Sets the name of the cookie, as `cookie_name` of the application's builder does.
    ///
    /// ```
    /// use transient_fixtures::{ActixSession, TestRequest};
    ///
    /// let format = ActixSession::encrypted([7; 64]).with_cookie_name("sid");
    /// assert!(TestRequest::clean().visitor_with_format(format).cookie().starts_with("sid="));
    /// ```
    #[must_use]
    pub fn with_cookie_name(mut self, name: impl Into<String>) -> Self {
        self.cookie_name = name.into();
        self
    }

    /// Sets the prefix that the application's `cache_keygen` puts before the id.
    ///
    /// ```
    /// use transient_fixtures::{ActixSession, TestRequest};
    ///
    /// let format = ActixSession::encrypted([7; 64]).with_key_prefix("shop:");
    /// assert!(TestRequest::clean().visitor_with_format(format).session().key().starts_with("shop:"));
    /// ```
    #[must_use]
    pub fn with_key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }
}

/// Omits the key.
impl fmt::Debug for ActixSession {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ActixSession").field("cookie_name", &self.cookie_name).finish_non_exhaustive()
    }
}

impl SessionFormat for ActixSession {
    fn new_id(&self, random: &[u8]) -> String {
        // The library's ids are 64 letters and digits, so replace the two other characters of Base64.
        BASE64_URL_SAFE_NO_PAD.encode(&random[..48]).replace('-', "A").replace('_', "B")
    }

    fn key(&self, id: &str) -> String {
        format!("{}{id}", self.prefix)
    }

    fn encode(&self, session: &StoredSession) -> Result<SessionData, Box<dyn Error + Send + Sync>> {
        Ok(to_texts(&session.values)?.into())
    }

    fn decode(
        &self,
        data: &SessionData,
        mut session: StoredSession,
    ) -> Result<StoredSession, Box<dyn Error + Send + Sync>> {
        session.values = from_texts(data.bytes())?;
        Ok(session)
    }

    /// The defaults of the library's builder.
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

    /// The name that actix-identity uses.
    fn user_key(&self) -> &'static str {
        "actix_identity.user_id"
    }
}
