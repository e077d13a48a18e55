//! Login with a code that is sent to the visitor's phone.

use redis::{Client, Connection, RedisResult, Script, pipe};
use serde_json::json;

use crate::jobs::Jobs;
use crate::{Session, random};

/// How long a code is valid, in seconds.
pub const CODE_VALID_FOR: i64 = 300;

/// How many wrong codes can be entered before the right one is rejected.
pub const WRONG_CODES_ALLOWED: usize = 3;

/// Consumes the code, or counts a wrong one, in one step. So of two requests with the right code only one logs in.
const ENTER_CODE: &str = "
    local login = redis.call('HMGET', KEYS[1], 'code', 'number')
    if not login[1] then return false end
    if login[1] == ARGV[1] then
        redis.call('DEL', KEYS[1])
        return login[2]
    end
    if redis.call('HINCRBY', KEYS[1], 'wrong', 1) >= tonumber(ARGV[2]) then
        redis.call('DEL', KEYS[1])
    end
    return false";

/// Logins. A visitor requests a code, which works once and expires soon.
pub struct Login {
    redis: Connection,
    jobs: Jobs,
}

impl Login {
    /// Codes are kept at the first URL, and jobs at the second.
    pub fn open(redis_url: &str, jobs_url: &str) -> RedisResult<Self> {
        Ok(Self { redis: Client::open(redis_url)?.get_connection()?, jobs: Jobs::open(jobs_url)? })
    }

    /// Sends a code to this number. Earlier codes of this visitor are no longer valid.
    pub fn send_code(&mut self, session: &mut Session, number: &str) -> RedisResult<()> {
        let code = self.new_code()?;
        let key = key(session);
        pipe()
            .atomic()
            .del(&key)
            .hset_multiple(&key, &[("code", code.as_str()), ("number", number)])
            .expire(&key, CODE_VALID_FOR)
            .exec(&mut self.redis)?;
        self.jobs.enqueue("celery", "shop.send_sms", &json!([number, code]))?;
        session.flash(&format!("Koden är på väg till {number}."))
    }

    /// Logs the visitor in if the code is right, and returns whether it was.
    pub fn enter_code(&mut self, session: &mut Session, code: &str) -> RedisResult<bool> {
        let script = Script::new(ENTER_CODE);
        let number: Option<String> =
            script.key(key(session)).arg(code).arg(WRONG_CODES_ALLOWED).invoke(&mut self.redis)?;
        if let Some(number) = &number {
            session.log_in(number)?;
        }
        Ok(number.is_some())
    }

    /// Six digits.
    fn new_code(&mut self) -> RedisResult<String> {
        let random = random::hexadecimal(&mut self.redis, 32)?;
        let random = u32::from_str_radix(&random, 16).expect("hexadecimal digits");
        Ok(format!("{:06}", random % 1_000_000))
    }
}

fn key(session: &Session) -> String {
    format!("login:{}", session.id())
}
