//! The tap of a test.

use super::TestRequest;
use crate::error::Error;
use crate::tap::{self, Tap};

/// Taps. Feature `tap`, on by default.
impl TestRequest {
    /// Starts a proxy in front of this test's server that records every command. [`Tap`] has an example.
    ///
    /// A test can start several. Each records only the commands that go through it.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_url())?.get_connection()?;
    /// redis.set::<_, _, ()>("price:1", 12_900)?;
    /// assert_eq!(tap.commands().named("SET").len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_server`](Error::is_server) if the server is gone, or uses TLS without the feature
    /// `tap-tls`.
    pub fn tap(&self) -> Result<Tap, Error> {
        tap::tap(&self.lease)
    }
}
