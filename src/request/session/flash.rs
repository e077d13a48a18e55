//! Messages for the next page that a visitor sees.

use super::Session;
use crate::error::Error;

/// One queue of flash messages of a session. [`Session::flash`] has an example.
#[derive(Debug)]
#[must_use = "a queue does nothing until it is asked or given a message"]
pub struct FlashQueue<'session> {
    session: &'session Session,
    /// The name that Pyramid gives its value in the session.
    value: String,
    allow_duplicate: bool,
}

impl<'session> FlashQueue<'session> {
    pub(super) fn new(session: &'session Session, name: &str) -> Self {
        Self { session, value: format!("_f_{name}"), allow_duplicate: true }
    }

    /// Whether a message that is in the queue already is added once more: yes, unless this is called with `false`.
    pub fn allow_duplicate(mut self, allow: bool) -> Self {
        self.allow_duplicate = allow;
        self
    }

    /// Leaves a message.
    ///
    /// # Errors
    ///
    /// As [`Session::get`].
    pub fn flash(&self, message: &str) -> Result<(), Error> {
        let mut messages = self.peek_flash()?;
        if self.allow_duplicate || !messages.iter().any(|other| other == message) {
            messages.push(message.to_owned());
            self.session.set(&self.value, messages)?;
        }
        Ok(())
    }

    /// The messages; they stay.
    ///
    /// # Errors
    ///
    /// As [`Session::get`].
    pub fn peek_flash(&self) -> Result<Vec<String>, Error> {
        self.session.get_or(&self.value, Vec::new())
    }

    /// The messages; they are removed.
    ///
    /// # Errors
    ///
    /// As [`Session::get`].
    pub fn pop_flash(&self) -> Result<Vec<String>, Error> {
        let messages = self.peek_flash()?;
        self.session.remove(&self.value)?;
        Ok(messages)
    }
}
