use super::super::failure::*;
use super::super::jobs::NEVER_STILL;
use super::super::lease::lost;
use super::{SERVER, TEST};

#[test]
fn failure_is_golden() {
    let again = rerun(Some("shop"), "carts::are_emptied");
    let changed = changes("added 14 cart:1 string \"cap\"\nremoved 14 brand:1 string \"Asa\"");
    let waiting = |count: usize| jobs((0..count).map(|number| format!("mail: shop.send_mail({number})")), 2);
    let hints = ["One hint.".to_owned(), "Another hint.".to_owned()];
    golden!(
        "failure",
        [
            explain(TEST, &SERVER, (14, 15), UNCHANGED, &jobs([""; 0].iter(), 2), &[], &again),
            "nothing changed, no jobs"
        ],
        [explain(TEST, &SERVER, (14, 15), &changed, &waiting(1), &hints, &again), "all parts"],
        [
            explain(TEST, &SERVER, (14, 15), &not_seen(&format_args!("{}", lost(TEST))), "", &[], &again),
            "nothing is known"
        ],
        [rerun(Some("shop"), "carts::are_emptied"), "the package is known"],
        [rerun(None, "carts::are_emptied"), "the package is unknown"],
        [UNCHANGED],
        [changes("removed 14 brand:1 string \"Asa\""), "a short line"],
        [changes(&"å".repeat(400)), "a long line"],
        [not_seen(&format_args!("OOM"))],
        [jobs_not_seen(&format_args!("{}", NEVER_STILL))],
        [jobs(["mail: shop.send_mail(0)"].iter(), 2), "one"],
        [jobs(["mail: shop.send_mail(0)"; 3].iter(), 2), "more than are listed"],
    );
}
