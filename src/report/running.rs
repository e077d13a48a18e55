//! What is said of the rung `running`.

use super::{Display, Duration};

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

pub(crate) fn not_redis(url: &str, error: &str) -> String {
    format!("what answers at {url} is no Redis ({error})")
}

pub(crate) fn answers_with_error(url: &str, error: &str) -> String {
    format!("{url} answers with an error ({error}); mend that, or name another server")
}

pub(crate) fn denied(url: &str, error: &str) -> String {
    format!("{url} does not let us in ({error}); put the right user and password into the URL")
}

pub(crate) fn no_tls(url: &str) -> String {
    format!(
        "{url} asks for TLS, which this build of redis has not; use redis://, or add `redis` with its feature \
         `tokio-rustls-comp` to your dev-dependencies, and `rustls` with its feature `ring`"
    )
}

pub(crate) fn tls_failed(url: &str, error: &str) -> String {
    format!("{url} asks for TLS, and the server does not speak it as we do ({error}); is it redis:// instead?")
}
