//! Settings for a command, which has a server instead of a test.

use super::known::{PROVIDER, URL};
use super::{Origin, Provider, Settings, Values, locate};
use crate::error::Error;

/// How a command gets into its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// With a password.
    Password,
    /// Without one, because it can't send one. Every user of this machine can connect.
    NoPassword,
    /// Without one, through this process. A server that this process starts has only a Unix socket, in a directory that
    /// only this user can enter.
    Forwarded,
}

/// Which server a command gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerOptions {
    /// The provider. `None` for the first one that starts a server.
    pub provider: Option<Provider>,
    /// The number of the database that the command uses. `None` for 0, or the session database of a running server.
    pub database: Option<u32>,
    /// How the command gets into the server.
    pub access: Access,
}

impl ServerOptions {
    /// Returns those of a command that needs nothing else of its server.
    #[must_use]
    pub fn of(provider: Option<Provider>) -> Self {
        Self { provider, database: None, access: Access::Password }
    }

    /// Leaves only the settings of the provider of the command, since a test's can contradict them.
    pub(super) fn choose_provider(self, values: &mut Values) {
        let is_running = |values: &Values| values.get(PROVIDER.key).is_some_and(|(provider, _)| provider == "running");
        if self.provider != Some(Provider::Running) {
            values.remove(URL.key);
        }
        if let Some(provider) = self.provider {
            values.insert(PROVIDER.key.to_owned(), (provider.to_string(), Origin::Default));
        } else if is_running(values) {
            values.remove(PROVIDER.key);
        }
    }
}

impl Settings {
    /// Loads the settings for a command, as [`Settings::load`] does for a test.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Settings::load`].
    pub(crate) fn load_for_command(options: ServerOptions) -> Result<Self, Error> {
        Self::read(locate::test_ini()?, Some(options))
    }

    /// Replaces the URL of the running server by one that the command line names, as the environment can.
    #[must_use]
    pub(crate) fn with_url(mut self, url: &str) -> Self {
        self.values.insert(URL.key.to_owned(), (url.to_owned(), Origin::Environment("--url")));
        self
    }

    /// Returns the options of the command that has the server; `None` if a test has it.
    pub(crate) fn command(&self) -> Option<ServerOptions> {
        self.command
    }

    /// The highest database that a started server needs.
    pub(crate) fn highest_database(&self) -> u32 {
        let [sessions, jobs] = self.databases().numbers();
        sessions.max(jobs).max(self.command.and_then(|command| command.database).unwrap_or_default())
    }
}
