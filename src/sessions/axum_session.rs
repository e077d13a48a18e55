//! The sessions of `axum_session`, as its Redis pool writes them.

use std::error::Error;
use std::time::{Duration, SystemTime};

use super::cookie::SessionCookie;
use super::format::{SessionData, SessionFormat, StoredSession};
use super::values::{SessionValues, from_texts, to_texts};
use crate::hex;
use crate::settings::{SameSite, Settings};

/// The default lifetime of the library's cookies.
const HUNDRED_DAYS: Duration = Duration::from_secs(100 * 24 * 60 * 60);

/// The sessions of `axum_session` 0.20, as `axum_session_redispool` 0.11 writes them.
///
/// A session is a JSON object in the key `sessions:ID`, and its values are JSON texts. If the application asks visitors
/// for consent, there is a second cookie ([`opt_in`](Self::opt_in)).
///
/// The library caches sessions in memory for an hour, where it does not see the writes of a test. Configure the
/// application under test with `with_memory_lifetime(Duration::zero())`. Signed cookies (`with_key`) and encrypted
/// sessions (`with_database_key`) are not supported.
///
/// ```
/// use transient_fixtures::{AxumSession, Error, TestRequest};
///
/// # fn main() -> Result<(), Error> {
/// let visitor = TestRequest::clean().visitor_with_format(AxumSession::new().opt_in());
/// visitor.session().set("cart", ["brand-1"])?;
/// assert!(visitor.session().key().starts_with("sessions:"));
/// assert_eq!(visitor.cookie(), format!("session={}; store=true", visitor.session().id()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct AxumSession {
    table: String,
    cookie_name: String,
    store_name: Option<String>,
}

impl AxumSession {
    /// Creates the format with the table `sessions` and the cookie `session`, the library's defaults.
    ///
    /// ```
    /// use transient_fixtures::{AxumSession, SessionFormat};
    ///
    /// assert_eq!(AxumSession::new().key("an-id"), "sessions:an-id");
    /// assert_eq!(AxumSession::new().cookie_name(), "session");
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self { table: "sessions".to_owned(), cookie_name: "session".to_owned(), store_name: None }
    }

    /// Sets the name of the table, as `with_table_name` of the application's configuration does. The key is the bare id
    /// if it is empty.
    ///
    /// ```
    /// use transient_fixtures::{AxumSession, TestRequest};
    ///
    /// let format = AxumSession::new().with_table_name("shop");
    /// assert!(TestRequest::clean().visitor_with_format(format).session().key().starts_with("shop:"));
    /// ```
    #[must_use]
    pub fn with_table_name(mut self, name: impl Into<String>) -> Self {
        self.table = name.into();
        self
    }

    /// Sets the name of the cookie, as `with_session_name` of the application's configuration does.
    ///
    /// ```
    /// use transient_fixtures::{AxumSession, TestRequest};
    ///
    /// let format = AxumSession::new().with_cookie_name("sid");
    /// assert!(TestRequest::clean().visitor_with_format(format).cookie().starts_with("sid="));
    /// ```
    #[must_use]
    pub fn with_cookie_name(mut self, name: impl Into<String>) -> Self {
        self.cookie_name = name.into();
        self
    }

    /// Adds the cookie `store`, with which a visitor has given consent. For the modes `SessionMode::OptIn` and
    /// `Manual`.
    ///
    /// ```
    /// use transient_fixtures::{AxumSession, TestRequest};
    ///
    /// let visitor = TestRequest::clean().visitor_with_format(AxumSession::new().opt_in());
    /// assert!(visitor.cookie().ends_with("; store=true"));
    /// ```
    #[must_use]
    pub fn opt_in(self) -> Self {
        self.opt_in_with("store")
    }

    /// Adds the consent cookie under another name, as `with_store_name` of the application's configuration does.
    ///
    /// ```
    /// use transient_fixtures::{AxumSession, TestRequest};
    ///
    /// let visitor = TestRequest::clean().visitor_with_format(AxumSession::new().opt_in_with("consent"));
    /// assert!(visitor.cookie().ends_with("; consent=true"));
    /// ```
    #[must_use]
    pub fn opt_in_with(mut self, name: impl Into<String>) -> Self {
        self.store_name = Some(name.into());
        self
    }
}

impl Default for AxumSession {
    fn default() -> Self {
        Self::new()
    }
}

impl SessionFormat for AxumSession {
    /// A UUID of version 4.
    fn new_id(&self, random: &[u8]) -> String {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&random[..16]);
        hex::uuid(bytes)
    }

    fn key(&self, id: &str) -> String {
        if self.table.is_empty() { id.to_owned() } else { format!("{}:{id}", self.table) }
    }

    fn encode(&self, session: &StoredSession) -> Result<SessionData, Box<dyn Error + Send + Sync>> {
        let mut whole = match &session.original {
            Some(data) => SessionValues::from_json(data.bytes())?,
            None => SessionValues::from_json(br#"{"data":{},"longterm":false}"#)?,
        };
        whole.set("data", to_texts(&session.values)?);
        Ok(whole.to_json().into())
    }

    fn decode(
        &self,
        data: &SessionData,
        mut session: StoredSession,
    ) -> Result<StoredSession, Box<dyn Error + Send + Sync>> {
        let whole = SessionValues::from_json(data.bytes())?;
        session.values = from_texts(whole.get("data").ok_or("it has no values (data)")?)?;
        Ok(session)
    }

    fn cookie_name(&self) -> &str {
        &self.cookie_name
    }

    /// The defaults of the library's configuration.
    fn cookies(&self, id: &str, _: &Settings) -> Vec<SessionCookie> {
        let cookie = |name: &str, value: &str| {
            let mut cookie = SessionCookie::new(name, value);
            (cookie.http_only, cookie.same_site) = (true, Some(SameSite::Lax));
            cookie.expires = SystemTime::now().checked_add(HUNDRED_DAYS);
            cookie
        };
        let store = self.store_name.as_deref().map(|name| cookie(name, "true"));
        [cookie(&self.cookie_name, id)].into_iter().chain(store).collect()
    }
}
