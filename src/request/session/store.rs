//! One visitor's session on the server: read, changed and written back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::{Cmd, Connection, FromRedisValue, cmd};
use serde_json::{Map, Value};

use super::super::{TestRequest, get_redis};
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

/// A connection has no text form.
impl std::fmt::Debug for State {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("State").field("id", &self.id).finish_non_exhaustive()
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
        self.state().id = id;
    }

    pub(super) fn key(&self) -> String {
        self.format.key(&self.id())
    }

    /// The session, if it is there; it lives longer for it, where the framework sees to that.
    pub(super) fn read(&self, request: &TestRequest) -> Result<Option<StoredSession>, Error> {
        let mut state = self.state();
        let stored = self.load(&mut state, request)?;
        if let Some(stored) =
            stored.as_ref().filter(|stored| self.format.renews_on_access() && stored.expires.is_some())
        {
            self.save(&mut state, request, stored)?;
        }
        Ok(stored)
    }

    /// Reads, changes and writes. `begin`: a session that is not there is begun. False where nothing changed.
    pub(super) fn change(
        &self,
        request: &TestRequest,
        begin: bool,
        change: impl FnOnce(&mut Map<String, Value>) -> bool,
    ) -> Result<bool, Error> {
        let mut state = self.state();
        let mut stored = match self.load(&mut state, request)? {
            Some(stored) => stored,
            None if begin => {
                let mut new = StoredSession::new(state.id.clone(), request.settings().session_timeout());
                new.created = Some(whole_seconds(SystemTime::now()));
                new
            }
            None => return Ok(false),
        };
        let changed = change(&mut stored.values);
        if changed {
            self.save(&mut state, request, &stored)?;
        }
        Ok(changed)
    }

    pub(super) fn invalidate(&self, request: &TestRequest) -> Result<(), Error> {
        let mut state = self.state();
        let key = self.format.key(&state.id);
        let () = query(&mut state, request, cmd("DEL").arg(&key))?;
        let connection = state.connection.take();
        *state = State { connection, ..State::new(self.format.as_ref()) };
        Ok(())
    }

    pub(super) fn is_new(&self, request: &TestRequest) -> Result<bool, Error> {
        let mut state = self.state();
        let key = self.format.key(&state.id);
        let bytes: Option<Vec<u8>> = query(&mut state, request, cmd("GET").arg(&key))?;
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
        let left: i64 = query(&mut state, request, cmd("PTTL").arg(&key))?;
        Ok(u64::try_from(left).ok().map(Duration::from_millis))
    }

    fn load(&self, state: &mut State, request: &TestRequest) -> Result<Option<StoredSession>, Error> {
        let (key, timeout) = (self.format.key(&state.id), request.settings().session_timeout());
        let bytes: Option<Vec<u8>> = if self.format.renews_on_access() {
            query(state, request, cmd("GETEX").arg(&key).arg("EX").arg(timeout.as_secs()))?
        } else {
            query(state, request, cmd("GET").arg(&key))?
        };
        let Some(bytes) = bytes else { return Ok(None) };
        let mut stored = StoredSession::new(state.id.clone(), timeout);
        match self.format.decode(&bytes, &mut stored) {
            // The key may outlive the session, where the application ends it by what it has stored.
            Ok(()) if over(&stored) => Ok(None),
            Ok(()) => {
                if self.format.renews_on_access() && stored.timeout != Some(timeout) {
                    // The application has given this one another timeout.
                    let () = match stored.timeout {
                        Some(timeout) => query(state, request, cmd("EXPIRE").arg(&key).arg(timeout.as_secs()))?,
                        None => query(state, request, cmd("PERSIST").arg(&key))?,
                    };
                }
                Ok(Some(stored))
            }
            Err(error) => {
                Err(Error::with_source(Kind::Data, report::session::unreadable(&key, &*self.format, &*error), error))
            }
        }
    }

    fn save(&self, state: &mut State, request: &TestRequest, stored: &StoredSession) -> Result<(), Error> {
        let key = self.format.key(&state.id);
        let bytes = self.format.encode(stored).map_err(|error| {
            Error::with_source(Kind::Data, report::session::not_encoded(&key, &*self.format, &*error), error)
        })?;
        let mut set = cmd("SET");
        set.arg(key).arg(bytes);
        if let Some(timeout) = stored.timeout {
            set.arg("EX").arg(timeout.as_secs());
        }
        query(state, request, &set)
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

fn query<T: FromRedisValue>(state: &mut State, request: &TestRequest, command: &Cmd) -> Result<T, Error> {
    let lost = |error| request.no_answer(error);
    let connection = match &mut state.connection {
        Some(connection) => connection,
        none => none.insert(get_redis(request).map_err(lost)?),
    };
    let answer = command.query(connection);
    if answer.as_ref().is_err_and(redis::RedisError::is_unrecoverable_error) {
        // The next command opens another one.
        state.connection = None;
    }
    answer.map_err(lost)
}

fn over(stored: &StoredSession) -> bool {
    stored.expires.is_some_and(|end| end < SystemTime::now())
}

/// What the formats store.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}
