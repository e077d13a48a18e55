//! Runs the built program.

mod clean;
mod doctor;
mod exec;
mod flush;
mod generated;
mod left;
mod mutate;
mod program;
mod publish;
mod record;
mod runner;
mod show;
mod signals;
mod up;
