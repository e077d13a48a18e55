//! Time travel: ages the test databases on the real server.
//!
//! No client may see a half-aged database, and keys that run out must really expire. So one script ages both databases
//! while no other client is served, and returns only after the expiry. A second script touches all keys if any has
//! expired, so that the server removes them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use redis::{Connection, RedisError, RedisResult, cmd};

use crate::error::{Error, Kind};
use crate::lease::{Database, Lease};
use crate::redis_io::{knows, milliseconds, now, select_each};
use crate::report;
use crate::sync::{lock, poll_until};

const AGE: &str = include_str!("age.lua");
const EXPIRE_NOW: &str = include_str!("expire_now.lua");

/// Upper bound for clocks and dates, which overflow with larger durations: a thousand years. TTLs have no such bound.
pub(crate) const FAR: Duration = Duration::from_secs(1_000 * 365 * 24 * 60 * 60);

/// How long the server's clock may take to reach a given time. Under libfaketime, the server reads the offset from a
/// file whenever it asks for the time.
const CLOCK_MOVED_WITHIN: Duration = Duration::from_secs(5);

/// How long the server may take to remove the next expired hash fields. It removes some thousand, ten times a second.
/// Until then, only HLEN and EXISTS count them.
const NEXT_FIELDS_GONE_WITHIN: Duration = Duration::from_secs(5);

/// The reply to PTTL for a missing key. For a key without a TTL it is -1.
pub(crate) const NO_KEY: i64 = -2;

/// A sorted set of due times: database, key, and units per second. Without a unit, the magnitude of a score decides.
pub(crate) type TimedSet = (u32, String, Option<f64>);

/// PTTL of a key in the session database or, if that has no such key, in the job database.
///
/// # Errors
///
/// Returns an error that [`is_server`](Error::is_server) if the server does not answer.
pub(crate) fn pttl(lease: &Lease, key: &str) -> Result<i64, Error> {
    let mut redis = lease.connect(Database::Sessions)?;
    pttl_of(lease, &mut redis, key)
}

fn pttl_of(lease: &Lease, redis: &mut Connection, key: &str) -> Result<i64, Error> {
    let ttls = pttl_in_both(lease, redis, &[key.as_bytes().to_vec()])?;
    Ok(ttls.into_iter().find(|ttl| *ttl != NO_KEY).unwrap_or(NO_KEY))
}

/// PTTL of a key. If there is none of that name and it is a glob pattern, the PTTL of all matching keys in both
/// databases.
///
/// # Errors
///
/// Returns an error that [`is_server`](Error::is_server) if the server does not answer.
pub(crate) fn pttl_of_matching(lease: &Lease, pattern: &str) -> Result<Vec<(Vec<u8>, i64)>, Error> {
    let mut redis = lease.connect(Database::Sessions)?;
    let ttl = pttl_of(lease, &mut redis, pattern)?;
    if ttl != NO_KEY || !pattern.contains(['*', '?', '[']) {
        return Ok(vec![(pattern.as_bytes().to_vec(), ttl)]);
    }
    let commands = select_each(lease.databases(), |commands| _ = commands.cmd("KEYS").arg(pattern));
    let found: [Vec<Vec<u8>>; 2] = commands.query(&mut redis).map_err(|error| lease.no_answer(error))?;
    let keys: Vec<_> = found.into_iter().flatten().collect::<BTreeSet<_>>().into_iter().collect();
    let ttls = pttl_in_both(lease, &mut redis, &keys)?;
    let (sessions, jobs) = ttls.split_at(keys.len());
    let both = keys.iter().zip(sessions).chain(keys.iter().zip(jobs));
    Ok(both.filter(|(_, ttl)| **ttl != NO_KEY).map(|(key, ttl)| (key.clone(), *ttl)).collect())
}

/// PTTL of these keys in the session database, then in the job database.
fn pttl_in_both(lease: &Lease, redis: &mut Connection, keys: &[Vec<u8>]) -> Result<Vec<i64>, Error> {
    let commands = select_each(lease.databases(), |commands| {
        for key in keys {
            commands.cmd("PTTL").arg(key);
        }
    });
    commands.query(redis).map_err(|error| lease.no_answer(error))
}

/// The fraction of a millisecond that the test's travels have not used yet.
#[derive(Default)]
struct Remainder(Mutex<Duration>);

/// Cuts a duration to whole milliseconds. The remainder is added to the test's next travel.
pub(crate) fn whole_milliseconds(lease: &Lease, time: Duration) -> Duration {
    let remainder = lease.shared(Remainder::default);
    let mut remainder = lock(&remainder.0);
    let time = time.saturating_add(*remainder);
    *remainder = Duration::from_nanos(u64::from(time.subsec_nanos() % 1_000_000));
    time.saturating_sub(*remainder)
}

/// Ages both test databases, and the scores of these sorted sets.
///
/// # Errors
///
/// Returns an error that [`is_server`](Error::is_server) if the server does not answer, or does not remove expired
/// keys.
pub(crate) fn age(lease: &Lease, time: Duration, sets: &[TimedSet]) -> Result<(), Error> {
    Ageing::of(lease)?.age(time, &lease.databases(), sets)
}

/// A connection that ages databases.
pub(crate) struct Ageing<'lease> {
    lease: &'lease Lease,
    redis: Connection,
    /// Whether the server has PEXPIRETIME.
    has_expiretime: bool,
    /// Whether hash fields can expire.
    has_field_ttls: bool,
}

impl<'lease> Ageing<'lease> {
    /// # Errors
    ///
    /// Returns an error that [`is_server`](Error::is_server) if the server does not answer.
    pub(crate) fn of(lease: &'lease Lease) -> Result<Self, Error> {
        let mut redis = lease.connect(Database::Sessions)?;
        let mut knows = |command| knows(&mut redis, command).map_err(|error| not_travelled(lease, error));
        let (has_expiretime, has_field_ttls) = (knows("PEXPIRETIME")?, knows("HPEXPIRETIME")?);
        Ok(Self { lease, redis, has_expiretime, has_field_ttls })
    }

    /// Ages these databases, and the scores of these sorted sets.
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_server`](Error::is_server) if the server does not answer, or does not remove expired
    /// keys.
    pub(crate) fn age(&mut self, time: Duration, databases: &[u32], sets: &[TimedSet]) -> Result<(), Error> {
        let server = &self.lease.server;
        let unfinished = self.try_age(time, databases, sets).map_err(|error| not_travelled(self.lease, error))?;
        let Some(unfinished) = unfinished else { return Ok(()) };
        Err(Error::new(
            Kind::Server,
            match unfinished {
                Unfinished::Clock => report::travel::clock_did_not_move(server, CLOCK_MOVED_WITHIN),
                Unfinished::Fields(count) => report::travel::fields_stay(server, count, NEXT_FIELDS_GONE_WITHIN),
            },
        ))
    }

    fn try_age(&mut self, time: Duration, databases: &[u32], sets: &[TimedSet]) -> RedisResult<Option<Unfinished>> {
        let (lease, redis) = (self.lease, &mut self.redis);
        let (has_expiretime, has_field_ttls) = (self.has_expiretime, self.has_field_ttls);
        let clock_target = move_clock(lease, redis, time.min(FAR))?;
        if let Some(target) = clock_target
            && !clock_reaches(redis, target)?
        {
            return Ok(Some(Unfinished::Clock));
        }
        let clock_moved = clock_target.is_some();
        // Keys age with the server's clock. Due times do not: they follow the application's clock.
        let ageing: &[u32] = if clock_moved { &[] } else { databases };
        let mut age = cmd("EVAL");
        age.arg(AGE).arg(0).arg(milliseconds(time)).arg(milliseconds(time.min(FAR)));
        age.arg(u8::from(has_expiretime)).arg(u8::from(has_field_ttls));
        age.arg(lease.server.shortest_ttl(redis)).arg(ageing.len()).arg(ageing);
        // A set that is named twice must age once.
        let sets: BTreeMap<_, _> = sets.iter().map(|(database, key, unit)| ((database, key), unit)).collect();
        for ((database, key), unit) in sets {
            age.arg(database).arg(key).arg(unit.unwrap_or_default());
        }
        let (expired, expired_at): (u8, u64) = age.query(redis)?;
        let fields_expired = has_field_ttls && (clock_moved || expired & 2 != 0);
        if expired == 0 && !clock_moved {
            return Ok(None);
        }
        // The script has waited already, except on servers that freeze TIME within a script.
        if !clock_reaches(redis, Duration::from_millis(expired_at + 1))? {
            return Ok(Some(Unfinished::Clock));
        }
        let mut expire_now = cmd("EVAL");
        expire_now.arg(EXPIRE_NOW).arg(0).arg(u8::from(fields_expired)).arg(databases);
        let (mut fewest, mut since) = (u64::MAX, Instant::now());
        loop {
            match expire_now.query::<u64>(redis)? {
                0 => return Ok(None),
                hidden if hidden < fewest => (fewest, since) = (hidden, Instant::now()),
                hidden if since.elapsed() > NEXT_FIELDS_GONE_WITHIN => return Ok(Some(Unfinished::Fields(hidden))),
                _ => {}
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn not_travelled(lease: &Lease, error: RedisError) -> Error {
    Error::with_source(Kind::Server, report::travel::not_travelled(&lease.server), error)
}

/// Why a travel did not finish.
enum Unfinished {
    /// The server's clock did not reach the expected time.
    Clock,
    /// The server keeps this many expired hash fields.
    Fields(u64),
}

/// Waits until the server's clock reaches a time. Returns false if it does not.
fn clock_reaches(redis: &mut Connection, target: Duration) -> RedisResult<bool> {
    poll_until(Instant::now() + CLOCK_MOVED_WITHIN, Duration::from_micros(200), || match now(redis) {
        Ok(time) => (time >= target).then_some(Ok(true)),
        Err(error) => Some(Err(error)),
    })
    .unwrap_or(Ok(false))
}

/// Moves the server's own clock if possible, and returns the time that it will show.
#[cfg(unix)]
fn move_clock(lease: &Lease, redis: &mut Connection, time: Duration) -> RedisResult<Option<Duration>> {
    let Some(clock) = lease.server.clock() else { return Ok(None) };
    let before = now(redis)?;
    clock.advance(time)?;
    Ok(Some(before + time))
}

#[cfg(not(unix))]
fn move_clock(_: &Lease, _: &mut Connection, _: Duration) -> RedisResult<Option<Duration>> {
    Ok(None)
}
