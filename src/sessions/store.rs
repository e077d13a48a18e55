//! Reads, changes and writes one visitor's session.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::{FromRedisValue, Pipeline, cmd, pipe};

use super::cookie::SessionCookie;
use super::format::{SessionData, SessionFormat, StoredSession};
use super::values::SessionValues;
use crate::error::{Error, Kind};
use crate::lease::{Commands, Database, Lease};
use crate::redis_io::{milliseconds, ttl};
use crate::sync::lock;
use crate::{random, report};

#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) format: Arc<dyn SessionFormat>,
    state: Mutex<State>,
}

struct State {
    id: String,
    started: SystemTime,
    /// Opened by the first command, and closed with the lease or the last handle.
    connection: Commands,
}

/// Omits the id, which is as good as a password.
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

    /// Switches to another session.
    pub(super) fn set_id(&self, id: String) {
        let mut state = self.state();
        state.id = id;
        state.started = SystemTime::now();
    }

    pub(super) fn key(&self) -> String {
        self.format.key(&self.id())
    }

    /// The cookies of the session. The first one names it.
    pub(super) fn cookies(&self, lease: &Lease) -> Vec<SessionCookie> {
        self.format.cookies(&self.id(), lease.settings)
    }

    /// The session, or `None` if it is not stored. Renews its timeout if the framework does so on reads.
    pub(super) fn read(&self, lease: &Lease) -> Result<Option<StoredSession>, Error> {
        let mut state = self.state();
        loop {
            let Some((stored, has_ttl)) = self.load(&mut state, lease)? else { return Ok(None) };
            if self.renew(&mut state, lease, &stored, has_ttl)? {
                return Ok(Some(stored));
            }
        }
    }

    /// Renews the timeout of a session that was read, if the framework does so. Returns false if the application has
    /// written the session concurrently.
    fn renew(&self, state: &mut State, lease: &Lease, stored: &StoredSession, has_ttl: bool) -> Result<bool, Error> {
        match effective_timeout(stored).filter(|_| self.format.renews_on_access()) {
            // The application compares the stored expiry with its own clock.
            Some(_) if stored.expires.is_some() => self.save(state, lease, stored, has_ttl),
            Some(timeout) if has_ttl => {
                let expire = cmd("PEXPIRE").arg(self.format.key(&state.id)).arg(milliseconds(timeout)).take();
                let (_,): (u32,) = query(state, lease, pipe().cmd("UNWATCH").ignore().add_command(expire))?;
                Ok(true)
            }
            _ => Ok(true),
        }
    }

    /// Reads, changes and writes the session. Retries if the application has written concurrently.
    ///
    /// `create` starts a session that is not stored. Nothing is written if `change` returns `None`.
    pub(super) fn change<T>(
        &self,
        lease: &Lease,
        create: bool,
        mut change: impl FnMut(&mut SessionValues) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let mut state = self.state();
        loop {
            let (before, has_ttl) = match self.load(&mut state, lease)? {
                Some(loaded) => loaded,
                None if create => {
                    let mut new = StoredSession::new(state.id.clone(), lease.settings.session_timeout());
                    new.created = Some(whole_seconds(state.started));
                    (new, self.format.sets_ttl())
                }
                None => return Ok(None),
            };
            let mut stored = before.clone();
            let changed = change(&mut stored.values);
            let done = if changed.is_some() {
                self.save(&mut state, lease, &stored, has_ttl)?
            } else {
                self.renew(&mut state, lease, &before, has_ttl)?
            };
            if done {
                return Ok(changed);
            }
        }
    }

    pub(super) fn invalidate(&self, lease: &Lease) -> Result<(), Error> {
        let mut state = self.state();
        let key = self.format.key(&state.id);
        let (_,): (u32,) = query(&mut state, lease, pipe().del(&key))?;
        state.start_over(&*self.format);
        Ok(())
    }

    /// Starts a new session, and leaves the data of the old one.
    pub(super) fn start_over(&self) {
        self.state().start_over(&*self.format);
    }

    pub(super) fn is_new(&self, lease: &Lease) -> Result<bool, Error> {
        let mut state = self.state();
        let key = self.format.key(&state.id);
        let mut commands = pipe();
        self.format.storage().read(&mut commands, &key);
        let (answer,): (redis::Value,) = query(&mut state, lease, &commands)?;
        let data = self.format.storage().data(answer).map_err(|error| lease.no_answer(error))?;
        let stored = StoredSession::new(state.id.clone(), lease.settings.session_timeout());
        // Data that can't be decoded is there.
        Ok(data.is_none_or(|data| self.format.decode(&data, stored).is_ok_and(|stored| is_expired(&stored))))
    }

    pub(super) fn created(&self, lease: &Lease) -> Result<Option<SystemTime>, Error> {
        Ok(match self.read(lease)? {
            Some(stored) => stored.created,
            None => Some(whole_seconds(self.state().started)),
        })
    }

    pub(super) fn ttl(&self, lease: &Lease) -> Result<Option<Duration>, Error> {
        let mut state = self.state();
        let key = self.format.key(&state.id);
        let (pttl,): (i64,) = query(&mut state, lease, pipe().pttl(&key))?;
        Ok(ttl(pttl))
    }

    /// The session, and whether its key has a TTL. The key is watched until the session is saved or loaded again.
    fn load(&self, state: &mut State, lease: &Lease) -> Result<Option<(StoredSession, bool)>, Error> {
        let key = self.format.key(&state.id);
        let mut commands = pipe();
        // An earlier call may have watched a key and not saved it.
        commands.cmd("UNWATCH").ignore().cmd("WATCH").arg(&key).ignore();
        self.format.storage().read(&mut commands, &key);
        commands.pttl(&key);
        let (answer, ttl): (redis::Value, i64) = query(state, lease, &commands)?;
        let data = self.format.storage().data(answer).map_err(|error| lease.no_answer(error))?;
        let Some(data) = data else { return Ok(None) };
        let empty = StoredSession::new(state.id.clone(), lease.settings.session_timeout());
        let mut stored = self
            .format
            .decode(&data, empty)
            .map_err(|error| Error::with_source(Kind::Data, report::session::unreadable(&key, &*self.format), error))?;
        stored.original = Some(data);
        // The key can outlive the session if the application checks the stored expiry.
        if is_expired(&stored) {
            return Ok(None);
        }
        if let (Ok(ttl), false) = (u64::try_from(ttl), self.format.renews_on_access()) {
            // The stored expiry does not age with the key.
            let longest = Duration::from_millis(ttl).max(lease.settings.session_timeout());
            stored.timeout = stored.timeout.map(|timeout| timeout.min(longest));
        }
        Ok(Some((stored, ttl >= 0)))
    }

    /// Writes the session, and the TTL of its key if it `has_ttl`. Returns false and writes nothing if the application
    /// has written since the session was loaded.
    fn save(&self, state: &mut State, lease: &Lease, stored: &StoredSession, has_ttl: bool) -> Result<bool, Error> {
        let key = self.format.key(&state.id);
        let data = self.format.encode(stored).map_err(|error| {
            Error::with_source(Kind::Data, report::session::not_encoded(&key, &*self.format), error)
        })?;
        let timeout = effective_timeout(stored).filter(|_| has_ttl).map(milliseconds);
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
                // Unchanged fields are not written, which would remove a TTL of the field.
                let before = stored.original.as_ref().map_or(&[][..], SessionData::fields);
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
        lock(&self.state)
    }
}

impl State {
    fn new(format: &dyn SessionFormat) -> Self {
        Self { id: format.new_id(&random::bytes::<64>()), started: SystemTime::now(), connection: Commands::default() }
    }

    /// Keeps the connection.
    fn start_over(&mut self, format: &dyn SessionFormat) {
        let connection = std::mem::take(&mut self.connection);
        *self = Self { connection, ..Self::new(format) };
    }
}

fn query<T: FromRedisValue>(state: &mut State, lease: &Lease, commands: &Pipeline) -> Result<T, Error> {
    state.connection.query(lease, Database::Sessions, commands)
}

/// The timeout. One of zero counts as none.
fn effective_timeout(stored: &StoredSession) -> Option<Duration> {
    stored.timeout.filter(|timeout| timeout.as_millis() > 0)
}

fn is_expired(stored: &StoredSession) -> bool {
    stored.expires.is_some_and(|expires| expires < SystemTime::now())
}

/// The precision of the formats.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}
