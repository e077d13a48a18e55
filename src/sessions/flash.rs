//! Messages for the next page that a visitor sees.

use serde::Serialize;
use serde_json::Value;

use super::values::elements;
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
            let queue = values.get(&self.value).unwrap_or(b"[]");
            let Some(mut messages) = elements(queue) else {
                other = Some(queue.to_vec());
                return None;
            };
            if !self.allow_duplicate && messages.iter().any(|known| is_same(known, &message)) {
                return None;
            }
            messages.push(&message);
            let queue = [b"[", &*messages.join(&b','), b"]"].concat();
            values.set(&self.value, queue);
            Some(())
        })?;
        other.map_or(Ok(()), |other| self.no_queue(&other).map(|_| ()))
    }

    /// The messages; they stay. One that is no text, which Pyramid allows, is given as its JSON text.
    ///
    /// # Errors
    ///
    /// As [`Session::get`].
    pub fn peek_flash(&self) -> Result<Vec<String>, Error> {
        match self.session.text(&self.value)? {
            None => Ok(Vec::new()),
            Some(queue) => texts(&queue).map_or_else(|| self.no_queue(&queue), Ok),
        }
    }

    /// The messages, as [`peek_flash`](Self::peek_flash) gives them; they are removed.
    ///
    /// # Errors
    ///
    /// As [`Session::get`].
    pub fn pop_flash(&self) -> Result<Vec<String>, Error> {
        let mut other = None;
        let messages = self.session.change_if_any(|values| {
            let queue = values.get(&self.value)?;
            let messages = texts(queue);
            if messages.is_none() {
                other = Some(queue.to_vec());
            }
            values.remove(&self.value).and(messages)
        })?;
        other.map_or_else(|| Ok(messages.unwrap_or_default()), |other| self.no_queue(&other))
    }

    /// The error about a value of another type.
    fn no_queue(&self, value: &[u8]) -> Result<Vec<String>, Error> {
        read_as(&self.value, value)
    }
}

/// The same message, however it is written.
fn is_same(known: &[u8], message: &[u8]) -> bool {
    let read = |text| serde_json::from_slice::<Value>(text).ok();
    known == message || read(known).is_some_and(|known| Some(known) == read(message))
}

fn texts(queue: &[u8]) -> Option<Vec<String>> {
    let text = |message: &[u8]| {
        serde_json::from_slice(message).unwrap_or_else(|_| String::from_utf8_lossy(message).into_owned())
    };
    Some(elements(queue)?.into_iter().map(text).collect())
}
