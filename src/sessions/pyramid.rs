//! The sessions of Pyramid, as `pyramid_session_redis` keeps them with a JSON serializer.

use std::error::Error;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::Sha512;

use super::format::{SessionFormat, StoredSession};
use crate::settings::Settings;

/// What `pyramid_session_redis` 1.8.1 puts before the secret.
const SALT: &str = "pyramid_session_redis.";

/// The version of the stored form that 1.8.1 writes.
const VERSION: u32 = 1;

/// The sessions of Pyramid: of `pyramid_session_redis` 1.8, the kept successor of `pyramid_redis_sessions`, with JSON as
/// its serializer instead of pickle. What [`TestRequest::session`](crate::TestRequest::session) has.
///
/// In the application: `serialize = lambda session: json.dumps(session).encode()`, `deserialize = json.loads`, and the
/// same secret as `redis.sessions.secret` in test.ini. Without a secret, the cookie is the bare id, which
/// `pyramid_session_redis` does not accept.
///
/// ```
/// use transient_fixtures::{Error, Pyramid, TestRequest};
///
/// # fn main() -> Result<(), Error> {
/// let test_request = TestRequest::clean();
/// let visitor = test_request.visitor_of(Pyramid::new(test_request.settings()).secret("as the application's"));
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
}

impl Pyramid {
    /// With the prefix, the cookie's name and the secret of the settings.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            prefix: settings.session_prefix().to_owned(),
            cookie_name: settings.cookie_name().to_owned(),
            secret: settings.secret().map(str::to_owned),
        }
    }

    /// With that secret instead.
    #[must_use]
    pub fn secret(mut self, secret: impl Into<String>) -> Self {
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

/// Without the secret.
impl fmt::Debug for Pyramid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pyramid").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// The letters are `pyramid_session_redis`'s. `x` is there where it checks the end itself (`python_expires`).
#[derive(Serialize, Deserialize)]
struct Payload {
    m: Map<String, Value>,
    c: u64,
    v: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    t: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    x: Option<u64>,
}

impl SessionFormat for Pyramid {
    fn new_id(&self, random: [u8; 48]) -> String {
        format!("{}{}", self.prefix, BASE64_URL_SAFE_NO_PAD.encode(random))
    }

    fn encode(&self, session: &StoredSession) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
        let now = SystemTime::now();
        let payload = Payload {
            m: session.values.clone(),
            c: seconds(session.created.unwrap_or(now)),
            v: VERSION,
            t: session.timeout.map(|timeout| timeout.as_secs()),
            x: session
                .expires
                .map(|expires| session.timeout.and_then(|timeout| now.checked_add(timeout)).unwrap_or(expires))
                .map(seconds),
        };
        Ok(serde_json::to_vec(&payload)?)
    }

    fn decode(&self, stored: &[u8], session: &mut StoredSession) -> Result<(), Box<dyn Error + Send + Sync>> {
        let payload: Payload = serde_json::from_slice(stored)?;
        session.values = payload.m;
        session.created = Some(time(payload.c));
        session.expires = payload.x.map(time);
        session.timeout = payload.t.map(Duration::from_secs);
        Ok(())
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

/// The bytes of the secret: Latin-1 where that has all its letters, else UTF-8.
fn as_web_ob(secret: &str) -> Vec<u8> {
    let latin_1: Option<Vec<u8>> = secret.chars().map(|letter| u8::try_from(letter).ok()).collect();
    latin_1.unwrap_or_else(|| secret.as_bytes().to_vec())
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn time(seconds: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(UNIX_EPOCH)
}
