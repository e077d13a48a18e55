//! The tests before porting. Each file uses another tool.

mod fixed_port;
mod redis_test;
mod serial;
mod testcontainers;
