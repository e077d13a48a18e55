//! Lints the keys that a passed test leaves: those that never expire, or not in the expected time.

use std::collections::HashSet;
use std::time::Duration;

use redis::{Connection, FromRedisValue, RedisResult, pipe};

use crate::error::Error;
use crate::lease::{Database, Lease};
use crate::redis_io::ttl;
use crate::settings::lint::Lint;

/// A key that breaks the lint.
pub(crate) struct Left {
    pub(crate) database: u32,
    pub(crate) key: Vec<u8>,
    pub(crate) kind: String,
    /// The memory usage in bytes.
    pub(crate) size: u64,
    /// The TTL. `None` if the key never expires.
    pub(crate) ttl: Option<Duration>,
}

/// The keys that break a lint and are not allowed: those of the session database, or with `empty` of both.
///
/// # Errors
///
/// Returns an error that [`is_server`](Error::is_server) if the server does not answer.
pub(crate) fn keys_left(lease: &Lease, lint: Lint) -> Result<Vec<Left>, Error> {
    if lint == Lint::None {
        return Ok(Vec::new());
    }
    lease.answers()?;
    let [sessions, jobs] = lease.databases();
    let databases = match lint {
        Lint::None => Vec::new(),
        Lint::Ttl(_) => vec![(Database::Sessions, sessions)],
        Lint::Empty => vec![(Database::Sessions, sessions), (Database::Jobs, jobs)],
    };
    let mut left = Vec::new();
    for (database, number) in databases {
        let mut redis = lease.connect(database)?;
        let found = find(&mut redis, number, lint, &lease.settings.lint_allow());
        left.extend(found.map_err(|error| lease.no_answer(error))?);
    }
    Ok(left)
}

fn find(redis: &mut Connection, database: u32, lint: Lint, allowed: &[&str]) -> RedisResult<Vec<Left>> {
    // KEYS is fine here: the database is small, and no other test uses it.
    let mut keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query(redis)?;
    for pattern in allowed {
        let allowed: Vec<Vec<u8>> = redis::cmd("KEYS").arg(pattern).query(redis)?;
        let allowed: HashSet<_> = allowed.into_iter().collect();
        keys.retain(|key| !allowed.contains(key));
    }
    keys.sort_unstable();
    let ttls: Vec<i64> = query_each(redis, &keys, &["PTTL"])?;
    let mut found: Vec<_> = keys.into_iter().zip(ttls).filter(|(_, pttl)| breaks(lint, *pttl)).collect();
    let keys: Vec<_> = found.iter_mut().map(|(key, _)| std::mem::take(key)).collect();
    let kinds: Vec<String> = query_each(redis, &keys, &["TYPE"])?;
    let sizes: Vec<Option<u64>> = query_each(redis, &keys, &["MEMORY", "USAGE"])?;
    let found = keys.into_iter().zip(found).zip(kinds).zip(sizes);
    Ok(found
        .map(|(((key, (_, pttl)), kind), size)| Left {
            database,
            key,
            kind,
            size: size.unwrap_or_default(),
            ttl: ttl(pttl),
        })
        .collect())
}

/// Whether a key with this PTTL breaks the lint. A key that has expired since (-2) does not.
fn breaks(lint: Lint, pttl: i64) -> bool {
    match (lint, u64::try_from(pttl)) {
        (Lint::None, _) | (Lint::Ttl(None), Ok(_)) => false,
        (Lint::Ttl(Some(bound)), Ok(ttl)) => !bound.holds(Duration::from_millis(ttl)),
        (Lint::Empty, Ok(_)) => true,
        (Lint::Ttl(_) | Lint::Empty, Err(_)) => pttl == -1,
    }
}

/// Sends one command per key in one round trip.
fn query_each<T: FromRedisValue>(redis: &mut Connection, keys: &[Vec<u8>], command: &[&str]) -> RedisResult<Vec<T>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut commands = pipe();
    for key in keys {
        commands.cmd(command[0]).arg(&command[1..]).arg(key);
    }
    commands.query(redis)
}
