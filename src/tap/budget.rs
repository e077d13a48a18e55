//! Limits on commands, and cache hits and misses.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};

use super::commands::Commands;
use super::keys;
use super::record::{Command, Reply};
use crate::report;

/// An N+1 is at least this number of commands of one shape, each in its own round trip.
const REPEATED: usize = 3;

/// Limits on the commands that went through a tap.
///
/// Each method adds a limit. [`check`](Self::check) panics with every limit that was exceeded and the transcript. A
/// budget that is dropped without `check` does nothing.
///
/// ```
/// use redis::Commands;
/// use transient_fixtures::{TestRequest, redis};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let test_request = TestRequest::clean();
/// let tap = test_request.tap()?;
/// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
/// redis.set_ex::<_, _, ()>("price:1", 12_900, 3600)?; // The code under test.
///
/// tap.budget().round_trips(..=2).commands("SET", 0..=1).never("KEYS").never_without_ttl("SET*").check();
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a budget does nothing until `check` is called"]
pub struct Budget {
    commands: Commands,
    broken: Vec<String>,
}

/// A number, or a range of numbers.
pub trait Count: sealed::Sealed {
    /// Returns the smallest and the largest number allowed.
    #[doc(hidden)]
    fn bounds(self) -> (Option<usize>, Option<usize>);
}

mod sealed {
    pub trait Sealed {}
}

impl sealed::Sealed for usize {}

impl Count for usize {
    fn bounds(self) -> (Option<usize>, Option<usize>) {
        (Some(self), Some(self))
    }
}

macro_rules! ranges {
    ($($range:ty),*) => {$(
        impl sealed::Sealed for $range {}

        impl Count for $range {
            fn bounds(self) -> (Option<usize>, Option<usize>) {
                bounds(&self)
            }
        }
    )*};
}

ranges!(
    std::ops::Range<usize>,
    std::ops::RangeInclusive<usize>,
    std::ops::RangeTo<usize>,
    std::ops::RangeToInclusive<usize>,
    std::ops::RangeFrom<usize>
);

fn bounds(range: &impl RangeBounds<usize>) -> (Option<usize>, Option<usize>) {
    let least = match range.start_bound() {
        Bound::Included(0) | Bound::Unbounded => None,
        Bound::Included(least) => Some(*least),
        Bound::Excluded(less) => Some(less + 1),
    };
    let most = match range.end_bound() {
        Bound::Unbounded => None,
        Bound::Included(most) => Some(*most),
        Bound::Excluded(more) => Some(more.saturating_sub(1)),
    };
    (least, most)
}

/// Returns the range in words if `seen` is outside it.
fn exceeded(count: impl Count, seen: usize) -> Option<String> {
    let (least, most) = count.bounds();
    let is_within = least.is_none_or(|least| seen >= least) && most.is_none_or(|most| seen <= most);
    (!is_within).then(|| report::tap::count(least, most))
}

impl Budget {
    pub(super) fn new(commands: Commands) -> Self {
        let mut broken = Vec::new();
        if commands.unrecorded > 0 {
            broken.push(report::tap::unrecorded(commands.unrecorded));
        }
        Self { commands, broken }
    }

    /// Requires this number of round trips: a number, or a range such as `..=2`.
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
    /// tap.budget().round_trips(2).round_trips(..=3).check();
    /// # Ok(())
    /// # }
    /// ```
    pub fn round_trips(mut self, count: impl Count) -> Self {
        let seen = self.commands.round_trips();
        self.broken.extend(exceeded(count, seen).map(|expected| report::tap::round_trips(&expected, seen)));
        self
    }

    /// Requires this number of commands with this name: a number, or a range such as `1..`.
    ///
    /// In the name, `*` matches any text.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis.set::<_, _, ()>("price:1", 12_900)?;
    /// tap.budget().commands("SET", 1..).commands("*GET", 0).check();
    /// # Ok(())
    /// # }
    /// ```
    pub fn commands(mut self, name: &str, count: impl Count) -> Self {
        let seen = self.named(name).count();
        self.broken.extend(exceeded(count, seen).map(|expected| report::tap::commands(name, &expected, seen)));
        self
    }

    /// Forbids commands with this name, in which `*` matches any text.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis.get::<_, Option<u32>>("price:1")?;
    /// tap.budget().never("KEYS").never("FLUSH*").check();
    /// # Ok(())
    /// # }
    /// ```
    pub fn never(mut self, name: &str) -> Self {
        let found = self.named(name).next().map(|command| report::tap::never(name, command));
        self.broken.extend(found);
        self
    }

    /// Forbids commands with this name that leave a key without a TTL.
    ///
    /// In the name, `*` matches any text. The command must set or keep the TTL itself (`EX`, `PX`, `EXAT`, `PXAT`,
    /// `KEEPTTL`), or the same transaction must contain an EXPIRE of the key.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis.set_ex::<_, _, ()>("price:1", 12_900, 3600)?; // SETEX
    /// tap.budget().never_without_ttl("SET*").check();
    /// # Ok(())
    /// # }
    /// ```
    pub fn never_without_ttl(mut self, name: &str) -> Self {
        let found = self.named(name).find(|command| !command.has_failed() && !self.gets_ttl(command));
        let found = found.map(report::tap::without_ttl);
        self.broken.extend(found);
        self
    }

    /// Forbids commands that remove the TTL of a key.
    ///
    /// Such commands are a SET without a TTL or `KEEPTTL`, GETSET, MSET, PERSIST, and a RENAME of another key over this
    /// one. Only TTLs that were set in this record count.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis.set_ex::<_, _, ()>("price:1", 12_900, 3600)?;
    /// redis::cmd("SET").arg("price:1").arg(9_900).arg("KEEPTTL").exec(&mut redis)?;
    /// tap.budget().never_dropping_a_ttl().check();
    /// # Ok(())
    /// # }
    /// ```
    pub fn never_dropping_a_ttl(mut self) -> Self {
        let mut has_ttl: BTreeMap<(u32, Vec<u8>), bool> = BTreeMap::new();
        let mut broken = Vec::new();
        for command in self.commands.iter().filter(|command| !command.has_failed()) {
            let named = |key: &[u8]| (command.database(), key.to_vec());
            if let ("RENAME", [from, to]) = (command.name(), command.keys().as_slice()) {
                let gets = has_ttl.remove(&named(from)).unwrap_or_default();
                if has_ttl.insert(named(to), gets).is_some_and(|had| had && !gets) {
                    broken.push(report::tap::drops_ttl(to, command));
                }
            }
            if matches!(command.name(), "DEL" | "UNLINK" | "GETDEL") {
                has_ttl.retain(|(database, key), _| {
                    *database != command.database() || !command.keys().contains(&key.as_slice())
                });
            }
            for (key, gets) in command.ttl_changes() {
                if has_ttl.insert(named(&key), gets).is_some_and(|had| had && !gets) {
                    broken.push(report::tap::drops_ttl(&key, command));
                }
            }
        }
        self.broken.extend(broken.into_iter().next());
        self
    }

    /// Forbids N+1 access: three or more commands of one shape (`GET price:*`) with different keys, each in its own
    /// round trip.
    ///
    /// One command with several keys, or a pipeline, would take a single round trip. Only commands of the same
    /// connection are compared.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis.mget::<_, Vec<Option<u32>>>(&["price:1", "price:2", "price:3"])?;
    /// tap.budget().never_n_plus_one().check();
    /// # Ok(())
    /// # }
    /// ```
    pub fn never_n_plus_one(mut self) -> Self {
        let mut shapes: BTreeMap<(u64, String), Vec<&Command>> = BTreeMap::new();
        for command in self.commands.iter().filter(|command| command.begins_round_trip() && !command.keys().is_empty())
        {
            shapes.entry((command.connection(), command.shape())).or_default().push(command);
        }
        let broken = shapes.iter().filter_map(|((_, shape), commands)| {
            let mut keys: Vec<_> = commands.iter().map(|command| command.keys().concat()).collect();
            keys.sort();
            keys.dedup();
            (keys.len() >= REPEATED).then(|| report::tap::n_plus_one(shape, commands.len()))
        });
        let broken: Vec<_> = broken.collect();
        self.broken.extend(broken);
        self
    }

    /// Checks all limits.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis.keys::<_, Vec<String>>("*")?;
    /// let budget = tap.budget().never("KEYS");
    /// assert!(std::panic::catch_unwind(|| budget.check()).is_err());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics with every limit that was exceeded and the transcript, if there is one.
    #[track_caller]
    pub fn check(self) {
        assert!(self.broken.is_empty(), "{}", report::tap::over_budget(&self.broken, &self.commands));
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &Command> {
        let name = name.to_uppercase();
        self.commands.iter().filter(move |command| keys::matches(name.as_bytes(), command.name().as_bytes()))
    }

    fn gets_ttl(&self, command: &Command) -> bool {
        let changes = command.ttl_changes();
        changes.iter().all(|(key, gets)| {
            *gets
                || self.commands.iter().any(|other| {
                    other.index > command.index
                        && other.is_in_transaction_with(command)
                        && other.ttl_changes().iter().any(|(same, gets)| same == key && *gets)
                })
        })
    }
}

impl Command {
    /// Returns true if the reply shows that the command changed nothing: an error, or a condition that was not met.
    fn has_failed(&self) -> bool {
        match self.reply() {
            Some(Reply::Error(_)) => true,
            // SET … NX.
            Some(Reply::Nil) => self.is("SET") && !self.has_option("GET"),
            Some(Reply::Zero) => {
                matches!(self.name(), "SETNX" | "MSETNX" | "PERSIST" | "EXPIRE" | "PEXPIRE" | "EXPIREAT" | "PEXPIREAT")
            }
            _ => false,
        }
    }

    fn has_option(&self, option: &str) -> bool {
        self.args().iter().skip(2).any(|word| word.eq_ignore_ascii_case(option.as_bytes()))
    }

    /// Returns the keys whose TTL this command changes, and whether each has one afterwards.
    fn ttl_changes(&self) -> Vec<(Vec<u8>, bool)> {
        let keys = self.keys();
        let all = |gets: bool| keys.iter().map(|key| (key.to_vec(), gets)).collect();
        match self.name() {
            "SET" if self.has_option("KEEPTTL") => Vec::new(),
            "SET" => all(["EX", "PX", "EXAT", "PXAT"].iter().any(|option| self.has_option(option))),
            "SETEX" | "PSETEX" | "EXPIRE" | "PEXPIRE" | "EXPIREAT" | "PEXPIREAT" => all(true),
            "GETEX" if ["EX", "PX", "EXAT", "PXAT"].iter().any(|option| self.has_ttl_of_getex(option)) => all(true),
            "GETEX" if self.has_ttl_of_getex("PERSIST") => all(false),
            "SETNX" | "GETSET" | "MSET" | "MSETNX" | "PERSIST" => all(false),
            _ => Vec::new(),
        }
    }

    fn has_ttl_of_getex(&self, option: &str) -> bool {
        self.args().iter().skip(1).any(|word| word.eq_ignore_ascii_case(option.as_bytes()))
    }

    /// Returns true if the command reads a value.
    pub(super) fn is_read(&self) -> bool {
        matches!(
            self.name(),
            "GET"
                | "GETEX"
                | "GETRANGE"
                | "MGET"
                | "HGET"
                | "HMGET"
                | "HGETALL"
                | "HGETEX"
                | "LRANGE"
                | "LINDEX"
                | "SMEMBERS"
                | "SISMEMBER"
                | "ZRANGE"
                | "ZSCORE"
                | "JSON.GET"
                | "JSON.MGET"
                | "EXISTS"
                | "DUMP"
        )
    }

    /// Returns true if the command writes a value.
    pub(super) fn is_fill(&self) -> bool {
        matches!(
            self.name(),
            "SET"
                | "SETEX"
                | "PSETEX"
                | "SETNX"
                | "GETSET"
                | "MSET"
                | "MSETNX"
                | "HSET"
                | "HMSET"
                | "HSETNX"
                | "HSETEX"
                | "LPUSH"
                | "RPUSH"
                | "SADD"
                | "ZADD"
                | "JSON.SET"
                | "RESTORE"
        )
    }

    /// Returns true if a read found no value.
    pub(super) fn is_missed(&self) -> bool {
        let all_nil = || {
            // MGET and HMGET reply with an array of nils if they find no value.
            let head = self.reply_head().unwrap_or_default();
            let mut lines = head.split(|byte| *byte == b'\n').skip(1).filter(|line| !line.is_empty());
            matches!(self.name(), "MGET" | "HMGET" | "JSON.MGET") && lines.all(|line| matches!(line, b"$-1\r" | b"_\r"))
        };
        match self.reply() {
            Some(Reply::Nil | Reply::Empty) => true,
            Some(Reply::Zero) => matches!(self.name(), "EXISTS" | "SISMEMBER"),
            Some(Reply::Elements) => all_nil(),
            _ => false,
        }
    }
}

/// Returns the first reason why these commands are not a cache hit.
pub(super) fn no_hit(commands: &Commands) -> Option<String> {
    let read = commands.iter().find(|command| command.is_read() && command.reply().is_some());
    let Some(read) = read else { return Some(report::tap::no_read()) };
    if let Some(missed) = commands.iter().find(|command| command.is_read() && command.is_missed()) {
        return Some(report::tap::missed(missed));
    }
    let keys = read.keys();
    let fill = commands.iter().find(|command| {
        command.index > read.index && command.is_fill() && command.keys().iter().any(|key| keys.contains(key))
    });
    fill.map(report::tap::filled_after_hit)
}

/// Returns the first reason why these commands are not a cache miss.
pub(super) fn no_miss(commands: &Commands) -> Option<String> {
    let Some(missed) = commands.iter().find(|command| command.is_read() && command.is_missed()) else {
        return Some(match commands.iter().find(|command| command.is_read()) {
            Some(read) => report::tap::not_missed(read),
            None => report::tap::no_read(),
        });
    };
    let keys = missed.keys();
    let fill = commands.iter().find(|command| {
        command.index > missed.index
            && command.is_fill()
            && !command.has_failed()
            && command.keys().iter().any(|key| keys.contains(key))
    });
    let Some(fill) = fill else { return Some(report::tap::not_filled(missed)) };
    let key = fill.keys().first().map(|key| key.to_vec()).unwrap_or_default();
    let gets_ttl = |command: &Command| {
        command.index >= fill.index && command.ttl_changes().iter().any(|(other, gets)| *other == key && *gets)
    };
    (!commands.iter().any(gets_ttl)).then(|| report::tap::without_ttl(fill))
}
