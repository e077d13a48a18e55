//! The record of commands and replies.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::arguments;
use crate::report;

/// How many bytes of a command are kept: its name, its keys and the beginning of its values.
pub(super) const REQUEST_BYTES: usize = 1024;

/// How many bytes of a reply are kept.
pub(super) const REPLY_BYTES: usize = 256;

/// Commands with which client libraries set up a connection. They are recorded, but are not boundaries or round trips.
const HANDSHAKE: [&str; 6] = ["AUTH", "CLIENT", "COMMAND", "HELLO", "PING", "SELECT"];

/// A command that went through a tap, with its reply.
///
/// [`Tap`](super::Tap) has an example.
#[derive(Clone)]
pub struct Command {
    pub(super) index: usize,
    pub(super) connection: u64,
    pub(super) client_name: Option<Arc<str>>,
    pub(super) database: u32,
    pub(super) name: Arc<str>,
    /// The first bytes of its frame.
    pub(super) head: Arc<[u8]>,
    pub(super) size: u64,
    pub(super) at: Instant,
    /// The index of the MULTI that it belongs to.
    pub(super) transaction: Option<usize>,
    /// Whether no command of its connection was waiting for a reply.
    pub(super) begins_round_trip: bool,
    /// The fault that a rule injected.
    pub(super) fault: Option<&'static str>,
    pub(super) reply: Option<Replied>,
}

/// The reply to a command.
#[derive(Clone)]
pub(super) struct Replied {
    pub(super) kind: Reply,
    pub(super) head: Arc<[u8]>,
    pub(super) size: u64,
    pub(super) at: Instant,
    /// How many commands had been forwarded by then.
    pub(super) commands_before: usize,
}

/// The kind of a reply.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reply {
    /// `OK`, or another simple string.
    Ok,
    /// Within a transaction: the command will be executed by EXEC.
    Queued,
    /// The value does not exist, or a condition was not met.
    Nil,
    /// A string.
    Value,
    /// The integer 0.
    Zero,
    /// Another integer, or another number.
    Number,
    /// True or false.
    Boolean,
    /// An array, a set or a map without elements.
    Empty,
    /// An array, a set or a map.
    Elements,
    /// An error, with its code: `WRONGTYPE`.
    Error(String),
}

impl Reply {
    /// Reads the kind from the first bytes of a reply.
    pub(super) fn read(head: &[u8]) -> Self {
        let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let (kind, rest) = line.split_first().map_or((b' ', &[][..]), |(kind, rest)| (*kind, rest));
        match (kind, rest) {
            (b'+', b"QUEUED") => Self::Queued,
            (b'+', _) => Self::Ok,
            (b'$' | b'*', b"-1") | (b'_', _) => Self::Nil,
            (b'*' | b'%' | b'~' | b'>', b"0") => Self::Empty,
            (b'*' | b'%' | b'~' | b'>', _) => Self::Elements,
            (b':', b"0") => Self::Zero,
            (b':' | b',' | b'(', _) => Self::Number,
            (b'#', _) => Self::Boolean,
            (b'-', text) => Self::Error(code(text)),
            (b'!', _) => {
                let text = head.splitn(2, |byte| *byte == b'\n').nth(1).unwrap_or_default();
                Self::Error(code(text))
            }
            // Strings. A reply with attributes counts as a value too: the bytes kept might not reach its type.
            _ => Self::Value,
        }
    }

    /// Returns true if the reply is an error.
    #[must_use]
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }

    /// Returns true if the reply is nil or has no elements.
    #[must_use]
    pub fn is_miss(&self) -> bool {
        matches!(self, Self::Nil | Self::Empty)
    }
}

fn code(text: &[u8]) -> String {
    let word = text.split(|byte| matches!(byte, b' ' | b'\r')).next().unwrap_or_default();
    arguments::text(word).into_owned()
}

impl fmt::Display for Reply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Ok => "ok",
            Self::Queued => "queued",
            Self::Nil => "nil",
            Self::Value => "value",
            Self::Zero => "zero",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Empty => "empty",
            Self::Elements => "elements",
            Self::Error(code) => return write!(formatter, "error {code}"),
        })
    }
}

impl Command {
    /// Returns the command's name in upper case, with its subcommand: `GET`, `CLIENT SETNAME`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns true if the command has this name, ignoring case.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis.set::<_, _, ()>("price:1", 12_900)?;
    /// assert!(tap.wait_for(|command| command.is("set")).is("SET"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Returns the arguments without the name.
    ///
    /// Only the first 1,024 bytes of a command are kept, so the last argument can be truncated and later ones missing.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis.set::<_, _, ()>("price:1", 12_900)?;
    /// assert_eq!(tap.wait_for(|command| command.is("SET")).args(), [b"price:1".as_slice(), b"12900"]);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn args(&self) -> Vec<&[u8]> {
        arguments::arguments(&self.head).skip(1 + usize::from(self.name.contains(' '))).collect()
    }

    /// Returns the argument with this index, from 0, as text. Index 0 is the key of most commands.
    ///
    /// Returns `None` if the command has no such argument, or it was not kept.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis.set::<_, _, ()>("price:1", 12_900)?;
    /// let command = tap.wait_for(|command| command.is("SET"));
    /// assert_eq!(command.arg(1).as_deref(), Some("12900"));
    /// assert_eq!(command.arg(2), None);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn arg(&self, index: usize) -> Option<String> {
        self.args().get(index).map(|argument| arguments::text(argument).into_owned())
    }

    /// Returns the keys among the arguments that were kept.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis.mset::<_, _, ()>(&[("price:1", 12_900), ("price:2", 9_900)])?;
    /// assert_eq!(tap.wait_for(|command| command.is("MSET")).keys(), [b"price:1", b"price:2"]);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn keys(&self) -> Vec<&[u8]> {
        super::keys::keys(&self.name, &self.args())
    }

    /// Returns the number of the connection, counted from 1.
    #[must_use]
    pub fn connection(&self) -> u64 {
        self.connection
    }

    /// Returns the name that the client set with CLIENT SETNAME or HELLO.
    #[must_use]
    pub fn client_name(&self) -> Option<&str> {
        self.client_name.as_deref()
    }

    /// Returns the number of the selected database.
    #[must_use]
    pub fn database(&self) -> u32 {
        self.database
    }

    /// Returns the size of the whole command in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the kind of the reply; `None` if it has not arrived, or the client asked for none.
    #[must_use]
    pub fn reply(&self) -> Option<&Reply> {
        self.reply.as_ref().map(|reply| &reply.kind)
    }

    /// Returns the first 256 bytes of the reply, as the server sent them.
    #[must_use]
    pub fn reply_head(&self) -> Option<&[u8]> {
        self.reply.as_ref().map(|reply| &*reply.head)
    }

    /// Returns the size of the whole reply in bytes.
    #[must_use]
    pub fn reply_size(&self) -> Option<u64> {
        self.reply.as_ref().map(|reply| reply.size)
    }

    /// Returns the time between command and reply, measured in the tap.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        self.reply.as_ref().map(|reply| reply.at.saturating_duration_since(self.at))
    }

    /// Returns true if the command sets up a connection: HELLO, AUTH, SELECT, CLIENT, PING or COMMAND.
    #[must_use]
    pub fn is_handshake(&self) -> bool {
        is_handshake(&self.name)
    }

    /// Returns true if the command is a boundary, where a [sweep](crate::faults) injects faults.
    ///
    /// Commands that set up a connection are not boundaries. A transaction is one boundary, at its EXEC.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis::pipe().atomic().set("price:1", 12_900).set("price:2", 9_900).exec(&mut redis)?;
    /// let boundaries = tap.commands().only(|command| command.is_boundary());
    /// assert_eq!(boundaries.len(), 1);
    /// assert!(boundaries[0].is("EXEC"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_boundary(&self) -> bool {
        is_boundary(&self.name, self.transaction.is_some())
    }

    /// Returns true if the command was queued in a transaction. MULTI and EXEC themselves are not.
    #[must_use]
    pub fn is_in_transaction(&self) -> bool {
        self.transaction.is_some() && !matches!(&*self.name, "EXEC" | "DISCARD" | "MULTI")
    }

    /// Returns true if both commands belong to the same transaction.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis::pipe().atomic().set("price:1", 12_900).set("price:2", 9_900).exec(&mut redis)?;
    /// let writes = tap.commands().named("SET");
    /// assert!(writes[0].is_in_transaction_with(&writes[1]));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_in_transaction_with(&self, other: &Self) -> bool {
        self.transaction.is_some() && self.transaction == other.transaction
    }

    /// Returns true if a [rule](super::Rule) of the tap applied to this command.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// tap.on("GET").nil();
    /// redis.get::<_, Option<u32>>("price:1")?;
    /// assert!(tap.wait_for(|command| command.is("GET")).has_fault());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn has_fault(&self) -> bool {
        self.fault.is_some()
    }

    /// Returns true if both commands waited for their replies at the same time.
    ///
    /// The server could have executed them in either order.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis.set::<_, _, ()>("price:1", 12_900)?;
    /// redis.get::<_, u32>("price:1")?; // Sent after the reply to SET.
    /// let commands = tap.commands().without_handshakes();
    /// assert!(!commands[0].overlaps(&commands[1]));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let (first, second) = if self.index < other.index { (self, other) } else { (other, self) };
        first.reply.as_ref().is_none_or(|reply| reply.commands_before > second.index)
    }

    /// Returns true if the command began a round trip: no other command of its connection was waiting for a reply.
    ///
    /// Commands queued in a transaction, and those that set up a connection, do not count.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis::pipe().set("price:1", 12_900).set("price:2", 9_900).exec(&mut redis)?;
    /// let writes = tap.commands().named("SET");
    /// assert!(writes[0].begins_round_trip() && !writes[1].begins_round_trip());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn begins_round_trip(&self) -> bool {
        self.begins_round_trip && !self.is_handshake() && !self.is_in_transaction() && !self.is("MULTI")
    }

    /// Returns the name and the pattern of the first key: `GET price:*`.
    ///
    /// In the pattern, `*` replaces every part of the key after the first `:`, and a first part that looks like an id.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis.set::<_, _, ()>("price:1", 12_900)?;
    /// assert_eq!(tap.wait_for(|command| command.is("SET")).shape(), "SET price:*");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn shape(&self) -> String {
        match self.keys().first() {
            Some(key) => format!("{} {}", self.name, super::keys::pattern(key)),
            None => self.name.to_string(),
        }
    }
}

/// Returns true if the command sets up a connection.
#[must_use]
pub fn is_handshake(name: &str) -> bool {
    HANDSHAKE.contains(&name.split(' ').next().unwrap_or_default())
}

pub(super) fn is_boundary(name: &str, is_in_transaction: bool) -> bool {
    !is_handshake(name) && name != "MULTI" && (!is_in_transaction || name == "EXEC")
}

/// Returns the line of a transcript for a command, given its words and the bytes of its reply.
#[must_use]
pub fn line(connection: u64, client: Option<&str>, database: u32, words: &[Vec<u8>], reply: Option<&[u8]>) -> String {
    let name = arguments::name_of(words.iter().map(Vec::as_slice));
    let args: Vec<_> = words.iter().skip(name.split(' ').count()).map(Vec::as_slice).collect();
    report::tap::command(connection, client, database, &name, &args, 0, reply.map(|reply| (reply, reply.len() as u64)))
}

/// Writes one line of a transcript.
impl fmt::Display for Command {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reply = self.reply.as_ref().map(|reply| (&*reply.head, reply.size));
        let client = self.client_name.as_deref();
        let args = self.args();
        let omitted = arguments::count(&self.head).saturating_sub(self.name.split(' ').count() + args.len());
        let line = report::tap::command(self.connection, client, self.database, &self.name, &args, omitted, reply);
        formatter.write_str(&line)?;
        match self.fault {
            Some(fault) => formatter.write_str(&report::tap::fault(fault)),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Command({self})")
    }
}
