//! Runs the built program.

mod clean;
mod doctor;
mod exec;
mod left;
mod program;
mod runner;
mod signals;
mod up;
