//! Looks, after a test has passed, for what would bite in production: keys that never expire, or not when they should.

use std::collections::HashSet;
use std::time::Duration;

use redis::{Connection, FromRedisValue, RedisResult, pipe};

use crate::error::Error;
use crate::lease::{Database, Lease};
use crate::settings::lint::Lint;

/// A key that a test should not have left.
pub(crate) struct Left {
    pub(crate) database: u32,
    pub(crate) key: Vec<u8>,
    pub(crate) kind: String,
    /// What the server says that it takes, in bytes.
    pub(crate) size: u64,
    /// How long it still lives; `None` is for ever.
    pub(crate) ttl: Option<Duration>,
}

/// The keys that break this lint, without the allowed ones: of the cache, or of both databases.
///
/// # Errors
///
/// [`Error::is_server`].
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
    // A test's database is small, and nobody else has it.
    let mut keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query(redis)?;
    for pattern in allowed {
        let allowed: Vec<Vec<u8>> = redis::cmd("KEYS").arg(pattern).query(redis)?;
        let allowed: HashSet<_> = allowed.into_iter().collect();
        keys.retain(|key| !allowed.contains(key));
    }
    keys.sort_unstable();
    let left: Vec<i64> = ask(redis, &keys, &["PTTL"])?;
    let mut found: Vec<_> = keys.into_iter().zip(left).filter(|(_, left)| breaks(lint, *left)).collect();
    let keys: Vec<_> = found.iter_mut().map(|(key, _)| std::mem::take(key)).collect();
    let kinds: Vec<String> = ask(redis, &keys, &["TYPE"])?;
    let sizes: Vec<Option<u64>> = ask(redis, &keys, &["MEMORY", "USAGE"])?;
    let found = keys.into_iter().zip(found).zip(kinds).zip(sizes);
    Ok(found
        .map(|(((key, (_, left)), kind), size)| {
            let ttl = u64::try_from(left).ok().map(Duration::from_millis);
            Left { database, key, kind, size: size.unwrap_or_default(), ttl }
        })
        .collect())
}

/// Whether a key breaks the lint, by its PTTL. A key that has expired meanwhile (-2) does not.
fn breaks(lint: Lint, left: i64) -> bool {
    match (lint, u64::try_from(left)) {
        (Lint::None, _) | (Lint::Ttl(None), Ok(_)) => false,
        (Lint::Ttl(Some(bound)), Ok(left)) => !bound.holds(Duration::from_millis(left)),
        (Lint::Empty, Ok(_)) => true,
        (Lint::Ttl(_) | Lint::Empty, Err(_)) => left == -1,
    }
}

/// One command for every key, in one round trip.
fn ask<T: FromRedisValue>(redis: &mut Connection, keys: &[Vec<u8>], command: &[&str]) -> RedisResult<Vec<T>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut commands = pipe();
    for key in keys {
        commands.cmd(command[0]).arg(&command[1..]).arg(key);
    }
    commands.query(redis)
}
