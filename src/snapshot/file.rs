//! The file format of snapshots: JSON with one line per key, so that a change is easy to read under version control.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Snapshot;
use super::form::{Form, KeyForm, VERSION};
use super::lines::LineWriter;
use crate::error::{Error, Kind};
use crate::report;

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
            let mut file = LineWriter::new(BufWriter::new(File::create(path)?))?;
            for (database, entries) in &self.databases {
                file.database(*database)?;
                entries.iter().try_for_each(|(key, entry)| file.key(key, entry))?;
            }
            file.end()?.flush()
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
        Self::from_json(&text).map_err(|error| {
            let report = report::snapshot::no_snapshot(path, error.line(), error.column());
            Error::with_source(Kind::Data, report, report::snapshot::without_place(&error))
        })
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    ///
    /// Returns an error if it is not a snapshot, or one of another version.
    pub(crate) fn from_json(text: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(text).map_err(|error| match serde_json::from_slice::<AnyVersion>(text) {
            // A later version can have other fields, and its number explains them.
            Ok(AnyVersion { transient_fixtures_snapshot: version }) if version != VERSION => {
                de::Error::custom(report::snapshot::other_version(version, VERSION))
            }
            _ => error,
        })
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

/// The number alone.
#[derive(Deserialize)]
struct AnyVersion {
    transient_fixtures_snapshot: u32,
}
