//! `TestRequest`: the handle of a test, with its settings and a real Redis.

// rustdoc lists the methods in this order: the constructors come first.
mod handle;

#[cfg(feature = "snapshot")]
mod data;
#[cfg(feature = "jobs")]
mod jobs;
#[cfg(feature = "session")]
mod sessions;
#[cfg(feature = "tap")]
mod tap;
mod time;

pub use handle::TestRequest;
