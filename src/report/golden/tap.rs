use std::path::Path;

use super::super::tap::*;
use super::SERVER;

#[test]
fn tap_is_golden() {
    let get = "[1] 14 GET price:1 -> nil";
    let long = [b'x'; 100];
    let file = Path::new("target/recording");
    let many = [b"a".as_slice(); 10];
    let broken = [round_trips("at most 2", 3), never("KEYS", &get)];
    golden!(
        "tap",
        [DELAYED],
        [CUT_BEFORE],
        [CUT_AFTER],
        [LATE],
        [ERROR],
        [PRETENDED],
        [NIL],
        [HALF_REPLY],
        [GARBAGE],
        [WITHOUT_EXPIRY],
        [TWICE],
        [BEFORE],
        [RESTARTED],
        [command(1, None, 14, "GET", &[b"price:1"], 0, Some((b"$3\r\n\xc3\x85\xff\r\n", 9))), "a value"],
        [command(2, Some("shop"), 14, "GET", &[b"a key"], 0, None), "no reply"],
        [command(2, Some("shop"), 14, "SET", &[b"a", &long], 0, Some((b"+OK\r\n", 5))), "a long argument"],
        [command(1, None, 15, "DEL", &many, 7, Some((b":0\r\n", 4))), "more arguments than are shown"],
        [command(1, None, 14, "GET", &[b"a"], 0, Some((b"$-1\r\n", 5))), "nil"],
        [command(1, None, 14, "KEYS", &[b"*"], 0, Some((b"*0\r\n", 4))), "no elements"],
        [command(1, None, 14, "KEYS", &[b"*"], 0, Some((b"*2\r\n$1\r\na\r\n$1\r\nb\r\n", 18))), "elements"],
        [command(1, None, 14, "GET", &[b"a"], 0, Some((b"-WRONGTYPE no\r\n", 15))), "an error"],
        [command(1, None, 14, "GET", &[b"a"], 0, Some((b"$100\r\nxxxx", 108))), "a long value"],
        [fault(CUT_AFTER)],
        [not_started()],
        [NO_CRYPTO_PROVIDER],
        [tls(&SERVER)],
        [rule_refused(&"NOPERM User shop has no permissions to run the 'eval' command")],
        [restarts_shared()],
        [tls_failed(&"invalid peer certificate: UnknownIssuer")],
        [no_socket()],
        [no_socket_directory("no such directory")],
        [TOO_DEEP],
        [unexpected_type(b':')],
        [unexpected_in_length(b'\n')],
        [invalid_length(b'%')],
        [malformed(3, true, &unexpected_type(b':'), b"*1\r\n:1\r\n"), "of the client"],
        [malformed(3, false, &unexpected_type(b'H'), b"HTTP/1.1 400 Bad Request\r\n"), "of the server"],
        [count(None, None), "any"],
        [count(Some(1), None), "at least"],
        [count(None, Some(2)), "at most"],
        [count(Some(1), Some(2)), "between"],
        [count(Some(2), Some(2)), "a number"],
        [unrecorded(3)],
        [round_trips("at most 2", 3)],
        [commands("GET", "1", 3)],
        [never("KEYS", &get)],
        [without_ttl("[1] 14 SET price:1 12900 -> OK")],
        [drops_ttl(b"price:1", &"[1] 14 SET price:1 12900 -> OK")],
        [n_plus_one("GET price:*", 3)],
        [over_budget(&broken, &get)],
        [no_read()],
        [missed(get)],
        [filled_after_hit("[1] 14 SET price:1 12900 -> OK")],
        [not_missed("[1] 14 GET price:1 -> 12900")],
        [not_filled(get)],
        [not_seen(10, &get)],
        [not_subscribed("news", 10, &get)],
        [recording_too_late()],
        [already_recording()],
        [recording_not_created(file)],
        [recording_ended(file, &"No space left on device")],
        [recording_unreadable(file)],
        [not_a_recording(file, "PK\x03")],
    );
}
