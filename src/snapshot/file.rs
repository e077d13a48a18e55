//! The file format of snapshots: JSON with one line per key, so that a change is easy to read under version control.
//!
//! The structs here are the format. They are private, so that the public types can change without it.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::value::{Entry, Field, Group, Member, Opaque, Pending, RedisValue, Stream, StreamEntry, StreamId};
use super::{RedisBytes, Snapshot, text};
use crate::error::{Error, Kind};
use crate::redis_io::milliseconds;
use crate::report;

/// The version of the format.
const VERSION: u32 = 1;

/// The name under which a file has bytes that are not UTF-8.
const BASE64: &str = "base64";

impl Snapshot {
    /// Writes the snapshot to a file: JSON, with one line per key. Creates missing directories.
    ///
    /// ```
    /// use transient_fixtures::{Snapshot, TestRequest};
    ///
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// # let directory = std::env::temp_dir().join(format!("snapshot-{}", std::process::id()));
    /// let snapshot = TestRequest::clean().snapshot()?;
    /// snapshot.save(directory.join("empty.json"))?;
    /// assert_eq!(Snapshot::from_file(directory.join("empty.json"))?, snapshot);
    /// # std::fs::remove_dir_all(directory).unwrap();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_data`](Error::is_data) if the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let write = || {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            let mut file = BufWriter::new(File::create(path)?);
            self.write_lines(&mut file)?;
            file.flush()
        };
        write().map_err(|error| Error::with_source(Kind::Data, report::snapshot::not_written(path), error))
    }

    /// Reads a file that [`save`](Self::save) has written, or that was written by hand. A relative path is resolved
    /// against the working directory, which under cargo is that of the crate's manifest.
    ///
    /// ```
    /// use transient_fixtures::Snapshot;
    ///
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// # let path = std::env::temp_dir().join(format!("by-hand-{}.json", std::process::id()));
    /// let text = r#"{
    ///   "transient_fixtures_snapshot": 1,
    ///   "databases": {"14": [{"key": "stock", "value": {"string": "7"}}]}
    /// }"#;
    /// std::fs::write(&path, text).unwrap();
    /// let snapshot = Snapshot::from_file(&path)?;
    /// assert_eq!(snapshot.get("stock").unwrap().to_string(), r#"string "7""#);
    /// # std::fs::remove_file(path).unwrap();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_data`](Error::is_data) if the file cannot be read or is not a snapshot. The error
    /// names line and column.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let text =
            fs::read(path).map_err(|error| Error::with_source(Kind::Data, report::snapshot::not_read(path), error))?;
        serde_json::from_slice(&text).map_err(|error| {
            let report = report::snapshot::no_snapshot(path, error.line(), error.column());
            Error::with_source(Kind::Data, report, report::snapshot::without_place(&error))
        })
    }

    fn write_lines(&self, file: &mut impl Write) -> io::Result<()> {
        write!(file, "{{\n  \"transient_fixtures_snapshot\": {VERSION},\n  \"databases\": {{")?;
        for (number, (database, entries)) in self.databases.iter().enumerate() {
            write!(file, "{}\n    \"{database}\": [", if number > 0 { "," } else { "" })?;
            for (number, (key, entry)) in entries.iter().enumerate() {
                file.write_all(if number > 0 { b",\n      " } else { b"\n      " })?;
                serde_json::to_writer(&mut *file, &KeyForm::from((key, entry)))?;
            }
            file.write_all(if entries.is_empty() { b"]" } else { b"\n    ]" })?;
        }
        file.write_all(b"\n  }\n}\n")
    }
}

/// The form of [`Snapshot::save`].
impl Serialize for Snapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let databases =
            self.databases.iter().map(|(number, entries)| (*number, entries.iter().map(KeyForm::from).collect()));
        Form { transient_fixtures_snapshot: VERSION, databases: databases.collect() }.serialize(serializer)
    }
}

/// The form of [`Snapshot::save`].
impl<'de> Deserialize<'de> for Snapshot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Form::deserialize(deserializer)?.into_snapshot().map_err(de::Error::custom)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a snapshot")]
struct Form {
    transient_fixtures_snapshot: u32,
    databases: BTreeMap<u32, Vec<KeyForm>>,
}

impl Form {
    fn into_snapshot(self) -> Result<Snapshot, String> {
        if self.transient_fixtures_snapshot != VERSION {
            return Err(report::snapshot::other_version(self.transient_fixtures_snapshot, VERSION));
        }
        let mut databases = BTreeMap::new();
        for (number, keys) in self.databases {
            let mut entries = BTreeMap::new();
            for KeyForm { key: Text(key), value, ttl_ms } in keys {
                let value = RedisValue::from(value);
                if value.is_empty() {
                    return Err(report::snapshot::empty(number, &text::key(&key), value.type_name()));
                }
                match entries.entry(key) {
                    btree_map::Entry::Vacant(place) => place.insert(Entry { value, ttl: from_milliseconds(ttl_ms) }),
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
struct KeyForm {
    key: Text,
    value: ValueForm,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u64>,
}

impl From<(&RedisBytes, &Entry)> for KeyForm {
    fn from((key, entry): (&RedisBytes, &Entry)) -> Self {
        Self { key: key.into(), value: (&entry.value).into(), ttl_ms: entry.ttl.map(milliseconds) }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", expecting = "an object with the type and its value")]
enum ValueForm {
    String(Text),
    List(Vec<Text>),
    Set(Vec<Text>),
    /// Not an object: JSON has no names that are not text.
    Hash(Vec<FieldForm>),
    SortedSet(Vec<MemberForm>),
    Stream(StreamForm),
    /// The name of the type. The content is not kept.
    Other(String),
}

impl From<&RedisValue> for ValueForm {
    fn from(value: &RedisValue) -> Self {
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

impl From<ValueForm> for RedisValue {
    fn from(form: ValueForm) -> Self {
        match form {
            ValueForm::String(Text(value)) => Self::String(value),
            ValueForm::List(items) => Self::List(bytes(items)),
            ValueForm::Set(members) => Self::Set(bytes(members)),
            ValueForm::Hash(fields) => {
                let field = |form: FieldForm| {
                    (form.field.0, Field { value: form.value.0, ttl: from_milliseconds(form.ttl_ms) })
                };
                Self::Hash(fields.into_iter().map(field).collect())
            }
            ValueForm::SortedSet(members) => {
                let member = |form: MemberForm| Member { member: form.member.0, score: form.score.0 };
                Self::SortedSet(members.into_iter().map(member).collect())
            }
            ValueForm::Stream(stream) => Self::Stream(stream.into()),
            ValueForm::Other(type_name) => Self::Other(Opaque::new(type_name, None)),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with a field and its value")]
struct FieldForm {
    field: Text,
    value: Text,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u64>,
}

impl From<(&RedisBytes, &Field)> for FieldForm {
    fn from((name, field): (&RedisBytes, &Field)) -> Self {
        Self { field: name.into(), value: (&field.value).into(), ttl_ms: field.ttl.map(milliseconds) }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with a member and its score")]
struct MemberForm {
    member: Text,
    score: Score,
}

impl From<&Member> for MemberForm {
    fn from(member: &Member) -> Self {
        Self { member: (&member.member).into(), score: Score(member.score) }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with the entries of a stream")]
struct StreamForm {
    entries: Vec<StreamEntryForm>,
    last_id: Id,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entries_added: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_deleted_id: Option<Id>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    groups: Vec<GroupForm>,
}

impl From<&Stream> for StreamForm {
    fn from(stream: &Stream) -> Self {
        let text = |(name, value): &(RedisBytes, RedisBytes)| (name.into(), value.into());
        let entry =
            |entry: &StreamEntry| StreamEntryForm { id: Id(entry.id), fields: entry.fields.iter().map(text).collect() };
        Self {
            entries: stream.entries.iter().map(entry).collect(),
            last_id: Id(stream.last_id),
            entries_added: stream.entries_added,
            max_deleted_id: stream.max_deleted_id.map(Id),
            groups: stream.groups.iter().map(GroupForm::from).collect(),
        }
    }
}

impl From<StreamForm> for Stream {
    fn from(form: StreamForm) -> Self {
        let bytes = |(name, value): (Text, Text)| (name.0, value.0);
        let entry =
            |form: StreamEntryForm| StreamEntry { id: form.id.0, fields: form.fields.into_iter().map(bytes).collect() };
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
struct StreamEntryForm {
    id: Id,
    fields: Vec<(Text, Text)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with a consumer group")]
struct GroupForm {
    name: Text,
    last_delivered_id: Id,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entries_read: Option<u64>,
    #[serde(default)]
    consumers: Vec<Text>,
    #[serde(default)]
    pending: Vec<PendingForm>,
}

impl From<(&RedisBytes, &Group)> for GroupForm {
    fn from((name, group): (&RedisBytes, &Group)) -> Self {
        let pending = |pending: &Pending| PendingForm {
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

impl GroupForm {
    fn into_group(self) -> (RedisBytes, Group) {
        let pending = |form: PendingForm| Pending {
            id: form.id.0,
            consumer: form.consumer.0,
            deliveries: form.deliveries,
            idle: Duration::from_millis(form.idle_ms),
        };
        let group = Group {
            last_delivered_id: self.last_delivered_id.0,
            entries_read: self.entries_read,
            consumers: bytes::<BTreeSet<_>>(self.consumers),
            pending: self.pending.into_iter().map(pending).collect(),
        };
        (self.name.0, group)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with a pending entry")]
struct PendingForm {
    id: Id,
    consumer: Text,
    deliveries: u64,
    #[serde(default)]
    idle_ms: u64,
}

/// A string if it is UTF-8, else `{"base64": "…"}`.
struct Text(RedisBytes);

impl From<&RedisBytes> for Text {
    fn from(bytes: &RedisBytes) -> Self {
        Self(bytes.clone())
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(text) = self.0.to_str() {
            return serializer.serialize_str(text);
        }
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(BASE64, &BASE64_STANDARD.encode(&self.0))?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrBase64).map(Self)
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

fn bytes<All: FromIterator<RedisBytes>>(texts: Vec<Text>) -> All {
    texts.into_iter().map(|text| text.0).collect()
}

fn from_milliseconds(ttl: Option<u64>) -> Option<Duration> {
    ttl.map(Duration::from_millis)
}
