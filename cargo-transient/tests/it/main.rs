//! Runs the built program.

mod backup;
mod backup_between_servers;
mod clean;
mod doctor;
mod documents;
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
