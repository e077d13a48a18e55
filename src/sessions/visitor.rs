//! A visitor of the application: a session and the cookie that names it.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::cookie::{self, Received, SessionCookie};
use super::store::Store;
use super::{Session, SessionFormat};
use crate::error::{Error, Kind};
use crate::lease::Lease;
use crate::report;

/// A visitor of the application under test, with their own session.
///
/// Write the session here and send the cookie to the application, or the other way round:
///
/// ```
/// use transient_fixtures::{Error, TestRequest};
///
/// # fn main() -> Result<(), Error> {
/// let test_request = TestRequest::clean();
/// let (asa, bo) = (test_request.visitor(), test_request.visitor());
/// asa.log_in("asa@example.com")?;
/// asa.session().set("cart", ["brand-1", "brand-2"])?;
///
/// // The application under test receives `Cookie: session=…` and answers with `Set-Cookie: …`.
/// let request_header = asa.cookie();
/// let response_header = asa.set_cookie();
///
/// bo.apply_set_cookie(&response_header)?;
/// assert_eq!(bo.user::<String>()?.as_deref(), Some("asa@example.com"));
/// # assert!(request_header.starts_with("session="));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Visitor {
    lease: Arc<Lease>,
    store: Arc<Store>,
}

impl Visitor {
    pub(crate) fn new(lease: &Arc<Lease>, format: Arc<dyn SessionFormat>) -> Self {
        super::ageing::remember(lease, &format);
        Self { lease: lease.clone(), store: Arc::new(Store::new(format)) }
    }

    /// Switches to the session that a `Cookie:` value names, if the framework would accept the cookie.
    pub(crate) fn apply_cookie(&self, value: &str) {
        if let Some(id) = cookie::id_in_header(&*self.store.format, value) {
            self.store.set_id(id);
        }
    }

    /// Returns the visitor's session. It follows [`apply_set_cookie`](Self::apply_set_cookie) to another id.
    ///
    /// ```
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let visitor = transient_fixtures::TestRequest::clean().visitor();
    /// visitor.session().set("cart", ["brand-1"])?;
    /// assert_eq!(visitor.session().keys()?, ["cart"]);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn session(&self) -> Session {
        Session::new(self.lease.clone(), self.store.clone())
    }

    /// Returns the value for a `Cookie:` request header: the names and values of all cookies, as a browser sends them.
    ///
    /// ```
    /// let visitor = transient_fixtures::TestRequest::clean().visitor();
    /// assert_eq!(visitor.cookie(), format!("session={}", visitor.session().id()));
    /// ```
    #[must_use]
    pub fn cookie(&self) -> String {
        self.session().cookie()
    }

    /// Returns the value of the `Set-Cookie:` response header that names the session, with its attributes.
    ///
    /// The attributes are those of the format or of the settings (`redis.sessions.cookie_*`).
    /// [`set_cookies`](Self::set_cookies) returns the cookies of a framework that sets several.
    ///
    /// ```
    /// let visitor = transient_fixtures::TestRequest::clean().visitor();
    /// assert!(visitor.set_cookie().starts_with(&visitor.cookie()));
    /// assert!(visitor.set_cookie().contains("; HttpOnly; Path=/"));
    /// ```
    #[must_use]
    pub fn set_cookie(&self) -> String {
        self.session().set_cookie()
    }

    /// Returns the values of all `Set-Cookie:` response headers. The first one names the session.
    ///
    /// ```
    /// use transient_fixtures::{AxumSession, TestRequest};
    ///
    /// let visitor = TestRequest::clean().visitor_with_format(AxumSession::new().opt_in());
    /// assert!(visitor.set_cookies()[1].starts_with("store=true; "));
    /// assert!(visitor.cookie().ends_with("; store=true"));
    /// ```
    #[must_use]
    pub fn set_cookies(&self) -> Vec<String> {
        self.store.cookies(&self.lease).iter().map(SessionCookie::set_cookie).collect()
    }

    /// Applies a `Set-Cookie:` value from the application, as a browser does.
    ///
    /// If it names a session, the visitor has that session from now on. If it removes the session cookie, the visitor
    /// has a new session. Other cookies are ignored.
    ///
    /// ```
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let visitor = transient_fixtures::TestRequest::clean().visitor();
    /// visitor.apply_set_cookie("session=an-id; HttpOnly; Path=/")?;
    /// assert_eq!(visitor.session().id(), "an-id");
    ///
    /// visitor.apply_set_cookie("session=; Max-Age=0; Path=/")?;
    /// assert_ne!(visitor.session().id(), "an-id");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_data`](Error::is_data) if the value is not a cookie, or if its signature is wrong,
    /// for example because the application has another secret.
    pub fn apply_set_cookie(&self, set_cookie: &str) -> Result<(), Error> {
        let name = self.store.format.cookie_name();
        match cookie::receive(&*self.store.format, set_cookie) {
            Received::Other => {}
            Received::Session(id) => self.store.set_id(id),
            Received::Removed => self.store.start_over(),
            Received::Tampered => return Err(Error::new(Kind::Data, report::session::tampered(name))),
            Received::Malformed(error) => {
                return Err(Error::with_source(Kind::Data, report::session::no_cookie(name), error));
            }
        }
        Ok(())
    }

    /// Logs the visitor in: sets the session value in which the framework keeps the user.
    ///
    /// That is `auth.userid` for Pyramid's `SessionAuthenticationPolicy`, `actix_identity.user_id` for actix-identity,
    /// and `user_id` for the other formats. If your application uses another name, or stores more (actix-identity with
    /// deadlines also stores the time of the login), use [`Session::set`].
    ///
    /// ```
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let visitor = transient_fixtures::TestRequest::clean().visitor();
    /// visitor.log_in(17)?;
    /// assert_eq!(visitor.session().get::<u32>("auth.userid")?, Some(17));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_data`](Error::is_data) if `user` has no JSON form or the session can't be decoded,
    /// and one that [`is_server`](Error::is_server) if the server is gone or the test has ended.
    pub fn log_in(&self, user: impl Serialize) -> Result<(), Error> {
        self.session().set(self.store.format.user_key(), user)
    }

    /// Returns the user who is logged in, or `None`.
    ///
    /// ```
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let visitor = transient_fixtures::TestRequest::clean().visitor();
    /// assert_eq!(visitor.user::<u32>()?, None);
    /// visitor.log_in(17)?;
    /// assert_eq!(visitor.user::<u32>()?, Some(17));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_data`](Error::is_data) if the user is not a `T` or the session can't be decoded, and
    /// one that [`is_server`](Error::is_server) if the server is gone or the test has ended.
    pub fn user<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        self.session().get(self.store.format.user_key())
    }

    /// Logs the visitor out. The session stays; [`Session::invalidate`] deletes it.
    ///
    /// ```
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let visitor = transient_fixtures::TestRequest::clean().visitor();
    /// visitor.log_in(17)?;
    /// visitor.log_out()?;
    /// assert_eq!(visitor.user::<u32>()?, None);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_data`](Error::is_data) if the session can't be decoded, and one that
    /// [`is_server`](Error::is_server) if the server is gone or the test has ended.
    pub fn log_out(&self) -> Result<(), Error> {
        self.session().remove(self.store.format.user_key()).map(|_| ())
    }

    /// Builds an HTTP request that carries the visitor's cookie, for a router's test. Feature `http`.
    ///
    /// ```
    /// use transient_fixtures::TestRequest;
    ///
    /// let visitor = TestRequest::clean().visitor();
    /// // For axum the body is an `axum::body::Body`; any type that implements `Default` works.
    /// let request: http::Request<String> = visitor.request("GET", "/cart");
    /// assert_eq!(request.headers()["cookie"], visitor.cookie());
    /// ```
    ///
    /// # Panics
    ///
    /// Panics at the caller's line if `method` or `uri` is invalid.
    #[cfg(feature = "http")]
    #[must_use]
    #[track_caller]
    pub fn request<Body: Default>(&self, method: &str, uri: &str) -> http::Request<Body> {
        let request = http::Request::builder().method(method).uri(uri).header(http::header::COOKIE, self.cookie());
        match request.body(Body::default()) {
            Ok(request) => request,
            Err(error) => panic!("{}", report::session::no_request(method, uri, &error)),
        }
    }
}
