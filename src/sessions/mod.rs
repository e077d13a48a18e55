//! Sessions of visitors, stored the way the application's web framework stores them.

#[cfg(feature = "actix-session")]
mod actix_session;
mod ageing;
mod axum_session;
mod cookie;
mod flash;
mod format;
mod json;
mod pyramid;
mod store;
#[cfg(feature = "tower-sessions")]
mod tower_sessions;
mod values;
mod visitor;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde::de::DeserializeOwned;

#[cfg(feature = "actix-session")]
pub use actix_session::ActixSession;
pub(crate) use ageing::{age, remember};
pub use axum_session::AxumSession;
pub use cookie::SessionCookie;
pub use flash::FlashQueue;
pub use format::{SessionData, SessionFormat, SessionStorage, StoredSession};
use json::{read_as, to_json};
pub use pyramid::Pyramid;
pub(crate) use store::Store;
#[cfg(feature = "tower-sessions")]
pub use tower_sessions::TowerSessions;
pub use values::SessionValues;
pub use visitor::Visitor;

use crate::error::Error;
use crate::lease::Lease;
use crate::{hex, random};

/// The name under which Pyramid stores the CSRF token.
const CSRF_TOKEN: &str = "_csrft_";

/// A visitor's session in the session database (14 by default): named values, flash messages and a CSRF token.
///
/// The semantics are those of Pyramid's
/// [`ISession`](https://docs.pylonsproject.org/projects/pyramid/en/latest/api/interfaces.html). A test has no
/// requests that end, so these differ:
///
/// - Every change is written at once. There is no `changed()`, and every read sees the application's last write.
///   Concurrent writes of the application are kept.
/// - [`is_new`](Self::is_new) is true until the session is first written, not until the first request ends.
/// - Nothing is written before the first value is set. Reading a session never creates its key.
/// - A session that has expired or was deleted counts as new: `get` finds nothing, and `set` starts it again. It keeps
///   its id, since no response has given the visitor another one.
/// - [`clear`](Self::clear) leaves an empty session. The application's library can delete it on the next request.
/// - Values are read as a type, and flash messages as strings. Pyramid's `setdefault`, `update` and `items` are
///   `get_or`, `set` and `keys`.
///
/// ```
/// use transient_fixtures::{Error, TestRequest};
///
/// # fn main() -> Result<(), Error> {
/// let test_request = TestRequest::clean();
/// let session = test_request.session();
/// assert_eq!(session.get::<String>("name")?, None);
///
/// session.set("name", "Åsa")?;
/// assert_eq!(session.get::<String>("name")?.as_deref(), Some("Åsa"));
/// assert!(session.ttl()?.unwrap() <= test_request.settings().session_timeout());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Session {
    lease: Arc<Lease>,
    store: Arc<Store>,
}

impl Session {
    pub(crate) fn new(lease: Arc<Lease>, store: Arc<Store>) -> Self {
        Self { lease, store }
    }

    /// Returns the session id, which the visitor's cookie carries. It is assigned before the session is first saved.
    ///
    /// [`key`](Self::key) is the name of the Redis key.
    #[must_use]
    pub fn id(&self) -> String {
        self.store.id()
    }

    /// Returns the name of the session's key in the session database.
    #[must_use]
    pub fn key(&self) -> String {
        self.store.key()
    }

    /// Returns the value of that name, or `None` if there is none. Renews the timeout if the framework does so on
    /// reads.
    ///
    /// ```
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let session = transient_fixtures::TestRequest::clean().session();
    /// session.set("cart", ["brand-1", "brand-2"])?;
    /// assert_eq!(session.get::<Vec<String>>("cart")?.unwrap().len(), 2);
    /// assert!(session.get::<u32>("cart").unwrap_err().is_data());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_data`](Error::is_data) if the value is not a `T` or the session can't be decoded, and
    /// one that [`is_server`](Error::is_server) if the server is gone or the test has ended.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        self.json(name)?.map(|value| read_as(name, &value)).transpose()
    }

    /// The JSON text of that value.
    fn json(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.store.read(&self.lease)?.and_then(|mut stored| stored.values.remove(name)))
    }

    /// Returns the value of that name, or `default` if there is none. Does not store `default`.
    ///
    /// ```
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let session = transient_fixtures::TestRequest::clean().session();
    /// assert_eq!(session.get_or("visits", 0)?, 0);
    /// assert!(session.is_new()?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_data`](Error::is_data) if the value is not a `T` or the session can't be decoded, and
    /// one that [`is_server`](Error::is_server) if the server is gone or the test has ended.
    pub fn get_or<T: DeserializeOwned>(&self, name: &str, default: T) -> Result<T, Error> {
        Ok(self.get(name)?.unwrap_or(default))
    }

    /// Sets a value, which is stored as JSON.
    ///
    /// ```
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let session = transient_fixtures::TestRequest::clean().session();
    /// session.set("seen", 3)?;
    /// session.set("seen", 4)?;
    /// assert_eq!(session.get::<u32>("seen")?, Some(4));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_data`](Error::is_data) if the value has no JSON form or the session can't be decoded,
    /// and one that [`is_server`](Error::is_server) if the server is gone or the test has ended.
    pub fn set(&self, name: &str, value: impl Serialize) -> Result<(), Error> {
        let value = to_json(name, value)?;
        self.change(|values| {
            values.set(name, value.clone());
            Some(())
        })
        .map(|_| ())
    }

    /// Removes a value. Returns whether there was one.
    ///
    /// ```
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let session = transient_fixtures::TestRequest::clean().session();
    /// session.set("name", "Åsa")?;
    /// assert!(session.remove("name")?);
    /// assert!(!session.remove("name")?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_data`](Error::is_data) if the session can't be decoded, and one that
    /// [`is_server`](Error::is_server) if the server is gone or the test has ended.
    pub fn remove(&self, name: &str) -> Result<bool, Error> {
        Ok(self.change_existing(|values| values.remove(name))?.is_some())
    }

    /// Returns whether there is a value of that name.
    ///
    /// ```
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let session = transient_fixtures::TestRequest::clean().session();
    /// session.set("name", "Åsa")?;
    /// assert!(session.contains("name")? && !session.contains("cart")?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_data`](Error::is_data) if the session can't be decoded, and one that
    /// [`is_server`](Error::is_server) if the server is gone or the test has ended.
    pub fn contains(&self, name: &str) -> Result<bool, Error> {
        Ok(self.store.read(&self.lease)?.is_some_and(|stored| stored.values.get(name).is_some()))
    }

    /// Returns the names of all values, sorted.
    ///
    /// As in Pyramid, they include flash messages (`_f_…`) and the CSRF token (`_csrft_`).
    ///
    /// ```
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let session = transient_fixtures::TestRequest::clean().session();
    /// session.set("name", "Åsa")?;
    /// session.flash("saved")?;
    /// assert_eq!(session.keys()?, ["_f_", "name"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_data`](Error::is_data) if the session can't be decoded, and one that
    /// [`is_server`](Error::is_server) if the server is gone or the test has ended.
    pub fn keys(&self) -> Result<Vec<String>, Error> {
        let stored = self.store.read(&self.lease)?;
        let mut names: Vec<_> =
            stored.iter().flat_map(|stored| stored.values.iter()).map(|(name, _)| name.to_owned()).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Removes all values. The session stays, with its id.
    ///
    /// ```
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let session = transient_fixtures::TestRequest::clean().session();
    /// session.set("name", "Åsa")?;
    /// session.clear()?;
    /// assert!(session.keys()?.is_empty() && !session.is_new()?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_data`](Error::is_data) if the session can't be decoded, and one that
    /// [`is_server`](Error::is_server) if the server is gone or the test has ended.
    pub fn clear(&self) -> Result<(), Error> {
        self.change_existing(|values| {
            values.clear();
            Some(())
        })
        .map(|_| ())
    }

    /// Deletes the session and starts a new one with another id, as at a login or logout.
    ///
    /// ```
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let session = transient_fixtures::TestRequest::clean().session();
    /// session.set("name", "Åsa")?;
    /// let id = session.id();
    /// session.invalidate()?;
    /// assert!(session.is_new()? && session.id() != id);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_server`](Error::is_server) if the server is gone or the test has ended.
    pub fn invalidate(&self) -> Result<(), Error> {
        self.store.invalidate(&self.lease)
    }

    /// Returns whether the session is not stored: it was never written, has expired, or was deleted.
    ///
    /// ```
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let session = transient_fixtures::TestRequest::clean().session();
    /// assert!(session.is_new()?);
    /// session.set("name", "Åsa")?;
    /// assert!(!session.is_new()?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_server`](Error::is_server) if the server is gone or the test has ended.
    pub fn is_new(&self) -> Result<bool, Error> {
        self.store.is_new(&self.lease)
    }

    /// Returns when the session was created, in whole seconds.
    ///
    /// Returns `None` for a stored session whose framework does not store the time (tower-sessions, actix-session,
    /// `axum_session`).
    ///
    /// ```
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let session = transient_fixtures::TestRequest::clean().session();
    /// session.set("name", "Åsa")?;
    /// assert!(session.created()?.unwrap() <= std::time::SystemTime::now());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_data`](Error::is_data) if the session can't be decoded, and one that
    /// [`is_server`](Error::is_server) if the server is gone or the test has ended.
    pub fn created(&self) -> Result<Option<SystemTime>, Error> {
        self.store.created(&self.lease)
    }

    /// Returns the TTL of the session's key, or `None` if the session is not stored or its key never expires.
    ///
    /// ```
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let session = transient_fixtures::TestRequest::clean().session();
    /// assert_eq!(session.ttl()?, None);
    /// session.set("name", "Åsa")?;
    /// assert!(session.ttl()?.is_some());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_server`](Error::is_server) if the server is gone or the test has ended.
    pub fn ttl(&self) -> Result<Option<Duration>, Error> {
        self.store.ttl(&self.lease)
    }

    /// Adds a flash message to the default queue: a string, or any other value that has a JSON form.
    ///
    /// ```
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let session = transient_fixtures::TestRequest::clean().session();
    /// session.flash("saved")?;
    /// assert_eq!(session.pop_flash()?, ["saved"]);
    /// assert!(session.pop_flash()?.is_empty());
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
        self.flash_queue("").flash(message)
    }

    /// Returns the messages of the default queue without removing them. A message that is not a string is returned as
    /// its JSON text.
    ///
    /// ```
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let session = transient_fixtures::TestRequest::clean().session();
    /// session.flash("saved")?;
    /// assert_eq!(session.peek_flash()?, ["saved"]);
    /// assert_eq!(session.peek_flash()?, ["saved"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_data`](Error::is_data) if the queue is not a list or the session can't be decoded,
    /// and one that [`is_server`](Error::is_server) if the server is gone or the test has ended.
    pub fn peek_flash(&self) -> Result<Vec<String>, Error> {
        self.flash_queue("").peek_flash()
    }

    /// Removes the messages of the default queue and returns them. [`flash`](Self::flash) has an example.
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_data`](Error::is_data) if the queue is not a list or the session can't be decoded,
    /// and one that [`is_server`](Error::is_server) if the server is gone or the test has ended.
    pub fn pop_flash(&self) -> Result<Vec<String>, Error> {
        self.flash_queue("").pop_flash()
    }

    /// Returns the flash queue of that name. [`FlashQueue`] has an example.
    ///
    /// ```
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let session = transient_fixtures::TestRequest::clean().session();
    /// session.flash_queue("errors").flash("no such brand")?;
    /// assert!(session.pop_flash()?.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub fn flash_queue<'session>(&'session self, name: &str) -> FlashQueue<'session> {
        FlashQueue::new(self, name)
    }

    /// Returns the CSRF token. The first call creates it.
    ///
    /// ```
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let session = transient_fixtures::TestRequest::clean().session();
    /// assert_eq!(session.csrf_token()?, session.csrf_token()?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_data`](Error::is_data) if the stored token is not a string or the session cannot be
    /// decoded, and one that [`is_server`](Error::is_server) if the server is gone or the test has ended.
    pub fn csrf_token(&self) -> Result<String, Error> {
        let mut existing = None;
        let new = new_token();
        self.change(|values| {
            existing = values.get(CSRF_TOKEN).map(<[u8]>::to_vec);
            existing.is_none().then(|| values.set(CSRF_TOKEN, values::quoted(&new)))
        })?;
        existing.map_or(Ok(new), |existing| read_as(CSRF_TOKEN, &existing))
    }

    /// Replaces the CSRF token and returns the new one.
    ///
    /// ```
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let session = transient_fixtures::TestRequest::clean().session();
    /// let first = session.csrf_token()?;
    /// let second = session.new_csrf_token()?;
    /// assert!(second != first && session.csrf_token()? == second);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_data`](Error::is_data) if the session can't be decoded, and one that
    /// [`is_server`](Error::is_server) if the server is gone or the test has ended.
    pub fn new_csrf_token(&self) -> Result<String, Error> {
        let token = new_token();
        self.set(CSRF_TOKEN, &token)?;
        Ok(token)
    }

    /// Returns the value for a `Cookie:` request header: the names and values of the session's cookies.
    /// [`Visitor::cookie`] returns the same.
    ///
    /// ```
    /// let session = transient_fixtures::TestRequest::clean().session();
    /// assert_eq!(session.cookie(), format!("session={}", session.id()));
    /// ```
    #[must_use]
    pub fn cookie(&self) -> String {
        cookie::header(&self.cookies())
    }

    /// Returns the value of the `Set-Cookie:` response header that names the session, with its attributes.
    /// [`Visitor::set_cookie`] returns the same.
    ///
    /// ```
    /// let session = transient_fixtures::TestRequest::clean().session();
    /// assert!(session.set_cookie().starts_with(&format!("session={}; HttpOnly", session.id())));
    /// ```
    #[must_use]
    pub fn set_cookie(&self) -> String {
        self.cookies().first().map(SessionCookie::set_cookie).unwrap_or_default()
    }

    /// The cookies of the session. The first one names it.
    fn cookies(&self) -> Vec<SessionCookie> {
        self.store.cookies(&self.lease)
    }

    fn change<T>(&self, change: impl FnMut(&mut SessionValues) -> Option<T>) -> Result<Option<T>, Error> {
        self.store.change(&self.lease, true, change)
    }

    /// Does not create a session that is not stored.
    fn change_existing<T>(&self, change: impl FnMut(&mut SessionValues) -> Option<T>) -> Result<Option<T>, Error> {
        self.store.change(&self.lease, false, change)
    }
}

/// 32 bytes in hexadecimal, as Pyramid's.
fn new_token() -> String {
    hex::encode(&random::bytes::<32>())
}
