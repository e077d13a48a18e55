//! The part in which frameworks differ: the stored data, the id and the cookies.

use std::error::Error;
use std::fmt::Debug;
use std::time::{Duration, SystemTime};

use redis::{Pipeline, RedisResult, ToRedisArgs, Value, from_redis_value};

use super::cookie::SessionCookie;
use super::values::SessionValues;
use crate::settings::Settings;

/// A stored session, independent of the framework that wrote it.
///
/// More fields can be added. Create one with [`new`](Self::new), and set the fields that your format stores.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StoredSession {
    /// The session id, which the cookie carries.
    pub id: String,
    /// The values by name.
    pub values: SessionValues,
    /// When the session was created, if the format stores that.
    pub created: Option<SystemTime>,
    /// When the session expires according to its data, beside the TTL of its key, if the format stores that.
    pub expires: Option<SystemTime>,
    /// How long the session lives after its last use. `None` means forever.
    pub timeout: Option<Duration>,
    /// The data that was decoded, for a format that keeps fields unknown to it. `None` for a new session.
    pub original: Option<SessionData>,
}

impl StoredSession {
    /// Creates a session without values. A timeout of [`Duration::MAX`] means forever.
    ///
    /// ```
    /// use std::time::Duration;
    /// use transient_fixtures::StoredSession;
    ///
    /// let session = StoredSession::new("an-id", Duration::from_secs(60));
    /// assert_eq!((&*session.id, session.timeout), ("an-id", Some(Duration::from_secs(60))));
    /// assert_eq!(StoredSession::new("an-id", Duration::MAX).timeout, None);
    /// ```
    #[must_use]
    pub fn new(id: impl Into<String>, timeout: Duration) -> Self {
        Self {
            id: id.into(),
            values: SessionValues::new(),
            created: None,
            expires: None,
            timeout: Some(timeout).filter(|timeout| *timeout < Duration::MAX),
            original: None,
        }
    }
}

/// The Redis type of a session's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SessionStorage {
    /// A string.
    String,
    /// A hash.
    Hash,
}

impl SessionStorage {
    /// Adds the command that reads a key.
    pub(super) fn read(self, commands: &mut Pipeline, key: impl ToRedisArgs) {
        let command = match self {
            Self::String => "GET",
            Self::Hash => "HGETALL",
        };
        commands.cmd(command).arg(key);
    }

    /// The data in the answer to that command, or `None` if there is no such key.
    ///
    /// # Errors
    ///
    /// Returns an error if the answer has another type.
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

/// The data in a session's key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionData {
    /// The bytes of a string.
    String(Vec<u8>),
    /// The fields and values of a hash, in no particular order. Redis has no empty hashes.
    Hash(Vec<(Vec<u8>, Vec<u8>)>),
}

impl SessionData {
    /// Returns the bytes of a string. Empty for a hash.
    ///
    /// ```
    /// let data = transient_fixtures::SessionData::from(b"{}".to_vec());
    /// assert_eq!(data.bytes(), b"{}");
    /// ```
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::String(bytes) => bytes,
            Self::Hash(_) => &[],
        }
    }

    /// Returns the fields of a hash. Empty for a string.
    ///
    /// ```
    /// let data = transient_fixtures::SessionData::Hash(vec![(b"seen".to_vec(), b"3".to_vec())]);
    /// assert_eq!(data.fields(), [(b"seen".to_vec(), b"3".to_vec())]);
    /// ```
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

/// How a web framework stores its sessions in Redis.
///
/// This crate implements it for [`Pyramid`](super::Pyramid) and [`AxumSession`](super::AxumSession), and with features
/// for `TowerSessions` and `ActixSession`. Implement it for an application with its own format, and pass the format to
/// [`TestRequest::visitor_with_format`](crate::TestRequest::visitor_with_format). Only `new_id`, `encode`, `decode` and
/// `cookie_name` are required. Methods can be added, with defaults.
///
/// The type's name, as `Debug` writes it, names the format in error messages.
///
/// This is the format of poem (`ServerSession` with `RedisStorage`), written from its source code and not tested
/// against poem:
///
/// ```
/// use std::error::Error;
/// use transient_fixtures::{SessionData, SessionFormat, SessionValues, StoredSession, TestRequest};
///
/// /// A JSON object in the key named by the bare id. The cookie is `poem-session`.
/// #[derive(Debug)]
/// struct Poem;
///
/// impl SessionFormat for Poem {
///     fn new_id(&self, random: &[u8]) -> String {
///         random[..32].iter().map(|byte| format!("{byte:02x}")).collect()
///     }
///     fn encode(&self, session: &StoredSession) -> Result<SessionData, Box<dyn Error + Send + Sync>> {
///         Ok(session.values.to_json().into())
///     }
///     fn decode(
///         &self,
///         data: &SessionData,
///         mut session: StoredSession,
///     ) -> Result<StoredSession, Box<dyn Error + Send + Sync>> {
///         session.values = SessionValues::from_json(data.bytes())?;
///         Ok(session)
///     }
///     fn cookie_name(&self) -> &str {
///         "poem-session"
///     }
/// }
///
/// # fn main() -> Result<(), transient_fixtures::Error> {
/// let visitor = TestRequest::clean().visitor_with_format(Poem);
/// visitor.session().set("cart", ["brand-1"])?;
/// assert!(visitor.cookie().starts_with("poem-session="));
/// # Ok(())
/// # }
/// ```
///
/// A format with a hash, in which every value is a field, differs in three methods:
///
/// ```
/// # use std::error::Error;
/// # use transient_fixtures::{SessionData, SessionFormat, SessionStorage, StoredSession, TestRequest};
/// # #[derive(Debug)]
/// # struct Fields;
/// # impl SessionFormat for Fields {
/// #     fn new_id(&self, random: &[u8]) -> String {
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
/// fn decode(
///     &self,
///     data: &SessionData,
///     mut session: StoredSession,
/// ) -> Result<StoredSession, Box<dyn Error + Send + Sync>> {
///     for (name, json) in data.fields() {
///         session.values.set(str::from_utf8(name)?, json.clone());
///     }
///     Ok(session)
/// }
/// # }
/// # fn main() -> Result<(), transient_fixtures::Error> {
/// # let visitor = TestRequest::clean().visitor_with_format(Fields);
/// # visitor.session().set("cart", ["brand-1"])?;
/// # assert_eq!(visitor.session().get::<Vec<String>>("cart")?.unwrap().len(), 1);
/// # Ok(())
/// # }
/// ```
pub trait SessionFormat: Debug + Send + Sync + 'static {
    /// Returns a new session id, made of `random`: 64 random bytes.
    fn new_id(&self, random: &[u8]) -> String;

    /// Returns the name of the key that holds the session of that id. The id itself, by default.
    fn key(&self, id: &str) -> String {
        id.to_owned()
    }

    /// Returns the prefix of all session keys. The key of an empty id, by default.
    fn key_prefix(&self) -> String {
        self.key("")
    }

    /// Returns the Redis type of a session's key. [`SessionStorage::String`], by default.
    fn storage(&self) -> SessionStorage {
        SessionStorage::String
    }

    /// Encodes a session as data of the type that [`storage`](Self::storage) returns.
    ///
    /// # Errors
    ///
    /// Returns an error if the format cannot express the session.
    fn encode(&self, session: &StoredSession) -> Result<SessionData, Box<dyn Error + Send + Sync>>;

    /// Decodes stored data.
    ///
    /// `session` has the id, the timeout of the settings, and no values. Return it with the fields that the data holds.
    ///
    /// # Errors
    ///
    /// Returns an error if the data is not in this format.
    fn decode(&self, data: &SessionData, session: StoredSession)
    -> Result<StoredSession, Box<dyn Error + Send + Sync>>;

    /// Returns the data with its expiry moved `by` that duration into the past. Time travel calls this.
    ///
    /// Return `None`, the default, if the data contains no expiry. Of a hash, the fields that change are enough.
    fn age(&self, data: &SessionData, by: Duration) -> Option<SessionData> {
        let _ = (data, by);
        None
    }

    /// Returns whether reading a session renews its timeout. `false`, by default.
    fn renews_on_access(&self) -> bool {
        false
    }

    /// Returns whether the key of a new session has a TTL: the session's timeout. `true`, by default.
    fn sets_ttl(&self) -> bool {
        true
    }

    /// Returns the name of the cookie that names the session.
    fn cookie_name(&self) -> &str;

    /// Returns the value of that cookie: the id, signed or encrypted if the framework does so.
    fn cookie_value(&self, id: &str) -> String {
        id.to_owned()
    }

    /// Returns the id in the value of that cookie, or `None` if the cookie has been tampered with.
    fn id_in_cookie(&self, value: &str) -> Option<String> {
        Some(value.to_owned())
    }

    /// Returns the cookies that the framework sets for a session, with their attributes. The first one names the
    /// session.
    ///
    /// By default there is only that one, with the attributes of the settings (`redis.sessions.cookie_*`).
    fn cookies(&self, id: &str, settings: &Settings) -> Vec<SessionCookie> {
        vec![SessionCookie::from_settings(self.cookie_name(), self.cookie_value(id), settings)]
    }

    /// Returns the name of the session value that holds the user who is logged in. `user_id`, by default.
    #[expect(clippy::unnecessary_literal_bound, reason = "an implementation can return a field")]
    fn user_key(&self) -> &str {
        "user_id"
    }
}
