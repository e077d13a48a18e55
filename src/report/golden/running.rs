use std::path::Path;
use std::time::Duration;

use super::super::refused;
use super::super::running::*;
use super::{PLACE, SERVER, URL, WORDS, no_permission};

#[test]
fn running_is_golden() {
    let tls = "rediss://redis.example.com";
    let second = Duration::from_secs(1);
    golden!(
        "running",
        [REMEDY_GUESSED],
        [REMEDY_NAMED],
        [taken(&PLACE)],
        [silent(URL, second)],
        [timed_out(second)],
        [unreachable(URL, WORDS)],
        [NO_URL],
        [REMEDY_NOT_REDIS],
        [REMEDY_DENIED],
        [REMEDY_UNFIT],
        [REMEDY_TOO_OLD],
        [REMEDY_KEYS],
        [REMEDY_PROTECTED],
        [REMEDY_FULL],
        [REMEDY_ERROR],
        [REMEDY_PERMISSION],
        [REMEDY_NETWORK],
        [REMEDY_SPEAKS_TLS],
        [REMEDY_TLS_FAILED],
        [REMEDY_NO_TLS],
        [REMEDY_NO_CACHE],
        [not_used(&refused::replica(URL))],
        [not_again(&SERVER, &unreachable(URL, WORDS), None), "without a remedy"],
        [not_again(&SERVER, &full(URL), Some(REMEDY_FULL)), "with a remedy"],
        [replaced(&SERVER)],
        [not_redis(URL, "HTTP/1.1 400 Bad Request\r\n")],
        [hung_up(URL)],
        [speaks_tls(URL)],
        [untold(URL, "role")],
        [too_old(URL, "5.0.3")],
        [keys_forbidden(URL, "asa", "cart:1")],
        [command_forbidden(URL, "asa", "FLUSHDB")],
        [remedy_command("FLUSHDB")],
        [switched_off(URL, "CONFIG")],
        [remedy_switched_off("CONFIG")],
        [protected(URL)],
        [full(URL)],
        [answers_with_error(URL, "INFO", "ERR out of memory")],
        [denied(URL, "WRONGPASS invalid username-password pair or user is disabled.")],
        [no_tls(tls)],
        [tls_failed(tls, "invalid peer certificate: Expired"), "an error"],
        [tls_failed(tls, &timed_out(second)), "silence"],
        [no_cache(Path::new("/home/asa/.cache/transient-fixtures"), &no_permission())],
        [own_refused("CONFIG", true, "unknown command"), "unknown"],
        [own_refused("CONFIG", false, "ERR this is a wrapper"), "refused"],
    );
}
