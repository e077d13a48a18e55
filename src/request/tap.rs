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
    /// # Errors
    ///
    /// Returns an error that [`is_server`](Error::is_server) if the server is gone, or uses TLS.
    pub fn tap(&self) -> Result<Tap, Error> {
        tap::tap(&self.lease)
    }
}
