use std::path::Path;
use std::time::Duration;

use super::super::races::*;
use super::super::tap::CUT_BEFORE as CUT;

#[test]
fn races_are_golden() {
    let rows = [
        (Some(0), START.to_owned()),
        (Some(0), step("GET price:1", Some("nil"), None)),
        (Some(1), START.to_owned()),
        (Some(1), point("commit")),
        (None, expires("lock:a")),
        (Some(1), step("DEL price:1", None, Some(CUT))),
        (Some(0), step(&format!("SETEX price:1 60 {}", "9".repeat(100)), Some("OK"), None)),
    ];
    let orders = diagram(&["reader", "writer"], &rows);
    let place_of = place(Some(14), 35, true, 4);
    let second = Duration::from_secs(1);
    let waiting = [("reader".to_owned(), "BLPOP mail 0".to_owned()), ("writer".to_owned(), after("302 sent"))];
    let lines = ["INCR a".to_owned(), "SETEX page:1 60 \"a long page\"".to_owned()];
    golden!(
        "races",
        [START],
        [TIMEOUT],
        [DIES],
        [point("commit")],
        [after("302 sent")],
        [expires("lock:a")],
        [travels(Duration::from_millis(3500))],
        [transaction(&lines[..1]), "one command"],
        [transaction(&[lines.clone(), lines.clone()].concat()), "more than fit"],
        [step("GET a", Some("nil"), None), "a reply"],
        [step("DEL a", None, Some(CUT)), "a fault"],
        [diagram(&["reader", "writer"], &rows)],
        [place(Some(14), 35, true, 4), "all were run"],
        [place(Some(14), 20_000, false, 4), "some were run"],
        [place(None, 20_000, false, 4), "found later"],
        [failed(&place_of, &check_failed("left: 2, right: 1"), &orders, "reader*2,writer*3,reader", None), "alone"],
        [
            failed(
                &place_of,
                &check_failed("left: 2, right: 1"),
                &orders,
                "reader*2",
                Some(Path::new("target/a.json"))
            ),
            "with a file"
        ],
        [schedule_not_written(Path::new("target/a.json"), &"Permission denied (os error 13)")],
        [check_failed("left: 2, right: 1")],
        [client_failed("reader", "no such page")],
        [not_started("python3", &"Exec format error (os error 8)")],
        [exited("exit status: 1", &["ConnectionError: reset".to_owned()]), "it wrote to standard error"],
        [exited("signal: 9 (SIGKILL)", &[]), "it wrote nothing"],
        [seed_failed("Connection refused (os error 111)")],
        [deadlock(&waiting)],
        [spins(&["a".to_owned()], &["GET/2".to_owned()])],
        [stalled("reader", "GET price:1", second * 5)],
        [too_long(second * 20)],
        [broken("out of order", &orders)],
        [differs(3, "reader GET/2, writer DEL/2", "reader GET/2, writer SET/3")],
        [impossible(3, "writer")],
        [gave_up("reader", "GET price:1")],
        [stuck("reader", second * 5)],
        [incomplete(200_000, 200_000, second * 60)],
        [summary(35, 0, true, None), "all"],
        [summary(1, 10, true, None), "with equivalent ones"],
        [summary(35, 0, true, Some(2)), "bounded preemptions"],
        [summary(35, 0, false, None), "cut short"],
        [progress(4000)],
        [bad_replay("3/cut-after")],
        [no_client("writer")],
        [same_name("writer")],
        [other_type("writer", "u32")],
        [stampede(50, 3, 1)],
        [stampede_stuck(second * 20)],
    );
}
