//! Each Rust block of the README and of docs/*.md, as a module named after its page and line.
//!
//! As doctests they only compile, without the bodies of tests: rustdoc builds no tests of a doctest.

include!(concat!(env!("OUT_DIR"), "/blocks.rs"));
