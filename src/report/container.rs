//! Text about the provider container.

#[cfg(feature = "container")]
use std::path::Path;
#[cfg(feature = "container")]
use std::time::Duration;

#[cfg(not(feature = "container"))]
pub(crate) const NOT_BUILT_IN: &str = "the feature `container` of transient-fixtures is not enabled";
#[cfg(not(feature = "container"))]
pub(crate) const REMEDY_NOT_BUILT_IN: &str = "add the feature `container` to the dev-dependency";
#[cfg(not(feature = "container"))]
pub(crate) const REMEDY_NOT_IN_PROGRAM: &str = "install with it: cargo install cargo-transient --features container";

#[cfg(feature = "container")]
pub(crate) const REMEDY: &str = "start a container engine (Docker or podman), or set DOCKER_HOST";
#[cfg(feature = "container")]
pub(crate) const REMEDY_NO_SLOT: &str = "set XDG_CACHE_HOME to a writable directory";

pub(crate) fn started(image: &str) -> String {
    format!("started the image {image}")
}

#[cfg(feature = "container")]
pub(crate) fn no_engine(error: &str) -> String {
    format!("no container engine answers ({error})")
}

#[cfg(feature = "container")]
pub(crate) fn remedy_podman(socket: &Path) -> String {
    format!("use podman's socket: export DOCKER_HOST=unix://{}", socket.display())
}

#[cfg(feature = "container")]
pub(crate) fn not_started(image: &str, error: &str) -> String {
    format!("could not start the image {image} ({error})")
}

#[cfg(feature = "container")]
pub(crate) fn no_slot(directory: &Path, error: &std::io::Error) -> String {
    format!("processes share containers through {}, which can't be written ({error})", directory.display())
}

#[cfg(feature = "container")]
pub(crate) fn too_slow(image: &str, deadline: Duration) -> String {
    format!("the image {image} did not start and answer within {} s", deadline.as_secs())
}

#[cfg(feature = "container")]
pub(crate) fn remedy_image(image: &str) -> String {
    format!("pull the image first (docker pull {image}), or name another one with TRANSIENT_IMAGE")
}
