//! Time travel for sessions that store their expiry: the application compares it with a clock that does not travel.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::{RedisResult, Value, pipe};

use super::format::{SessionData, SessionFormat, SessionStorage};
use super::pyramid::Pyramid;
use crate::error::Error;
use crate::lease::{Commands, Database, Formats, Lease};

/// Keeps concurrent writes of the application: its own expiry counts.
const REPLACE: &str = "if redis.pcall('GET', KEYS[1]) == ARGV[1] then
    redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
end";

const REPLACE_FIELD: &str = "if redis.pcall('HGET', KEYS[1], ARGV[1]) == ARGV[2] then
    redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end";

/// How far the test has travelled.
#[derive(Default)]
struct Travelled(Mutex<Duration>);

/// Lets time travel age the sessions of that format.
pub(crate) fn remember(lease: &Lease, format: &Arc<dyn SessionFormat>) {
    lease.shared(Formats::<dyn SessionFormat>::default).add(format);
}

/// Moves the stored expiry of sessions into the past: of every format that the test has used, and of the sessions under
/// `redis.sessions.prefix`.
///
/// # Errors
///
/// Returns an error that [`is_server`](Error::is_server) if the server is gone or the lease has ended.
pub(crate) fn age(lease: &Lease, by: Duration) -> Result<(), Error> {
    if !lease.settings.session_prefix().is_empty() {
        let format: Arc<dyn SessionFormat> = Arc::new(Pyramid::new(lease.settings));
        remember(lease, &format);
    }
    let travelled = lease.shared(Travelled::default);
    // One at a time: two calls that read the same expiry would move it only once.
    let mut travelled = travelled.0.lock().unwrap_or_else(PoisonError::into_inner);
    let before = travelled.as_secs();
    *travelled = travelled.saturating_add(by);
    // Expiries are whole seconds, so fractions are added up over several calls.
    let by = Duration::from_secs(travelled.as_secs() - before);
    if by.is_zero() {
        return Ok(());
    }
    let mut done = BTreeSet::new();
    for format in lease.shared(Formats::<dyn SessionFormat>::default).all() {
        age_format(lease, &*format, by, &mut done)?;
    }
    Ok(())
}

fn age_format(
    lease: &Lease,
    format: &dyn SessionFormat,
    by: Duration,
    done: &mut BTreeSet<Vec<u8>>,
) -> Result<(), Error> {
    let mut connection = Commands::default();
    let kind = match format.storage() {
        SessionStorage::String => "string",
        SessionStorage::Hash => "hash",
    };
    let mut cursor = 0_u64;
    loop {
        let mut scan = pipe();
        scan.cmd("SCAN").arg(cursor).arg("MATCH").arg(pattern(&format.key_prefix()));
        scan.arg("COUNT").arg(1_000).arg("TYPE").arg(kind);
        let ((next, mut keys),): ((u64, Vec<Vec<u8>>),) = connection.query(lease, Database::Sessions, &scan)?;
        keys.retain(|key| !done.contains(key));
        let mut replace = pipe();
        for (key, data) in read(&mut connection, lease, format.storage(), keys)? {
            let Some(aged) = format.age(&data, by) else { continue };
            match (&data, &aged) {
                (SessionData::String(old), SessionData::String(new)) => {
                    replace.cmd("EVAL").arg(REPLACE).arg(1).arg(&key).arg(old).arg(new).ignore();
                }
                _ => {
                    for (field, new) in aged.fields() {
                        let old = data.fields().iter().find(|(name, _)| name == field);
                        if let Some((_, old)) = old.filter(|(_, old)| old != new) {
                            replace.cmd("EVAL").arg(REPLACE_FIELD).arg(1).arg(&key).arg(field).arg(old).arg(new);
                            replace.ignore();
                        }
                    }
                }
            }
            done.insert(key);
        }
        if !replace.is_empty() {
            connection.query::<()>(lease, Database::Sessions, &replace)?;
        }
        cursor = next;
        if cursor == 0 {
            return Ok(());
        }
    }
}

/// Reads these keys in one round trip. Skips keys that are gone or have another type by now.
fn read(
    connection: &mut Commands,
    lease: &Lease,
    storage: SessionStorage,
    keys: Vec<Vec<u8>>,
) -> Result<Vec<(Vec<u8>, SessionData)>, Error> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut commands = pipe();
    commands.ignore_errors();
    for key in &keys {
        storage.read(&mut commands, key);
    }
    let answers: Vec<RedisResult<Value>> = connection.query(lease, Database::Sessions, &commands)?;
    let data = answers.into_iter().map(|answer| storage.data(answer?));
    Ok(keys.into_iter().zip(data).filter_map(|(key, data)| Some((key, data.ok()??))).collect())
}

/// The SCAN pattern of keys with this prefix.
fn pattern(prefix: &str) -> String {
    let mut pattern = String::new();
    for letter in prefix.chars() {
        if "*?[]\\".contains(letter) {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('*');
    pattern
}
