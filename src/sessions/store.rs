//! One visitor's session on the server: read, changed and written back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::{FromRedisValue, Pipeline, cmd, pipe};

use super::cookie::{self, SessionCookie};
use super::format::{SessionData, SessionFormat, StoredSession, random};
use super::values::SessionValues;
use crate::error::{Error, Kind};
use crate::lease::{Commands, Database, Lease};
use crate::redis_io::milliseconds;
use crate::report;

#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) format: Arc<dyn SessionFormat>,
    state: Mutex<State>,
}

struct State {
    id: String,
    began: SystemTime,
    /// Opened by the first command, and closed with the lease or the last handle.
    connection: Commands,
}

/// Without the id, which is as good as a password.
impl std::fmt::Debug for State {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("State").finish_non_exhaustive()
    }
}

impl Store {
    pub(crate) fn new(format: Arc<dyn SessionFormat>) -> Self {
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

    pub(super) fn cookie(&self, lease: &Lease) -> String {
        self.cookies(lease).first().map(SessionCookie::set_cookie).unwrap_or_default()
    }

    /// The cookies of the session, the one that names it first.
    pub(super) fn cookies(&self, lease: &Lease) -> Vec<SessionCookie> {
        self.format.cookies(&self.id(), lease.settings)
    }

    pub(super) fn cookie_header(&self, lease: &Lease) -> String {
        cookie::header(&self.cookies(lease))
    }

    /// The session, if it is there; it lives longer for it, where the framework sees to that.
    pub(super) fn read(&self, lease: &Lease) -> Result<Option<StoredSession>, Error> {
        let mut state = self.state();
        loop {
            let Some((stored, has_end)) = self.load(&mut state, lease)? else { return Ok(None) };
            if self.renew(&mut state, lease, &stored, has_end)? {
                return Ok(Some(stored));
            }
        }
    }

    /// Makes a session that was asked for live longer, where the framework does so. False where the application has
    /// written meanwhile.
    fn renew(&self, state: &mut State, lease: &Lease, stored: &StoredSession, has_end: bool) -> Result<bool, Error> {
        match lasting(stored).filter(|_| self.format.renews_on_access()) {
            // The application checks the end itself.
            Some(_) if stored.expires.is_some() => self.save(state, lease, stored, has_end),
            Some(timeout) if has_end => {
                let expire = cmd("PEXPIRE").arg(self.format.key(&state.id)).arg(milliseconds(timeout)).take();
                let (_,): (u32,) = query(state, lease, pipe().cmd("UNWATCH").ignore().add_command(expire))?;
                Ok(true)
            }
            _ => Ok(true),
        }
    }

    /// Reads, changes and writes, and again where the application has written meanwhile. `begin`: a session that is not
    /// there is begun. Nothing is written where the change is none.
    pub(super) fn change<T>(
        &self,
        lease: &Lease,
        begin: bool,
        mut change: impl FnMut(&mut SessionValues) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let mut state = self.state();
        loop {
            let (before, has_end) = match self.load(&mut state, lease)? {
                Some(loaded) => loaded,
                None if begin => {
                    let mut new = StoredSession::new(state.id.clone(), lease.settings.session_timeout());
                    new.created = Some(whole_seconds(state.began));
                    (new, self.format.ends_key())
                }
                None => return Ok(None),
            };
            let mut stored = before.clone();
            let changed = change(&mut stored.values);
            let done = if changed.is_some() {
                self.save(&mut state, lease, &stored, has_end)?
            } else {
                self.renew(&mut state, lease, &before, has_end)?
            };
            // Else the application has written meanwhile.
            if done {
                return Ok(changed);
            }
        }
    }

    pub(super) fn invalidate(&self, lease: &Lease) -> Result<(), Error> {
        let mut state = self.state();
        let key = self.format.key(&state.id);
        let (_,): (u32,) = query(&mut state, lease, pipe().del(&key))?;
        let connection = std::mem::take(&mut state.connection);
        *state = State { connection, ..State::new(self.format.as_ref()) };
        Ok(())
    }

    pub(super) fn is_new(&self, lease: &Lease) -> Result<bool, Error> {
        let mut state = self.state();
        let key = self.format.key(&state.id);
        let mut commands = pipe();
        self.format.storage().read(&mut commands, &key);
        let (answer,): (redis::Value,) = query(&mut state, lease, &commands)?;
        let data = self.format.storage().data(answer).map_err(|error| lease.no_answer(error))?;
        Ok(data.is_none_or(|data| {
            let mut stored = StoredSession::new(state.id.clone(), lease.settings.session_timeout());
            // What can't be read is there.
            self.format.decode(&data, &mut stored).is_ok() && over(&stored)
        }))
    }

    pub(super) fn created(&self, lease: &Lease) -> Result<Option<SystemTime>, Error> {
        Ok(match self.read(lease)? {
            Some(stored) => stored.created,
            None => Some(whole_seconds(self.state().began)),
        })
    }

    pub(super) fn ttl(&self, lease: &Lease) -> Result<Option<Duration>, Error> {
        let mut state = self.state();
        let key = self.format.key(&state.id);
        let (left,): (i64,) = query(&mut state, lease, pipe().pttl(&key))?;
        Ok(u64::try_from(left).ok().map(Duration::from_millis))
    }

    /// The session, and whether its key has an end. Until it is saved, or loaded again, the key is watched.
    fn load(&self, state: &mut State, lease: &Lease) -> Result<Option<(StoredSession, bool)>, Error> {
        let key = self.format.key(&state.id);
        let mut commands = pipe();
        // What an earlier call has watched and not saved is not this one's.
        commands.cmd("UNWATCH").ignore().cmd("WATCH").arg(&key).ignore();
        self.format.storage().read(&mut commands, &key);
        commands.pttl(&key);
        let (answer, left): (redis::Value, i64) = query(state, lease, &commands)?;
        let data = self.format.storage().data(answer).map_err(|error| lease.no_answer(error))?;
        let Some(data) = data else { return Ok(None) };
        let mut stored = StoredSession::new(state.id.clone(), lease.settings.session_timeout());
        let decoded = self.format.decode(&data, &mut stored);
        stored.read = Some(data);
        match decoded {
            // The key may outlive the session, where the application ends it by what it has stored.
            Ok(()) if over(&stored) => Ok(None),
            Ok(()) => {
                if let (Ok(left), false) = (u64::try_from(left), self.format.renews_on_access()) {
                    // What the bytes say of their end does not age with the key.
                    let longest = Duration::from_millis(left).max(lease.settings.session_timeout());
                    stored.timeout = stored.timeout.map(|timeout| timeout.min(longest));
                }
                Ok(Some((stored, left >= 0)))
            }
            Err(error) => Err(Error::with_source(Kind::Data, report::session::unreadable(&key, &*self.format), error)),
        }
    }

    /// Where the key `has_end`, it is moved; one without is given none. False, and nothing is written, where the
    /// application has written since the session was loaded.
    fn save(&self, state: &mut State, lease: &Lease, stored: &StoredSession, has_end: bool) -> Result<bool, Error> {
        let key = self.format.key(&state.id);
        let data = self.format.encode(stored).map_err(|error| {
            Error::with_source(Kind::Data, report::session::not_encoded(&key, &*self.format), error)
        })?;
        let timeout = lasting(stored).filter(|_| has_end).map(milliseconds);
        let mut commands = pipe();
        commands.atomic();
        match data {
            SessionData::String(bytes) => {
                let set = commands.cmd("SET").arg(key).arg(bytes);
                if let Some(timeout) = timeout {
                    set.arg("PX").arg(timeout);
                }
            }
            SessionData::Hash(fields) => {
                // Unchanged fields are not written, so that a timeout of their own stays.
                let before = stored.read.as_ref().map_or(&[][..], SessionData::fields);
                for (field, _) in before.iter().filter(|(field, _)| fields.iter().all(|(kept, _)| kept != field)) {
                    commands.cmd("HDEL").arg(&key).arg(field);
                }
                for (field, value) in fields.iter().filter(|field| !before.contains(field)) {
                    commands.cmd("HSET").arg(&key).arg(field).arg(value);
                }
                if let Some(timeout) = timeout {
                    commands.cmd("PEXPIRE").arg(&key).arg(timeout);
                }
            }
        }
        if commands.is_empty() {
            return Ok(true);
        }
        let saved: redis::Value = query(state, lease, &commands)?;
        Ok(saved != redis::Value::Nil)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(format: &dyn SessionFormat) -> Self {
        Self { id: format.new_id(random()), began: SystemTime::now(), connection: Commands::default() }
    }
}

fn query<T: FromRedisValue>(state: &mut State, lease: &Lease, commands: &Pipeline) -> Result<T, Error> {
    state.connection.query(lease, Database::Sessions, commands)
}

/// A timeout of nothing is none.
fn lasting(stored: &StoredSession) -> Option<Duration> {
    stored.timeout.filter(|timeout| timeout.as_millis() > 0)
}

fn over(stored: &StoredSession) -> bool {
    stored.expires.is_some_and(|end| end < SystemTime::now())
}

/// What the formats store.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}
