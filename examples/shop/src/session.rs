//! Visitors' sessions, stored as JSON in Pyramid's format.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::{Client, Commands, Connection, Expiry, RedisResult};
use serde_json::{Map, Value, json};

use crate::random;

const COOKIE: &str = "session";
const USER: &str = "auth.userid";
const MESSAGES: &str = "_f_";

/// A visitor's session: values by name, stored in Redis under the id in their cookie.
///
/// It is read once per request, and written with every change.
pub struct Session {
    redis: Connection,
    id: String,
    lifetime: Duration,
    created: u64,
    values: Map<String, Value>,
}

impl Session {
    /// Opens the session named by the request's `Cookie:` header, or a new one. Either expires after `lifetime`, but a
    /// new one is not stored before it has a value.
    pub fn open(redis_url: &str, lifetime: Duration, cookie_line: &str) -> RedisResult<Self> {
        let mut redis = Client::open(redis_url)?.get_connection()?;
        if let Some(id) = id_in(cookie_line) {
            let stored = redis.get_ex(id, Expiry::EX(lifetime.as_secs()))?;
            if let Some((created, values)) = parse(stored) {
                return Ok(Self { redis, id: id.to_owned(), lifetime, created, values });
            }
        }
        let id = new_id(&mut redis)?;
        let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Ok(Self { redis, id, lifetime, created, values: Map::new() })
    }

    /// Returns the value to send after `Set-Cookie:`.
    pub fn cookie(&self) -> String {
        format!("{COOKIE}={}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax", self.id, self.lifetime.as_secs())
    }

    /// Returns the user who is logged in.
    pub fn user(&self) -> Option<&str> {
        self.values.get(USER)?.as_str()
    }

    /// Adds a message to the visitor's next page.
    pub fn flash(&mut self, message: &str) -> RedisResult<()> {
        self.flash_and_set(message, [])
    }

    /// Returns the messages for this page. They are shown once.
    pub fn take_messages(&mut self) -> RedisResult<Vec<String>> {
        let Some(messages) = self.values.remove(MESSAGES) else { return Ok(Vec::new()) };
        self.save()?;
        Ok(messages.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// Logs the visitor in. The session gets a new id, because others could know the old one.
    pub(crate) fn log_in(&mut self, user: &str) -> RedisResult<()> {
        let old = std::mem::replace(&mut self.id, new_id(&mut self.redis)?);
        self.set([(USER, user.into())])?;
        // Without an answer, the visitor would not get the new id. An old session that stays is not logged in.
        let _ = self.redis.del::<_, ()>(old);
        Ok(())
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// Sets these values in one step. `null` removes a value.
    pub(crate) fn set<const COUNT: usize>(&mut self, values: [(&str, Value); COUNT]) -> RedisResult<()> {
        self.values.extend(values.map(|(name, value)| (name.to_owned(), value)));
        self.values.retain(|_, value| !value.is_null());
        self.save()
    }

    /// Adds a message and sets these values in one step.
    pub(crate) fn flash_and_set<const COUNT: usize>(
        &mut self,
        message: &str,
        values: [(&str, Value); COUNT],
    ) -> RedisResult<()> {
        let mut messages = self.get(MESSAGES).and_then(Value::as_array).cloned().unwrap_or_default();
        messages.push(message.into());
        self.values.insert(MESSAGES.to_owned(), messages.into());
        self.set(values)
    }

    fn save(&mut self) -> RedisResult<()> {
        let seconds = self.lifetime.as_secs();
        let stored = json!({"m": self.values, "c": self.created, "v": 1, "t": seconds});
        self.redis.set_ex(&self.id, stored.to_string(), seconds)
    }
}

/// Returns the id in a `Cookie:` header. An id has no colon, and every other key of the shop has one, so a forged
/// cookie reaches sessions only.
fn id_in(cookie_line: &str) -> Option<&str> {
    let mut cookies = cookie_line.split(';').filter_map(|cookie| cookie.trim().split_once('='));
    let (_, id) = cookies.find(|(name, _)| *name == COOKIE)?;
    id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)).then_some(id)
}

fn new_id(redis: &mut Connection) -> RedisResult<String> {
    random::hexadecimal(redis, 256)
}

/// The creation time of the session, and its values.
fn parse(stored: Option<Vec<u8>>) -> Option<(u64, Map<String, Value>)> {
    let mut stored: Value = serde_json::from_slice(&stored?).ok()?;
    match (stored.get("c")?.as_u64(), stored.get_mut("m")?.take()) {
        (Some(created), Value::Object(values)) => Some((created, values)),
        _ => None,
    }
}
