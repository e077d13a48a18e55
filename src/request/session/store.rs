//! One visitor's session on the server: read, changed and written back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::{Connection, FromRedisValue, Pipeline, cmd, pipe};
use serde_json::{Map, Value};

use super::super::{TestRequest, get_redis};
use super::cookie;
use super::format::{SessionFormat, StoredSession, random};
use crate::error::{Error, Kind};
use crate::report;

#[derive(Debug)]
pub(in super::super) struct Store {
    pub(super) format: Arc<dyn SessionFormat>,
    state: Mutex<State>,
}

struct State {
    id: String,
    began: SystemTime,
    /// Opened by the first command, and closed with the lease or the last handle.
    connection: Option<Connection>,
}

/// Without the id, which is as good as a password.
impl std::fmt::Debug for State {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("State").finish_non_exhaustive()
    }
}

impl Store {
    pub(in super::super) fn new(format: Arc<dyn SessionFormat>) -> Self {
        let state = Mutex::new(State::new(format.as_ref()));
        Self { format, state }
    }

    pub(super) fn id(&self) -> String {
        self.state().id.clone()
    }

    /// From now on the visitor has that session.
    pub(super) fn set_id(&self, id: String) {
        let mut state = self.state();
        state.id = id;
        state.began = SystemTime::now();
    }

    pub(super) fn key(&self) -> String {
        self.format.key(&self.id())
    }

    pub(super) fn cookie(&self, request: &TestRequest) -> String {
        cookie::set_cookie(&*self.format, &self.id(), request.settings())
    }

    pub(super) fn cookie_header(&self) -> String {
        cookie::header(&*self.format, &self.id())
    }

    /// The session, if it is there; it lives longer for it, where the framework sees to that.
    pub(super) fn read(&self, request: &TestRequest) -> Result<Option<StoredSession>, Error> {
        let mut state = self.state();
        loop {
            let Some((stored, has_end)) = self.load(&mut state, request)? else { return Ok(None) };
            if self.renew(&mut state, request, &stored, has_end)? {
                return Ok(Some(stored));
            }
        }
    }

    /// Makes a session that was asked for live longer, where the framework does so. False where the application has
    /// written meanwhile.
    fn renew(
        &self,
        state: &mut State,
        request: &TestRequest,
        stored: &StoredSession,
        has_end: bool,
    ) -> Result<bool, Error> {
        match lasting(stored).filter(|_| self.format.renews_on_access()) {
            // The application checks the end itself.
            Some(_) if stored.expires.is_some() => self.save(state, request, stored, has_end),
            Some(timeout) if has_end => {
                let expire = cmd("PEXPIRE").arg(self.format.key(&state.id)).arg(milliseconds(timeout)).take();
                let (_,): (u32,) = query(state, request, pipe().cmd("UNWATCH").ignore().add_command(expire))?;
                Ok(true)
            }
            _ => Ok(true),
        }
    }

    /// Reads, changes and writes, and again where the application has written meanwhile. `begin`: a session that is not
    /// there is begun. Nothing is written where the change is none.
    pub(super) fn change<T>(
        &self,
        request: &TestRequest,
        begin: bool,
        mut change: impl FnMut(&mut Map<String, Value>) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let mut state = self.state();
        loop {
            let (before, has_end) = match self.load(&mut state, request)? {
                Some(loaded) => loaded,
                None if begin => {
                    let mut new = StoredSession::new(state.id.clone(), request.settings().session_timeout());
                    new.created = Some(whole_seconds(state.began));
                    (new, true)
                }
                None => return Ok(None),
            };
            let mut stored = before.clone();
            let changed = change(&mut stored.values);
            let done = if changed.is_some() {
                self.save(&mut state, request, &stored, has_end)?
            } else {
                self.renew(&mut state, request, &before, has_end)?
            };
            // Else the application has written meanwhile.
            if done {
                return Ok(changed);
            }
        }
    }

    pub(super) fn invalidate(&self, request: &TestRequest) -> Result<(), Error> {
        let mut state = self.state();
        let key = self.format.key(&state.id);
        let (_,): (u32,) = query(&mut state, request, pipe().del(&key))?;
        let connection = state.connection.take();
        *state = State { connection, ..State::new(self.format.as_ref()) };
        Ok(())
    }

    pub(super) fn is_new(&self, request: &TestRequest) -> Result<bool, Error> {
        let mut state = self.state();
        let key = self.format.key(&state.id);
        let (bytes,): (Option<Vec<u8>>,) = query(&mut state, request, pipe().get(&key))?;
        Ok(bytes.is_none_or(|bytes| {
            let mut stored = StoredSession::new(state.id.clone(), request.settings().session_timeout());
            // What can't be read is there.
            self.format.decode(&bytes, &mut stored).is_ok() && over(&stored)
        }))
    }

    pub(super) fn created(&self, request: &TestRequest) -> Result<Option<SystemTime>, Error> {
        Ok(match self.read(request)? {
            Some(stored) => stored.created,
            None => Some(whole_seconds(self.state().began)),
        })
    }

    pub(super) fn ttl(&self, request: &TestRequest) -> Result<Option<Duration>, Error> {
        let mut state = self.state();
        let key = self.format.key(&state.id);
        let (left,): (i64,) = query(&mut state, request, pipe().pttl(&key))?;
        Ok(u64::try_from(left).ok().map(Duration::from_millis))
    }

    /// The session, and whether its key has an end. Until it is saved, or loaded again, the key is watched.
    fn load(&self, state: &mut State, request: &TestRequest) -> Result<Option<(StoredSession, bool)>, Error> {
        let key = self.format.key(&state.id);
        let mut commands = pipe();
        // What an earlier call has watched and not saved is not this one's.
        commands.cmd("UNWATCH").ignore().cmd("WATCH").arg(&key).ignore().get(&key).pttl(&key);
        let (bytes, left): (Option<Vec<u8>>, i64) = query(state, request, &commands)?;
        let Some(bytes) = bytes else { return Ok(None) };
        let mut stored = StoredSession::new(state.id.clone(), request.settings().session_timeout());
        match self.format.decode(&bytes, &mut stored) {
            // The key may outlive the session, where the application ends it by what it has stored.
            Ok(()) if over(&stored) => Ok(None),
            Ok(()) => {
                if let (Ok(left), false) = (u64::try_from(left), self.format.renews_on_access()) {
                    // What the bytes say of their end does not age with the key.
                    let longest = Duration::from_millis(left).max(request.settings().session_timeout());
                    stored.timeout = stored.timeout.map(|timeout| timeout.min(longest));
                }
                Ok(Some((stored, left >= 0)))
            }
            Err(error) => {
                Err(Error::with_source(Kind::Data, report::session::unreadable(&key, &*self.format, &*error), error))
            }
        }
    }

    /// Where the key `has_end`, it is moved; one without is given none. False, and nothing is written, where the
    /// application has written since the session was loaded.
    fn save(
        &self,
        state: &mut State,
        request: &TestRequest,
        stored: &StoredSession,
        has_end: bool,
    ) -> Result<bool, Error> {
        let key = self.format.key(&state.id);
        let bytes = self.format.encode(stored).map_err(|error| {
            Error::with_source(Kind::Data, report::session::not_encoded(&key, &*self.format, &*error), error)
        })?;
        let mut set = cmd("SET");
        set.arg(key).arg(bytes);
        if let Some(timeout) = lasting(stored).filter(|_| has_end) {
            set.arg("PX").arg(milliseconds(timeout));
        }
        let saved: Option<(String,)> = query(state, request, pipe().atomic().add_command(set))?;
        Ok(saved.is_some())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(format: &dyn SessionFormat) -> Self {
        Self { id: format.new_id(random()), began: SystemTime::now(), connection: None }
    }
}

fn query<T: FromRedisValue>(state: &mut State, request: &TestRequest, commands: &Pipeline) -> Result<T, Error> {
    let lost = |error| request.no_answer(error);
    let connection = match &mut state.connection {
        Some(connection) => connection,
        none => none.insert(get_redis(request).map_err(lost)?),
    };
    let answer = commands.query(connection);
    if answer.as_ref().is_err_and(redis::RedisError::is_unrecoverable_error) {
        // The next command opens another one.
        state.connection = None;
    }
    answer.map_err(lost)
}

/// A timeout of nothing is none.
fn lasting(stored: &StoredSession) -> Option<Duration> {
    stored.timeout.filter(|timeout| timeout.as_millis() > 0)
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn over(stored: &StoredSession) -> bool {
    stored.expires.is_some_and(|end| end < SystemTime::now())
}

/// What the formats store.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}
