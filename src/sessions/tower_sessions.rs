//! The sessions of tower-sessions, as its Redis store writes them.

use std::error::Error;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::cookie::SessionCookie;
use super::format::{SessionData, SessionFormat, StoredSession};
use crate::settings::{SameSite, Settings};

/// The library's default timeout.
const TWO_WEEKS: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// The sessions of tower-sessions 0.14 (for axum and other tower servers), as tower-sessions-redis-store 0.16 writes
/// them. Feature `tower-sessions`.
///
/// A session is `MessagePack` in the key named by the bare id. It lives for `redis.sessions.timeout` after the test
/// last changed it, or as long as the application has set, whichever is longer. The store has no key prefix. The cookie
/// is not signed: an application that uses `with_signed` or `with_private` rejects it.
///
/// ```
/// use transient_fixtures::{Error, TestRequest, TowerSessions};
///
/// # fn main() -> Result<(), Error> {
/// let visitor = TestRequest::clean().visitor_with_format(TowerSessions::new());
/// visitor.session().set("cart", ["brand-1"])?;
/// assert_eq!(visitor.session().id().len(), 22);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TowerSessions {
    cookie_name: String,
}

impl TowerSessions {
    /// Creates the format with the cookie `id`, the library's default.
    ///
    /// ```
    /// use transient_fixtures::{SessionFormat, TowerSessions};
    ///
    /// assert_eq!(TowerSessions::new().key("an-id"), "an-id");
    /// assert_eq!(TowerSessions::new().cookie_name(), "id");
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self { cookie_name: "id".to_owned() }
    }

    /// Sets the name of the cookie, as `SessionManagerLayer::with_name` does.
    ///
    /// ```
    /// use transient_fixtures::{TestRequest, TowerSessions};
    ///
    /// let format = TowerSessions::new().with_cookie_name("sid");
    /// assert!(TestRequest::clean().visitor_with_format(format).cookie().starts_with("sid="));
    /// ```
    #[must_use]
    pub fn with_cookie_name(mut self, name: impl Into<String>) -> Self {
        self.cookie_name = name.into();
        self
    }
}

impl Default for TowerSessions {
    fn default() -> Self {
        Self::new()
    }
}

/// `tower_sessions_core::session::Record`. The order of the fields matters: `MessagePack` stores no names.
#[derive(Serialize, Deserialize)]
struct Record {
    id: i128,
    data: Map<String, Value>,
    expiry_date: OffsetDateTime,
}

fn expiry(timeout: Duration) -> Option<OffsetDateTime> {
    OffsetDateTime::now_utc().checked_add(timeout.try_into().ok()?)
}

impl SessionFormat for TowerSessions {
    fn new_id(&self, random: &[u8]) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(&random[..16])
    }

    fn encode(&self, session: &StoredSession) -> Result<SessionData, Box<dyn Error + Send + Sync>> {
        let id = BASE64_URL_SAFE_NO_PAD.decode(&session.id)?;
        let id = <[u8; 16]>::try_from(id).map_err(|_| "a tower-sessions id has 16 bytes")?;
        let record = Record {
            id: i128::from_le_bytes(id),
            data: serde_json::from_slice(&session.values.to_json())?,
            expiry_date: expiry(session.timeout.unwrap_or(TWO_WEEKS)).ok_or("it expires after the year 9999")?,
        };
        Ok(rmp_serde::to_vec(&record)?.into())
    }

    fn decode(
        &self,
        data: &SessionData,
        mut session: StoredSession,
    ) -> Result<StoredSession, Box<dyn Error + Send + Sync>> {
        let record: Record = rmp_serde::from_slice(data.bytes())?;
        for (name, value) in record.data {
            session.values.set(&name, value.to_string());
        }
        session.expires = Some(record.expiry_date.into());
        let left = Duration::try_from(record.expiry_date - OffsetDateTime::now_utc()).ok();
        session.timeout = session.timeout.max(left);
        Ok(session)
    }

    fn age(&self, data: &SessionData, by: Duration) -> Option<SessionData> {
        let mut record: Record = rmp_serde::from_slice(data.bytes()).ok()?;
        record.expiry_date = record.expiry_date.checked_sub(by.try_into().ok()?)?;
        rmp_serde::to_vec(&record).ok().map(SessionData::String)
    }

    fn cookie_name(&self) -> &str {
        &self.cookie_name
    }

    /// The defaults of the library's layer.
    fn cookies(&self, id: &str, settings: &Settings) -> Vec<SessionCookie> {
        let mut cookie = SessionCookie::new(&self.cookie_name, self.cookie_value(id));
        (cookie.secure, cookie.http_only, cookie.same_site) = (true, true, Some(SameSite::Strict));
        cookie.max_age = settings.cookie_max_age();
        vec![cookie]
    }

    fn id_in_cookie(&self, value: &str) -> Option<String> {
        BASE64_URL_SAFE_NO_PAD.decode(value).is_ok_and(|id| id.len() == 16).then(|| value.to_owned())
    }
}
