//! Time passes on demand: the test databases age on the real server.
//!
//! Ageing must never show a half-aged database, and what ends must really expire. So one script ages both databases
//! while nobody else is served, and stays until what ends has ended; a second one meets what has ended, if anything has,
//! so that the server removes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use redis::{Connection, RedisResult, cmd};

use crate::error::{Error, Kind};
use crate::lease::{Database, Lease};
use crate::provider::Server;
use crate::redis_io::{knows, milliseconds};
use crate::report;

const AGE: &str = include_str!("age.lua");
const TOUCH: &str = include_str!("expire_now.lua");

/// Longer than any life: a thousand years. No clock and no date goes further; the ends of keys do.
pub(crate) const FAR: Duration = Duration::from_secs(1_000 * 365 * 24 * 60 * 60);

/// How long the server's clock may take to reach a moment. One under libfaketime reads its offset whenever it asks for the
/// time.
const CLOCK_MOVED_WITHIN: Duration = Duration::from_secs(5);

/// A server removes ended fields of hashes about ten times a second, some thousand at a time. Nobody sees them meanwhile,
/// but in HLEN and EXISTS.
const NEXT_FIELDS_GONE_WITHIN: Duration = Duration::from_secs(5);

/// What PTTL says where there is no key; where the key has no end it says -1.
pub(crate) const NO_KEY: i64 = -2;

/// A sorted set whose scores are times: its database, its key, and how many units a second has; without that, a score
/// that is a time says by itself which unit it has.
pub(crate) type TimedSet = (u32, String, Option<f64>);

/// PTTL of the key of database 14, or of database 15 where 14 has none, in milliseconds.
///
/// # Errors
///
/// [`Error::is_server`].
pub(crate) fn milliseconds_left(lease: &Lease, key: &str) -> Result<i64, Error> {
    let left = left_in_both(lease, &[key.as_bytes().to_vec()])?;
    Ok(left.into_iter().find(|left| *left != NO_KEY).unwrap_or(NO_KEY))
}

/// PTTL of that key; or, where there is none of that name and it is a pattern as KEYS takes it, of all keys of both
/// databases that it fits, with their names.
///
/// # Errors
///
/// [`Error::is_server`].
pub(crate) fn all_milliseconds_left(lease: &Lease, pattern: &str) -> Result<Vec<(Vec<u8>, i64)>, Error> {
    let left = milliseconds_left(lease, pattern)?;
    if left != NO_KEY || !pattern.contains(['*', '?', '[']) {
        return Ok(vec![(pattern.as_bytes().to_vec(), left)]);
    }
    let mut redis = lease.connect(Database::Sessions)?;
    let mut commands = redis::pipe();
    for database in lease.databases() {
        commands.cmd("SELECT").arg(database).ignore().cmd("KEYS").arg(pattern);
    }
    let found: [Vec<Vec<u8>>; 2] = commands.query(&mut redis).map_err(|error| lease.no_answer(error))?;
    let keys: Vec<_> = found.into_iter().flatten().collect::<BTreeSet<_>>().into_iter().collect();
    let left = left_in_both(lease, &keys)?;
    let (sessions, jobs) = left.split_at(keys.len());
    let both = keys.iter().zip(sessions).chain(keys.iter().zip(jobs));
    Ok(both.filter(|(_, left)| **left != NO_KEY).map(|(key, left)| (key.clone(), *left)).collect())
}

/// Of these keys of database 14, then of 15.
fn left_in_both(lease: &Lease, keys: &[Vec<u8>]) -> Result<Vec<i64>, Error> {
    let mut redis = lease.connect(Database::Sessions)?;
    let mut commands = redis::pipe();
    for database in lease.databases() {
        commands.cmd("SELECT").arg(database).ignore();
        for key in keys {
            commands.cmd("PTTL").arg(key);
        }
    }
    commands.query(&mut redis).map_err(|error| lease.no_answer(error))
}

/// The part of a millisecond by which a test has travelled further than Redis counts.
#[derive(Default)]
struct Rest(Mutex<Duration>);

/// The time in whole milliseconds. The rest is added to the test's next travel.
pub(crate) fn in_milliseconds(lease: &Lease, time: Duration) -> Duration {
    let rest = lease.shared(Rest::default);
    let mut rest = rest.0.lock().unwrap_or_else(PoisonError::into_inner);
    let time = time.saturating_add(*rest);
    *rest = Duration::from_nanos(u64::from(time.subsec_nanos() % 1_000_000));
    time.saturating_sub(*rest)
}

/// Lets time pass for both test databases; and the scores of these sorted sets, which are times, are that much earlier.
///
/// # Errors
///
/// [`Error::is_server`], also when the server does not remove what has ended.
pub(crate) fn age(lease: &Lease, time: Duration, sets: &[TimedSet]) -> Result<(), Error> {
    let mut redis = lease.connect(Database::Sessions)?;
    let unfinished = age_with(lease, &mut redis, time, sets)
        .map_err(|error| Error::with_source(Kind::Server, report::travel::not_travelled(&lease.server), error))?;
    let Some(unfinished) = unfinished else { return Ok(()) };
    Err(Error::new(
        Kind::Server,
        match unfinished {
            Unfinished::Clock => report::travel::clock_stands_still(&lease.server, CLOCK_MOVED_WITHIN),
            Unfinished::Fields(count) => report::travel::fields_stay(&lease.server, count, NEXT_FIELDS_GONE_WITHIN),
        },
    ))
}

/// Why a travel did not finish.
enum Unfinished {
    /// The server's clock stands still.
    Clock,
    /// So many ended fields of hashes are still there.
    Fields(u64),
}

fn age_with(
    lease: &Lease,
    redis: &mut Connection,
    time: Duration,
    sets: &[TimedSet],
) -> RedisResult<Option<Unfinished>> {
    let moved_to = move_clock(lease, redis, time.min(FAR))?;
    if let Some(moment) = moved_to
        && !has_come(redis, moment)?
    {
        return Ok(Some(Unfinished::Clock));
    }
    let moved = moved_to.is_some();
    let (tells_end, has_fields) = (knows(redis, "PEXPIRETIME")?, knows(redis, "HPEXPIRETIME")?);
    let [sessions, jobs] = lease.databases();
    // With the clock, the keys have aged already. Due times have not: the application's clock is not the server's.
    let databases: &[u32] = if moved { &[] } else { &[sessions, jobs] };
    let mut age = cmd("EVAL");
    age.arg(AGE).arg(0).arg(milliseconds(time)).arg(milliseconds(time.min(FAR)));
    age.arg(u8::from(tells_end)).arg(u8::from(has_fields));
    age.arg(last_milliseconds(&lease.server)).arg(databases.len()).arg(databases);
    // One that is named twice ages once.
    let sets: BTreeMap<_, _> = sets.iter().map(|(database, key, unit)| ((database, key), unit)).collect();
    for ((database, key), unit) in sets {
        age.arg(database).arg(key).arg(unit.unwrap_or_default());
    }
    let (ended, ends_at): (u8, u64) = age.query(redis)?;
    let fields_ended = has_fields && (moved || ended & 2 != 0);
    if ended == 0 && !moved {
        return Ok(None);
    }
    // The script has waited, except on servers that stop the clock for scripts.
    if !has_come(redis, Duration::from_millis(ends_at + 1))? {
        return Ok(Some(Unfinished::Clock));
    }
    let mut touch = cmd("EVAL");
    touch.arg(TOUCH).arg(0).arg(u8::from(fields_ended)).arg(sessions).arg(jobs);
    let (mut fewest, mut since) = (u64::MAX, Instant::now());
    loop {
        match touch.query::<u64>(redis)? {
            0 => return Ok(None),
            hiding if hiding < fewest => (fewest, since) = (hiding, Instant::now()),
            hiding if since.elapsed() > NEXT_FIELDS_GONE_WITHIN => return Ok(Some(Unfinished::Fields(hiding))),
            _ => {}
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until that moment by the server's clock. False if it does not come.
fn has_come(redis: &mut Connection, moment: Duration) -> RedisResult<bool> {
    let deadline = Instant::now() + CLOCK_MOVED_WITHIN;
    while now(redis)? < moment {
        if Instant::now() > deadline {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The server's time, since 1970.
fn now(redis: &mut Connection) -> RedisResult<Duration> {
    let (seconds, micros): (u64, u64) = cmd("TIME").query(redis)?;
    Ok(Duration::from_secs(seconds) + Duration::from_micros(micros))
}

/// Moves the server's own clock, where that is possible, and returns the time that it will show.
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

/// What is about to end is given that long. Redis before 7.2 looks at the clock twice, when an end is set and when it is
/// checked, and what has ended in between is deleted without the event `expired`.
fn last_milliseconds(server: &Server) -> u32 {
    let mut numbers = server.version().split('.').map_while(|number| number.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    if server.product() == "Redis" && version < (7, 2) { 10 } else { 1 }
}
