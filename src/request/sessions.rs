//! Sessions of a test.

use std::sync::Arc;

use super::TestRequest;
use crate::sessions::{Pyramid, Session, SessionFormat, Store, Visitor, remember};

/// Sessions. Feature `session`, on by default.
impl TestRequest {
    /// The session of the visitor whose request this is, in Pyramid's format. All requests of one test have the same.
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

    /// Another visitor, anonymous so far, with a session of his own in Pyramid's format.
    #[must_use]
    pub fn visitor(&self) -> Visitor {
        self.visitor_of(Pyramid::new(self.settings()))
    }

    /// Another visitor of an application that keeps its sessions in that format.
    #[must_use]
    pub fn visitor_of(&self, format: impl SessionFormat) -> Visitor {
        Visitor::new(&self.lease, Arc::new(format))
    }

    /// The visitor who sends that behind `Cookie:`, as the application sees him: a cookie that is missing or has been
    /// tampered with is nobody's, and the visitor has a new session.
    ///
    /// ```
    /// use transient_fixtures::{Error, TestRequest};
    ///
    /// # fn main() -> Result<(), Error> {
    /// let test_request = TestRequest::clean();
    /// let visitor = test_request.visitor();
    /// visitor.session().set("name", "Åsa")?;
    ///
    /// let same = test_request.visitor_with_cookie(&visitor.cookie_header());
    /// assert_eq!(same.session().get::<String>("name")?.as_deref(), Some("Åsa"));
    /// assert!(test_request.visitor_with_cookie("other=1").session().is_new()?);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn visitor_with_cookie(&self, cookie: &str) -> Visitor {
        let visitor = self.visitor();
        visitor.take_header(cookie);
        visitor
    }
}
