//! What a key holds: every type that Redis has, as its own commands tell it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Bytes, file};

/// A `HyperLogLog` is a string that begins so; then come its encoding and the count that it gave last.
const HYPERLOGLOG: &[u8] = b"HYLL";
const HYPERLOGLOG_COUNT: std::ops::Range<usize> = 8..16;

/// A key's value, and how long it still lives.
///
/// Two are equal where the values are, and both have a timeout or both have none: how much is left of it is another in
/// every run. [`Snapshot::diff`](super::Snapshot::diff) compares that.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Entry {
    /// What it holds.
    pub value: Value,
    /// How long it still lived then, to the millisecond; `None` for ever.
    pub ttl: Option<Duration>,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value && self.ttl.is_some() == other.ttl.is_some()
    }
}

/// What a key holds, by its type.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Value {
    /// A string; bitmaps and `HyperLogLog`s are strings too. The count that a `HyperLogLog` remembers is not compared,
    /// because reading it (PFCOUNT) writes it.
    String(Bytes),
    /// A list, from its head.
    List(Vec<Bytes>),
    /// A set, ordered by its members' bytes.
    Set(BTreeSet<Bytes>),
    /// A hash, ordered by its fields' bytes.
    Hash(#[serde(with = "file::fields")] BTreeMap<Bytes, Field>),
    /// A sorted set in its own order: by score, then by the members' bytes.
    SortedSet(Vec<Member>),
    /// A stream with its consumer groups.
    Stream(Stream),
    /// A type of a module, or one that is newer than this crate. Its content is compared, and not shown.
    Other(Opaque),
}

impl Value {
    /// The type, in words.
    #[must_use]
    pub fn type_name(&self) -> &str {
        match self {
            Self::String(_) => "string",
            Self::List(_) => "list",
            Self::Set(_) => "set",
            Self::Hash(_) => "hash",
            Self::SortedSet(_) => "sorted set",
            Self::Stream(_) => "stream",
            Self::Other(other) => &other.type_name,
        }
    }

    /// How many elements it has; 1 for a type without elements.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::List(items) => items.len(),
            Self::Set(members) => members.len(),
            Self::Hash(fields) => fields.len(),
            Self::SortedSet(members) => members.len(),
            Self::Stream(stream) => {
                1 + stream.entries.len() + stream.groups.values().map(|group| group.pending.len()).sum::<usize>()
            }
            Self::String(_) | Self::Other(_) => 1,
        }
    }

    /// A list, a set, a hash or a sorted set without elements, which Redis does not have.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn has_field_ttls(&self) -> bool {
        matches!(self, Self::Hash(fields) if fields.values().any(|field| field.ttl.is_some()))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::String(one), Self::String(other)) => same_string(one, other),
            (Self::List(one), Self::List(other)) => one == other,
            (Self::Set(one), Self::Set(other)) => one == other,
            (Self::Hash(one), Self::Hash(other)) => one == other,
            (Self::SortedSet(one), Self::SortedSet(other)) => one == other,
            (Self::Stream(one), Self::Stream(other)) => one == other,
            (Self::Other(one), Self::Other(other)) => one == other,
            _ => false,
        }
    }
}

fn same_string(one: &[u8], other: &[u8]) -> bool {
    let is_hyperloglog = |text: &[u8]| text.starts_with(HYPERLOGLOG) && text.len() >= HYPERLOGLOG_COUNT.end;
    if !(is_hyperloglog(one) && is_hyperloglog(other)) {
        return one == other;
    }
    one[..HYPERLOGLOG_COUNT.start] == other[..HYPERLOGLOG_COUNT.start]
        && one[HYPERLOGLOG_COUNT.end..] == other[HYPERLOGLOG_COUNT.end..]
}

/// A value of a type that commands of Redis itself don't read.
///
/// Two values from one server are equal if their DUMP is the same. Values from different servers or from files can't be
/// compared: they are never equal, and [`Diff`](super::Diff) names them as
/// [`NotComparable`](super::Change::NotComparable).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
#[non_exhaustive]
pub struct Opaque {
    /// The name that the command TYPE has for its type.
    pub type_name: String,
    /// The server's run id, and the SHA-256 of what DUMP says there.
    digest: Option<(Arc<str>, [u8; 32])>,
}

impl Opaque {
    pub(super) fn new(type_name: String, digest: Option<(Arc<str>, [u8; 32])>) -> Self {
        Self { type_name, digest }
    }

    /// Whether both hold the same; `None` where that can't be told.
    pub(super) fn compare(&self, other: &Self) -> Option<bool> {
        if self.type_name != other.type_name {
            return Some(false);
        }
        let ((server, one), (other_server, other)) = (self.digest.as_ref()?, other.digest.as_ref()?);
        (server == other_server).then_some(one == other)
    }
}

impl PartialEq for Opaque {
    fn eq(&self, other: &Self) -> bool {
        self.compare(other) == Some(true)
    }
}

/// In a file, only the type is kept.
impl From<String> for Opaque {
    fn from(type_name: String) -> Self {
        Self { type_name, digest: None }
    }
}

impl From<Opaque> for String {
    fn from(opaque: Opaque) -> Self {
        opaque.type_name
    }
}

/// The value of a hash's field.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Field {
    /// What it holds.
    pub value: Bytes,
    /// How long the field still lived then, where the server gives fields timeouts (Redis 7.4, Valkey 9).
    pub ttl: Option<Duration>,
}

/// As for [`Entry`].
impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value && self.ttl.is_some() == other.ttl.is_some()
    }
}

/// A member of a sorted set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Member {
    /// The member.
    pub member: Bytes,
    /// Its score; infinite ones too.
    #[serde(with = "file::score")]
    pub score: f64,
}

/// A stream.
///
/// What one of two servers does not know (`None`) is not compared.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Stream {
    /// Its entries, the oldest first.
    pub entries: Vec<StreamEntry>,
    /// The id that was given last, be the entry there or not.
    pub last_id: StreamId,
    /// How many entries were ever added (Redis 7, Valkey).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries_added: Option<u64>,
    /// The highest id that was deleted (Redis 7, Valkey).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_deleted_id: Option<StreamId>,
    /// Its consumer groups.
    #[serde(with = "file::groups", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<Bytes, Group>,
}

impl PartialEq for Stream {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
            && self.last_id == other.last_id
            && agree(self.entries_added, other.entries_added)
            && agree(self.max_deleted_id, other.max_deleted_id)
            && self.groups == other.groups
    }
}

/// One entry of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct StreamEntry {
    /// Its id.
    pub id: StreamId,
    /// Its fields, in their order; a name may stand there twice.
    pub fields: Vec<(Bytes, Bytes)>,
}

/// A consumer group of a stream.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Group {
    /// The id that was delivered last.
    pub last_delivered_id: StreamId,
    /// How many entries the group has read (Redis 7, Valkey).
    pub entries_read: Option<u64>,
    /// Its consumers.
    pub consumers: BTreeSet<Bytes>,
    /// What was delivered and not acknowledged, by id.
    pub pending: Vec<Pending>,
}

impl PartialEq for Group {
    fn eq(&self, other: &Self) -> bool {
        self.last_delivered_id == other.last_delivered_id
            && agree(self.entries_read, other.entries_read)
            && self.consumers == other.consumers
            && self.pending == other.pending
    }
}

/// An entry that was delivered and not acknowledged.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Pending {
    /// The entry's id. The entry itself may have been deleted since.
    pub id: StreamId,
    /// Who has it.
    pub consumer: Bytes,
    /// How often it was delivered.
    pub deliveries: u64,
    /// How long ago, then, it was delivered last. Not compared.
    #[serde(rename = "idle_ms", with = "file::idle", default)]
    pub idle: Duration,
}

impl PartialEq for Pending {
    fn eq(&self, other: &Self) -> bool {
        (self.id, &self.consumer, self.deliveries) == (other.id, &other.consumer, other.deliveries)
    }
}

/// What a server does not know does not differ.
fn agree<T: PartialEq + Copy>(one: Option<T>, other: Option<T>) -> bool {
    one.is_none() || other.is_none() || one == other
}

/// The id of a stream's entry: `1526919030474-55`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct StreamId {
    /// Milliseconds since 1970, where the server has made the id.
    pub milliseconds: u64,
    /// Which of that millisecond's.
    pub sequence: u64,
}

impl StreamId {
    /// The smallest id that is larger.
    pub(super) fn next(self) -> Self {
        match self.sequence.checked_add(1) {
            Some(sequence) => Self { sequence, ..self },
            None => Self { milliseconds: self.milliseconds.saturating_add(1), sequence: 0 },
        }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.milliseconds, self.sequence)
    }
}

impl From<StreamId> for String {
    fn from(id: StreamId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for StreamId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for StreamId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let id = text.split_once('-').and_then(|(milliseconds, sequence)| {
            Some(Self { milliseconds: milliseconds.parse().ok()?, sequence: sequence.parse().ok()? })
        });
        id.ok_or_else(|| format!("{text:?} is not the ID of a stream entry, such as 1-0"))
    }
}
