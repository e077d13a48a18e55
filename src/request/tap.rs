//! The tap of a test.

use super::TestRequest;
use crate::error::Error;
use crate::tap::{self, Tap};

/// Taps. Feature `tap`, on by default.
impl TestRequest {
    /// A proxy in front of this test's server, which records every command. [`Tap`] has an example.
    ///
    /// A test can have several: each records its own.
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_server`](Error::is_server) if the server is gone, or can only be reached by TLS.
    pub fn tap(&self) -> Result<Tap, Error> {
        tap::tap(&self.lease)
    }
}
