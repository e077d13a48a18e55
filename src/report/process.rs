//! What is said of the provider `process`.

use super::{Duration, Path, io};

pub(crate) const REMEDY: &str =
    "install a server: apt-get install redis-server, brew install redis, or set TRANSIENT_SERVER_BINARY";
pub(crate) const NOT_ON_PATH: &str = "neither redis-server nor valkey-server is on PATH";

#[cfg(unix)]
pub(crate) const NO_FAKETIME: &str = "redis.clock = whole needs libfaketime, which is not installed: \
    apt-get install libfaketime, brew install libfaketime; or set redis.clock = ageing";
#[cfg(unix)]
pub(crate) const UNDER_FAKETIME: &str = " (under libfaketime, for redis.clock = whole; builds with jemalloc hang \
    there, the downloaded Valkey does not)";

pub(crate) fn started(binary: &Path) -> String {
    format!("started {}", binary.display())
}

#[cfg(not(unix))]
pub(crate) const NOT_HERE: &str = "not on this platform, which has no way to end the server with its tests";
#[cfg(not(unix))]
pub(crate) const REMEDY_NOT_HERE: &str = "start a server yourself and name it in TRANSIENT_REDIS_URL";

pub(crate) fn no_port(error: &io::Error) -> String {
    format!("no loopback port is free for a server ({error}); end what holds them all")
}

pub(crate) fn no_such_binary(path: &Path) -> String {
    format!("redis.server_binary names {}, and there is no such executable file", path.display())
}

#[cfg(unix)]
pub(crate) fn not_started(binary: &Path, error: &io::Error) -> String {
    format!("{} can't be started ({error})", binary.display())
}

pub(crate) fn ended(binary: &Path, tail: &str) -> String {
    format!("{} ended before it answered; {}", binary.display(), last_words(tail))
}

pub(crate) fn floods(binary: &Path, tail: &str) -> String {
    format!("{} prints without end and was ended; {}", binary.display(), last_words(tail))
}

pub(crate) fn too_old(binary: &Path, version: &str) -> String {
    format!("{} is Redis {version}, which is too old: transient-fixtures needs 6.2 or newer", binary.display())
}

pub(crate) fn unfit(binary: &Path, why: &str) -> String {
    format!("the server that {} starts can't be used: {why}", binary.display())
}

pub(crate) fn never_ready(binary: &Path, deadline: Duration, tail: &str) -> String {
    format!("{} did not answer within {} s and was ended; {}", binary.display(), deadline.as_secs(), last_words(tail))
}

pub(crate) fn no_free_port(binary: &Path, attempts: u32, tail: &str) -> String {
    format!("{} found its port taken {attempts} times in a row; {}", binary.display(), last_words(tail))
}

pub(crate) fn no_directory(directory: &Path, error: &io::Error) -> String {
    format!("can't make the server's directory {} ({error}); set TMPDIR to a writable one", directory.display())
}

pub(crate) fn no_keeper(error: &io::Error) -> String {
    format!("can't start /bin/sh, which ends the server when the tests are gone ({error})")
}

fn last_words(tail: &str) -> String {
    if tail.is_empty() {
        "it printed nothing (is there space left for its output in the temporary directory?)".to_owned()
    } else {
        format!("its last output:\n{tail}")
    }
}
