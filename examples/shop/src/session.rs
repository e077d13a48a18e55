//! Visitors' sessions, stored as JSON in Pyramid's format.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::{Client, Commands, Connection, ErrorKind, Expiry, RedisResult, cmd};
use serde_json::{Map, Value, json};

use crate::random;

const COOKIE: &str = "session";
const USER: &str = "auth.userid";
const MESSAGES: &str = "_f_";

/// Replaces the stored session if it is still the one that was read, or deletes it. Else it returns the stored one. An
/// empty string stands for no session.
const REPLACE: &str = "
    local stored = redis.call('GET', KEYS[1]) or ''
    if stored ~= ARGV[1] then return stored end
    if ARGV[2] == '' then
        redis.call('DEL', KEYS[1])
    else
        redis.call('SETEX', KEYS[1], ARGV[3], ARGV[2])
    end
    return false";

/// A visitor's session: values by name, stored in Redis under the id in their cookie.
///
/// It is read once per request, and written with every change. If another request has changed it in the meantime, the
/// change is made again, to the other request's values.
pub struct Session {
    redis: Connection,
    id: String,
    lifetime: Duration,
    created: u64,
    values: Map<String, Value>,
    /// The session as it is stored, empty if it is not.
    stored: Vec<u8>,
}

impl Session {
    /// Opens the session named by the request's `Cookie:` header, or a new one. Either expires after `lifetime`, but a
    /// new one is not stored before it has a value.
    pub fn open(redis_url: &str, lifetime: Duration, cookie_line: &str) -> RedisResult<Self> {
        let mut redis = Client::open(redis_url)?.get_connection()?;
        if let Some(id) = id_in(cookie_line) {
            let stored: Option<Vec<u8>> = redis.get_ex(id, Expiry::EX(lifetime.as_secs()))?;
            let stored = stored.unwrap_or_default();
            if let Some((created, values)) = parse(&stored) {
                return Ok(Self { redis, id: id.to_owned(), lifetime, created, values, stored });
            }
        }
        let id = new_id(&mut redis)?;
        let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Ok(Self { redis, id, lifetime, created, values: Map::new(), stored: Vec::new() })
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
        self.change(|values| add_message(values, message))
    }

    /// Returns the messages for this page. They are shown once.
    pub fn take_messages(&mut self) -> RedisResult<Vec<String>> {
        let messages = self.change(|values| values.remove(MESSAGES))?;
        let messages = messages.as_ref().and_then(Value::as_array).into_iter().flatten();
        Ok(messages.filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// Logs the visitor in. The session gets a new id, because others could know the old one.
    pub(crate) fn log_in(&mut self, user: &str) -> RedisResult<()> {
        let old = std::mem::replace(&mut self.id, new_id(&mut self.redis)?);
        let mut read = std::mem::take(&mut self.stored);
        loop {
            let mut values = self.values.clone();
            values.insert(USER.to_owned(), user.into());
            self.store(values)?;
            // Without an answer, the visitor would not get the new id. An old session that stays is not logged in.
            let Ok(Some(changed)) = replace(&mut self.redis, &old, &read, b"", self.lifetime) else { return Ok(()) };
            let Some((_, values)) = parse(&changed) else { return Ok(()) };
            (self.values, read) = (values, changed);
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// Changes values in one step, and returns what the function returned at its last call. It is called again if
    /// another request has changed the session. If that has ended the session, this is an error: the next request has
    /// the visitor's new cookie.
    pub(crate) fn change<T>(&mut self, change: impl Fn(&mut Map<String, Value>) -> T) -> RedisResult<T> {
        loop {
            let mut values = self.values.clone();
            let returned = change(&mut values);
            if values == self.values {
                return Ok(returned);
            }
            let Some(stored) = self.store(values)? else { return Ok(returned) };
            let Some((_, values)) = parse(&stored) else {
                return Err((ErrorKind::Client, "the session has ended").into());
            };
            (self.values, self.stored) = (values, stored);
        }
    }

    /// Stores these values. If another request has changed the session, this returns the session as it is stored.
    fn store(&mut self, values: Map<String, Value>) -> RedisResult<Option<Vec<u8>>> {
        let seconds = self.lifetime.as_secs();
        let new = json!({"m": values, "c": self.created, "v": 1, "t": seconds}).to_string().into_bytes();
        let changed = replace(&mut self.redis, &self.id, &self.stored, &new, self.lifetime)?;
        if changed.is_none() {
            (self.values, self.stored) = (values, new);
        }
        Ok(changed)
    }
}

/// Runs `REPLACE`. EVAL always takes one round trip. EVALSHA takes three if the server does not have the script.
fn replace(
    redis: &mut Connection,
    id: &str,
    old: &[u8],
    new: &[u8],
    lifetime: Duration,
) -> RedisResult<Option<Vec<u8>>> {
    cmd("EVAL").arg(REPLACE).arg(1).arg(id).arg(old).arg(new).arg(lifetime.as_secs()).query(redis)
}

/// Adds a message to the values of a session.
pub(crate) fn add_message(values: &mut Map<String, Value>, message: &str) {
    match values.get_mut(MESSAGES).and_then(Value::as_array_mut) {
        Some(messages) => messages.push(message.into()),
        None => drop(values.insert(MESSAGES.to_owned(), json!([message]))),
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
fn parse(stored: &[u8]) -> Option<(u64, Map<String, Value>)> {
    let mut stored: Value = serde_json::from_slice(stored).ok()?;
    match (stored.get("c")?.as_u64(), stored.get_mut("m")?.take()) {
        (Some(created), Value::Object(values)) => Some((created, values)),
        _ => None,
    }
}
