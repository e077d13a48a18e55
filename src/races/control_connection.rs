//! The explorer's own connection: clean data, time, and the questions about the server's state.

use std::time::Duration;

use redis::{Connection, RedisResult, cmd, pipe};

use crate::error::Error;
use crate::lease::Database;
use crate::redis_io::{client_field, expire, keys_with_ttl, publishes_events};
use crate::request::TestRequest;

/// A key and its database.
pub(super) type Key = (u32, Vec<u8>);

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

    /// Returns the ids of the clients that the server has blocked in the test databases.
    pub(super) fn blocked(&mut self) -> Result<Vec<u64>, Error> {
        let list: String = self.answered(|redis| cmd("CLIENT").arg("LIST").query(redis))?;
        let databases = self.test_request.lease.databases().map(|database| database.to_string());
        let is_ours = |line: &&str| client_field(line, "db").is_some_and(|db| databases.iter().any(|own| own == db));
        let is_blocked = |line: &&str| client_field(line, "flags").is_some_and(|flags| flags.contains('b'));
        let ids = list.lines().filter(is_ours).filter(is_blocked).filter_map(|line| client_field(line, "id"));
        Ok(ids.filter_map(|id| id.parse().ok()).collect())
    }

    /// Lets the blocking command of a client time out.
    pub(super) fn time_out(&mut self, client: u64) -> Result<(), Error> {
        self.answered(|redis| cmd("CLIENT").arg("UNBLOCK").arg(client).arg("TIMEOUT").exec(redis))
    }

    pub(super) fn travel(&mut self, time: Duration) -> Result<(), Error> {
        self.test_request.travel(time)
    }

    /// Returns the keys that match a pattern and have a TTL, in a stable order.
    pub(super) fn keys_with_ttl(&mut self, pattern: &str) -> Result<Vec<Key>, Error> {
        let databases = self.test_request.lease.databases();
        self.answered(|redis| keys_with_ttl(redis, databases, pattern))
    }

    /// Makes a key expire.
    ///
    /// Deletes it if no client listens to key events, which would show the difference: that is twice as fast.
    pub(super) fn expire(&mut self, key: &Key) -> Result<(), Error> {
        let [sessions, _] = self.test_request.lease.databases();
        let server = &self.test_request.lease.server;
        self.answered(|redis| {
            if publishes_events(redis) {
                let ttl = server.shortest_ttl(redis);
                return expire(redis, std::slice::from_ref(key), ttl);
            }
            let (database, key) = key;
            let mut delete = pipe();
            delete.cmd("SELECT").arg(database).cmd("UNLINK").arg(key).cmd("SELECT").arg(sessions);
            delete.exec(redis)
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
