//! The commands that read places.

use redis::{Cmd, Pipeline, Value, cmd};

use super::place::{BodyKind, Kind, Place};
use super::read::{array, pairs};

const READ: &str = include_str!("read.lua");

/// How to read one place.
///
/// Plain commands are several times faster than the script, which copies each entry. They can't read the bodies of ids
/// in the transaction that reads the ids. So the ids are read before, and again in the transaction: if they are the
/// same, it has read the right bodies.
pub(super) struct Reading<'a> {
    pub(super) place: &'a Place,
    /// The ids whose bodies to read, or `None` if the script reads the place.
    pub(super) ids: Option<Vec<Value>>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(place: &'a Place, queue: &str, take: bool) -> Self {
        let is_filtered = !queue.is_empty() && place.queue_field.is_some();
        let needs_script = take || is_filtered || matches!(place.kind, Kind::Stream { .. });
        Self { place, ids: (!needs_script).then(Vec::new) }
    }

    /// Whether plain commands read the place and the bodies of its ids.
    pub(super) fn has_ids(&self) -> bool {
        self.ids.is_some() && !self.place.bodies.is_empty()
    }

    /// Reads ids and bodies by the script.
    pub(super) fn fall_back(&mut self) {
        if self.has_ids() {
            self.ids = None;
        }
    }

    pub(super) fn add_commands(&self, commands: &mut Pipeline) {
        let Some(ids) = &self.ids else { return };
        commands.add_command(plain_read(self.place));
        for body in &self.place.bodies {
            let ids = ids.iter().map(|id| body.id_of(as_bytes(id)));
            match body.kind {
                BodyKind::Field if ids.len() == 0 => {}
                BodyKind::Field => {
                    commands.cmd("HMGET").arg(&body.key).arg(ids.collect::<Vec<_>>());
                }
                BodyKind::String => ids.for_each(|id| {
                    commands.cmd("GET").arg([body.key.as_bytes(), id].concat());
                }),
                BodyKind::Hash => ids.for_each(|id| {
                    commands.cmd("HGETALL").arg([body.key.as_bytes(), id].concat());
                }),
            }
        }
    }

    /// Takes the replies to the commands, and returns what the script returns for a place. Clears `is_settled`, and
    /// keeps the new ids, if these have changed.
    pub(super) fn columns(&mut self, replies: &mut impl Iterator<Item = Value>, is_settled: &mut bool) -> Vec<Value> {
        let (values, scores) = plain_columns(self.place, replies.next().unwrap_or(Value::Nil));
        let count = self.ids.as_ref().map_or(0, Vec::len);
        let bodies = self.place.bodies.iter().map(|body| match body.kind {
            BodyKind::Field if count == 0 => Value::Array(Vec::new()),
            BodyKind::Field => replies.next().unwrap_or(Value::Nil),
            BodyKind::String | BodyKind::Hash => Value::Array(replies.by_ref().take(count).collect()),
        });
        let bodies = bodies.collect();
        if self.has_ids() && self.ids.as_ref() != Some(&values) {
            *is_settled = false;
            self.ids = Some(values);
            return Vec::new();
        }
        vec![Value::Array(values), Value::Array(scores), Value::Array(bodies)]
    }
}

fn as_bytes(value: &Value) -> &[u8] {
    match value {
        Value::BulkString(bytes) => bytes,
        _ => &[],
    }
}

/// The command that reads a place without its bodies.
pub(super) fn plain_read(place: &Place) -> Cmd {
    let mut read = cmd(match place.kind {
        Kind::List => "LRANGE",
        Kind::SortedSet => "ZRANGE",
        Kind::Set => "SMEMBERS",
        _ => "HVALS",
    });
    read.arg(&place.key);
    match place.kind {
        Kind::List => read.arg(&[0, -1]),
        Kind::SortedSet => read.arg(&[0, -1]).arg("WITHSCORES"),
        _ => &mut read,
    };
    read
}

/// Splits its reply into values and scores.
pub(super) fn plain_columns(place: &Place, reply: Value) -> (Vec<Value>, Vec<Value>) {
    if place.kind != Kind::SortedSet {
        return (array(reply), Vec::new());
    }
    let pairs = pairs(array(reply)).into_iter();
    pairs.map(|(value, score)| (Value::BulkString(value), Value::BulkString(score))).unzip()
}

/// The script that reads these places, and all keys if `list_keys` is set.
pub(super) fn script(places: &[&Place], queue: &str, take: bool, list_keys: bool) -> Cmd {
    let mut script = cmd("EVAL");
    script.arg(READ).arg(0).arg(u8::from(take)).arg(u8::from(list_keys)).arg(queue);
    for place in places {
        let group = match &place.kind {
            Kind::Stream { group: Some(group) } => group.as_str(),
            _ => "",
        };
        script.arg(place.type_name()).arg(&place.key).arg(group);
        script.arg(place.queue_field.as_deref().unwrap_or_default()).arg(place.bodies.len());
        for body in &place.bodies {
            let kind = match body.kind {
                BodyKind::String => "string",
                BodyKind::Field => "field",
                BodyKind::Hash => "hash",
            };
            script.arg(kind).arg(&body.key).arg(body.id_ends_at.map(String::from).unwrap_or_default());
        }
    }
    script
}
