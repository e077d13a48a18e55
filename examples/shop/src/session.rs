//! Visitors' sessions, in the form in which Pyramid's are stored as JSON.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::{Client, Commands, Connection, Expiry, RedisResult};
use serde_json::{Map, Value, json};

use crate::random;

const COOKIE: &str = "session";
const USER: &str = "auth.userid";
const MESSAGES: &str = "_f_";

/// The session of the visitor who has sent a request: values by name, kept in Redis under the id in his cookie.
///
/// It is read once, when the request arrives, and written with every change.
pub struct Session {
    redis: Connection,
    id: String,
    lifetime: Duration,
    created: u64,
    values: Map<String, Value>,
}

impl Session {
    /// The session that the request's `Cookie:` line names, or a new one. Either lives for `lifetime` from now on,
    /// though a new one is not stored before it has a value.
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

    /// The line to send behind `Set-Cookie:`.
    pub fn cookie(&self) -> String {
        format!("{COOKIE}={}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax", self.id, self.lifetime.as_secs())
    }

    /// Who is logged in.
    pub fn user(&self) -> Option<&str> {
        self.values.get(USER)?.as_str()
    }

    /// Leaves a message for the visitor's next page.
    pub fn flash(&mut self, message: &str) -> RedisResult<()> {
        let mut messages = self.get(MESSAGES).and_then(Value::as_array).cloned().unwrap_or_default();
        messages.push(message.into());
        self.set(MESSAGES, messages.into())
    }

    /// The messages for this page. They are shown once.
    pub fn take_messages(&mut self) -> RedisResult<Vec<String>> {
        let Some(messages) = self.values.remove(MESSAGES) else { return Ok(Vec::new()) };
        self.save()?;
        Ok(messages.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// Logs the visitor in. The session goes on under another id: somebody may know the one from before the login.
    pub(crate) fn log_in(&mut self, user: &str) -> RedisResult<()> {
        let old = std::mem::replace(&mut self.id, new_id(&mut self.redis)?);
        self.set(USER, user.into())?;
        self.redis.del(old)
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    pub(crate) fn set(&mut self, name: &str, value: Value) -> RedisResult<()> {
        self.values.insert(name.to_owned(), value);
        self.save()
    }

    fn save(&mut self) -> RedisResult<()> {
        let seconds = self.lifetime.as_secs();
        let stored = json!({"m": self.values, "c": self.created, "v": 1, "t": seconds});
        self.redis.set_ex(&self.id, stored.to_string(), seconds)
    }
}

/// The id that a `Cookie:` line names. An id has no colon, and every other key of the shop has one: so a cookie that
/// somebody has made up reaches sessions only.
fn id_in(cookie_line: &str) -> Option<&str> {
    let mut cookies = cookie_line.split(';').filter_map(|cookie| cookie.trim().split_once('='));
    let (_, id) = cookies.find(|(name, _)| *name == COOKIE)?;
    id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)).then_some(id)
}

fn new_id(redis: &mut Connection) -> RedisResult<String> {
    random::hexadecimal(redis, 256)
}

/// When the session began, and its values.
fn parse(stored: Option<Vec<u8>>) -> Option<(u64, Map<String, Value>)> {
    let mut stored: Value = serde_json::from_slice(&stored?).ok()?;
    match (stored.get("c")?.as_u64(), stored.get_mut("m")?.take()) {
        (Some(created), Value::Object(values)) => Some((created, values)),
        _ => None,
    }
}
