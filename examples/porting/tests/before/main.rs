//! The tests before porting: each file does it in another way.

mod fixed_port;
mod redis_test;
mod serial;
mod testcontainers;
