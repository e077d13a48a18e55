//! Text about the server of a command.

use std::fmt::Display;

pub(crate) fn not_a_test_database(server: &dyn Display, database: u32, sessions: u32, jobs: u32) -> String {
    format!(
        "{server} was running before, and there a command can only use the test databases {sessions} and {jobs}, not \
         {database}. Name one of the two, or leave out the provider: then the command gets a server of its own"
    )
}
