//! The explorer's own connection: clean data, time, and the questions about the server's state.

use std::time::{Duration, Instant};

use redis::{Connection, RedisResult, cmd};

use crate::error::Error;
use crate::lease::Database;
use crate::request::TestRequest;
use crate::sync::poll_until;

/// The keys that match a pattern and have a TTL: database, key, and the time at which it ends, in milliseconds.
const KEYS_WITH_TTL: &str = "
local keys = {}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for at = 2, #ARGV do
    redis.call('SELECT', ARGV[at])
    for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
        local left = redis.call('PTTL', key)
        if left >= 0 then
            keys[#keys + 1] = {tonumber(ARGV[at]), key, now + left}
        end
    end
end
return keys
";

pub(super) type KeyWithTtl = (u32, Vec<u8>, u64);

pub(super) struct ControlConnection<'a> {
    test_request: &'a TestRequest,
    pub(super) redis: Connection,
}

impl<'a> ControlConnection<'a> {
    pub(super) fn new(test_request: &'a TestRequest) -> Result<Self, Error> {
        let redis = test_request.lease.connect(Database::Sessions)?;
        Ok(Self { test_request, redis })
    }

    /// Empties the databases, and selects the session database.
    pub(super) fn clean(&mut self) -> Result<(), Error> {
        self.test_request.lease.flush()?;
        self.select()
    }

    /// Selects the session database, in case that a seed or a check has selected another.
    pub(super) fn select(&mut self) -> Result<(), Error> {
        let [sessions, _] = self.test_request.lease.databases();
        self.answered(|redis| cmd("SELECT").arg(sessions).exec(redis))
    }

    /// Returns when the server has executed, and answered, all commands that it got before this call.
    ///
    /// The first reply proves that the server has read our command, and therefore all earlier ones. It can still have
    /// to execute some of them in this round of its event loop, so the second question waits for the next round.
    pub(super) fn wait_executed(&mut self) -> Result<(), Error> {
        self.answered(|redis| {
            cmd("PING").exec(redis)?;
            cmd("PING").exec(redis)
        })
    }

    /// Returns the ids of the clients that the server has blocked.
    pub(super) fn blocked(&mut self) -> Result<Vec<u64>, Error> {
        let list: String = self.answered(|redis| cmd("CLIENT").arg("LIST").query(redis))?;
        let field = |line: &str, name: &str| {
            line.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
        };
        let blocked = list.lines().filter(|line| field(line, "flags").is_some_and(|flags| flags.contains('b')));
        Ok(blocked.filter_map(|line| field(line, "id")?.parse().ok()).collect())
    }

    /// Lets the blocking command of a client time out.
    pub(super) fn time_out(&mut self, client: u64) -> Result<(), Error> {
        self.answered(|redis| cmd("CLIENT").arg("UNBLOCK").arg(client).arg("TIMEOUT").exec(redis))
    }

    pub(super) fn travel(&mut self, time: Duration) -> Result<(), Error> {
        self.test_request.travel(time)
    }

    /// Returns the keys that match a pattern and have a TTL, in a stable order.
    pub(super) fn keys_with_ttl(&mut self, pattern: &str) -> Result<Vec<KeyWithTtl>, Error> {
        let databases = self.test_request.lease.databases();
        let mut keys: Vec<KeyWithTtl> =
            self.answered(|redis| cmd("EVAL").arg(KEYS_WITH_TTL).arg(0).arg(pattern).arg(&databases).query(redis))?;
        keys.sort();
        Ok(keys)
    }

    /// Makes a key expire.
    ///
    /// Deleting it is faster than to let it expire, but shows to clients that listen to events of keys.
    pub(super) fn expire(&mut self, (database, key, _): &KeyWithTtl) -> Result<(), Error> {
        let [sessions, _] = self.test_request.lease.databases();
        self.answered(|redis| {
            let (_, events): (String, String) =
                cmd("CONFIG").arg("GET").arg("notify-keyspace-events").query(redis).unwrap_or_default();
            cmd("SELECT").arg(database).exec(redis)?;
            if events.is_empty() {
                cmd("UNLINK").arg(key).exec(redis)?;
            } else {
                cmd("PEXPIRE").arg(key).arg(1).exec(redis)?;
                let deadline = Instant::now() + Duration::from_secs(1);
                let every = Duration::from_micros(200);
                poll_until(deadline, every, || match cmd("EXISTS").arg(key).query::<u8>(redis) {
                    Ok(1..) => None,
                    gone_or_failed => Some(gone_or_failed),
                });
            }
            cmd("SELECT").arg(sessions).exec(redis)
        })
    }

    /// Returns the server's number of changes to its data.
    pub(super) fn changes(&mut self) -> Result<u64, Error> {
        let info: redis::InfoDict = self.answered(|redis| cmd("INFO").arg("persistence").query(redis))?;
        Ok(info.get("rdb_changes_since_last_save").unwrap_or_default())
    }

    fn answered<T>(&mut self, ask: impl FnOnce(&mut Connection) -> RedisResult<T>) -> Result<T, Error> {
        self.test_request.lease.check_held()?;
        ask(&mut self.redis).map_err(|error| self.test_request.lease.no_answer(error))
    }
}
