//! The file form: JSON with one line a key, so that a change reads well under version control.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::value::{Entry, Field, Group, Pending, StreamId, Value};
use super::{Bytes, Snapshot, text};
use crate::error::{Error, Kind};
use crate::report;

/// The version of the form.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Form {
    transient_fixtures_snapshot: u32,
    databases: BTreeMap<u32, Vec<Keyed<'static>>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keyed<'a> {
    key: Cow<'a, Bytes>,
    value: Cow<'a, Value>,
    #[serde(rename = "ttl_ms", with = "milliseconds", default, skip_serializing_if = "Option::is_none")]
    ttl: Option<Duration>,
}

impl From<Snapshot> for Form {
    fn from(snapshot: Snapshot) -> Self {
        let keyed = |entries: BTreeMap<Bytes, Entry>| {
            let keyed = |(key, Entry { value, ttl })| Keyed { key: Cow::Owned(key), value: Cow::Owned(value), ttl };
            entries.into_iter().map(keyed).collect()
        };
        let databases = snapshot.databases.into_iter().map(|(number, entries)| (number, keyed(entries))).collect();
        Self { transient_fixtures_snapshot: VERSION, databases }
    }
}

impl TryFrom<Form> for Snapshot {
    type Error = String;

    fn try_from(form: Form) -> Result<Self, String> {
        if form.transient_fixtures_snapshot != VERSION {
            return Err(report::snapshot::other_version(form.transient_fixtures_snapshot, VERSION));
        }
        let mut databases = BTreeMap::new();
        for (number, keyed) in form.databases {
            let mut entries = BTreeMap::new();
            for Keyed { key, value, ttl } in keyed {
                let (key, value) = (key.into_owned(), value.into_owned());
                if value.is_empty() {
                    return Err(report::snapshot::empty(number, &text::key(&key), value.type_name()));
                }
                match entries.entry(key) {
                    btree_map::Entry::Vacant(place) => place.insert(Entry { value, ttl }),
                    btree_map::Entry::Occupied(place) => {
                        return Err(report::snapshot::twice(number, &text::key(place.key())));
                    }
                };
            }
            databases.insert(number, entries);
        }
        Ok(Self { databases, captured: Instant::now(), ran_for: None, took: Duration::ZERO })
    }
}

impl Snapshot {
    /// Writes it to a file: JSON, with one line a key. Directories that are missing are made.
    ///
    /// ```
    /// use transient_fixtures::{Snapshot, TestRequest};
    ///
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// # let directory = std::env::temp_dir().join(format!("snapshot-{}", std::process::id()));
    /// let snapshot = TestRequest::clean().snapshot()?;
    /// snapshot.save(directory.join("nothing.json"))?;
    /// assert_eq!(Snapshot::from_file(directory.join("nothing.json"))?, snapshot);
    /// # std::fs::remove_dir_all(directory).unwrap();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::is_data`] when it can't be written.
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

    /// Reads what [`save`](Self::save) has written, or somebody by hand. A relative path starts where the test runs,
    /// with cargo beside the crate's manifest.
    ///
    /// # Errors
    ///
    /// [`Error::is_data`] when there is no such file, or it is no snapshot, with line and column.
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
                let keyed = Keyed { key: Cow::Borrowed(key), value: Cow::Borrowed(&entry.value), ttl: entry.ttl };
                file.write_all(if number > 0 { b",\n      " } else { b"\n      " })?;
                serde_json::to_writer(&mut *file, &keyed)?;
            }
            file.write_all(if entries.is_empty() { b"]" } else { b"\n    ]" })?;
        }
        file.write_all(b"\n  }\n}\n")
    }
}

/// Timeouts, in milliseconds.
pub(super) mod milliseconds {
    use super::{Deserialize, Deserializer, Duration, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "serde's signature")]
    pub(in crate::snapshot) fn serialize<S: Serializer>(
        ttl: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        ttl.map(super::to_milliseconds).serialize(serializer)
    }

    pub(in crate::snapshot) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
    }
}

/// How long an entry of a stream is pending, in milliseconds.
pub(super) mod idle {
    use super::{Deserialize, Deserializer, Duration, Serialize, Serializer};

    pub(in crate::snapshot) fn serialize<S: Serializer>(idle: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        super::to_milliseconds(*idle).serialize(serializer)
    }

    pub(in crate::snapshot) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

/// Scores: whole numbers as such, all others as text. JSON knows no infinite numbers, and not every reader of it takes
/// the others to the last bit.
pub(super) mod score {
    use serde::de::{Error, Visitor};

    use super::{Deserializer, Serializer, text};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(in crate::snapshot) fn serialize<S: Serializer>(score: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        let text = text::score(*score);
        match text.parse::<i64>() {
            Ok(whole) if text != "-0" => serializer.serialize_i64(whole),
            _ => serializer.serialize_str(&text),
        }
    }

    pub(in crate::snapshot) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        deserializer.deserialize_any(NumberOrText)
    }

    struct NumberOrText;

    impl Visitor<'_> for NumberOrText {
        type Value = f64;

        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str(r#"a score (a number, or a string with a number, "inf" or "-inf")"#)
        }

        fn visit_f64<E: Error>(self, score: f64) -> Result<f64, E> {
            Ok(score)
        }

        fn visit_i64<E: Error>(self, score: i64) -> Result<f64, E> {
            self.visit_str(&score.to_string())
        }

        fn visit_u64<E: Error>(self, score: u64) -> Result<f64, E> {
            self.visit_str(&score.to_string())
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<f64, E> {
            let score = text.parse().ok().filter(|score: &f64| !score.is_nan());
            score.ok_or_else(|| E::custom(format!("{text:?} is not a score")))
        }
    }
}

/// A hash's fields, whose names JSON can't have as names where they are no text.
pub(super) mod fields {
    use super::{BTreeMap, Bytes, Deserialize, Deserializer, Duration, Field, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Named {
        field: Bytes,
        value: Bytes,
        #[serde(rename = "ttl_ms", with = "super::milliseconds", default, skip_serializing_if = "Option::is_none")]
        ttl: Option<Duration>,
    }

    pub(in crate::snapshot) fn serialize<S: Serializer>(
        fields: &BTreeMap<Bytes, Field>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(fields.iter().map(|(name, field)| Named {
            field: name.clone(),
            value: field.value.clone(),
            ttl: field.ttl,
        }))
    }

    pub(in crate::snapshot) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<Bytes, Field>, D::Error> {
        let fields = Vec::<Named>::deserialize(deserializer)?;
        Ok(fields.into_iter().map(|Named { field, value, ttl }| (field, Field { value, ttl })).collect())
    }
}

/// A stream's consumer groups, for the same reason.
pub(super) mod groups {
    use super::{
        BTreeMap, BTreeSet, Bytes, Deserialize, Deserializer, Group, Pending, Serialize, Serializer, StreamId,
    };

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Named {
        name: Bytes,
        last_delivered_id: StreamId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        entries_read: Option<u64>,
        #[serde(default)]
        consumers: BTreeSet<Bytes>,
        #[serde(default)]
        pending: Vec<Pending>,
    }

    pub(in crate::snapshot) fn serialize<S: Serializer>(
        groups: &BTreeMap<Bytes, Group>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(groups.iter().map(|(name, group)| {
            let Group { last_delivered_id, entries_read, consumers, pending } = group.clone();
            Named { name: name.clone(), last_delivered_id, entries_read, consumers, pending }
        }))
    }

    pub(in crate::snapshot) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<Bytes, Group>, D::Error> {
        let groups = Vec::<Named>::deserialize(deserializer)?;
        let keyed = |Named { name, last_delivered_id, entries_read, consumers, pending }| {
            (name, Group { last_delivered_id, entries_read, consumers, pending })
        };
        Ok(groups.into_iter().map(keyed).collect())
    }
}

fn to_milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
