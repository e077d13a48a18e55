//! The sessions of Pyramid, as `pyramid_session_redis` writes them with a JSON serializer.

use std::error::Error;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use sha2::Sha512;

use super::format::{SessionData, SessionFormat, StoredSession};
use super::values::SessionValues;
use crate::settings::Settings;

/// The salt that `pyramid_session_redis` 1.8.1 puts before the secret.
const SALT: &str = "pyramid_session_redis.";

/// The version of the stored form that 1.8.1 writes.
const VERSION: u32 = 1;

/// The sessions of Pyramid, as `pyramid_session_redis` 1.7 and 1.8 write them. The format of
/// [`TestRequest::session`](crate::TestRequest::session).
///
/// `pyramid_session_redis` is the maintained successor of `pyramid_redis_sessions`. Its serializer must be JSON instead
/// of pickle. In the application, set `serialize = lambda session: json.dumps(session).encode()`, `deserialize =
/// json.loads`, and the secret that test.ini has in `redis.sessions.secret`. Without a secret the cookie is the bare
/// id, which `pyramid_session_redis` rejects.
///
/// ```
/// use transient_fixtures::{Error, Pyramid, TestRequest};
///
/// # fn main() -> Result<(), Error> {
/// let test_request = TestRequest::clean();
/// let format = Pyramid::new(test_request.settings()).with_secret("the application's secret");
/// let visitor = test_request.visitor_with_format(format);
/// visitor.log_in("asa@example.com")?;
/// assert_eq!(visitor.session().get::<String>("auth.userid")?.as_deref(), Some("asa@example.com"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Pyramid {
    prefix: String,
    cookie_name: String,
    secret: Option<String>,
    /// Whether new sessions store their expiry.
    python_expires: bool,
    /// How close the stored expiry must be before it is renewed.
    timeout_trigger: Option<Duration>,
    sets_ttl: bool,
}

impl Pyramid {
    /// Creates the format with the key prefix, cookie name, secret and expiry of the settings (`redis.sessions.*`).
    ///
    /// ```
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// use transient_fixtures::{Pyramid, SessionFormat, Settings};
    ///
    /// let settings = Settings::load()?;
    /// assert_eq!(Pyramid::new(&settings).cookie_name(), settings.cookie_name());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            prefix: settings.session_prefix().to_owned(),
            cookie_name: settings.cookie_name().to_owned(),
            secret: settings.secret().map(str::to_owned),
            python_expires: settings.python_expires(),
            timeout_trigger: settings.timeout_trigger(),
            sets_ttl: settings.set_redis_ttl(),
        }
    }

    /// Sets the secret that signs the cookie, instead of `redis.sessions.secret`.
    ///
    /// ```
    /// use transient_fixtures::{Pyramid, TestRequest};
    ///
    /// let test_request = TestRequest::clean();
    /// let signed = Pyramid::new(test_request.settings()).with_secret("s3cret");
    /// let visitor = test_request.visitor_with_format(signed);
    /// assert!(!visitor.cookie().contains(&visitor.session().id()));
    /// ```
    #[must_use]
    pub fn with_secret(mut self, secret: impl Into<String>) -> Self {
        self.secret = Some(secret.into());
        self
    }

    /// `WebOb`'s `SignedSerializer`: HMAC with SHA-512 before the text, in URL-safe Base64.
    fn hmac(&self, id: &[u8]) -> Option<Hmac<Sha512>> {
        let key = [SALT.as_bytes(), &as_web_ob(self.secret.as_ref()?)].concat();
        let mut hmac = Hmac::<Sha512>::new_from_slice(&key).ok()?;
        hmac.update(id);
        Some(hmac)
    }
}

/// Omits the secret.
impl fmt::Debug for Pyramid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pyramid").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl SessionFormat for Pyramid {
    fn new_id(&self, random: &[u8]) -> String {
        format!("{}{}", self.prefix, BASE64_URL_SAFE_NO_PAD.encode(&random[..48]))
    }

    fn key_prefix(&self) -> String {
        self.prefix.clone()
    }

    // The names are those of `pyramid_session_redis`: `m` are the values, `c` is the time of creation, `v` the version,
    // `t` the timeout, and `x` the expiry if the application checks it. Other names stay.
    fn encode(&self, session: &StoredSession) -> Result<SessionData, Box<dyn Error + Send + Sync>> {
        let now = SystemTime::now();
        let mut whole = match &session.original {
            Some(data) => SessionValues::from_json(data.bytes())?,
            None => SessionValues::new(),
        };
        // Unchanged values keep their bytes.
        if whole.get("m").and_then(|values| SessionValues::from_json(values).ok()).as_ref() != Some(&session.values) {
            whole.set("m", session.values.to_json());
        }
        let is_new = session.original.is_none();
        if is_new {
            whole.set("c", seconds(session.created.unwrap_or(now)).to_string());
            whole.set("v", VERSION.to_string());
            if let Some(timeout) = session.timeout {
                whole.set("t", timeout.as_secs().to_string());
            }
        }
        let has_expiry = if is_new { self.python_expires } else { session.expires.is_some() };
        // Renewed when the application would renew it.
        let is_close = |trigger| session.expires.is_none_or(|expires| expires <= now + trigger);
        let is_renewed = has_expiry && self.timeout_trigger.is_none_or(is_close);
        if let Some(expires) = session.timeout.filter(|_| is_renewed).and_then(|timeout| now.checked_add(timeout)) {
            whole.set("x", rounded_up(expires).to_string());
        }
        Ok(whole.to_json().into())
    }

    fn decode(
        &self,
        data: &SessionData,
        mut session: StoredSession,
    ) -> Result<StoredSession, Box<dyn Error + Send + Sync>> {
        let whole = SessionValues::from_json(data.bytes())?;
        session.values = SessionValues::from_json(whole.get("m").ok_or("it has no values (m)")?)?;
        session.created = Some(time(number(&whole, "c")?.ok_or("it has no creation time (c)")?));
        number(&whole, "v")?.ok_or("it has no version (v)")?;
        session.expires = number(&whole, "x")?.map(time);
        session.timeout = number(&whole, "t")?.filter(|timeout| *timeout > 0).map(Duration::from_secs);
        Ok(session)
    }

    fn age(&self, data: &SessionData, by: Duration) -> Option<SessionData> {
        let mut whole = SessionValues::from_json(data.bytes()).ok()?;
        whole.get("m").and(whole.get("v"))?;
        let expires = number(&whole, "x").ok()??;
        whole.set("x", expires.saturating_sub(by.as_secs()).max(1).to_string());
        Some(whole.to_json().into())
    }

    fn sets_ttl(&self) -> bool {
        self.sets_ttl
    }

    fn renews_on_access(&self) -> bool {
        true
    }

    fn cookie_name(&self) -> &str {
        &self.cookie_name
    }

    fn cookie_value(&self, id: &str) -> String {
        match self.hmac(id.as_bytes()) {
            Some(hmac) => BASE64_URL_SAFE_NO_PAD.encode([&hmac.finalize().into_bytes()[..], id.as_bytes()].concat()),
            None => id.to_owned(),
        }
    }

    fn id_in_cookie(&self, value: &str) -> Option<String> {
        if self.secret.is_none() {
            return Some(value.to_owned());
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(value.trim_end_matches('=')).ok()?;
        let (signature, id) = bytes.split_at_checked(64)?;
        self.hmac(id)?.verify_slice(signature).ok()?;
        String::from_utf8(id.to_vec()).ok()
    }

    fn user_key(&self) -> &'static str {
        "auth.userid"
    }
}

/// The secret as Latin-1 if possible, else as UTF-8.
fn as_web_ob(secret: &str) -> Vec<u8> {
    let latin_1: Option<Vec<u8>> = secret.chars().map(|letter| u8::try_from(letter).ok()).collect();
    latin_1.unwrap_or_else(|| secret.as_bytes().to_vec())
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The library rounds up to whole seconds.
fn rounded_up(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() + u64::from(since.subsec_nanos() > 0)
}

/// A number of whole seconds. Python can have written a fraction. `None` if it is missing or `null`.
fn number(whole: &SessionValues, name: &str) -> Result<Option<u64>, Box<dyn Error + Send + Sync>> {
    let Some(text) = whole.get(name).filter(|text| *text != b"null") else { return Ok(None) };
    if let Ok(number) = serde_json::from_slice(text) {
        return Ok(Some(number));
    }
    let duration = Duration::try_from_secs_f64(serde_json::from_slice(text)?)?;
    Ok(Some(duration.as_secs()))
}

fn time(seconds: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(UNIX_EPOCH)
}
