//! Who may use which server when. A [`Lease`] is the right of one test to one server's test databases, and is always
//! exclusive: a server of our own serves one lease at a time ([`pool`]), a running one is locked ([`lock`]).
//!
//! A lease belongs to a test ([`current`] finds it again). It ends with the test's guard, or without one with the last
//! clone of its `TestRequest`.

pub(crate) mod current;
mod held;
mod lock;
mod pool;

pub(crate) use held::{Ending, Lease};
