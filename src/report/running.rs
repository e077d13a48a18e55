//! What is said of the provider `running`.

use super::{Display, Duration, Path, io, shown};

pub(crate) const REMEDY_GUESSED: &str =
    "start a server there (redis-server), or name one: TRANSIENT_REDIS_URL=redis://host:port";
pub(crate) const REMEDY_NAMED: &str =
    "start that server, correct the URL, or unset it to have a server started for you";

pub(crate) fn taken(place: &dyn Display) -> String {
    format!("it answers, and is named by {place}")
}

pub(crate) fn silent(url: &str, waited: Duration) -> String {
    format!("{url} did not answer within {} s; it is down, or no Redis", waited.as_secs())
}

pub(crate) fn unreachable(url: &str, error: &str) -> String {
    format!("nothing answers at {url} ({error})")
}

pub(crate) const REMEDY_NOT_REDIS: &str = "correct the URL";
pub(crate) const REMEDY_DENIED: &str = "put the right user and password into the URL";
pub(crate) const REMEDY_UNFIT: &str = "name a Redis or Valkey server";
pub(crate) const REMEDY_TOO_OLD: &str = "name a Redis of version 6.2 or newer, or a Valkey";
pub(crate) const REMEDY_KEYS: &str = "give the user all keys (~*), which a test server's user may have";
pub(crate) const REMEDY_PROTECTED: &str = "give the server a password, or connect to it by 127.0.0.1";
pub(crate) const REMEDY_FULL: &str = "close connections to it, or raise its maxclients";
pub(crate) const REMEDY_ERROR: &str = "mend that on the server, or name another one";
pub(crate) const REMEDY_PERMISSION: &str = "let this user read and write the socket, or name the server by its port";
pub(crate) const REMEDY_NETWORK: &str = "bring the network interface up (ip link set lo up), or correct the address";
pub(crate) const REMEDY_SPEAKS_TLS: &str = "write rediss:// in the URL";
pub(crate) const REMEDY_TLS_FAILED: &str = "write redis:// if the server has no TLS, or mend its certificate";
pub(crate) const REMEDY_NO_TLS: &str = "use redis://, or add `redis` with its feature `tokio-rustls-comp` to your \
    dev-dependencies, and `rustls` with its feature `ring`";
pub(crate) const REMEDY_NO_CACHE: &str = "set XDG_CACHE_HOME to a writable directory";
pub(crate) const REPLACED: &str = "another server has just taken its place";

pub(crate) fn not_used(why: &str) -> String {
    format!("not used: failed to {why}")
}

pub(crate) fn not_redis(url: &str, words: &str) -> String {
    format!("what answers at {url} is no Redis ({})", shown(words.trim()))
}

pub(crate) fn hung_up(url: &str) -> String {
    format!("what answers at {url} is no Redis (it hangs up)")
}

pub(crate) fn speaks_tls(url: &str) -> String {
    format!("{url} speaks TLS")
}

pub(crate) fn untold(url: &str, what: &str) -> String {
    format!("{url} does not say its {what} in INFO, as a Redis does")
}

pub(crate) fn too_old(url: &str, version: &str) -> String {
    format!("{url} is Redis {}, which is too old", shown(version))
}

pub(crate) fn keys_forbidden(url: &str, user: &str, key: &str) -> String {
    format!("the user {user} may not use keys such as {key} on {url}")
}

pub(crate) fn command_forbidden(url: &str, user: &str, command: &str) -> String {
    format!("the user {user} may not use {command} on {url}")
}

pub(crate) fn remedy_command(command: &str) -> String {
    format!("give the user +{}, or +@all, which a test server's user may have", command.to_lowercase())
}

pub(crate) fn switched_off(url: &str, command: &str) -> String {
    format!("{command} is switched off on {url}")
}

pub(crate) fn remedy_switched_off(command: &str) -> String {
    format!("switch {command} on (rename-command in redis.conf), or name another server")
}

pub(crate) fn protected(url: &str) -> String {
    format!("{url} is in protected mode, and takes connections from its own machine only")
}

pub(crate) fn full(url: &str) -> String {
    format!("{url} has as many clients as it takes")
}

pub(crate) fn answers_with_error(url: &str, command: &str, error: &str) -> String {
    format!("{url} answers {command} with an error ({})", shown(error))
}

pub(crate) fn denied(url: &str, error: &str) -> String {
    format!("{url} does not let us in ({})", shown(error))
}

pub(crate) fn no_tls(url: &str) -> String {
    format!("{url} asks for TLS, which this build of redis has not")
}

pub(crate) fn tls_failed(url: &str, error: &str) -> String {
    format!("{url} asks for TLS, and the server does not speak it as we do ({})", shown(error))
}

pub(crate) fn no_cache(directory: &Path, error: &io::Error) -> String {
    format!("tests take turns on it by a file in {}, which can't be written ({error})", directory.display())
}

pub(crate) fn own_refused(command: &str, is_unknown: bool, words: &str) -> String {
    if is_unknown { format!("{command} is switched off") } else { format!("{command} is refused ({})", shown(words)) }
}
