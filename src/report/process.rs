//! Text about the provider `process`.

use super::{Duration, Path, Reason, io};

const INSTALL: &str =
    "install a server (apt-get install redis-server, brew install redis), or set TRANSIENT_SERVER_BINARY";
const OTHER_BINARY: &str = "install another server, or name one with TRANSIENT_SERVER_BINARY";

pub(crate) fn not_on_path() -> Reason {
    Reason { why: "neither redis-server nor valkey-server is on PATH".to_owned(), remedy: INSTALL.to_owned() }
}

#[cfg(unix)]
pub(crate) fn no_faketime() -> Reason {
    Reason {
        why: "redis.clock = whole needs libfaketime, which is not installed".to_owned(),
        remedy: "install it (apt-get install libfaketime, brew install libfaketime), or set redis.clock = ageing"
            .to_owned(),
    }
}

/// Why a server did not start under libfaketime.
#[cfg(unix)]
pub(crate) fn under_faketime(reason: &Reason) -> Reason {
    Reason {
        why: format!("under libfaketime, for redis.clock = whole: {}", reason.why),
        remedy: "use the downloaded Valkey (TRANSIENT_PROVIDER=download), or set redis.clock = ageing. Builds with \
            jemalloc hang under libfaketime"
            .to_owned(),
    }
}

pub(crate) fn started(binary: &Path) -> String {
    format!("started {}", binary.display())
}

#[cfg(not(unix))]
pub(crate) fn not_here() -> Reason {
    Reason {
        why: "not on this platform, where a server can't be tied to the life of the tests".to_owned(),
        remedy: "start a server yourself, and name it in TRANSIENT_REDIS_URL".to_owned(),
    }
}

pub(crate) fn no_port(error: &io::Error) -> Reason {
    Reason {
        why: format!("no free loopback port for a server ({error})"),
        remedy: "stop processes that hold ports of 127.0.0.1".to_owned(),
    }
}

pub(crate) fn no_such_binary(path: &Path) -> Reason {
    Reason {
        why: format!("redis.server_binary names {}, which is not an executable file", path.display()),
        remedy: "name a redis-server or valkey-server there, or remove the setting (TRANSIENT_SERVER_BINARY)"
            .to_owned(),
    }
}

#[cfg(unix)]
pub(crate) fn not_started(binary: &Path, error: &io::Error) -> Reason {
    Reason { why: format!("could not start {} ({error})", binary.display()), remedy: OTHER_BINARY.to_owned() }
}

pub(crate) fn ended(binary: &Path, tail: &str) -> Reason {
    Reason {
        why: format!("{} exited before it answered. {}", binary.display(), last_words(tail)),
        remedy: OTHER_BINARY.to_owned(),
    }
}

pub(crate) fn floods(binary: &Path, tail: &str) -> Reason {
    Reason {
        why: format!("{} kept printing and was stopped. {}", binary.display(), last_words(tail)),
        remedy: OTHER_BINARY.to_owned(),
    }
}

pub(crate) fn too_old(binary: &Path, version: &str) -> Reason {
    Reason {
        why: format!("{} is Redis {version}, and transient-fixtures needs 6.2 or newer", binary.display()),
        remedy: "install a newer one, or name another server with TRANSIENT_SERVER_BINARY".to_owned(),
    }
}

pub(crate) fn unfit(binary: &Path, why: &str) -> Reason {
    Reason { why: format!("{} is unsuitable: {why}", binary.display()), remedy: OTHER_BINARY.to_owned() }
}

/// Something that should never fail did.
pub(crate) fn other(binary: &Path, error: &dyn std::fmt::Display) -> Reason {
    Reason { why: format!("could not connect to {} ({error})", binary.display()), remedy: OTHER_BINARY.to_owned() }
}

pub(crate) fn never_ready(binary: &Path, deadline: Duration, tail: &str) -> Reason {
    Reason {
        why: format!(
            "{} did not answer within {} s and was stopped. {}",
            binary.display(),
            deadline.as_secs(),
            last_words(tail)
        ),
        remedy: OTHER_BINARY.to_owned(),
    }
}

pub(crate) fn no_free_port(binary: &Path, attempts: u32, tail: &str) -> Reason {
    Reason {
        why: format!("{} found its port taken {attempts} times in a row. {}", binary.display(), last_words(tail)),
        remedy: "stop processes that hold ports of 127.0.0.1, then run the tests again".to_owned(),
    }
}

pub(crate) fn no_directory(directory: &Path, error: &io::Error) -> Reason {
    Reason {
        why: format!("could not create the directory {} ({error})", directory.display()),
        remedy: "set TMPDIR to a writable directory".to_owned(),
    }
}

pub(crate) fn no_supervisor(error: &io::Error) -> Reason {
    Reason {
        why: format!("could not start /bin/sh, which stops the server when the tests are gone ({error})"),
        remedy: "make /bin/sh available, or start a server yourself and name it in TRANSIENT_REDIS_URL".to_owned(),
    }
}

fn last_words(tail: &str) -> String {
    if tail.is_empty() {
        "It printed nothing: check that the temporary directory has free space".to_owned()
    } else {
        format!("Its last output:\n{tail}")
    }
}
