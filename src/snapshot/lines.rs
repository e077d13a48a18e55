//! The file format line by line, so that a file of any size needs little memory.

use std::io::{self, BufRead, Write};

use super::RedisBytes;
use super::form::{KeyForm, VERSION};
use super::value::Entry;

/// Writes a snapshot with one line per key.
pub(crate) struct LineWriter<W> {
    file: W,
    databases: usize,
    /// The number of keys of the last database.
    keys: usize,
}

impl<W: Write> LineWriter<W> {
    pub(crate) fn new(mut file: W) -> io::Result<Self> {
        write!(file, "{{\n  \"transient_fixtures_snapshot\": {VERSION},\n  \"databases\": {{")?;
        Ok(Self { file, databases: 0, keys: 0 })
    }

    /// Begins a database.
    pub(crate) fn database(&mut self, number: u32) -> io::Result<()> {
        self.end_database()?;
        write!(self.file, "{}\n    \"{number}\": [", if self.databases > 0 { "," } else { "" })?;
        (self.databases, self.keys) = (self.databases + 1, 0);
        Ok(())
    }

    pub(crate) fn key(&mut self, key: &RedisBytes, entry: &Entry) -> io::Result<()> {
        self.file.write_all(if self.keys > 0 { b",\n      " } else { b"\n      " })?;
        self.keys += 1;
        serde_json::to_writer(&mut self.file, &KeyForm::from((key, entry)))?;
        Ok(())
    }

    fn end_database(&mut self) -> io::Result<()> {
        match (self.databases, self.keys) {
            (0, _) => Ok(()),
            (_, 0) => self.file.write_all(b"]"),
            _ => self.file.write_all(b"\n    ]"),
        }
    }

    /// Ends the file.
    pub(crate) fn end(mut self) -> io::Result<W> {
        self.end_database()?;
        self.file.write_all(b"\n  }\n}\n")?;
        Ok(self.file)
    }
}

/// Why a file can't be read line by line.
pub(crate) enum NoLines {
    Io(io::Error),
    /// It is not exactly as [`LineWriter`] writes it. It can be a valid snapshot nevertheless.
    OtherForm,
}

/// Reads what [`LineWriter`] has written.
pub(crate) struct LineReader<R> {
    file: R,
    line: Vec<u8>,
    at: At,
    last_database: Option<u32>,
    last_key: Option<RedisBytes>,
}

/// What the next line is.
enum At {
    Head,
    Database(Follows),
    /// A key of this database.
    Key(u32, Follows),
    End,
}

/// What a line follows.
#[derive(Clone, Copy, PartialEq)]
enum Follows {
    /// The beginning of the object or list: an element, or its end.
    Beginning,
    /// An element and a comma: another one.
    Comma,
    /// An element without a comma: the end.
    Element,
}

impl Follows {
    fn after(has_comma: bool) -> Self {
        if has_comma { Self::Comma } else { Self::Element }
    }
}

impl<R: BufRead> LineReader<R> {
    pub(crate) fn new(file: R) -> Self {
        Self { file, line: Vec::new(), at: At::Head, last_database: None, last_key: None }
    }

    /// The next line without its end.
    fn line(&mut self) -> Result<&[u8], NoLines> {
        self.line.clear();
        self.file.read_until(b'\n', &mut self.line).map_err(NoLines::Io)?;
        self.line.strip_suffix(b"\n").ok_or(NoLines::OtherForm)
    }

    fn expect(&mut self, expected: &str) -> Result<(), NoLines> {
        if self.line()? == expected.as_bytes() { Ok(()) } else { Err(NoLines::OtherForm) }
    }

    fn read(&mut self) -> Result<Option<(u32, RedisBytes, Entry)>, NoLines> {
        loop {
            match self.at {
                At::Head => {
                    self.expect("{")?;
                    self.expect(&format!("  \"transient_fixtures_snapshot\": {VERSION},"))?;
                    self.expect("  \"databases\": {")?;
                    self.at = At::Database(Follows::Beginning);
                }
                At::Database(follows) => self.at = self.database(follows)?,
                At::Key(database, follows) => {
                    let (line, has_comma) = without_comma(self.line()?);
                    let is_end = line == b"    ]";
                    if is_end != (follows == Follows::Element) {
                        return Err(NoLines::OtherForm);
                    }
                    if is_end {
                        self.at = At::Database(Follows::after(has_comma));
                        continue;
                    }
                    let form: KeyForm = serde_json::from_slice(line).map_err(|_| NoLines::OtherForm)?;
                    self.at = At::Key(database, Follows::after(has_comma));
                    let (key, entry) = form.into_entry();
                    // Sorted keys are not there twice.
                    if entry.value.is_empty() || self.last_key.as_ref().is_some_and(|last| *last >= key) {
                        return Err(NoLines::OtherForm);
                    }
                    self.last_key = Some(key.clone());
                    return Ok(Some((database, key, entry)));
                }
                At::End => return Ok(None),
            }
        }
    }

    fn database(&mut self, follows: Follows) -> Result<At, NoLines> {
        let (line, has_comma) = without_comma(self.line()?);
        if line == b"  }" && follows != Follows::Comma && !has_comma {
            self.expect("}")?;
            let rest = self.file.fill_buf().map_err(NoLines::Io)?;
            return if rest.is_empty() { Ok(At::End) } else { Err(NoLines::OtherForm) };
        }
        let text = line.strip_prefix(b"    \"").and_then(|line| std::str::from_utf8(line).ok());
        let (number, rest) = text.and_then(|text| text.split_once("\": [")).ok_or(NoLines::OtherForm)?;
        let database = number.parse().map_err(|_| NoLines::OtherForm)?;
        let next = match rest {
            "]" => At::Database(Follows::after(has_comma)),
            "" if !has_comma => At::Key(database, Follows::Beginning),
            _ => return Err(NoLines::OtherForm),
        };
        if follows == Follows::Element || self.last_database.is_some_and(|last| last >= database) {
            return Err(NoLines::OtherForm);
        }
        (self.last_database, self.last_key) = (Some(database), None);
        Ok(next)
    }
}

fn without_comma(line: &[u8]) -> (&[u8], bool) {
    match line.strip_suffix(b",") {
        Some(line) => (line, true),
        None => (line, false),
    }
}

/// Ends after an error.
impl<R: BufRead> Iterator for LineReader<R> {
    type Item = Result<(u32, RedisBytes, Entry), NoLines>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.read();
        if read.is_err() {
            self.at = At::End;
        }
        read.transpose()
    }
}
