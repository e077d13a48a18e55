//! Flash messages: shown on the visitor's next page.

use serde::Serialize;
use serde_json::Value;

use super::Session;
use super::json::{read_as, to_json};
use super::values::elements;
use crate::error::Error;

/// A named queue of flash messages. [`Session::flash_queue`] returns it.
///
/// ```
/// # fn main() -> Result<(), transient_fixtures::Error> {
/// let session = transient_fixtures::TestRequest::clean().session();
/// session.flash("saved")?;
/// session.flash_queue("errors").flash("no such brand")?;
///
/// assert_eq!(session.flash_queue("errors").peek_flash()?, ["no such brand"]);
/// assert_eq!(session.flash_queue("errors").pop_flash()?, ["no such brand"]);
/// assert_eq!(session.pop_flash()?, ["saved"]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a queue does nothing until a message is added or read"]
pub struct FlashQueue<'session> {
    session: &'session Session,
    /// The name of the session value in which Pyramid stores the queue.
    value: String,
    allow_duplicate: bool,
}

impl<'session> FlashQueue<'session> {
    pub(super) fn new(session: &'session Session, name: &str) -> Self {
        Self { session, value: format!("_f_{name}"), allow_duplicate: true }
    }

    /// Sets whether a message is added again if the queue already has it. The default is `true`.
    ///
    /// ```
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let session = transient_fixtures::TestRequest::clean().session();
    /// session.flash("saved")?;
    /// session.flash_queue("").allow_duplicate(false).flash("saved")?;
    /// assert_eq!(session.pop_flash()?, ["saved"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn allow_duplicate(mut self, allow: bool) -> Self {
        self.allow_duplicate = allow;
        self
    }

    /// Adds a message: a string, or any other value that has a JSON form.
    ///
    /// ```
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let session = transient_fixtures::TestRequest::clean().session();
    /// session.flash_queue("errors").flash("no such brand")?;
    /// session.flash_queue("errors").flash((404, "/brand/7"))?;
    /// assert_eq!(session.flash_queue("errors").pop_flash()?, ["no such brand", r#"[404,"/brand/7"]"#]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_data`](Error::is_data) if the message has no JSON form, the queue is not a list, or
    /// the session can't be decoded, and one that [`is_server`](Error::is_server) if the server is gone or the test has
    /// ended.
    pub fn flash(&self, message: impl Serialize) -> Result<(), Error> {
        let message = to_json(&self.value, message)?;
        let mut not_a_list = None;
        self.session.change(|values| {
            let queue = values.get(&self.value).unwrap_or(b"[]");
            let Some(mut messages) = elements(queue) else {
                not_a_list = Some(queue.to_vec());
                return None;
            };
            if !self.allow_duplicate && messages.iter().any(|other| is_same(other, &message)) {
                return None;
            }
            messages.push(&message);
            let queue = [b"[", &*messages.join(&b','), b"]"].concat();
            values.set(&self.value, queue);
            Some(())
        })?;
        not_a_list.map_or(Ok(()), |value| self.not_a_list(&value).map(|_| ()))
    }

    /// Returns the messages without removing them. A message that is not a string, which Pyramid allows, is returned as
    /// its JSON text.
    ///
    /// ```
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let session = transient_fixtures::TestRequest::clean().session();
    /// session.flash_queue("errors").flash("no such brand")?;
    /// assert_eq!(session.flash_queue("errors").peek_flash()?, ["no such brand"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_data`](Error::is_data) if the queue is not a list or the session can't be decoded,
    /// and one that [`is_server`](Error::is_server) if the server is gone or the test has ended.
    pub fn peek_flash(&self) -> Result<Vec<String>, Error> {
        match self.session.json(&self.value)? {
            None => Ok(Vec::new()),
            Some(queue) => texts(&queue).map_or_else(|| self.not_a_list(&queue), Ok),
        }
    }

    /// Removes the messages and returns them, as [`peek_flash`](Self::peek_flash) does.
    ///
    /// ```
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let session = transient_fixtures::TestRequest::clean().session();
    /// session.flash_queue("errors").flash("no such brand")?;
    /// assert_eq!(session.flash_queue("errors").pop_flash()?, ["no such brand"]);
    /// assert!(session.flash_queue("errors").pop_flash()?.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_data`](Error::is_data) if the queue is not a list or the session can't be decoded,
    /// and one that [`is_server`](Error::is_server) if the server is gone or the test has ended.
    pub fn pop_flash(&self) -> Result<Vec<String>, Error> {
        let mut not_a_list = None;
        let messages = self.session.change_existing(|values| {
            let queue = values.get(&self.value)?;
            let messages = texts(queue);
            if messages.is_none() {
                not_a_list = Some(queue.to_vec());
            }
            values.remove(&self.value).and(messages)
        })?;
        not_a_list.map_or_else(|| Ok(messages.unwrap_or_default()), |value| self.not_a_list(&value))
    }

    /// The error for a value that is not a list.
    fn not_a_list(&self, value: &[u8]) -> Result<Vec<String>, Error> {
        read_as(&self.value, value)
    }
}

/// Compares JSON values, not their texts.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let read = |text| serde_json::from_slice::<Value>(text).ok();
    one == other || read(one).is_some_and(|one| Some(one) == read(other))
}

fn texts(queue: &[u8]) -> Option<Vec<String>> {
    let text = |message: &[u8]| {
        serde_json::from_slice(message).unwrap_or_else(|_| String::from_utf8_lossy(message).into_owned())
    };
    Some(elements(queue)?.into_iter().map(text).collect())
}
