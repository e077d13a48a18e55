//! The parts of the Redis protocol and its client that several modules need.

mod client_name;
mod commands;
mod interrupted;
#[cfg(feature = "snapshot")]
pub(crate) mod packed_commands;

pub(crate) use client_name::{HOLDER, WAITER, client_name, lease_name};
pub(crate) use commands::{knows, milliseconds, select_each};
pub(crate) use interrupted::{retry_if_interrupted, was_interrupted};
