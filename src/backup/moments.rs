//! The times of an entry: what is left of them, or moments since 1970.

use std::time::Duration;

use crate::snapshot::{Entry, RedisValue};

/// Replaces what is left `now` by moments.
pub(super) fn to_moments(entry: &mut Entry, now: Duration) {
    let end = |ttl: &mut Option<Duration>| *ttl = ttl.map(|ttl| ttl + now);
    end(&mut entry.ttl);
    match &mut entry.value {
        RedisValue::Hash(fields) => fields.values_mut().for_each(|field| end(&mut field.ttl)),
        RedisValue::Stream(stream) => {
            for pending in stream.groups.values_mut().flat_map(|group| &mut group.pending) {
                pending.idle = now.saturating_sub(pending.idle);
            }
        }
        _ => {}
    }
}

/// Replaces moments by what is left of them `now`. Returns whether the key has not expired.
pub(super) fn to_left(entry: &mut Entry, now: Duration) -> bool {
    let is_over = |ttl: Option<Duration>| ttl.is_some_and(|end| end <= now);
    if is_over(entry.ttl) {
        return false;
    }
    let left = |ttl: &mut Option<Duration>| *ttl = ttl.map(|end| end.saturating_sub(now));
    left(&mut entry.ttl);
    match &mut entry.value {
        RedisValue::Hash(fields) => {
            fields.retain(|_, field| !is_over(field.ttl));
            for field in fields.values_mut() {
                left(&mut field.ttl);
            }
            !fields.is_empty()
        }
        RedisValue::Stream(stream) => {
            for pending in stream.groups.values_mut().flat_map(|group| &mut group.pending) {
                pending.idle = now.saturating_sub(pending.idle);
            }
            true
        }
        _ => true,
    }
}
