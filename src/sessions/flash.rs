//! Messages for the next page that a visitor sees.

use serde::Serialize;
use serde_json::Value;

use super::{Session, read_as, to_json};
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

    /// Leaves a message: a text, or anything else that has a JSON form.
    ///
    /// # Errors
    ///
    /// As [`Session::get`], and as [`Session::set`].
    pub fn flash(&self, message: impl Serialize) -> Result<(), Error> {
        let message = to_json(&self.value, message)?;
        let mut other = None;
        self.session.change(|values| {
            let queue = values.entry(self.value.as_str()).or_insert_with(|| Value::Array(Vec::new()));
            let Value::Array(messages) = queue else {
                other = Some(queue.clone());
                return None;
            };
            (self.allow_duplicate || !messages.contains(&message)).then(|| messages.push(message.clone()))
        })?;
        other.map_or(Ok(()), |other| self.no_queue(other).map(|_| ()))
    }

    /// The messages; they stay. One that is no text, which Pyramid allows, is given as its JSON text.
    ///
    /// # Errors
    ///
    /// As [`Session::get`].
    pub fn peek_flash(&self) -> Result<Vec<String>, Error> {
        Ok(texts(self.session.get_or(&self.value, Vec::new())?))
    }

    /// The messages, as [`peek_flash`](Self::peek_flash) gives them; they are removed.
    ///
    /// # Errors
    ///
    /// As [`Session::get`].
    pub fn pop_flash(&self) -> Result<Vec<String>, Error> {
        let mut other = None;
        let messages = self.session.change_if_any(|values| match values.remove(&self.value)? {
            Value::Array(messages) => Some(messages),
            value => {
                other = Some(value);
                None
            }
        })?;
        other.map_or_else(|| Ok(texts(messages.unwrap_or_default())), |other| self.no_queue(other))
    }

    /// The error about a value of another type.
    fn no_queue(&self, value: Value) -> Result<Vec<String>, Error> {
        read_as::<Vec<Value>>(&self.value, value).map(texts)
    }
}

fn texts(messages: Vec<Value>) -> Vec<String> {
    let text = |message| match message {
        Value::String(text) => text,
        other => other.to_string(),
    };
    messages.into_iter().map(text).collect()
}
