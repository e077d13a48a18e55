//! A visitor's session, as the web framework of the application keeps it.

#[cfg(feature = "actix-session")]
mod actix_session;
mod cookie;
mod flash;
mod format;
mod pyramid;
mod store;
#[cfg(feature = "tower-sessions")]
mod tower_sessions;
mod visitor;

use std::any::type_name;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

#[cfg(feature = "actix-session")]
pub use actix_session::ActixSession;
pub use flash::FlashQueue;
pub use format::{SessionFormat, StoredSession};
pub use pyramid::Pyramid;
use store::Store;
#[cfg(feature = "tower-sessions")]
pub use tower_sessions::TowerSessions;
pub use visitor::Visitor;

use super::TestRequest;
use crate::error::{Error, Kind};
use crate::report;

/// Where Pyramid keeps the token against forged requests.
const CSRF_TOKEN: &str = "_csrft_";

/// A visitor's session in database 14: values by name, messages for the next page, a token against forged requests.
///
/// The semantics are those of Pyramid's
/// [`ISession`](https://docs.pylonsproject.org/projects/pyramid/en/latest/api/interfaces.html), but for the end of the
/// request, which a test does not have. So
///
/// - every change is written at once, and every read sees what the application has written meanwhile;
/// - [`is_new`](Self::is_new) is true until the session is first written, not until the first request ends;
/// - nothing is written before the first value is set: a visitor who only looks leaves no key.
///
/// A session that is gone, because it has timed out or was deleted, is a new one: `get` finds nothing, and `set`
/// begins again, under the same id.
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
    request: TestRequest,
    store: Arc<Store>,
}

impl Session {
    pub(super) fn new(request: TestRequest, store: Arc<Store>) -> Self {
        Self { request, store }
    }

    /// What the visitor's cookie names; the key in database 14 is [`key`](Self::key). A session that was not written
    /// yet has one as well.
    #[must_use]
    pub fn id(&self) -> String {
        self.store.id()
    }

    /// The key in database 14.
    #[must_use]
    pub fn key(&self) -> String {
        self.store.key()
    }

    /// The value of that name, or `None` where there is none. Renews the timeout, where the framework does so.
    ///
    /// # Errors
    ///
    /// [`Error::is_data`] when the value is no `T`, or the session can't be read; [`Error::is_server`].
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        let Some(mut stored) = self.store.read(&self.request)? else { return Ok(None) };
        let Some(value) = stored.values.remove(name) else { return Ok(None) };
        let shown = report::session::shown(&value);
        serde_json::from_value(value).map(Some).map_err(|error| {
            Error::with_source(Kind::Data, report::session::wrong_type(name, type_name::<T>(), &shown, &error), error)
        })
    }

    /// The value of that name, or `default` where there is none.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn get_or<T: DeserializeOwned>(&self, name: &str, default: T) -> Result<T, Error> {
        Ok(self.get(name)?.unwrap_or(default))
    }

    /// Sets a value of any type that has a JSON form.
    ///
    /// # Errors
    ///
    /// [`Error::is_data`] when it has none, or the session can't be read; [`Error::is_server`].
    pub fn set(&self, name: &str, value: impl Serialize) -> Result<(), Error> {
        let value = serde_json::to_value(value)
            .map_err(|error| Error::with_source(Kind::Data, report::session::no_json(name, &error), error))?;
        self.change(|values| {
            values.insert(name.to_owned(), value);
        })
    }

    /// Removes a value, and tells whether there was one.
    ///
    /// # Errors
    ///
    /// As [`keys`](Self::keys).
    pub fn remove(&self, name: &str) -> Result<bool, Error> {
        self.change_if_any(|values| values.remove(name).is_some())
    }

    /// Whether there is a value of that name.
    ///
    /// # Errors
    ///
    /// As [`keys`](Self::keys).
    pub fn contains(&self, name: &str) -> Result<bool, Error> {
        Ok(self.store.read(&self.request)?.is_some_and(|stored| stored.values.contains_key(name)))
    }

    /// The names of all values, sorted. As in Pyramid, flash messages (`_f_…`) and the token (`_csrft_`) are among them.
    ///
    /// # Errors
    ///
    /// [`Error::is_data`] when the session can't be read; [`Error::is_server`].
    pub fn keys(&self) -> Result<Vec<String>, Error> {
        let stored = self.store.read(&self.request)?;
        let mut names: Vec<_> =
            stored.into_iter().flat_map(|stored| stored.values.into_iter()).map(|(name, _)| name).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Removes all values. The session stays, with its id.
    ///
    /// # Errors
    ///
    /// As [`keys`](Self::keys).
    pub fn clear(&self) -> Result<(), Error> {
        self.change_if_any(|values| {
            values.clear();
            true
        })
        .map(|_| ())
    }

    /// Deletes the session, and begins a new one with another id, as at a login or logout.
    ///
    /// # Errors
    ///
    /// [`Error::is_server`].
    pub fn invalidate(&self) -> Result<(), Error> {
        self.store.invalidate(&self.request)
    }

    /// Whether nothing is stored of this session: it was never written, has timed out, or was deleted.
    ///
    /// # Errors
    ///
    /// [`Error::is_server`].
    pub fn is_new(&self) -> Result<bool, Error> {
        self.store.is_new(&self.request)
    }

    /// When the session began, in whole seconds; `None` where the framework does not store it (tower-sessions,
    /// actix-session) and the session is stored.
    ///
    /// # Errors
    ///
    /// As [`keys`](Self::keys).
    pub fn created(&self) -> Result<Option<SystemTime>, Error> {
        self.store.created(&self.request)
    }

    /// How long the session still lives on the server if nobody uses it; `None` where it is not stored, or for ever.
    ///
    /// # Errors
    ///
    /// [`Error::is_server`].
    pub fn ttl(&self) -> Result<Option<Duration>, Error> {
        self.store.ttl(&self.request)
    }

    /// Leaves a message for the visitor's next page.
    ///
    /// ```
    /// use transient_fixtures::{Error, TestRequest};
    ///
    /// # fn main() -> Result<(), Error> {
    /// let session = TestRequest::clean().session();
    /// session.flash("saved")?;
    /// session.queue("errors").flash("no such brand")?;
    /// assert_eq!(session.pop_flash()?, ["saved"]);
    /// assert_eq!(session.queue("errors").peek_flash()?, ["no such brand"]);
    /// assert!(session.pop_flash()?.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`keys`](Self::keys).
    pub fn flash(&self, message: &str) -> Result<(), Error> {
        self.queue("").flash(message)
    }

    /// The messages of the default queue; they stay.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn peek_flash(&self) -> Result<Vec<String>, Error> {
        self.queue("").peek_flash()
    }

    /// The messages of the default queue; they are removed.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn pop_flash(&self) -> Result<Vec<String>, Error> {
        self.queue("").pop_flash()
    }

    /// A queue of flash messages by its name.
    pub fn queue<'session>(&'session self, name: &str) -> FlashQueue<'session> {
        FlashQueue::new(self, name)
    }

    /// The token against forged requests; the first call makes it.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn csrf_token(&self) -> Result<String, Error> {
        self.get(CSRF_TOKEN)?.map_or_else(|| self.new_csrf_token(), Ok)
    }

    /// Another token against forged requests, in place of the one before.
    ///
    /// # Errors
    ///
    /// As [`keys`](Self::keys).
    pub fn new_csrf_token(&self) -> Result<String, Error> {
        // 32 bytes in hexadecimal, as Pyramid's.
        let token: String = format::random().iter().map(|byte| format!("{byte:02x}")).take(32).collect();
        self.set(CSRF_TOKEN, &token)?;
        Ok(token)
    }

    fn change(&self, change: impl FnOnce(&mut serde_json::Map<String, Value>)) -> Result<(), Error> {
        self.store.change(&self.request, true, |values| {
            change(values);
            true
        })?;
        Ok(())
    }

    /// Where there is no session, there is nothing to change. False where nothing changed.
    fn change_if_any(&self, change: impl FnOnce(&mut serde_json::Map<String, Value>) -> bool) -> Result<bool, Error> {
        self.store.change(&self.request, false, change)
    }
}
