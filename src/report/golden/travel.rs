use std::time::Duration;

use super::super::lease::lost;
use super::super::travel::*;
use super::{SERVER, TEST};

#[test]
fn travel_is_golden() {
    let minute = Duration::from_secs(60);
    let range = minute..=2 * minute;
    golden!(
        "travel",
        [not_travelled(&SERVER)],
        [clock_did_not_move(&SERVER, minute)],
        [fields_stay(&SERVER, 3, minute)],
        [without_ttl("cart:1")],
        [ttl_not_read("cart:1", &format_args!("{}", lost(TEST)))],
        [other_ttl("cart:1", &range, Some(3 * minute), true), "another one"],
        [other_ttl("cart:1", &range, None, true), "none"],
        [other_ttl("cart:1", &range, None, false), "no key"],
    );
}
