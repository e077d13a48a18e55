//! Commands that a tap has recorded, filtered and shown.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

use super::budget::Budget;
use super::keys;
use super::record::{Command, Reply};

/// Recorded commands, in the order in which they were forwarded.
///
/// It is a slice of [`Command`]s, which can be narrowed down. Its [`Display`](fmt::Display) is a transcript.
///
/// ```
/// use redis::Commands as _;
/// use transient_fixtures::{TestRequest, redis};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let test_request = TestRequest::clean();
/// let tap = test_request.tap()?;
/// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
/// redis.set::<_, _, ()>("price:1", 12_900)?;
/// redis.get::<_, u32>("price:1")?;
///
/// let reads = tap.commands().named("GET").with_key("price:*");
/// assert_eq!(reads.len(), 1);
/// println!("{reads}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Commands {
    pub(super) list: Vec<Command>,
    pub(super) marks: Vec<(String, usize)>,
    /// Commands that were forwarded after the record was full.
    pub(super) unrecorded: u64,
}

impl Commands {
    /// Those with that name, in upper or lower case. `CLIENT` stands for all its subcommands.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        self.only(|command| {
            command.is(name) || command.name().split(' ').next().is_some_and(|word| word.eq_ignore_ascii_case(name))
        })
    }

    /// Those with a key that matches this pattern, in which `*` stands for any text and `?` for any character.
    #[must_use]
    pub fn with_key(self, pattern: &str) -> Self {
        self.only(|command| command.keys().iter().any(|key| keys::matches(pattern.as_bytes(), key)))
    }

    /// Those of clients with that name, which they give themselves by CLIENT SETNAME or HELLO.
    #[must_use]
    pub fn of_client(self, name: &str) -> Self {
        self.only(|command| command.client_name() == Some(name))
    }

    /// Those that were sent while that database was selected.
    #[must_use]
    pub fn in_database(self, database: u32) -> Self {
        self.only(|command| command.database() == database)
    }

    /// Without those that set connections up: HELLO, AUTH, SELECT, CLIENT, PING and COMMAND.
    #[must_use]
    pub fn without_handshakes(self) -> Self {
        self.only(|command| !command.is_handshake())
    }

    /// Those after the mark of that name, which [`Tap::mark`](super::Tap::mark) has set. None if there is no such mark.
    #[must_use]
    pub fn since(self, mark: &str) -> Self {
        let start = self.marks.iter().rev().find(|(name, _)| name == mark).map_or(usize::MAX, |(_, index)| *index);
        self.only(|command| command.index >= start)
    }

    /// Those for which `keep` is true.
    #[must_use]
    pub fn only(mut self, keep: impl Fn(&Command) -> bool) -> Self {
        self.list.retain(keep);
        self
    }

    /// How many round trips they took. Commands that were sent before the reply to the one before are one with it, and
    /// so are a transaction's. Those that set a connection up are not counted.
    #[must_use]
    pub fn round_trips(&self) -> usize {
        self.list.iter().filter(|command| command.begins_round_trip()).count()
    }

    /// How often each kind of reply was seen for each [shape](Command::shape) of command.
    #[must_use]
    pub fn replies_by_shape(&self) -> BTreeMap<String, BTreeMap<Option<Reply>, usize>> {
        let mut shapes: BTreeMap<_, BTreeMap<_, usize>> = BTreeMap::new();
        for command in &self.list {
            *shapes.entry(command.shape()).or_default().entry(command.reply().cloned()).or_default() += 1;
        }
        shapes
    }

    /// What these commands may cost. [`Budget`] has an example.
    pub fn budget(&self) -> Budget {
        Budget::new(self.clone())
    }
}

impl Deref for Commands {
    type Target = [Command];

    fn deref(&self) -> &[Command] {
        &self.list
    }
}

impl IntoIterator for Commands {
    type Item = Command;
    type IntoIter = std::vec::IntoIter<Command>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

/// A line for each command and each mark.
impl fmt::Display for Commands {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut marks = self.marks.iter().peekable();
        for command in &self.list {
            while let Some((name, _)) = marks.next_if(|(_, index)| *index <= command.index) {
                writeln!(formatter, "--- {name}")?;
            }
            writeln!(formatter, "{command}")?;
        }
        for (name, _) in marks {
            writeln!(formatter, "--- {name}")?;
        }
        Ok(())
    }
}
