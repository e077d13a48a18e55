//! Somebody who visits the application: a session and the cookie that names it.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::cookie::{self, Received, SessionCookie};
use super::store::Store;
use super::{Session, SessionFormat};
use crate::error::{Error, Kind};
use crate::lease::Lease;
use crate::report;

/// Somebody who visits the application under test, with a session of his own.
///
/// Write the session here and hand the cookie to the application, or the other way round:
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
/// // The application under test is sent `Cookie: session=…`, and answers with `Set-Cookie: …`.
/// let request_header = asa.cookie_header();
/// let response_header = asa.cookie();
///
/// bo.receive_cookie(&response_header)?;
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

    /// From now on the visitor has the session that a `Cookie:` line names, if the framework would accept it.
    pub(crate) fn take_header(&self, line: &str) {
        if let Some(id) = cookie::id_in_header(&*self.store.format, line) {
            self.store.set_id(id);
        }
    }

    /// The visitor's session. Another one after [`receive_cookie`](Self::receive_cookie) with another cookie.
    #[must_use]
    pub fn session(&self) -> Session {
        Session::new(self.lease.clone(), self.store.clone())
    }

    /// The line that a server sends behind `Set-Cookie:`, with the attributes that the settings give
    /// (`redis.sessions.cookie_*`), or the format. Of a format with several cookies, the one that names the session.
    #[must_use]
    pub fn cookie(&self) -> String {
        self.store.cookie(&self.lease)
    }

    /// All lines that a server sends behind `Set-Cookie:`, where the framework has more than one cookie.
    ///
    /// ```
    /// use transient_fixtures::{AxumSession, TestRequest};
    ///
    /// let visitor = TestRequest::clean().visitor_of(AxumSession::new().opt_in());
    /// assert!(visitor.set_cookies()[1].starts_with("store=true; "));
    /// assert!(visitor.cookie_header().ends_with("; store=true"));
    /// ```
    #[must_use]
    pub fn set_cookies(&self) -> Vec<String> {
        self.store.cookies(&self.lease).iter().map(SessionCookie::set_cookie).collect()
    }

    /// What a browser sends behind `Cookie:`: names and values.
    #[must_use]
    pub fn cookie_header(&self) -> String {
        self.store.cookie_header(&self.lease)
    }

    /// Takes what the application has sent behind `Set-Cookie:`, as a browser does: from now on the visitor has that
    /// session. Where the cookie is taken away, the visitor has a new one. Other cookies change nothing.
    ///
    /// # Errors
    ///
    /// [`Error::is_data`] when the line is no cookie, or its signature is wrong: with another secret than the
    /// application's, for example.
    pub fn receive_cookie(&self, set_cookie: &str) -> Result<(), Error> {
        let name = self.store.format.cookie_name();
        match cookie::receive(&*self.store.format, set_cookie) {
            Received::Other => {}
            Received::Session(id) => self.store.set_id(id),
            Received::Removed => self.store.set_id(self.store.format.new_id(super::format::random())),
            Received::Tampered => return Err(Error::new(Kind::Data, report::session::tampered(name))),
            Received::Malformed(error) => {
                return Err(Error::with_source(Kind::Data, report::session::no_cookie(name), error));
            }
        }
        Ok(())
    }

    /// Logs the visitor in: sets the value in which the framework keeps that (`auth.userid` in Pyramid's
    /// `SessionAuthenticationPolicy`, `actix_identity.user_id` in actix-identity, `user_id` elsewhere). Applications
    /// that keep it elsewhere, or more than that (actix-identity with deadlines: the time of the login): [`Session::set`].
    ///
    /// # Errors
    ///
    /// As [`Session::set`].
    pub fn log_in(&self, user: impl Serialize) -> Result<(), Error> {
        self.session().set(self.store.format.user_key(), user)
    }

    /// Who is logged in, if anybody.
    ///
    /// # Errors
    ///
    /// As [`Session::get`].
    pub fn user<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        self.session().get(self.store.format.user_key())
    }

    /// Logs the visitor out. The session stays; [`Session::invalidate`] ends it.
    ///
    /// # Errors
    ///
    /// As [`Session::remove`].
    pub fn log_out(&self) -> Result<(), Error> {
        self.session().remove(self.store.format.user_key()).map(|_| ())
    }

    /// A request that carries the visitor's cookie, for a router's test. Feature `http`.
    ///
    /// ```
    /// use transient_fixtures::TestRequest;
    ///
    /// let visitor = TestRequest::clean().visitor();
    /// // For axum, the body is an `axum::body::Body`: any type that has a default will do.
    /// let request: http::Request<String> = visitor.request("GET", "/cart");
    /// assert_eq!(request.headers()["cookie"], visitor.cookie_header());
    /// ```
    ///
    /// # Panics
    ///
    /// When the method or the URI is none.
    #[cfg(feature = "http")]
    #[must_use]
    #[track_caller]
    pub fn request<Body: Default>(&self, method: &str, uri: &str) -> http::Request<Body> {
        let request =
            http::Request::builder().method(method).uri(uri).header(http::header::COOKIE, self.cookie_header());
        match request.body(Body::default()) {
            Ok(request) => request,
            Err(error) => panic!("{}", report::session::no_request(method, uri, &error)),
        }
    }
}
