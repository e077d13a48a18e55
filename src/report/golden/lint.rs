use std::time::Duration;

use super::super::lint::*;
use super::super::server_lost;
use super::{SERVER, TEST};

#[test]
fn lint_is_golden() {
    let week = Duration::from_secs(7 * 24 * 60 * 60);
    let long = [b'k'; 110];
    let many = [(b"cart:1".as_slice(), "hash", 80, None); 21];
    let few = [
        (b"cart:1".as_slice(), "hash", 80, None),
        (b"brand:\xff".as_slice(), "string", 56, Some(week)),
        (long.as_slice(), "list", 152, Some(week)),
    ];
    golden!(
        "lint",
        [eternal(TEST, few[..1].iter().copied()), "one key"],
        [eternal(TEST, many.iter().copied()), "more keys than are listed"],
        [out_of_bounds(TEST, "ttl <= 1d", few.iter().copied())],
        [not_empty(TEST, few.iter().copied())],
        [not_checked(TEST, &format_args!("{}", server_lost(&SERVER)))],
    );
}
