//! The tests after porting: the same test, on databases of its own.

mod fixed_port;
mod memoised;
mod redis_test;
mod serial;
mod testcontainers;
mod without_rstest;
