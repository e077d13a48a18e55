//! Rules, as a test makes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use redis::Pipeline;

use super::Tap;
use super::rules::{self, Action, Pattern};
use crate::redis_io::select_each;

/// What a tap does to certain commands, until it has done it as often as it was told, or until the tap ends.
///
/// ```
/// use redis::Commands;
/// use transient_fixtures::{TestRequest, get_redis, redis};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let test_request = TestRequest::clean();
/// let tap = test_request.tap()?;
/// let client = redis::Client::open(tap.redis_url())?;
///
/// // The server counts, and the client never hears of it. The redis crate sends INCRBY.
/// let rule = tap.on("INCR*").key("visits").times(1).cut_after();
/// let lost: redis::RedisResult<u32> = client.get_connection()?.incr("visits", 1);
/// assert!(lost.is_err() && rule.fired() == 1);
/// assert_eq!(get_redis(&test_request)?.get::<_, u32>("visits")?, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Rule {
    fired: Arc<AtomicUsize>,
}

impl Rule {
    /// How many commands it has harmed.
    #[must_use]
    pub fn fired(&self) -> usize {
        self.fired.load(Ordering::SeqCst)
    }
}

/// Which commands a [`Rule`] is for, and how many. A method that says what happens to them completes it.
#[derive(Debug)]
#[must_use = "a rule is made by the method that says what happens"]
pub struct RuleBuilder<'tap> {
    tap: &'tap Tap,
    pattern: Pattern,
    skips: usize,
    times: usize,
    until: Option<Instant>,
}

#[expect(clippy::must_use_candidate, reason = "most rules are made and left alone")]
impl<'tap> RuleBuilder<'tap> {
    pub(super) fn new(tap: &'tap Tap, command: &str) -> Self {
        let pattern = Pattern { name: command.to_uppercase(), key: None, client: None, at_boundary: false };
        Self { tap, pattern, skips: 0, times: usize::MAX, until: None }
    }

    /// Only commands with a key that matches this pattern, in which `*` stands for any text and `?` for any character.
    pub fn key(mut self, pattern: &str) -> Self {
        self.pattern.key = Some(pattern.to_owned());
        self
    }

    /// Only commands of clients with that name, which they give themselves by CLIENT SETNAME or HELLO.
    pub fn client(mut self, name: &str) -> Self {
        self.pattern.client = Some(name.to_owned());
        self
    }

    /// Only so many commands; without this, all.
    pub fn times(mut self, count: usize) -> Self {
        self.times = count;
        self
    }

    /// Not the first of them, but so many later.
    pub fn skip(mut self, count: usize) -> Self {
        self.skips = count;
        self
    }

    /// Only for that time from now on.
    pub fn within(mut self, time: Duration) -> Self {
        self.until = Some(Instant::now() + time);
        self
    }

    /// The command waits so long before it goes to the server. So do the later ones of its connection.
    pub fn delay(self, time: Duration) -> Rule {
        self.make(Action::Delay(time))
    }

    /// The connection is cut, and the server never gets the command.
    pub fn cut_before(self) -> Rule {
        self.make(Action::CutBefore)
    }

    /// The server executes the command; the connection is cut, and the reply is lost.
    pub fn cut_after(self) -> Rule {
        self.make(Action::CutAfter)
    }

    /// The reply comes so much later: after the client's own timeout, say, on a connection that it may use again.
    pub fn late(self, time: Duration) -> Rule {
        self.make(Action::Late(time))
    }

    /// The client gets this error (`LOADING Redis is loading the dataset in memory`), and the server never gets the
    /// command.
    pub fn error(self, error: &str) -> Rule {
        self.make(Action::Error(error.replace(['\r', '\n'], " ")))
    }

    /// The client gets the usual reply of success (`OK`, or 1), and the server never gets the command.
    pub fn pretend(self) -> Rule {
        self.make(Action::Pretend)
    }

    /// The server executes the command, and the client gets nil instead of its reply.
    pub fn nil(self) -> Rule {
        self.make(Action::Nil)
    }

    /// The server executes the command; the client gets half of the reply, and the connection is cut.
    pub fn half_reply(self) -> Rule {
        self.make(Action::HalfReply)
    }

    /// The server executes the command, and the client gets bytes that are not the protocol.
    pub fn garbage(self) -> Rule {
        self.make(Action::Garbage)
    }

    /// The server executes the command without its expiry: SET, SETEX and GETEX without their TTL, and EXPIRE not at
    /// all. Commands of more than 64 KiB are not changed.
    pub fn without_expiry(self) -> Rule {
        self.make(Action::WithoutExpiry)
    }

    /// The server executes the command twice, and the client gets the first reply. Commands of more than 64 KiB are not
    /// changed.
    pub fn twice(self) -> Rule {
        self.make(Action::Twice)
    }

    /// Before the command, both test databases lose all their data: an eviction, a restart without persistence, a
    /// FLUSHALL by mistake.
    pub fn lose_data(self) -> Rule {
        self.before(|commands| _ = commands.cmd("FLUSHDB").ignore())
    }

    /// Before the command, all keys that match this glob-style pattern of Redis are gone, as if they had been evicted
    /// or had expired.
    pub fn lose_keys(self, pattern: &str) -> Rule {
        const DELETE: &str = "for _, key in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('DEL', key) end";
        self.before(|commands| _ = commands.cmd("EVAL").arg(DELETE).arg(0).arg(pattern).ignore())
    }

    /// Executes commands in both test databases before the command.
    fn before(self, in_each: impl FnMut(&mut Pipeline)) -> Rule {
        let commands = select_each(self.tap.databases, in_each);
        let control = self.tap.control.clone();
        self.make(Action::Before(Box::new(move || control.execute(&commands))))
    }

    /// The boundary of that index: a command that is neither part of a handshake nor queued in a transaction.
    pub(crate) fn at_boundary(mut self, index: usize) -> Self {
        self.pattern.at_boundary = true;
        self.skip(index).times(1)
    }

    fn make(self, action: Action) -> Rule {
        let fired = Arc::new(AtomicUsize::new(0));
        self.tap.running.shared.add_rule(rules::Rule {
            pattern: self.pattern,
            skips: self.skips,
            times: self.times,
            until: self.until,
            action,
            fired: fired.clone(),
        });
        Rule { fired }
    }
}
