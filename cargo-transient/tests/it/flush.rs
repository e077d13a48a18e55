//! `flush`: only what the guard allows.

use crate::program::{PROGRAM, Program, with_a_running_server};

#[test]
fn keys_of_a_test_go_and_others_stay() {
    let ended = with_a_running_server(&format!(
        "ask 0 'SET a 1' >/dev/null
        # A test has left its keys.
        '{PROGRAM}' exec --provider running bash -c 'echo $REDIS_URL' >/dev/null
        '{PROGRAM}' flush >/dev/null && ask 0 DBSIZE && ask 14 DBSIZE 'SET cart 1'
        # Nobody knows whose this is.
        '{PROGRAM}' flush; echo $?; ask 14 'GET cart'
        TRANSIENT_ADOPT=1 '{PROGRAM}' flush 2>/dev/null; echo $?; ask 14 DBSIZE; ask 0 'GET a'"
    ));
    let lines: Vec<_> = ended.stdout.lines().filter(|line| !line.contains(" 14 and 15 ")).collect();
    assert_eq!(lines, [":1", ":0", "+OK", "1", "1", "0", ":0", "1"], "{ended:?}");
    assert!(ended.stderr.contains("TRANSIENT_ADOPT=1") && ended.stderr.contains("database 14"), "{ended:?}");
}

#[test]
fn without_a_running_server_nothing_is_started() {
    let ended = Program::new(["flush"]).env("TRANSIENT_REDIS_URL", "redis://127.0.0.1:1").run();
    assert_eq!((ended.code, &*ended.stdout), (Some(1), ""));
    assert!(ended.stderr.contains("127.0.0.1:1"), "{ended:?}");
}
