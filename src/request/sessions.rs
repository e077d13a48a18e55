//! Sessions and visitors.

use std::sync::Arc;

use super::TestRequest;
use crate::sessions::{Pyramid, Session, SessionFormat, Store, Visitor, remember};

/// Sessions. Feature `session`, on by default.
impl TestRequest {
    /// Returns the session of the test's own visitor, in Pyramid's format. All requests of one test share it.
    ///
    /// ```
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let test_request = transient_fixtures::TestRequest::clean();
    /// test_request.session().set("seen", 3)?;
    /// assert_eq!(test_request.session().get::<u32>("seen")?, Some(3));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn session(&self) -> Session {
        let store = self.lease.shared(|| Store::new(Arc::new(Pyramid::new(self.settings()))));
        remember(&self.lease, &store.format);
        Session::new(self.lease.clone(), store)
    }

    /// Returns a new visitor, not logged in, with their own session in Pyramid's format.
    ///
    /// ```
    /// # fn main() -> Result<(), transient_fixtures::Error> {
    /// let test_request = transient_fixtures::TestRequest::clean();
    /// let (asa, bo) = (test_request.visitor(), test_request.visitor());
    /// asa.session().set("cart", ["brand-1"])?;
    /// assert!(bo.session().is_new()?);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn visitor(&self) -> Visitor {
        self.visitor_with_format(Pyramid::new(self.settings()))
    }

    /// Returns a new visitor whose session is in another format than Pyramid's.
    ///
    /// ```
    /// use transient_fixtures::{AxumSession, TestRequest};
    ///
    /// let visitor = TestRequest::clean().visitor_with_format(AxumSession::new());
    /// assert!(visitor.session().key().starts_with("sessions:"));
    /// ```
    #[must_use]
    pub fn visitor_with_format(&self, format: impl SessionFormat) -> Visitor {
        Visitor::new(&self.lease, Arc::new(format))
    }

    /// Returns the visitor who sends that `Cookie:` value, as the application would recognise them.
    ///
    /// A missing or tampered session cookie yields a new session, as in the application.
    ///
    /// ```
    /// use transient_fixtures::{Error, TestRequest};
    ///
    /// # fn main() -> Result<(), Error> {
    /// let test_request = TestRequest::clean();
    /// let visitor = test_request.visitor();
    /// visitor.session().set("name", "Åsa")?;
    ///
    /// let same = test_request.visitor_with_cookie(&visitor.cookie());
    /// assert_eq!(same.session().get::<String>("name")?.as_deref(), Some("Åsa"));
    /// assert!(test_request.visitor_with_cookie("other=1").session().is_new()?);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn visitor_with_cookie(&self, cookie: &str) -> Visitor {
        let visitor = self.visitor();
        visitor.apply_cookie(cookie);
        visitor
    }
}
