//! The tests of transient-fixtures: one binary, a file per module of the crate, against real servers.

mod child;
mod own_server;

mod clean;
mod closed_control;
mod data;
mod download;
mod failure;
mod faults;
mod first_contact;
mod fixtures;
mod guard;
mod identity;
mod jobs;
mod keep;
mod ladder;
mod lease;
mod lint;
mod loaded;
mod model;
mod ownership;
mod process;
mod repository;
mod request;
mod running;
mod serial;
mod session;
mod settings;
mod settings_bounds;
mod settings_of_frameworks;
mod snapshot;
mod tap;
mod torture;
mod travel;
