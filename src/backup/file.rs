//! Reads a file of either form, more than once.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};

use super::commands::CommandReader;
use super::digest::Digest;
use crate::report;
use crate::snapshot::lines::{LineReader, NoLines};
use crate::snapshot::{Entry, RedisBytes, RedisValue, Snapshot};

/// How much of a file is read at once.
const READ_AT_ONCE: usize = 1 << 18;

/// Where the bytes of a backup are.
#[derive(Debug)]
pub enum Source {
    /// A file that can be read again.
    File(File),
    /// The content of one that can't.
    Memory(Vec<u8>),
}

impl Source {
    /// The content from the beginning.
    fn reader(&self) -> io::Result<Box<dyn BufRead + Send + '_>> {
        Ok(match self {
            Self::File(file) => {
                let mut file: &File = file;
                file.rewind()?;
                Box::new(BufReader::with_capacity(READ_AT_ONCE, file))
            }
            Self::Memory(bytes) => Box::new(&bytes[..]),
        })
    }
}

/// A key with its database.
type Item = (u32, RedisBytes, Entry);

/// A file that was read once, without an error.
#[derive(Debug)]
pub struct Backup {
    source: Source,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// A snapshot as it is written, line by line.
    Lines,
    /// A snapshot in other JSON.
    Whole(Box<Snapshot>),
    Commands,
}

/// What a file has.
#[derive(Debug, Default)]
pub struct Contents {
    /// The number of keys of each database.
    pub databases: BTreeMap<u32, usize>,
    /// A digest of its keys, in their order.
    pub digest: u64,
    /// A key whose content is not in the file, with its database and type.
    pub unwritable: Option<(u32, RedisBytes, String)>,
    /// Whether hash fields have TTLs.
    pub has_field_ttls: bool,
}

/// Why a file can't be read.
#[derive(Debug)]
pub struct Invalid {
    /// Where it is wrong.
    pub place: Place,
    /// What is wrong.
    pub why: String,
}

/// A place in a file.
#[derive(Debug)]
pub enum Place {
    /// A line and a column, from 1.
    Line(usize, usize),
    /// The number of bytes before it.
    Byte(u64),
    /// The file as such.
    Whole,
}

impl Invalid {
    fn new(why: impl Into<String>) -> Self {
        Self { place: Place::Whole, why: why.into() }
    }

    fn io(error: &io::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl Backup {
    /// Reads a file to its end.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with it, and where.
    pub fn open(source: Source) -> Result<(Self, Contents), Invalid> {
        let first = source.reader().and_then(|mut reader| Ok(reader.fill_buf()?.first().copied()));
        let first = first.map_err(|error| Invalid::io(&error))?;
        match first {
            None => return Err(Invalid::new(report::backup::EMPTY)),
            Some(b'*') => return Self { source, form: Form::Commands }.with_contents(),
            Some(b'{' | b' ' | b'\t' | b'\r' | b'\n') => {}
            Some(_) => return Err(Invalid { place: Place::Byte(0), why: report::backup::FOREIGN.to_owned() }),
        }
        let lines = Self { source, form: Form::Lines };
        match lines.contents() {
            Ok(contents) => return Ok((lines, contents)),
            Err(Unread::Invalid(invalid)) => return Err(invalid),
            Err(Unread::OtherForm) => {}
        }
        let mut text = Vec::new();
        let read = lines.source.reader().and_then(|mut reader| reader.read_to_end(&mut text));
        read.map_err(|error| Invalid::io(&error))?;
        let snapshot = Snapshot::from_json(&text).map_err(|error| Invalid {
            place: if error.line() == 0 { Place::Whole } else { Place::Line(error.line(), error.column()) },
            why: report::snapshot::without_place(&error),
        })?;
        Self { source: lines.source, form: Form::Whole(Box::new(snapshot)) }.with_contents()
    }

    fn with_contents(self) -> Result<(Self, Contents), Invalid> {
        match self.contents() {
            Ok(contents) => Ok((self, contents)),
            Err(unread) => Err(unread.into()),
        }
    }

    fn contents(&self) -> Result<Contents, Unread> {
        let (mut contents, mut digest) = (Contents::default(), Digest::default());
        for item in self.items()? {
            let (database, key, entry) = item?;
            *contents.databases.entry(database).or_default() += 1;
            digest.add(database, &key, &entry);
            contents.has_field_ttls |= entry.value.has_field_ttls();
            if let RedisValue::Other(other) = entry.value
                && contents.unwritable.is_none()
            {
                contents.unwritable = Some((database, key, other.type_name));
            }
        }
        contents.digest = digest.value();
        Ok(contents)
    }

    /// Whether the times of the keys are moments since 1970.
    pub(super) fn has_moments(&self) -> bool {
        matches!(self.form, Form::Commands)
    }

    /// The keys. They end after an error, which there is only if the file has changed.
    pub(super) fn keys(&self) -> Result<impl Iterator<Item = Result<Item, Invalid>> + Send, Invalid> {
        Ok(self.items()?.map(|item| item.map_err(Invalid::from)))
    }

    fn items(&self) -> Result<Box<dyn Iterator<Item = Result<Item, Unread>> + Send + '_>, Invalid> {
        let reader = || self.source.reader().map_err(|error| Invalid::io(&error));
        Ok(match &self.form {
            Form::Lines => Box::new(LineReader::new(reader()?).map(|item| item.map_err(Unread::from))),
            Form::Whole(snapshot) => {
                Box::new(snapshot.entries().map(|(database, key, entry)| Ok((database, key.clone(), entry.clone()))))
            }
            Form::Commands => Box::new(CommandReader::new(reader()?).map(|item| {
                item.map_err(|wrong| Unread::Invalid(Invalid { place: Place::Byte(wrong.byte), why: wrong.why }))
            })),
        })
    }
}

enum Unread {
    Invalid(Invalid),
    OtherForm,
}

impl From<Invalid> for Unread {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<NoLines> for Unread {
    fn from(error: NoLines) -> Self {
        match error {
            NoLines::Io(error) => Self::Invalid(Invalid::io(&error)),
            NoLines::OtherForm => Self::OtherForm,
        }
    }
}

impl From<Unread> for Invalid {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Invalid(invalid) => invalid,
            Unread::OtherForm => Self::new(report::backup::CHANGED),
        }
    }
}
