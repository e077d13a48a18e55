use std::time::Duration;

use super::super::lease::*;
use super::{SERVER, TEST, URL, WORDS};

#[test]
fn lease_is_golden() {
    let other = "shop::carts::are_filled";
    golden!(
        "lease",
        [busy(URL, &holder(4711, other), Duration::from_secs(60))],
        [waits_for_itself(URL, TEST)],
        [may_wait_for_itself(URL, TEST)],
        [waiting(URL, &holder(4711, other)), "the holder is known"],
        [waiting(URL, &unknown_holder()), "the holder is unknown"],
        [holder(4711, other)],
        [holder_elsewhere("4711", other, "192.0.2.7:50210")],
        [unknown_holder()],
        [over(TEST)],
        [lost(TEST)],
        [not_left(TEST, &SERVER, &WORDS)],
        [other_server(TEST, &SERVER)],
        [not_emptied(TEST)],
        [process_wide("main")],
        [process_wide_on_shared(&SERVER)],
        [adopted(URL, 14, 1, true), "cleared, one key"],
        [adopted(URL, 14, 3, false), "not cleared, several keys"],
        [released_in_use(TEST, &SERVER)],
        [ended_with_clone(TEST, &SERVER)],
        [ended_with_connection(TEST, &SERVER, other)],
        [second_server(other)],
        [refused_logins(1), "one"],
        [refused_logins(2), "several"],
    );
}
