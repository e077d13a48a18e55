//! Looks, after a test has passed, for what would bite in production: keys of the cache that never expire.

use std::collections::HashSet;

use redis::{Connection, FromRedisValue, RedisResult, pipe};

use crate::error::Error;
use crate::lease::{Database, Lease};

/// A key without a timeout.
pub(crate) struct Eternal {
    pub(crate) key: Vec<u8>,
    pub(crate) kind: String,
    /// What the server says that it takes, in bytes.
    pub(crate) size: u64,
}

/// The keys of database 14 that live for ever, but for those that may.
///
/// # Errors
///
/// [`Error::is_server`].
pub(crate) fn eternal_keys(lease: &Lease) -> Result<Vec<Eternal>, Error> {
    lease.answers()?;
    let mut redis = lease.connect(Database::Sessions)?;
    find(&mut redis, &lease.settings.lint_allow()).map_err(|error| lease.no_answer(error))
}

fn find(redis: &mut Connection, allowed: &[&str]) -> RedisResult<Vec<Eternal>> {
    // A test's database is small, and nobody else has it.
    let mut keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query(redis)?;
    for pattern in allowed {
        let allowed: Vec<Vec<u8>> = redis::cmd("KEYS").arg(pattern).query(redis)?;
        let allowed: HashSet<_> = allowed.into_iter().collect();
        keys.retain(|key| !allowed.contains(key));
    }
    keys.sort_unstable();
    let left: Vec<i64> = ask(redis, &keys, &["PTTL"])?;
    let mut left = left.into_iter();
    keys.retain(|_| left.next() == Some(-1));
    let kinds: Vec<String> = ask(redis, &keys, &["TYPE"])?;
    let sizes: Vec<Option<u64>> = ask(redis, &keys, &["MEMORY", "USAGE"])?;
    let found = keys.into_iter().zip(kinds).zip(sizes);
    Ok(found.map(|((key, kind), size)| Eternal { key, kind, size: size.unwrap_or_default() }).collect())
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
