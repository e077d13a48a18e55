//! The test databases of a running server, while a user writes to them.

use crate::error::{Error, Kind};
use crate::lease::user_turn::UserTurn;
use crate::provider::Server;
use crate::report;
use crate::settings::Settings;

/// A turn: no test uses them until this is dropped.
pub struct TestDatabases(UserTurn);

impl TestDatabases {
    /// Waits for a turn on the running server of these settings. With `clear`, empties the databases as a test does,
    /// which refuses keys that no test has left; otherwise all keys stay. What is in them afterwards is the user's: a
    /// test refuses it.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`TestRequest::try_clean`](crate::TestRequest::try_clean).
    pub fn begin(settings: &Settings, command: &str, databases: &[u32], clear: bool) -> Result<Self, Error> {
        UserTurn::begin(settings, command, databases, clear).map(Self)
    }

    /// Returns the server.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.0.server
    }

    /// Returns whether the turn has not been lost.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.0.is_held()
    }

    /// Returns the URL of a database.
    ///
    /// # Errors
    ///
    /// Returns an error if the server has none.
    pub fn url(&self, database: u32) -> Result<String, Error> {
        let invalid = |error| Error::with_source(Kind::Server, report::server_lost(&self.0.server), error);
        Ok(self.0.server.endpoint(database).map_err(invalid)?.url)
    }
}
