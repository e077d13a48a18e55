//! The structs of the file format. They are private, so that the public types can change without it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::value::{Entry, Field, Group, Member, Opaque, Pending, RedisValue, Stream, StreamEntry, StreamId};
use super::{RedisBytes, Snapshot, text};
use crate::redis_io::milliseconds;
use crate::report;

/// The version of the format.
pub(super) const VERSION: u32 = 1;

/// The name under which a file has bytes that are not UTF-8.
const BASE64: &str = "base64";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a snapshot")]
pub(super) struct Form<'a> {
    pub(super) transient_fixtures_snapshot: u32,
    pub(super) databases: BTreeMap<u32, Vec<KeyForm<'a>>>,
}

impl Form<'_> {
    pub(super) fn into_snapshot(self) -> Result<Snapshot, String> {
        if self.transient_fixtures_snapshot != VERSION {
            return Err(report::snapshot::other_version(self.transient_fixtures_snapshot, VERSION));
        }
        let mut databases = BTreeMap::new();
        for (number, keys) in self.databases {
            let mut entries = BTreeMap::new();
            for form in keys {
                let (key, entry) = form.into_entry();
                if entry.value.is_empty() {
                    return Err(report::snapshot::empty(number, &text::key(&key), entry.value.type_name()));
                }
                match entries.entry(key) {
                    btree_map::Entry::Vacant(place) => place.insert(entry),
                    btree_map::Entry::Occupied(place) => {
                        return Err(report::snapshot::twice(number, &text::key(place.key())));
                    }
                };
            }
            databases.insert(number, entries);
        }
        Ok(Snapshot { databases, captured: Instant::now(), ran_for: None, took: Duration::ZERO })
    }
}

/// One line of a file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with a key and its value")]
pub(super) struct KeyForm<'a> {
    key: Text<'a>,
    value: ValueForm<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u64>,
}

impl KeyForm<'_> {
    pub(super) fn into_entry(self) -> (RedisBytes, Entry) {
        (self.key.0.into_owned(), Entry { value: self.value.into(), ttl: from_milliseconds(self.ttl_ms) })
    }
}

impl<'a> From<(&'a RedisBytes, &'a Entry)> for KeyForm<'a> {
    fn from((key, entry): (&'a RedisBytes, &'a Entry)) -> Self {
        Self { key: key.into(), value: (&entry.value).into(), ttl_ms: entry.ttl.map(milliseconds) }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", expecting = "an object with the type and its value")]
enum ValueForm<'a> {
    String(Text<'a>),
    List(Vec<Text<'a>>),
    Set(Vec<Text<'a>>),
    /// Not an object: JSON has no names that are not text.
    Hash(Vec<FieldForm<'a>>),
    SortedSet(Vec<MemberForm<'a>>),
    Stream(StreamForm<'a>),
    /// The name of the type. The content is not kept.
    Other(String),
}

impl<'a> From<&'a RedisValue> for ValueForm<'a> {
    fn from(value: &'a RedisValue) -> Self {
        match value {
            RedisValue::String(value) => Self::String(value.into()),
            RedisValue::List(items) => Self::List(items.iter().map(Text::from).collect()),
            RedisValue::Set(members) => Self::Set(members.iter().map(Text::from).collect()),
            RedisValue::Hash(fields) => Self::Hash(fields.iter().map(FieldForm::from).collect()),
            RedisValue::SortedSet(members) => Self::SortedSet(members.iter().map(MemberForm::from).collect()),
            RedisValue::Stream(stream) => Self::Stream(stream.into()),
            RedisValue::Other(other) => Self::Other(other.type_name.clone()),
        }
    }
}

impl From<ValueForm<'_>> for RedisValue {
    fn from(form: ValueForm<'_>) -> Self {
        match form {
            ValueForm::String(value) => Self::String(value.0.into_owned()),
            ValueForm::List(items) => Self::List(bytes(items)),
            ValueForm::Set(members) => Self::Set(bytes(members)),
            ValueForm::Hash(fields) => {
                let field = |form: FieldForm<'_>| {
                    let value = form.value.0.into_owned();
                    (form.field.0.into_owned(), Field { value, ttl: from_milliseconds(form.ttl_ms) })
                };
                Self::Hash(fields.into_iter().map(field).collect())
            }
            ValueForm::SortedSet(members) => {
                let member = |form: MemberForm<'_>| Member { member: form.member.0.into_owned(), score: form.score.0 };
                Self::SortedSet(members.into_iter().map(member).collect())
            }
            ValueForm::Stream(stream) => Self::Stream(stream.into()),
            ValueForm::Other(type_name) => Self::Other(Opaque::new(type_name, None)),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with a field and its value")]
struct FieldForm<'a> {
    field: Text<'a>,
    value: Text<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u64>,
}

impl<'a> From<(&'a RedisBytes, &'a Field)> for FieldForm<'a> {
    fn from((name, field): (&'a RedisBytes, &'a Field)) -> Self {
        Self { field: name.into(), value: (&field.value).into(), ttl_ms: field.ttl.map(milliseconds) }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with a member and its score")]
struct MemberForm<'a> {
    member: Text<'a>,
    score: Score,
}

impl<'a> From<&'a Member> for MemberForm<'a> {
    fn from(member: &'a Member) -> Self {
        Self { member: (&member.member).into(), score: Score(member.score) }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with the entries of a stream")]
struct StreamForm<'a> {
    entries: Vec<StreamEntryForm<'a>>,
    last_id: Id,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entries_added: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_deleted_id: Option<Id>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    groups: Vec<GroupForm<'a>>,
}

impl<'a> From<&'a Stream> for StreamForm<'a> {
    fn from(stream: &'a Stream) -> Self {
        let text = |(name, value): &'a (RedisBytes, RedisBytes)| (name.into(), value.into());
        let entry = |entry: &'a StreamEntry| StreamEntryForm {
            id: Id(entry.id),
            fields: entry.fields.iter().map(text).collect(),
        };
        Self {
            entries: stream.entries.iter().map(entry).collect(),
            last_id: Id(stream.last_id),
            entries_added: stream.entries_added,
            max_deleted_id: stream.max_deleted_id.map(Id),
            groups: stream.groups.iter().map(GroupForm::from).collect(),
        }
    }
}

impl From<StreamForm<'_>> for Stream {
    fn from(form: StreamForm<'_>) -> Self {
        let bytes = |(name, value): (Text<'_>, Text<'_>)| (name.0.into_owned(), value.0.into_owned());
        let entry = |form: StreamEntryForm<'_>| StreamEntry {
            id: form.id.0,
            fields: form.fields.into_iter().map(bytes).collect(),
        };
        Self {
            entries: form.entries.into_iter().map(entry).collect(),
            last_id: form.last_id.0,
            entries_added: form.entries_added,
            max_deleted_id: form.max_deleted_id.map(|id| id.0),
            groups: form.groups.into_iter().map(GroupForm::into_group).collect(),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with an entry of a stream")]
struct StreamEntryForm<'a> {
    id: Id,
    fields: Vec<(Text<'a>, Text<'a>)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with a consumer group")]
struct GroupForm<'a> {
    name: Text<'a>,
    last_delivered_id: Id,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entries_read: Option<u64>,
    #[serde(default)]
    consumers: Vec<Text<'a>>,
    #[serde(default)]
    pending: Vec<PendingForm<'a>>,
}

impl<'a> From<(&'a RedisBytes, &'a Group)> for GroupForm<'a> {
    fn from((name, group): (&'a RedisBytes, &'a Group)) -> Self {
        let pending = |pending: &'a Pending| PendingForm {
            id: Id(pending.id),
            consumer: (&pending.consumer).into(),
            deliveries: pending.deliveries,
            idle_ms: milliseconds(pending.idle),
        };
        Self {
            name: name.into(),
            last_delivered_id: Id(group.last_delivered_id),
            entries_read: group.entries_read,
            consumers: group.consumers.iter().map(Text::from).collect(),
            pending: group.pending.iter().map(pending).collect(),
        }
    }
}

impl GroupForm<'_> {
    fn into_group(self) -> (RedisBytes, Group) {
        let pending = |form: PendingForm<'_>| Pending {
            id: form.id.0,
            consumer: form.consumer.0.into_owned(),
            deliveries: form.deliveries,
            idle: Duration::from_millis(form.idle_ms),
        };
        let group = Group {
            last_delivered_id: self.last_delivered_id.0,
            entries_read: self.entries_read,
            consumers: bytes::<BTreeSet<_>>(self.consumers),
            pending: self.pending.into_iter().map(pending).collect(),
        };
        (self.name.0.into_owned(), group)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with a pending entry")]
struct PendingForm<'a> {
    id: Id,
    consumer: Text<'a>,
    deliveries: u64,
    #[serde(default)]
    idle_ms: u64,
}

/// A string if it is UTF-8, else `{"base64": "…"}`.
struct Text<'a>(Cow<'a, RedisBytes>);

impl<'a> From<&'a RedisBytes> for Text<'a> {
    fn from(bytes: &'a RedisBytes) -> Self {
        Self(Cow::Borrowed(bytes))
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(text) = self.0.to_str() {
            return serializer.serialize_str(text);
        }
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(BASE64, &BASE64_STANDARD.encode(self.0.as_slice()))?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Text<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrBase64).map(Cow::Owned).map(Self)
    }
}

struct TextOrBase64;

impl<'de> Visitor<'de> for TextOrBase64 {
    type Value = RedisBytes;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(r#"a string or {"base64": "…"}"#)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<RedisBytes, E> {
        Ok(text.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RedisBytes, A::Error> {
        let entry = map.next_entry::<String, String>()?.filter(|(name, _)| name == BASE64);
        let (Some((_, encoded)), None) = (entry, map.next_key::<String>()?) else {
            return Err(de::Error::custom(r#"expected a string or {"base64": "…"}"#));
        };
        let bytes = BASE64_STANDARD.decode(encoded);
        bytes.map(RedisBytes::from).map_err(|error| de::Error::custom(format!("invalid base64: {error}")))
    }
}

/// A whole number as such, every other score as text: JSON has no infinite numbers, and not every JSON reader keeps
/// the last bit of a fraction.
struct Score(f64);

impl Serialize for Score {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = text::score(self.0);
        match text.parse::<i64>() {
            Ok(whole) if text != "-0" => serializer.serialize_i64(whole),
            _ => serializer.serialize_str(&text),
        }
    }
}

impl<'de> Deserialize<'de> for Score {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrText).map(Self)
    }
}

struct NumberOrText;

impl Visitor<'_> for NumberOrText {
    type Value = f64;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(r#"a score: a number, or a number as text, "inf" or "-inf""#)
    }

    fn visit_f64<E: de::Error>(self, score: f64) -> Result<f64, E> {
        Ok(score)
    }

    fn visit_i64<E: de::Error>(self, score: i64) -> Result<f64, E> {
        self.visit_str(&score.to_string())
    }

    fn visit_u64<E: de::Error>(self, score: u64) -> Result<f64, E> {
        self.visit_str(&score.to_string())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<f64, E> {
        let score = text.parse().ok().filter(|score: &f64| !score.is_nan());
        score.ok_or_else(|| E::custom(format!("invalid score {text:?}")))
    }
}

struct Id(StreamId);

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(de::Error::custom)
    }
}

fn bytes<All: FromIterator<RedisBytes>>(texts: Vec<Text<'_>>) -> All {
    texts.into_iter().map(|text| text.0.into_owned()).collect()
}

fn from_milliseconds(ttl: Option<u64>) -> Option<Duration> {
    ttl.map(Duration::from_millis)
}
