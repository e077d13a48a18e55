use std::time::Duration;

use super::super::faults::*;

#[test]
fn faults_are_golden() {
    let push = "[1] 15 LPUSH mail \"order 7\" -> 1";
    let by_fault = || [(CUT_AFTER, [1, 1]), (LOSING_DATA, [2, 0])].into_iter();
    let all = summary(4, 2, 0, by_fault(), Pairs::NotChosen);
    golden!(
        "faults",
        [CUT_BEFORE],
        [CUT_AFTER],
        [LOSING_DATA],
        [RESTART],
        [FAILING_POINT],
        [late(Duration::from_millis(600))],
        [error("LOADING Redis is loading the dataset in memory")],
        [losing("cart:*")],
        [expiring("cart:*")],
        [point_failed("commit")],
        [place(CUT_AFTER, 3, 7, push), "a command"],
        [place(FAILING_POINT, 1, 2, "commit"), "a point"],
        [and_then(&place(CUT_AFTER, 3, 7, push), &place(CUT_BEFORE, 4, 8, push))],
        [summary(4, 2, 0, by_fault(), Pairs::NotChosen), "without points"],
        [summary(5, 2, 1, by_fault().chain([(FAILING_POINT, [1, 0])]), Pairs::NotChosen), "with points"],
        [summary(10, 2, 0, by_fault(), Pairs::Run([5, 1])), "with pairs"],
        [summary(4, 2, 0, by_fault(), Pairs::NotRun), "pairs not run"],
        [not_deterministic(2, Some("GET cart:*"), Some("DEL cart:*")), "another command"],
        [not_deterministic(2, Some("GET cart:*"), None), "fewer commands"],
        [unreached(2)],
        [progress(40, 120)],
        [failed(&place(CUT_AFTER, 3, 7, push), "left: 2, right: 1", &format!("{push}\n"), &all, "3/cut-after")],
        [fails_without_faults("out of order", &push)],
        [seed_failed("Connection refused (os error 111)")],
        [again("the cache is empty")],
        [then("left: 2, right: 1")],
        [too_slow(Duration::from_secs(10))],
        [bad_replay("3-cut")],
    );
}
