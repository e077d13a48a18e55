//! Settings for a command, which has a server instead of a test.

use super::known::{PROVIDER, URL};
use super::{Origin, Provider, Settings, Values, locate};
use crate::error::Error;

/// What a command needs of its server.
#[derive(Clone, Copy)]
pub(crate) struct ForCommand {
    /// `None` for the first provider that starts servers.
    pub(crate) provider: Option<Provider>,
    /// Whether the command can send a password.
    pub(crate) password: bool,
    /// The database that it uses.
    pub(crate) database: u32,
}

impl ForCommand {
    /// Leaves only the settings of the provider that the command needs, since a test's can contradict them.
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
    pub(crate) fn load_for_command(command: ForCommand) -> Result<Self, Error> {
        Self::read(locate::test_ini()?, Some(command))
    }

    /// Whether a command has the server, and not a test.
    pub(crate) fn is_for_command(&self) -> bool {
        self.command.is_some()
    }

    /// The highest database that a started server needs.
    pub(crate) fn highest_database(&self) -> u32 {
        let [sessions, jobs] = self.databases().numbers();
        sessions.max(jobs).max(self.command.map_or(0, |command| command.database))
    }
}
