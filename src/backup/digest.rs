//! A digest of keys with their values, to find out whether a file has what was read.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::redis_io::milliseconds;
use crate::snapshot::{Entry, RedisBytes, RedisValue, Stream};

/// Finds damage. It is no protection against intent.
#[derive(Default)]
pub(super) struct Digest(DefaultHasher);

impl Digest {
    pub(super) fn add(&mut self, database: u32, key: &RedisBytes, entry: &Entry) {
        let hasher = &mut self.0;
        (database, key, entry.value.type_name(), entry.ttl.map(milliseconds)).hash(hasher);
        match &entry.value {
            RedisValue::String(value) => value.hash(hasher),
            RedisValue::List(items) => items.hash(hasher),
            RedisValue::Set(members) => members.hash(hasher),
            RedisValue::Hash(fields) => {
                fields.len().hash(hasher);
                for (name, field) in fields {
                    (name, &field.value, field.ttl.map(milliseconds)).hash(hasher);
                }
            }
            RedisValue::SortedSet(members) => {
                members.len().hash(hasher);
                for one in members {
                    (&one.member, one.score.to_bits()).hash(hasher);
                }
            }
            RedisValue::Stream(stream) => self.add_stream(stream),
            // Its type alone: a file has no more of it.
            RedisValue::Other(_) => {}
        }
    }

    fn add_stream(&mut self, stream: &Stream) {
        let hasher = &mut self.0;
        (stream.entries.len(), stream.last_id, stream.entries_added, stream.max_deleted_id).hash(hasher);
        for entry in &stream.entries {
            (entry.id, &entry.fields).hash(hasher);
        }
        stream.groups.len().hash(hasher);
        for (name, group) in &stream.groups {
            (name, group.last_delivered_id, group.entries_read, &group.consumers, group.pending.len()).hash(hasher);
            for one in &group.pending {
                (one.id, &one.consumer, one.deliveries, milliseconds(one.idle)).hash(hasher);
            }
        }
    }

    pub(super) fn value(&self) -> u64 {
        self.0.finish()
    }
}
