//! Text about the provider `running`.

use super::{Display, Duration, Path, io, shown};

pub(crate) const REMEDY_GUESSED: &str =
    "start a server there (redis-server), or name one with TRANSIENT_REDIS_URL=redis://host:port";
pub(crate) const REMEDY_NAMED: &str = "start that server, or unset its URL to have one started for you";

pub(crate) fn taken(place: &dyn Display) -> String {
    format!("its URL comes from {place}")
}

pub(crate) fn silent(url: &str, waited: Duration) -> String {
    format!("{url} is down or not a Redis server: {}", timed_out(waited))
}

pub(crate) fn timed_out(waited: Duration) -> String {
    format!("no answer within {} s", waited.as_secs())
}

pub(crate) fn unreachable(url: &str, error: &str) -> String {
    format!("nothing answers at {url} ({error})")
}

pub(crate) const NO_URL: &str = "not a Redis URL";
pub(crate) const REMEDY_NOT_REDIS: &str = "name a Redis server, such as redis://host:port";
pub(crate) const REMEDY_DENIED: &str = "put the right user and password into the URL";
pub(crate) const REMEDY_UNFIT: &str = "use a Redis or Valkey server";
pub(crate) const REMEDY_TOO_OLD: &str = "use Redis 6.2 or newer, or Valkey";
pub(crate) const REMEDY_KEYS: &str = "allow the user all keys (~*)";
pub(crate) const REMEDY_PROTECTED: &str = "set a password on the server, or connect through 127.0.0.1";
pub(crate) const REMEDY_FULL: &str = "close connections to it, or raise its maxclients";
pub(crate) const REMEDY_ERROR: &str = "fix the error on the server, or use another one";
pub(crate) const REMEDY_PERMISSION: &str =
    "give this user read and write permission on the socket, or connect through the server's port";
pub(crate) const REMEDY_NETWORK: &str = "bring the network interface up (ip link set lo up), or use another address";
pub(crate) const REMEDY_SPEAKS_TLS: &str = "write rediss:// in the URL";
pub(crate) const REMEDY_TLS_FAILED: &str = "write redis:// if the server has no TLS, or fix its certificate";
pub(crate) const REMEDY_NO_TLS: &str = "use redis://, or add `redis` with its feature `tokio-rustls-comp` to your \
    dev-dependencies, and `rustls` with its feature `ring`";
pub(crate) const REMEDY_NO_CACHE: &str = "set XDG_CACHE_HOME to a writable directory";

/// `why`: whole sentences, which end with a remedy.
pub(crate) fn not_used(why: &str) -> String {
    format!("not used: {why}")
}

/// A server that was used before. `why`: a clause.
pub(crate) fn not_again(server: &dyn Display, why: &str, remedy: Option<&str>) -> String {
    let remedy = remedy.unwrap_or("check that it is still running, then run the test again");
    format!("lost {server} while preparing it for a test: {why}. {}", super::capitalized(remedy))
}

pub(crate) fn replaced(server: &dyn Display) -> String {
    format!("another server took the place of {server} while a test was being prepared. Run the test again")
}

pub(crate) fn not_redis(url: &str, words: &str) -> String {
    format!("the peer at {url} is not a Redis server: it answered {:?}", shown(words.trim()))
}

pub(crate) fn hung_up(url: &str) -> String {
    format!("the peer at {url} is not a Redis server: it closed the connection")
}

pub(crate) fn speaks_tls(url: &str) -> String {
    format!("the server at {url} requires TLS")
}

pub(crate) fn untold(url: &str, what: &str) -> String {
    format!("the peer at {url} is not a Redis server: its INFO lacks {what}")
}

pub(crate) fn too_old(url: &str, version: &str) -> String {
    format!("{url} is Redis {}, which is too old", shown(version))
}

pub(crate) fn keys_forbidden(url: &str, user: &str, key: &str) -> String {
    format!("the user {user} has no permission for keys such as {key} on {url}")
}

pub(crate) fn command_forbidden(url: &str, user: &str, command: &str) -> String {
    format!("the user {user} has no permission for the command {command} on {url}")
}

pub(crate) fn remedy_command(command: &str) -> String {
    format!("allow the user +{} or +@all", command.to_lowercase())
}

pub(crate) fn switched_off(url: &str, command: &str) -> String {
    format!("{command} is disabled on {url}")
}

pub(crate) fn remedy_switched_off(command: &str) -> String {
    format!("enable {command} (rename-command in redis.conf), or use another server")
}

pub(crate) fn protected(url: &str) -> String {
    format!("{url} is in protected mode, and accepts connections from its own machine only")
}

pub(crate) fn full(url: &str) -> String {
    format!("{url} has reached its maximum number of clients")
}

pub(crate) fn answers_with_error(url: &str, command: &str, error: &str) -> String {
    format!("{url} answers {command} with an error ({})", shown(error))
}

pub(crate) fn denied(url: &str, error: &str) -> String {
    format!("{url} rejected the login ({})", shown(error))
}

pub(crate) fn no_tls(url: &str) -> String {
    format!("{url} needs TLS, but the `redis` crate was built without it")
}

pub(crate) fn tls_failed(url: &str, error: &str) -> String {
    format!("the TLS handshake with {url} failed ({})", shown(error))
}

pub(crate) fn no_cache(directory: &Path, error: &io::Error) -> String {
    format!("tests take turns on it through a file in {}, which can't be written ({error})", directory.display())
}

pub(crate) fn own_refused(command: &str, is_unknown: bool, words: &str) -> String {
    if is_unknown { format!("{command} is disabled") } else { format!("{command} is rejected ({})", shown(words)) }
}
