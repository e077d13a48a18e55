//! Rules that change the server's data.

use redis::Pipeline;

use super::{Rule, RuleBuilder};
use crate::provider::Server;
use crate::report;
use crate::settings::Provider;
use crate::tap::Control;
use crate::tap::rules::Action;

#[expect(clippy::must_use_candidate, reason = "most tests ignore the rule that is returned")]
impl RuleBuilder<'_> {
    /// Empties both test databases before the command, like a restart without persistence or an accidental FLUSHALL.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis.set::<_, _, ()>("price:1", 12_900)?;
    /// tap.on("GET").lose_data();
    /// assert_eq!(redis.get::<_, Option<u32>>("price:1")?, None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn lose_data(self) -> Rule {
        self.before(Control::empty)
    }

    /// Deletes all keys that match this Redis glob pattern before the command, as if they had been evicted.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis.mset::<_, _, ()>(&[("price:1", 12_900), ("stock:1", 7)])?;
    /// tap.on("GET").lose_keys("price:*");
    /// assert_eq!(redis.get::<_, Option<u32>>("price:1")?, None);
    /// assert_eq!(redis.get::<_, Option<u32>>("stock:1")?, Some(7));
    /// # Ok(())
    /// # }
    /// ```
    pub fn lose_keys(self, pattern: &str) -> Rule {
        const DELETE: &str = "for _, key in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('DEL', key) end";
        let pattern = pattern.to_owned();
        let delete = move |commands: &mut Pipeline| _ = commands.cmd("EVAL").arg(DELETE).arg(0).arg(&pattern).ignore();
        self.before(move |control| control.execute(&delete))
    }

    /// Makes all keys that match this Redis glob pattern and have a TTL expire before the command.
    ///
    /// Clients that are subscribed to `expired` events get them. Keys without a TTL stay.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis.set_ex::<_, _, ()>("price:1", 12_900, 3600)?;
    /// redis.set::<_, _, ()>("price:2", 9_900)?;
    /// tap.on("GET").expire_keys("price:*");
    /// assert_eq!(redis.get::<_, Option<u32>>("price:1")?, None);
    /// assert_eq!(redis.get::<_, Option<u32>>("price:2")?, Some(9_900));
    /// # Ok(())
    /// # }
    /// ```
    pub fn expire_keys(self, pattern: &str) -> Rule {
        let pattern = pattern.to_owned();
        self.before(move |control| control.expire(&pattern))
    }

    /// Acts like a restart of a server without persistence before the command, which is not executed.
    ///
    /// All connections of the tap are closed, both test databases are empty, and scripts and functions are gone. The
    /// server itself keeps running, so its settings and its run id stay.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// # if test_request.server().provider() == transient_fixtures::Provider::Running { return Ok(()); }
    /// let tap = test_request.tap()?;
    /// let client = redis::Client::open(tap.redis_url())?;
    /// let (mut one, mut other) = (client.get_connection()?, client.get_connection()?);
    /// one.set::<_, _, ()>("price:1", 12_900)?;
    ///
    /// tap.on("GET").times(1).restart();
    /// assert!(one.get::<_, Option<u32>>("price:1").is_err() && other.ping::<()>().is_err());
    /// assert_eq!(client.get_connection()?.get::<_, Option<u32>>("price:1")?, None);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics on a shared server, whose scripts belong to other programs too.
    #[track_caller]
    pub fn restart(self) -> Rule {
        check_not_shared(&self.tap.server);
        let control = self.tap.control.clone();
        self.make(Action::Restart(Box::new(move || control.forget_all())))
    }

    /// Adds a rule that changes data before the matching command.
    fn before(self, change: impl Fn(&Control) + Send + 'static) -> Rule {
        let control = self.tap.control.clone();
        self.make(Action::Before(Box::new(move || change(&control))))
    }
}

/// # Panics
///
/// Panics if the server is shared: a restart would affect other programs.
#[track_caller]
pub(crate) fn check_not_shared(server: &Server) {
    assert!(server.provider() != Provider::Running, "{}", report::tap::restarts_shared());
}
