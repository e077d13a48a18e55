//! The form of commands: what `redis-cli --pipe` sends, and what it means.
//!
//! The first command and the last one are ECHO. They have the version and the number of keys, so that a file that was
//! cut at the end of a command is noticed. Reading understands these commands and no others: a file can't do anything
//! but write the keys that it has.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, Read as _, Write};
use std::str::FromStr;
use std::time::Duration;

use crate::report;
use crate::snapshot::write::{ServerFacts, Writer};
use crate::snapshot::{Entry, Field, Group, Member, Pending, RedisBytes, RedisValue, Stream, StreamEntry, StreamId};

/// The version of the form.
const VERSION: u32 = 1;
const HEAD: &str = "transient-fixtures backup ";
const END: &str = "transient-fixtures backup ends, keys: ";

/// The most arguments of a command and the longest argument that are read: more than a dump has, and what Redis takes.
const ARGUMENTS: usize = 1 << 20;
const LENGTH: u64 = 512 << 20;

/// Moments as times, and all counters that the source has.
const FACTS: ServerFacts = ServerFacts { now: None, has_stream_counters: true };

/// Writes commands.
pub(super) struct CommandWriter<W> {
    file: W,
    keys: usize,
}

impl<W: Write> CommandWriter<W> {
    pub(super) fn new(file: W, database: u32) -> io::Result<Self> {
        let mut new = Self { file, keys: 0 };
        new.echo(&format!("{HEAD}{VERSION}, database {database}"))?;
        Ok(new)
    }

    pub(super) fn key(&mut self, key: &RedisBytes, entry: &Entry) -> io::Result<()> {
        self.keys += 1;
        let mut writer = Writer::new(FACTS);
        writer.write(key, entry);
        self.file.write_all(writer.into_commands().bytes())
    }

    pub(super) fn end(mut self) -> io::Result<W> {
        self.echo(&format!("{END}{}", self.keys))?;
        Ok(self.file)
    }

    fn echo(&mut self, text: &str) -> io::Result<()> {
        let mut writer = Writer::new(FACTS);
        writer.push([b"ECHO", text.as_bytes()]);
        self.file.write_all(writer.into_commands().bytes())
    }
}

/// What is wrong, and where: the number of the byte.
pub(super) struct Wrong {
    pub(super) byte: u64,
    pub(super) why: String,
}

/// Reads what [`CommandWriter`] has written.
pub(super) struct CommandReader<R> {
    file: R,
    /// How many bytes were read, and how many before the last command.
    byte: u64,
    command: u64,
    state: State,
    /// The key that is being read.
    key: Option<(RedisBytes, Entry)>,
    keys: usize,
}

enum State {
    Head,
    Keys { database: u32 },
    End,
}

impl<R: BufRead> CommandReader<R> {
    pub(super) fn new(file: R) -> Self {
        Self { file, byte: 0, command: 0, state: State::Head, key: None, keys: 0 }
    }

    fn read(&mut self) -> Result<Option<(u32, RedisBytes, Entry)>, String> {
        loop {
            if matches!(self.state, State::End) {
                return Ok(None);
            }
            self.command = self.byte;
            let Some(command) = self.command()? else { return Err(report::backup::CUT.to_owned()) };
            match self.state {
                State::Head => {
                    let database = head(&command)?;
                    self.state = State::Keys { database };
                }
                State::Keys { database } => {
                    let found = match echo(&command) {
                        Some(text) => {
                            let found = self.key.take();
                            self.end(text)?;
                            found
                        }
                        None => self.apply(command)?,
                    };
                    if let Some((key, entry)) = found {
                        return Ok(Some((database, key, entry)));
                    }
                }
                State::End => return Ok(None),
            }
        }
    }

    fn end(&mut self, text: &str) -> Result<(), String> {
        let keys: usize = text.strip_prefix(END).and_then(|keys| keys.parse().ok()).ok_or_else(unknown)?;
        if keys != self.keys {
            return Err(report::backup::other_count(keys, self.keys));
        }
        if !self.file.fill_buf().map_err(|error| error.to_string())?.is_empty() {
            self.command = self.byte;
            return Err(report::backup::AFTER_END.to_owned());
        }
        self.state = State::End;
        Ok(())
    }

    /// Reads a command. `None` at the end of the file.
    fn command(&mut self) -> Result<Option<Vec<RedisBytes>>, String> {
        if self.file.fill_buf().map_err(|error| error.to_string())?.is_empty() {
            return Ok(None);
        }
        let count = self.number(b'*')?;
        if !(1..=ARGUMENTS as u64).contains(&count) {
            return Err(unknown());
        }
        (0..count).map(|_| self.argument()).collect::<Result<_, _>>().map(Some)
    }

    fn argument(&mut self) -> Result<RedisBytes, String> {
        let length = self.number(b'$')?;
        if length > LENGTH {
            return Err(unknown());
        }
        let mut bytes = Vec::new();
        // Allocates what is there, whatever the file says.
        let read = self.file.by_ref().take(length + 2).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        self.byte += read as u64;
        if (read as u64) < length + 2 {
            return Err(report::backup::CUT.to_owned());
        }
        if !bytes.ends_with(b"\r\n") {
            return Err(unknown());
        }
        bytes.truncate(bytes.len() - 2);
        Ok(bytes.into())
    }

    fn number(&mut self, kind: u8) -> Result<u64, String> {
        let mut line = Vec::new();
        let read = self.file.by_ref().take(24).read_until(b'\n', &mut line).map_err(|error| error.to_string())?;
        self.byte += read as u64;
        let Some(line) = line.strip_suffix(b"\r\n") else {
            let is_cut = self.file.fill_buf().map_err(|error| error.to_string())?.is_empty();
            return Err(if is_cut { report::backup::CUT.to_owned() } else { unknown() });
        };
        let number = line.strip_prefix(&[kind]).and_then(|number| std::str::from_utf8(number).ok());
        number.and_then(|number| number.parse().ok()).ok_or_else(unknown)
    }

    /// Applies a command to the key that it names. Returns the key before it, if it is another one.
    fn apply(&mut self, command: Vec<RedisBytes>) -> Result<Option<(RedisBytes, Entry)>, String> {
        let is_group = command[0] == "XGROUP";
        let key = command.get(if is_group { 2 } else { 1 }).ok_or_else(unknown)?;
        let mut before = None;
        if self.key.as_ref().is_none_or(|(last, _)| last != key) {
            // Sorted keys are not there twice.
            if self.key.as_ref().is_some_and(|(last, _)| last > key) {
                return Err(report::backup::NOT_SORTED.to_owned());
            }
            self.keys += 1;
            let entry = Entry { value: first(&command)?, ttl: None };
            before = self.key.replace((key.clone(), entry));
        }
        let (_, entry) = self.key.as_mut().ok_or_else(unknown)?;
        apply(entry, command)?;
        Ok(before)
    }
}

/// Ends after an error.
impl<R: BufRead> Iterator for CommandReader<R> {
    type Item = Result<(u32, RedisBytes, Entry), Wrong>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.read();
        if read.is_err() {
            self.state = State::End;
        }
        read.map_err(|why| Wrong { byte: self.command, why }).transpose()
    }
}

fn unknown() -> String {
    report::backup::UNKNOWN.to_owned()
}

/// The text of an ECHO.
fn echo(command: &[RedisBytes]) -> Option<&str> {
    match command {
        [name, text] if *name == "ECHO" => text.to_str(),
        _ => None,
    }
}

/// The database of the first command.
fn head(command: &[RedisBytes]) -> Result<u32, String> {
    let text = echo(command).and_then(|text| text.strip_prefix(HEAD)).ok_or_else(unknown)?;
    let (version, rest) = text.split_once(',').ok_or_else(unknown)?;
    let version: u32 = version.parse().map_err(|_| unknown())?;
    if version != VERSION {
        return Err(report::snapshot::other_version(version, VERSION));
    }
    rest.strip_prefix(" database ").and_then(|database| database.parse().ok()).ok_or_else(unknown)
}

/// The empty value that the first command of a key fills.
fn first(command: &[RedisBytes]) -> Result<RedisValue, String> {
    Ok(match command[0].to_str() {
        Some("SET") => RedisValue::String(RedisBytes::default()),
        Some("RPUSH") => RedisValue::List(Vec::new()),
        Some("SADD") => RedisValue::Set(BTreeSet::new()),
        Some("HSET") => RedisValue::Hash(BTreeMap::new()),
        Some("ZADD") => RedisValue::SortedSet(Vec::new()),
        Some("XGROUP") => RedisValue::Stream(Stream {
            entries: Vec::new(),
            last_id: StreamId::default(),
            entries_added: None,
            max_deleted_id: None,
            groups: BTreeMap::new(),
        }),
        _ => return Err(unknown()),
    })
}

fn apply(entry: &mut Entry, command: Vec<RedisBytes>) -> Result<(), String> {
    let mut words = command.into_iter();
    let name = words.next().ok_or_else(unknown)?;
    let name = name.to_str().ok_or_else(unknown)?;
    if name == "PEXPIREAT" {
        entry.ttl = Some(moment(words.nth(1).as_ref())?);
        return Ok(());
    }
    match (&mut entry.value, name) {
        (RedisValue::String(value), "SET") => {
            *value = words.nth(1).ok_or_else(unknown)?;
            if words.next().map(|word| word == "PXAT").is_some_and(|is_known| is_known) {
                entry.ttl = Some(moment(words.next().as_ref())?);
            }
        }
        (RedisValue::List(items), "RPUSH") => items.extend(words.skip(1)),
        (RedisValue::Set(members), "SADD") => members.extend(words.skip(1)),
        (RedisValue::Hash(fields), "HSET") => {
            for (name, value) in pairs(words.skip(1))? {
                fields.insert(name, Field { value, ttl: None });
            }
        }
        (RedisValue::Hash(fields), "HPEXPIREAT") => {
            let end = moment(words.nth(1).as_ref())?;
            let name = words.nth(2).ok_or_else(unknown)?;
            fields.get_mut(name.as_slice()).ok_or_else(unknown)?.ttl = Some(end);
        }
        (RedisValue::SortedSet(members), "ZADD") => {
            for (score, member) in pairs(words.skip(1))? {
                members.push(Member { member, score: number(Some(&score))? });
            }
        }
        (RedisValue::Stream(stream), name) => apply_to_stream(stream, name, words)?,
        _ => return Err(unknown()),
    }
    Ok(())
}

fn apply_to_stream(stream: &mut Stream, name: &str, words: impl Iterator<Item = RedisBytes>) -> Result<(), String> {
    let words: Vec<_> = words.collect();
    let word = |at: usize| words.get(at).ok_or_else(unknown);
    // After the words at fixed places, which are anybody's.
    let option = |after: usize, name: &str| {
        let mut rest = words.iter().skip(after).skip_while(|word| **word != name);
        rest.nth(1)
    };
    match name {
        "XGROUP" => {
            let (what, group) = (word(0)?, word(2)?);
            match what.to_str() {
                // It creates the stream.
                Some("CREATE") if words.last().is_some_and(|last| *last == "MKSTREAM") => {}
                Some("DESTROY") => {}
                Some("CREATE") => {
                    let new = Group {
                        last_delivered_id: number(Some(word(3)?))?,
                        entries_read: option(4, "ENTRIESREAD").map(|read| number(Some(read))).transpose()?,
                        consumers: BTreeSet::new(),
                        pending: Vec::new(),
                    };
                    stream.groups.insert(group.clone(), new);
                }
                Some("CREATECONSUMER") => {
                    let group = stream.groups.get_mut(group.as_slice()).ok_or_else(unknown)?;
                    group.consumers.insert(word(3)?.clone());
                }
                _ => return Err(unknown()),
            }
        }
        "XADD" => {
            let fields = pairs(words.iter().skip(2).cloned())?;
            stream.entries.push(StreamEntry { id: number(Some(word(1)?))?, fields });
        }
        "XCLAIM" => {
            let pending = Pending {
                id: number(Some(word(4)?))?,
                consumer: word(2)?.clone(),
                deliveries: number(Some(word(8)?))?,
                idle: moment(Some(word(6)?))?,
            };
            stream.groups.get_mut(word(1)?.as_slice()).ok_or_else(unknown)?.pending.push(pending);
        }
        // Removes what was added only to be claimed.
        "XDEL" => {
            let id: StreamId = number(Some(word(1)?))?;
            stream.entries.retain(|entry| entry.id != id);
        }
        "XTRIM" => {
            let least: StreamId = number(Some(word(2)?))?;
            stream.entries.retain(|entry| entry.id >= least);
        }
        "XSETID" => {
            stream.last_id = number(Some(word(1)?))?;
            stream.entries_added = option(2, "ENTRIESADDED").map(|added| number(Some(added))).transpose()?;
            stream.max_deleted_id = option(2, "MAXDELETEDID").map(|id| number(Some(id))).transpose()?;
        }
        _ => return Err(unknown()),
    }
    Ok(())
}

fn number<T: FromStr>(word: Option<&RedisBytes>) -> Result<T, String> {
    word.and_then(RedisBytes::to_str).and_then(|word| word.parse().ok()).ok_or_else(unknown)
}

fn moment(word: Option<&RedisBytes>) -> Result<Duration, String> {
    number(word).map(Duration::from_millis)
}

fn pairs(words: impl Iterator<Item = RedisBytes>) -> Result<Vec<(RedisBytes, RedisBytes)>, String> {
    let (mut words, mut pairs) = (words, Vec::new());
    while let Some(name) = words.next() {
        pairs.push((name, words.next().ok_or_else(unknown)?));
    }
    Ok(pairs)
}
