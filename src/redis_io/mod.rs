//! The parts of the Redis protocol and its client that several modules need.

mod client_name;
mod commands;
#[cfg(feature = "tap")]
mod expiry;
mod interrupted;
#[cfg(feature = "snapshot")]
pub(crate) mod packed_commands;

pub(crate) use client_name::{HOLDER, WAITER, client_field, client_name, lease_name};
#[cfg(feature = "snapshot")]
pub(crate) use commands::whole_time;
pub(crate) use commands::{knows, milliseconds, now, publishes_events, select_each, ttl};
#[cfg(feature = "tap")]
pub(crate) use expiry::{expire, keys_with_ttl};
pub(crate) use interrupted::{retry_if_interrupted, was_interrupted};
