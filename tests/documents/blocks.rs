//! Every Rust block of the README and of docs/*.md, as a module named after its page and line.
//!
//! As doctests, these blocks would only compile: rustdoc does not build the tests inside a doctest.

include!(concat!(env!("OUT_DIR"), "/blocks.rs"));
