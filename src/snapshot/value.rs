//! The values of keys: every type of Redis, read by its own commands.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::RedisBytes;
use crate::error::{Error, Kind};

/// A `HyperLogLog` is a string with this prefix, followed by the encoding and the cached count.
const HYPERLOGLOG: &[u8] = b"HYLL";
const HYPERLOGLOG_COUNT: std::ops::Range<usize> = 8..16;

/// A key's value and TTL.
///
/// Two entries are equal if their values are equal and both have a TTL or neither has. The remaining time is not
/// compared here, since it differs in every run; [`Snapshot::diff`](super::Snapshot::diff) compares it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Entry {
    /// The value.
    pub value: RedisValue,
    /// The TTL at the time of the capture, to the millisecond. `None` if the key never expires.
    pub ttl: Option<Duration>,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value && self.ttl.is_some() == other.ttl.is_some()
    }
}

/// A key's value, by type.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RedisValue {
    /// A string. Bitmaps and `HyperLogLog`s are strings too. The count that a `HyperLogLog` caches is not compared,
    /// because PFCOUNT, which reads it, also writes it.
    String(RedisBytes),
    /// A list, head first.
    List(Vec<RedisBytes>),
    /// A set, ordered by the bytes of its members.
    Set(BTreeSet<RedisBytes>),
    /// A hash, ordered by the bytes of its field names.
    Hash(BTreeMap<RedisBytes, Field>),
    /// A sorted set in its own order: by score, then by the bytes of the members.
    SortedSet(Vec<Member>),
    /// A stream with its consumer groups.
    Stream(Stream),
    /// A type of a module, or one that is newer than this crate. Its content is compared but not shown.
    Other(Opaque),
}

impl RedisValue {
    /// Returns the type in words, such as `sorted set`.
    ///
    /// ```
    /// use transient_fixtures::snapshot::RedisValue;
    ///
    /// assert_eq!(RedisValue::List(vec!["brand:1".into()]).type_name(), "list");
    /// ```
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

    /// The number of elements. 1 for a type without elements.
    pub(crate) fn len(&self) -> usize {
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

    /// The size of the elements in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let size = |bytes: &RedisBytes| bytes.as_slice().len();
        match self {
            Self::String(value) => size(value),
            Self::List(items) => items.iter().map(size).sum(),
            Self::Set(members) => members.iter().map(size).sum(),
            Self::Hash(fields) => fields.iter().map(|(name, field)| size(name) + size(&field.value)).sum(),
            Self::SortedSet(members) => members.iter().map(|one| size(&one.member)).sum(),
            Self::Stream(stream) => {
                let fields = stream.entries.iter().flat_map(|entry| &entry.fields);
                fields.map(|(name, value)| size(name) + size(value)).sum()
            }
            Self::Other(_) => 0,
        }
    }

    /// Whether this is a list, set, hash or sorted set without elements. Redis deletes such keys.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn has_field_ttls(&self) -> bool {
        matches!(self, Self::Hash(fields) if fields.values().any(|field| field.ttl.is_some()))
    }
}

impl PartialEq for RedisValue {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::String(one), Self::String(other)) => same_string(one.as_slice(), other.as_slice()),
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

/// A value of a type that the commands of Redis itself cannot read.
///
/// Two values from one server are equal if their DUMP is the same. Values from different servers or from files cannot
/// be compared: they are never equal, and a [`Diff`](super::Diff) lists them as
/// [`NotComparable`](super::Change::NotComparable).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Opaque {
    /// The type, as the TYPE command names it.
    pub type_name: String,
    /// The server's run id and the SHA-256 of the DUMP.
    digest: Option<(Arc<str>, [u8; 32])>,
}

impl Opaque {
    pub(super) fn new(type_name: String, digest: Option<(Arc<str>, [u8; 32])>) -> Self {
        Self { type_name, digest }
    }

    /// Whether both hold the same. `None` if that cannot be determined.
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

/// A field of a hash. Two are equal as two [`Entry`]s are.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Field {
    /// The value.
    pub value: RedisBytes,
    /// The field's own TTL at the time of the capture, on servers that have such (Redis 7.4, Valkey 9).
    pub ttl: Option<Duration>,
}

impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value && self.ttl.is_some() == other.ttl.is_some()
    }
}

/// A member of a sorted set.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Member {
    /// The member.
    pub member: RedisBytes,
    /// Its score, which can be infinite.
    pub score: f64,
}

/// A stream.
///
/// A counter that one of two servers does not support (`None`) is not compared.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stream {
    /// The entries, oldest first.
    pub entries: Vec<StreamEntry>,
    /// The last generated id, even if its entry was deleted.
    pub last_id: StreamId,
    /// The number of entries ever added (Redis 7, Valkey).
    pub entries_added: Option<u64>,
    /// The highest id that was deleted (Redis 7, Valkey).
    pub max_deleted_id: Option<StreamId>,
    /// The consumer groups, by name.
    pub groups: BTreeMap<RedisBytes, Group>,
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

/// An entry of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamEntry {
    /// The id.
    pub id: StreamId,
    /// The fields in their order. A name can occur twice.
    pub fields: Vec<(RedisBytes, RedisBytes)>,
}

/// A consumer group of a stream.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Group {
    /// The id that was delivered last.
    pub last_delivered_id: StreamId,
    /// The number of entries that the group has read (Redis 7, Valkey).
    pub entries_read: Option<u64>,
    /// The names of the consumers.
    pub consumers: BTreeSet<RedisBytes>,
    /// The entries that were delivered and not acknowledged, by id.
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

/// An entry that was delivered to a consumer and not acknowledged.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Pending {
    /// The id of the entry, which can have been deleted since.
    pub id: StreamId,
    /// The name of the consumer.
    pub consumer: RedisBytes,
    /// How often the entry was delivered.
    pub deliveries: u64,
    /// The time between the last delivery and the capture. Not compared.
    pub idle: Duration,
}

impl PartialEq for Pending {
    fn eq(&self, other: &Self) -> bool {
        (self.id, &self.consumer, self.deliveries) == (other.id, &other.consumer, other.deliveries)
    }
}

/// A counter that a server does not support equals every other.
fn agree<T: PartialEq + Copy>(one: Option<T>, other: Option<T>) -> bool {
    one.is_none() || other.is_none() || one == other
}

/// The id of a stream entry, such as `1526919030474-55`.
///
/// ```
/// use transient_fixtures::snapshot::StreamId;
///
/// # fn main() -> Result<(), transient_fixtures::Error> {
/// let id: StreamId = "1526919030474-55".parse()?;
/// assert_eq!(id, StreamId { milliseconds: 1_526_919_030_474, sequence: 55 });
/// assert!("yesterday".parse::<StreamId>().is_err_and(|error| error.is_data()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Milliseconds since 1970 if the server generated the id.
    pub milliseconds: u64,
    /// The number of the entry within its millisecond.
    pub sequence: u64,
}

impl StreamId {
    /// The next higher id.
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

/// Returns an error that [`is_data`](Error::is_data) unless the text is two numbers and a hyphen.
impl FromStr for StreamId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let id = text.split_once('-').and_then(|(milliseconds, sequence)| {
            Some(Self { milliseconds: milliseconds.parse().ok()?, sequence: sequence.parse().ok()? })
        });
        id.ok_or_else(|| Error::new(Kind::Data, format!("invalid stream entry ID {text:?}: expected one such as 1-0")))
    }
}
