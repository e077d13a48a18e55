//! A visitor's session, as the web framework of the application keeps it.

#[cfg(feature = "actix-session")]
mod actix_session;
mod ageing;
mod axum_session;
mod cookie;
mod flash;
mod format;
mod pyramid;
mod store;
#[cfg(feature = "tower-sessions")]
mod tower_sessions;
mod values;
mod visitor;

use std::any::type_name;
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
pub use pyramid::Pyramid;
pub(crate) use store::Store;
#[cfg(feature = "tower-sessions")]
pub use tower_sessions::TowerSessions;
pub use values::SessionValues;
pub use visitor::Visitor;

use crate::error::{Error, Kind};
use crate::lease::Lease;
use crate::report;

/// Where Pyramid keeps the token against forged requests.
const CSRF_TOKEN: &str = "_csrft_";

/// A visitor's session in database 14: values by name, messages for the next page, a token against forged requests.
///
/// The semantics are those of Pyramid's
/// [`ISession`](https://docs.pylonsproject.org/projects/pyramid/en/latest/api/interfaces.html), but for the end of the
/// request, which a test does not have. So
///
/// - every change is written at once, so that no `changed()` is needed, and every read sees what the application has
///   written meanwhile; what it writes at the same moment is kept;
/// - [`is_new`](Self::is_new) is true until the session is first written, not until the first request ends;
/// - nothing is written before the first value is set: a visitor who only looks leaves no key;
/// - a session that is gone, because it has timed out or was deleted, is a new one: `get` finds nothing, and `set`
///   begins again. It keeps its id, since no response carries another one to the visitor;
/// - [`clear`](Self::clear) leaves an empty session, which the library of the application may delete when it meets it;
/// - values are read as a type, and flash messages as texts. Pyramid's `setdefault`, `update` and `items` are
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
        self.text(name)?.map(|value| read_as(name, &value)).transpose()
    }

    /// The JSON text of that value.
    fn text(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.store.read(&self.lease)?.and_then(|mut stored| stored.values.remove(name)))
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
        let value = to_json(name, value)?;
        self.change(|values| {
            values.set(name, value.clone());
            Some(())
        })
        .map(|_| ())
    }

    /// Removes a value, and tells whether there was one.
    ///
    /// # Errors
    ///
    /// As [`keys`](Self::keys).
    pub fn remove(&self, name: &str) -> Result<bool, Error> {
        Ok(self.change_if_any(|values| values.remove(name))?.is_some())
    }

    /// Whether there is a value of that name.
    ///
    /// # Errors
    ///
    /// As [`keys`](Self::keys).
    pub fn contains(&self, name: &str) -> Result<bool, Error> {
        Ok(self.store.read(&self.lease)?.is_some_and(|stored| stored.values.get(name).is_some()))
    }

    /// The names of all values, sorted. As in Pyramid, flash messages (`_f_…`) and the token (`_csrft_`) are among them.
    ///
    /// # Errors
    ///
    /// [`Error::is_data`] when the session can't be read; [`Error::is_server`].
    pub fn keys(&self) -> Result<Vec<String>, Error> {
        let stored = self.store.read(&self.lease)?;
        let mut names: Vec<_> =
            stored.iter().flat_map(|stored| stored.values.iter()).map(|(name, _)| name.to_owned()).collect();
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
            Some(())
        })
        .map(|_| ())
    }

    /// Deletes the session, and begins a new one with another id, as at a login or logout.
    ///
    /// # Errors
    ///
    /// [`Error::is_server`].
    pub fn invalidate(&self) -> Result<(), Error> {
        self.store.invalidate(&self.lease)
    }

    /// Whether nothing is stored of this session: it was never written, has timed out, or was deleted.
    ///
    /// # Errors
    ///
    /// [`Error::is_server`].
    pub fn is_new(&self) -> Result<bool, Error> {
        self.store.is_new(&self.lease)
    }

    /// When the session began, in whole seconds; `None` where the framework does not store it (tower-sessions,
    /// actix-session, `axum_session`) and the session is stored.
    ///
    /// # Errors
    ///
    /// As [`keys`](Self::keys).
    pub fn created(&self) -> Result<Option<SystemTime>, Error> {
        self.store.created(&self.lease)
    }

    /// How long the session still lives on the server if nobody uses it; `None` where it is not stored, or for ever.
    ///
    /// # Errors
    ///
    /// [`Error::is_server`].
    pub fn ttl(&self) -> Result<Option<Duration>, Error> {
        self.store.ttl(&self.lease)
    }

    /// Leaves a message for the visitor's next page: a text, or anything else that has a JSON form.
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
    pub fn flash(&self, message: impl Serialize) -> Result<(), Error> {
        self.queue("").flash(message)
    }

    /// The messages of the default queue; they stay. One that is no text is given as its JSON text.
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
        let mut known = None;
        let new = new_token();
        self.change(|values| {
            known = values.get(CSRF_TOKEN).map(<[u8]>::to_vec);
            known.is_none().then(|| values.set(CSRF_TOKEN, values::quoted(&new)))
        })?;
        known.map_or(Ok(new), |known| read_as(CSRF_TOKEN, &known))
    }

    /// Another token against forged requests, in place of the one before.
    ///
    /// # Errors
    ///
    /// As [`keys`](Self::keys).
    pub fn new_csrf_token(&self) -> Result<String, Error> {
        let token = new_token();
        self.set(CSRF_TOKEN, &token)?;
        Ok(token)
    }

    /// What a server sends behind `Set-Cookie:` for this session: [`Visitor::cookie`].
    #[must_use]
    pub fn cookie(&self) -> String {
        self.store.cookie(&self.lease)
    }

    /// What a browser sends behind `Cookie:` for this session: [`Visitor::cookie_header`].
    #[must_use]
    pub fn cookie_header(&self) -> String {
        self.store.cookie_header(&self.lease)
    }

    fn change<T>(&self, change: impl FnMut(&mut SessionValues) -> Option<T>) -> Result<Option<T>, Error> {
        self.store.change(&self.lease, true, change)
    }

    /// Where there is no session, there is nothing to change.
    fn change_if_any<T>(&self, change: impl FnMut(&mut SessionValues) -> Option<T>) -> Result<Option<T>, Error> {
        self.store.change(&self.lease, false, change)
    }
}

/// `value`, to be stored under `name`.
fn to_json(name: &str, value: impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(&value).map_err(|error| Error::with_source(Kind::Data, report::session::no_json(name), error))
}

fn read_as<T: DeserializeOwned>(name: &str, value: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(value).map_err(|error| {
        let shown = report::session::shown(&String::from_utf8_lossy(value));
        Error::with_source(Kind::Data, report::session::wrong_type(name, type_name::<T>(), &shown), error)
    })
}

/// 32 bytes in hexadecimal, as Pyramid's.
fn new_token() -> String {
    format::random().iter().map(|byte| format!("{byte:02x}")).take(32).collect()
}
