//! Runs the built program.

mod exec;
mod left;
mod program;
mod runner;
mod signals;
