//! The same test after porting, each on its own databases.

mod fixed_port;
mod memoised;
mod redis_test;
mod serial;
mod testcontainers;
mod without_rstest;
