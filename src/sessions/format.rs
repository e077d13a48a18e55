//! What the frameworks disagree on: what is in Redis, the id, and the cookies.

use std::error::Error;
use std::fmt::Debug;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime};

use redis::{Pipeline, RedisResult, ToRedisArgs, Value, from_redis_value};

use super::cookie::SessionCookie;
use super::values::SessionValues;
use crate::settings::Settings;

/// A session as it is stored, whichever framework has written it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StoredSession {
    /// What the cookie names.
    pub id: String,
    /// The values by their names.
    pub values: SessionValues,
    /// When it began, where the format says so.
    pub created: Option<SystemTime>,
    /// When it ends by the bytes themselves, beside the key's own life, where the format says so.
    pub expires: Option<SystemTime>,
    /// How long it lives after its last use; `None` for ever.
    pub timeout: Option<Duration>,
    /// The data as it was read, for a format that keeps more than this; `None` for a new session.
    pub read: Option<SessionData>,
}

impl StoredSession {
    /// A session without values. `Duration::MAX` is for ever.
    #[must_use]
    pub fn new(id: impl Into<String>, timeout: Duration) -> Self {
        Self {
            id: id.into(),
            values: SessionValues::new(),
            created: None,
            expires: None,
            timeout: Some(timeout).filter(|timeout| *timeout < Duration::MAX),
            read: None,
        }
    }
}

/// The type of the key that a session is kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionStorage {
    /// One string.
    String,
    /// A hash.
    Hash,
}

impl SessionStorage {
    /// Adds the command that reads a session.
    pub(super) fn read(self, commands: &mut Pipeline, key: impl ToRedisArgs) {
        let command = match self {
            Self::String => "GET",
            Self::Hash => "HGETALL",
        };
        commands.cmd(command).arg(key);
    }

    /// The answer to that command; `None` where there is no such key.
    ///
    /// # Errors
    ///
    /// When the answer is of another type.
    pub(super) fn data(self, answer: Value) -> RedisResult<Option<SessionData>> {
        Ok(match self {
            Self::String => from_redis_value::<Option<_>>(answer)?.map(SessionData::String),
            Self::Hash => {
                let fields: Vec<_> = from_redis_value(answer)?;
                (!fields.is_empty()).then_some(SessionData::Hash(fields))
            }
        })
    }
}

/// The data in the key of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionData {
    /// The bytes of a string.
    String(Vec<u8>),
    /// Fields and values of a hash, in no order. Redis has no empty hashes.
    Hash(Vec<(Vec<u8>, Vec<u8>)>),
}

impl SessionData {
    /// The bytes of a string; none of a hash.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::String(bytes) => bytes,
            Self::Hash(_) => &[],
        }
    }

    /// The fields of a hash; none of a string.
    #[must_use]
    pub fn fields(&self) -> &[(Vec<u8>, Vec<u8>)] {
        match self {
            Self::String(_) => &[],
            Self::Hash(fields) => fields,
        }
    }
}

impl From<Vec<u8>> for SessionData {
    fn from(bytes: Vec<u8>) -> Self {
        Self::String(bytes)
    }
}

/// How a web framework keeps its sessions in Redis: implemented here for [`Pyramid`](super::Pyramid) and
/// [`AxumSession`](super::AxumSession), and behind features for `TowerSessions` and `ActixSession`. An application with
/// a format of its own implements it. This one is poem's (`ServerSession` with `RedisStorage`), as its sources have it;
/// it was not run beside poem:
///
/// ```
/// use std::error::Error;
/// use transient_fixtures::{SessionData, SessionFormat, SessionValues, StoredSession, TestRequest};
///
/// /// A JSON object under the bare id, which the cookie `poem-session` has.
/// #[derive(Debug)]
/// struct Poem;
///
/// impl SessionFormat for Poem {
///     fn new_id(&self, random: [u8; 48]) -> String {
///         random[..32].iter().map(|byte| format!("{byte:02x}")).collect()
///     }
///     fn encode(&self, session: &StoredSession) -> Result<SessionData, Box<dyn Error + Send + Sync>> {
///         Ok(session.values.to_json().into())
///     }
///     fn decode(&self, data: &SessionData, session: &mut StoredSession) -> Result<(), Box<dyn Error + Send + Sync>> {
///         session.values = SessionValues::from_json(data.bytes())?;
///         Ok(())
///     }
///     fn cookie_name(&self) -> &str {
///         "poem-session"
///     }
/// }
///
/// # fn main() -> Result<(), transient_fixtures::Error> {
/// let visitor = TestRequest::clean().visitor_of(Poem);
/// visitor.session().set("cart", ["brand-1"])?;
/// assert!(visitor.cookie_header().starts_with("poem-session="));
/// # Ok(())
/// # }
/// ```
///
/// A hash with a field for every value differs in three methods:
///
/// ```
/// # use std::error::Error;
/// # use transient_fixtures::{SessionData, SessionFormat, SessionStorage, StoredSession, TestRequest};
/// # #[derive(Debug)]
/// # struct Fields;
/// # impl SessionFormat for Fields {
/// #     fn new_id(&self, random: [u8; 48]) -> String {
/// #         random[..8].iter().map(|byte| format!("{byte:02x}")).collect()
/// #     }
/// #     fn cookie_name(&self) -> &str {
/// #         "sid"
/// #     }
/// fn storage(&self) -> SessionStorage {
///     SessionStorage::Hash
/// }
/// fn encode(&self, session: &StoredSession) -> Result<SessionData, Box<dyn Error + Send + Sync>> {
///     let fields = session.values.iter().map(|(name, json)| (name.into(), json.to_vec()));
///     Ok(SessionData::Hash(fields.collect()))
/// }
/// fn decode(&self, data: &SessionData, session: &mut StoredSession) -> Result<(), Box<dyn Error + Send + Sync>> {
///     for (name, json) in data.fields() {
///         session.values.set(str::from_utf8(name)?, json.clone());
///     }
///     Ok(())
/// }
/// # }
/// # fn main() -> Result<(), transient_fixtures::Error> {
/// # let visitor = TestRequest::clean().visitor_of(Fields);
/// # visitor.session().set("cart", ["brand-1"])?;
/// # assert_eq!(visitor.session().get::<Vec<String>>("cart")?.unwrap().len(), 1);
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

    /// The prefix of all session keys. By default, the key of an empty id.
    fn key_prefix(&self) -> String {
        self.key("")
    }

    /// The type of that key.
    fn storage(&self) -> SessionStorage {
        SessionStorage::String
    }

    /// The data to store, of the type that [`storage`](Self::storage) says.
    ///
    /// # Errors
    ///
    /// When the session has no such form.
    fn encode(&self, session: &StoredSession) -> Result<SessionData, Box<dyn Error + Send + Sync>>;

    /// Reads the stored data into the session.
    ///
    /// # Errors
    ///
    /// When it is not of this format.
    fn decode(&self, data: &SessionData, session: &mut StoredSession) -> Result<(), Box<dyn Error + Send + Sync>>;

    /// The same session with an earlier end, where the data contains the end. Time travel calls this.
    fn earlier(&self, data: &SessionData, by: Duration) -> Option<SessionData> {
        let _ = (data, by);
        None
    }

    /// Whether reading a session makes it live longer.
    fn renews_on_access(&self) -> bool {
        false
    }

    /// Whether the key of a session that begins here is given the session's timeout.
    fn ends_key(&self) -> bool {
        true
    }

    /// The name of the cookie that names the session.
    fn cookie_name(&self) -> &str;

    /// What that cookie says: the id, signed where the framework signs it.
    fn cookie_value(&self, id: &str) -> String {
        id.to_owned()
    }

    /// The id in that cookie; `None` where somebody has tampered with it.
    fn id_in_cookie(&self, value: &str) -> Option<String> {
        Some(value.to_owned())
    }

    /// The cookies that the framework sets for a session, with their attributes: the one that names it first. By default
    /// there is that one, with the attributes that the settings give.
    fn cookies(&self, id: &str, settings: &Settings) -> Vec<SessionCookie> {
        vec![SessionCookie::with_settings(self.cookie_name(), self.cookie_value(id), settings)]
    }

    /// The value in which the framework, or its usual companion, keeps who is logged in.
    #[expect(clippy::unnecessary_literal_bound, reason = "a format may have it in a field")]
    fn user_key(&self) -> &str {
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
