//! Recorded commands, their filters and the transcript.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

use super::budget::Budget;
use super::keys;
use super::record::{Command, Reply};

/// Recorded commands, in the order in which they were forwarded.
///
/// Dereferences to a slice of [`Command`]s. The methods below filter it. Its [`Display`](fmt::Display) is a transcript.
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
    /// Keeps the commands with this name, ignoring case. `CLIENT` includes all its subcommands.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis.set::<_, _, ()>("price:1", 12_900)?;
    /// redis.get::<_, u32>("price:1")?;
    /// assert_eq!(tap.commands().named("get").len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        self.only(|command| {
            command.is(name) || command.name().split(' ').next().is_some_and(|word| word.eq_ignore_ascii_case(name))
        })
    }

    /// Keeps the commands with a key that matches this pattern. `*` matches any text and `?` any byte.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis.set::<_, _, ()>("price:1", 12_900)?;
    /// redis.set::<_, _, ()>("cart:asa", "brand-1")?;
    /// assert_eq!(tap.commands().with_key("price:*").len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_key(self, pattern: &str) -> Self {
        self.only(|command| command.keys().iter().any(|key| keys::matches(pattern.as_bytes(), key)))
    }

    /// Keeps the commands of clients that set this name with CLIENT SETNAME or HELLO.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis::cmd("CLIENT").arg("SETNAME").arg("shop").exec(&mut redis)?;
    /// redis.set::<_, _, ()>("price:1", 12_900)?;
    /// assert_eq!(tap.commands().from_client("shop").named("SET").len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn from_client(self, name: &str) -> Self {
        self.only(|command| command.client_name() == Some(name))
    }

    /// Keeps the commands that were sent while this database was selected.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.jobs_url())?.get_connection()?;
    /// redis.rpush::<_, _, ()>("mail", "a job")?;
    ///
    /// let databases = test_request.settings().databases();
    /// assert_eq!(tap.commands().in_database(databases.jobs).named("RPUSH").len(), 1);
    /// assert!(tap.commands().in_database(databases.sessions).named("RPUSH").is_empty());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn in_database(self, database: u32) -> Self {
        self.only(|command| command.database() == database)
    }

    /// Removes the commands that set up connections: HELLO, AUTH, SELECT, CLIENT, PING and COMMAND.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis.set::<_, _, ()>("price:1", 12_900)?;
    /// assert_eq!(tap.commands().without_handshakes().len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn without_handshakes(self) -> Self {
        self.only(|command| !command.is_handshake())
    }

    /// Keeps the commands after the last mark with this name. Keeps none if [`Tap::mark`](super::Tap::mark) set none.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis.set::<_, _, ()>("price:1", 12_900)?;
    /// tap.mark("the price is cached");
    /// redis.get::<_, u32>("price:1")?;
    /// assert_eq!(tap.commands().since("the price is cached").len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn since(self, mark: &str) -> Self {
        let start = self.marks.iter().rev().find(|(name, _)| name == mark).map_or(usize::MAX, |(_, index)| *index);
        self.only(|command| command.index >= start)
    }

    /// Keeps the commands for which `keep` is true.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis.set::<_, _, ()>("page", "x".repeat(2000))?;
    /// assert_eq!(tap.commands().only(|command| command.size() > 2000).len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn only(mut self, keep: impl Fn(&Command) -> bool) -> Self {
        self.list.retain(keep);
        self
    }

    /// Returns the number of round trips.
    ///
    /// Commands that were sent before an earlier reply had arrived share a round trip with it. A transaction is one
    /// round trip. Commands that set up a connection are not counted.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis::pipe().set("price:1", 12_900).set("price:2", 9_900).exec(&mut redis)?;
    /// assert_eq!(tap.commands().round_trips(), 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn round_trips(&self) -> usize {
        self.list.iter().filter(|command| command.begins_round_trip()).count()
    }

    /// Returns the number of replies of each kind, by the [shape](Command::shape) of the command.
    ///
    /// ```
    /// # use transient_fixtures::tap::Reply;
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis.get::<_, Option<u32>>("price:1")?;
    /// redis.get::<_, Option<u32>>("price:2")?;
    /// assert_eq!(tap.commands().replies_by_shape()["GET price:*"][&Some(Reply::Nil)], 2);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn replies_by_shape(&self) -> BTreeMap<String, BTreeMap<Option<Reply>, usize>> {
        let mut shapes: BTreeMap<_, BTreeMap<_, usize>> = BTreeMap::new();
        for command in &self.list {
            *shapes.entry(command.shape()).or_default().entry(command.reply().cloned()).or_default() += 1;
        }
        shapes
    }

    /// Returns a budget for these commands. [`Budget`] has an example.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis.set::<_, _, ()>("price:1", 12_900)?;
    /// tap.mark("the price is cached");
    /// redis.get::<_, u32>("price:1")?;
    /// tap.commands().since("the price is cached").budget().commands("SET", 0).check();
    /// # Ok(())
    /// # }
    /// ```
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

/// Writes a line for each command and each mark.
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
