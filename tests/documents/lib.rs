//! Empty, because this package has only tests.
