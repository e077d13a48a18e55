//! The public types of rules.

mod data;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub(crate) use self::data::check_not_shared;
use super::Tap;
use super::rules::{self, Action, Pattern};

/// A fault that a tap injects into matching commands.
///
/// A rule ends after the number of commands in [`times`](RuleBuilder::times), after the time in
/// [`within`](RuleBuilder::within), or with the tap. If several rules match a command, the oldest applies. Dropping
/// this value does not remove the rule; [`Tap::clear_rules`] does.
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
/// // The server increments the counter, but the client never gets the reply. The redis crate sends INCRBY.
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
    /// Returns how many commands the rule has applied to.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// let rule = tap.on("GET").nil();
    /// redis.get::<_, Option<u32>>("price:1")?;
    /// assert_eq!(rule.fired(), 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn fired(&self) -> usize {
        self.fired.load(Ordering::SeqCst)
    }
}

/// The conditions of a [`Rule`]. A method that names the fault, such as [`cut_after`](Self::cut_after), adds the rule.
#[derive(Debug)]
#[must_use = "a rule is added by the method that names the fault"]
pub struct RuleBuilder<'tap> {
    tap: &'tap Tap,
    pattern: Pattern,
    skips: usize,
    times: usize,
    until: Option<Instant>,
}

#[expect(clippy::must_use_candidate, reason = "most tests ignore the rule that is returned")]
impl<'tap> RuleBuilder<'tap> {
    pub(super) fn new(tap: &'tap Tap, command: &str) -> Self {
        let pattern = Pattern { name: command.to_uppercase(), key: None, client: None, at_boundary: false };
        Self { tap, pattern, skips: 0, times: usize::MAX, until: None }
    }

    /// Restricts the rule to commands with a key that matches this pattern.
    ///
    /// `*` matches any text and `?` any byte.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// tap.on("GET").key("price:*").error("LOADING Redis is loading the dataset in memory");
    /// assert!(redis.get::<_, Option<u32>>("price:1").is_err());
    /// assert!(redis.get::<_, Option<u32>>("stock:1").is_ok());
    /// # Ok(())
    /// # }
    /// ```
    pub fn key(mut self, pattern: &str) -> Self {
        self.pattern.key = Some(pattern.to_owned());
        self
    }

    /// Restricts the rule to clients that set this name with CLIENT SETNAME or HELLO.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// tap.on("GET").client("shop").error("LOADING Redis is loading the dataset in memory");
    /// assert!(redis.get::<_, Option<u32>>("price:1").is_ok());
    /// redis::cmd("CLIENT").arg("SETNAME").arg("shop").exec(&mut redis)?;
    /// assert!(redis.get::<_, Option<u32>>("price:1").is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn client(mut self, name: &str) -> Self {
        self.pattern.client = Some(name.to_owned());
        self
    }

    /// Restricts the rule to this number of commands. Without it, the rule applies to all.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis.set::<_, _, ()>("price:1", 12_900)?;
    /// tap.on("GET").times(1).nil();
    /// assert_eq!(redis.get::<_, Option<u32>>("price:1")?, None);
    /// assert_eq!(redis.get::<_, Option<u32>>("price:1")?, Some(12_900));
    /// # Ok(())
    /// # }
    /// ```
    pub fn times(mut self, count: usize) -> Self {
        self.times = count;
        self
    }

    /// Lets this number of matching commands pass before the rule applies.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis.set::<_, _, ()>("price:1", 12_900)?;
    /// tap.on("GET").skip(1).nil();
    /// assert_eq!(redis.get::<_, Option<u32>>("price:1")?, Some(12_900));
    /// assert_eq!(redis.get::<_, Option<u32>>("price:1")?, None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn skip(mut self, count: usize) -> Self {
        self.skips = count;
        self
    }

    /// Restricts the rule to this time from now.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis.set::<_, _, ()>("price:1", 12_900)?;
    /// tap.on("GET").within(Duration::from_secs(60)).nil();
    /// assert_eq!(redis.get::<_, Option<u32>>("price:1")?, None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn within(mut self, time: Duration) -> Self {
        self.until = Some(Instant::now() + time);
        self
    }

    /// Delays the command, and all later ones of its connection, by this time.
    ///
    /// ```
    /// # use std::time::{Duration, Instant};
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// tap.on("GET").delay(Duration::from_millis(20));
    /// let start = Instant::now();
    /// redis.get::<_, Option<u32>>("price:1")?;
    /// assert!(start.elapsed() >= Duration::from_millis(20));
    /// # Ok(())
    /// # }
    /// ```
    pub fn delay(self, time: Duration) -> Rule {
        self.make(Action::Delay(time))
    }

    /// Cuts the connection before the server gets the command.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, get_redis, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// tap.on("INCR*").cut_before();
    /// assert!(redis.incr::<_, _, u32>("visits", 1).is_err());
    /// assert_eq!(get_redis(&test_request)?.get::<_, Option<u32>>("visits")?, None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn cut_before(self) -> Rule {
        self.make(Action::CutBefore)
    }

    /// Cuts the connection after the server has executed the command. The reply is lost.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, get_redis, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// tap.on("INCR*").cut_after();
    /// assert!(redis.incr::<_, _, u32>("visits", 1).is_err());
    /// assert_eq!(get_redis(&test_request)?.get::<_, Option<u32>>("visits")?, Some(1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn cut_after(self) -> Rule {
        self.make(Action::CutAfter)
    }

    /// Delays the reply by this time, for example past the client's timeout. The connection stays open.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis.set_read_timeout(Some(Duration::from_millis(50)))?;
    /// tap.on("INCR*").late(Duration::from_secs(60));
    /// assert!(redis.incr::<_, _, u32>("visits", 1).unwrap_err().is_timeout());
    /// # Ok(())
    /// # }
    /// ```
    pub fn late(self, time: Duration) -> Rule {
        self.make(Action::Late(time))
    }

    /// Replies with this error, such as `LOADING Redis is loading the dataset in memory`. The server never gets the
    /// command.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// tap.on("SET").error("OOM command not allowed when used memory > 'maxmemory'.");
    /// let error = redis.set::<_, _, ()>("price:1", 12_900).unwrap_err();
    /// assert_eq!(error.code(), Some("OOM"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn error(self, error: &str) -> Rule {
        self.make(Action::Error(error.replace(['\r', '\n'], " ")))
    }

    /// Replies as if the command had succeeded (`OK` or 1). The server never gets the command.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// tap.on("SET").pretend();
    /// redis.set::<_, _, ()>("price:1", 12_900)?;
    /// assert_eq!(redis.get::<_, Option<u32>>("price:1")?, None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn pretend(self) -> Rule {
        self.make(Action::Pretend)
    }

    /// Replaces the reply with nil. The server executes the command.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis.set::<_, _, ()>("price:1", 12_900)?;
    /// tap.on("GET").nil();
    /// assert_eq!(redis.get::<_, Option<u32>>("price:1")?, None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn nil(self) -> Rule {
        self.make(Action::Nil)
    }

    /// Sends half of the reply, and cuts the connection. The server executes the command.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis.set::<_, _, ()>("price:1", 12_900)?;
    /// tap.on("GET").half_reply();
    /// assert!(redis.get::<_, u32>("price:1").is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn half_reply(self) -> Rule {
        self.make(Action::HalfReply)
    }

    /// Replaces the reply with bytes that are not the protocol. The server executes the command.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis.set::<_, _, ()>("price:1", 12_900)?;
    /// tap.on("GET").garbage();
    /// assert!(redis.get::<_, u32>("price:1").is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn garbage(self) -> Rule {
        self.make(Action::Garbage)
    }

    /// Removes the expiry from the command: the TTL of SET, SETEX, PSETEX and GETEX, and EXPIRE altogether.
    ///
    /// Commands longer than 64 KiB are forwarded unchanged.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// tap.on("SETEX").without_expiry();
    /// redis.set_ex::<_, _, ()>("price:1", 12_900, 3600)?;
    /// assert_eq!(redis.ttl::<_, i64>("price:1")?, -1); // It never expires.
    /// # Ok(())
    /// # }
    /// ```
    pub fn without_expiry(self) -> Rule {
        self.make(Action::WithoutExpiry)
    }

    /// Sends the command to the server twice. The client gets the first reply.
    ///
    /// Commands longer than 64 KiB are sent once.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// tap.on("INCR*").twice();
    /// assert_eq!(redis.incr::<_, _, u32>("visits", 1)?, 1);
    /// assert_eq!(redis.get::<_, u32>("visits")?, 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn twice(self) -> Rule {
        self.make(Action::Twice)
    }

    /// Restricts the rule to the [boundary](super::Command::is_boundary) with this index, from 0.
    pub(crate) fn at_boundary(mut self, index: usize) -> Self {
        self.pattern.at_boundary = true;
        self.skip(index).times(1)
    }

    pub(super) fn make(self, action: Action) -> Rule {
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
