//! What the frameworks disagree on: the bytes in Redis, the id, and the cookie's value.

use std::error::Error;
use std::fmt::Debug;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

/// A session as it is stored, whichever framework has written it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StoredSession {
    /// What the cookie names.
    pub id: String,
    /// The values by their names.
    pub values: Map<String, Value>,
    /// When it began, where the format says so.
    pub created: Option<SystemTime>,
    /// When it ends by the bytes themselves, beside the key's own life, where the format says so.
    pub expires: Option<SystemTime>,
    /// How long it lives after its last use; `None` for ever.
    pub timeout: Option<Duration>,
}

impl StoredSession {
    /// A session without values.
    #[must_use]
    pub fn new(id: impl Into<String>, timeout: Duration) -> Self {
        Self { id: id.into(), values: Map::new(), created: None, expires: None, timeout: Some(timeout) }
    }
}

/// How a web framework keeps its sessions in Redis: implemented here for [`Pyramid`](super::Pyramid), and behind
/// features for `TowerSessions` and `ActixSession`. An application with a format of its own implements it:
///
/// ```
/// use std::error::Error;
/// use transient_fixtures::{SessionFormat, StoredSession, TestRequest};
///
/// /// A JSON object under `visitor:ID`, and the bare id in the cookie `sid`.
/// #[derive(Debug)]
/// struct PlainJson;
///
/// impl SessionFormat for PlainJson {
///     fn new_id(&self, random: [u8; 48]) -> String {
///         random[..8].iter().map(|byte| format!("{byte:02x}")).collect()
///     }
///     fn key(&self, id: &str) -> String {
///         format!("visitor:{id}")
///     }
///     fn encode(&self, session: &StoredSession) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
///         Ok(serde_json::to_vec(&session.values)?)
///     }
///     fn decode(&self, stored: &[u8], session: &mut StoredSession) -> Result<(), Box<dyn Error + Send + Sync>> {
///         session.values = serde_json::from_slice(stored)?;
///         Ok(())
///     }
///     fn cookie_name(&self) -> &str {
///         "sid"
///     }
/// }
///
/// # fn main() -> Result<(), transient_fixtures::Error> {
/// let visitor = TestRequest::clean().visitor_of(PlainJson);
/// visitor.session().set("cart", ["brand-1"])?;
/// assert!(visitor.cookie_header().starts_with("sid="));
/// # Ok(())
/// # }
/// ```
pub trait SessionFormat: Debug + Send + Sync + 'static {
    /// A new id, out of random bytes.
    fn new_id(&self, random: [u8; 48]) -> String;

    /// The key of the session of that id.
    fn key(&self, id: &str) -> String {
        id.to_owned()
    }

    /// The bytes that are stored.
    ///
    /// # Errors
    ///
    /// When the session has no such form.
    fn encode(&self, session: &StoredSession) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>>;

    /// Fills in what the bytes say.
    ///
    /// # Errors
    ///
    /// When they are not of this format.
    fn decode(&self, stored: &[u8], session: &mut StoredSession) -> Result<(), Box<dyn Error + Send + Sync>>;

    /// Whether reading a session makes it live longer.
    fn renews_on_access(&self) -> bool {
        false
    }

    /// The name of the cookie.
    fn cookie_name(&self) -> &str;

    /// What the cookie of that session says: the id, signed where the framework signs it.
    fn cookie_value(&self, id: &str) -> String {
        id.to_owned()
    }

    /// The id in a cookie; `None` where somebody has tampered with it.
    fn id_in_cookie(&self, value: &str) -> Option<String> {
        Some(value.to_owned())
    }

    /// The value in which the framework, or its usual companion, keeps who is logged in.
    fn user_key(&self) -> &'static str {
        "user_id"
    }
}

/// Bytes that nobody else gets. Not for secrets that must withstand an attacker: these are tests.
pub(super) fn random() -> [u8; 48] {
    let mut bytes = [0; 48];
    for (number, chunk) in bytes.chunks_mut(8).enumerate() {
        chunk.copy_from_slice(&RandomState::new().hash_one(number).to_le_bytes());
    }
    bytes
}
