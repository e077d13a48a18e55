//! Snapshots as people read them.

use std::thread;
use std::time::Duration;

use redis::Commands;
use rstest::rstest;
use transient_fixtures::snapshot::Change;
use transient_fixtures::{Snapshot, TestRequest, clean_redis, get_jobs_redis, redis, test_request};

use super::{connect, run};

/// Seconds, rounded up to hundreds because the machine can pause.
pub(crate) fn rounded(text: &str) -> String {
    let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    for at in 1..words.len() {
        let is_seconds = words[at].trim_end_matches([',', '\n']) == "s" || words[at].starts_with("s\n");
        if let (true, Ok(seconds)) = (is_seconds, words[at - 1].parse::<u64>()) {
            words[at - 1] = (seconds.div_ceil(100) * 100).to_string();
        }
    }
    words.join(" ")
}

#[rstest]
#[clean_redis]
fn prints_readable_text(test_request: TestRequest) {
    let mut redis = connect(&test_request);
    assert_eq!(test_request.snapshot().unwrap().to_string(), "database 14: no keys\ndatabase 15: no keys");
    let (long, letters) = ("x".repeat(5_000), "å".repeat(200));
    run(
        &mut redis,
        commands![
            "SET", "brand:1", "Ångström", "EX", "300";
            "SET", "two words", "tab\tzero\0bell\x07\u{202e}";
            "SET", b"raw\xff", b"\xc3\xa5\xff";
            "SET", "long", long;
            "SET", "long letters", letters, "PX", "1000000";
            "SET", "page", "x", "PX", "2999900";
            "ZADD", "scores", "1", "one", "inf", "most", "1e30", "much";
            "SADD", "set", "b", "a";
            "XADD", "events", "1-1", "a", "1";
            "XGROUP", "CREATE", "events", "mail", "0";
            "XREADGROUP", "GROUP", "mail", "asa", "STREAMS", "events", ">";
        ],
    );
    let () = redis.rpush("list", (0..1_000).collect::<Vec<_>>()).expect("RPUSH");
    let text = rounded(&test_request.snapshot().unwrap().to_string());
    let cut = (0..56).map(|number| format!("\"{number}\"")).collect::<Vec<_>>().join(", ");
    let list: Vec<_> = text.lines().filter(|line| line.starts_with("  list")).collect();
    assert!(list[0].starts_with(&format!("  list list [{}", &cut[..180])), "{list:?}");
    assert!(list[0].ends_with(", …] (1000 elements)") && list[0].len() < 250, "{list:?}");
    let others: Vec<_> = text.lines().filter(|line| !line.starts_with("  list")).collect();
    assert_eq!(
        others,
        [
            "database 14: 10 keys",
            r#"  brand:1 string "Ångström", ttl 300 s"#,
            r#"  events stream [1-1 {"a": "1"}], group mail at 1-1 with 1 pending and the consumers [asa]"#,
            &format!(r#"  long string "{}"… (5000 bytes)"#, "x".repeat(80)),
            &format!(r#"  "long letters" string "{}"… (400 bytes), ttl 1000 s"#, "å".repeat(80)),
            r#"  page string "x", ttl 3000 s"#,
            r#"  "raw\xff" string "\xc3\xa5\xff""#,
            r#"  scores sorted set {"one": 1, "much": 1e30, "most": inf}"#,
            r#"  set set {"a", "b"}"#,
            r#"  "two words" string "tab\tzero\x00bell\x07\xe2\x80\xae""#,
            "database 15: no keys",
        ]
    );
}

#[rstest]
#[clean_redis]
fn a_diff_has_one_line_per_change(test_request: TestRequest) {
    let mut redis = connect(&test_request);
    run(
        &mut redis,
        commands![
            "SET", "brand:1", "Ångström";
            "SET", "long", format!("{}old{}", "x".repeat(500), "y".repeat(500));
            "SET", "gone", "x", "EX", "3000";
            "SET", "code", "1", "EX", "3000";
            "SET", "forgotten", "1", "EX", "3000";
            "SET", "steady", "1", "EX", "3000";
            "RPUSH", "queue", "a", "b", "c";
            "SADD", "set", "a", "b";
            "HSET", "cart", "1", "2", "2", "3";
            "ZADD", "ranking", "1", "a", "2", "b";
            "SET", "other", "text";
            "XADD", "events", "1-1", "a", "1";
            "XGROUP", "CREATE", "events", "mail", "0";
        ],
    );
    let before = test_request.snapshot().expect("snapshot");
    run(
        &mut redis,
        commands![
            "SET", "brand:1", "Angstrom";
            "SET", "long", format!("{}new{}", "x".repeat(500), "y".repeat(500));
            "DEL", "gone", "other";
            "EXPIRE", "code", "1000";
            "PERSIST", "forgotten";
            "LPOP", "queue";
            "RPUSH", "queue", "d";
            "SREM", "set", "a";
            "SADD", "set", "c";
            "HSET", "cart", "1", "5", "3", "1";
            "HDEL", "cart", "2";
            "ZADD", "ranking", "1.5", "a";
            "SET", "new", "x", "EX", "3000";
            "RPUSH", "other", "text";
            "XADD", "events", "2-0", "b", "2";
            "XREADGROUP", "GROUP", "mail", "asa", "COUNT", "1", "STREAMS", "events", ">";
        ],
    );
    let () = get_jobs_redis(&test_request).unwrap().lpush("celery", "job").unwrap();
    let later = test_request.snapshot().expect("snapshot");
    let diff = before.diff(&later);
    let text = rounded(&diff.to_string());
    let lines: Vec<_> = text.lines().filter(|line| !line.contains("events")).collect();
    assert_eq!(
        lines,
        [
            r#"added 14 new string "x", ttl 3000 s"#,
            r#"added 15 celery list ["job"]"#,
            r#"removed 14 gone string "x", ttl 3000 s"#,
            r#"changed 14 brand:1 string: "Ångström" -> "Angstrom""#,
            r#"changed 14 cart hash: "1": "2" -> "5"; -"2": "3"; +"3": "1""#,
            &format!(
                r#"changed 14 long string: from byte 484: …"{0}old{1}"… (519 bytes) -> …"{0}new{1}"… (519 bytes)"#,
                "x".repeat(16),
                "y".repeat(61)
            ),
            r#"changed 14 other string "text" -> list ["text"]"#,
            r#"changed 14 queue list: [0]: "a" -> "b"; [1]: "b" -> "c"; [2]: "c" -> "d""#,
            r#"changed 14 ranking sorted set: "a": 1 -> 1.5"#,
            r#"changed 14 set set: -"a"; +"c""#,
            "TTL moved 14 code: 3000 s -> 1000 s",
            "TTL moved 14 forgotten: 3000 s -> none",
        ]
    );
    assert!(text.contains(r#"changed 14 events stream: +2-0 {"b": "2"}; last id: 1-1 -> 2-0; "#), "{text}");
    assert!(!diff.is_empty() && later.diff(&later).is_empty());
    assert!(matches!(&diff.changes()[0], Change::Added { key, .. } if *key == "new"));
    let back = rounded(&later.diff(&before).to_string());
    assert!(back.contains(r#"removed 14 new string "x", ttl 3000 s"#), "{back}");
}

#[rstest]
#[clean_redis]
fn a_ttl_that_runs_down_is_not_a_change(test_request: TestRequest) {
    let mut redis = connect(&test_request);
    run(&mut redis, commands!["SET", "runs", "x", "EX", "6000"; "SET", "refreshed", "x", "EX", "6000";]);
    let before = test_request.snapshot().expect("snapshot");
    let file = tempfile::NamedTempFile::new().expect("a file");
    before.save(file.path()).expect("save");
    let read = Snapshot::from_file(file.path()).expect("read");
    thread::sleep(Duration::from_millis(2_300));
    run(&mut redis, commands!["EXPIRE", "refreshed", "6000";]);
    let later = test_request.snapshot().expect("snapshot");
    let moved = before.diff(&later).to_string();
    let (from, to) =
        moved.strip_prefix("TTL moved 14 refreshed: ").expect("one line").split_once(" -> ").expect("an arrow");
    let seconds = |text: &str| text.trim_end_matches(" s").parse::<u64>().expect("seconds");
    assert!((5_900..=5_998).contains(&seconds(from)) && seconds(to) > seconds(from), "{moved}");
    // In the other order, TTLs have decreased.
    let back = later.diff(&before).to_string();
    assert!(back.starts_with("TTL moved 14 refreshed: ") && back.lines().count() == 1, "{back}");
    // A file does not record when its TTLs began to run.
    let read_later = Snapshot::from_file(file.path()).expect("read");
    for file in [&read, &read_later] {
        for live in [&before, &later] {
            for diff in [file.diff(live), live.diff(file)] {
                assert!(diff.is_empty(), "{diff}");
            }
        }
    }
    test_request.travel(Duration::from_secs(3_000)).expect("travel");
    let aged = test_request.snapshot().expect("snapshot");
    assert_eq!(aged.diff(&read).changes().len(), 2);
    let aged = read.diff(&aged).to_string();
    assert_eq!(aged.lines().count(), 2, "{aged}");
    assert!(rounded(&aged).starts_with("TTL moved 14 refreshed: 6000 s -> 3000 s"), "{aged}");
}

/// Any amount of data becomes one readable line.
#[rstest]
#[clean_redis]
fn long_values_are_truncated(test_request: TestRequest) {
    let mut redis = connect(&test_request);
    run(&mut redis, commands!["XGROUP", "CREATE", "events", "mail", "0", "MKSTREAM";]);
    let before = test_request.snapshot().expect("snapshot");
    let mut fill = redis::pipe();
    for number in 0..2_000 {
        fill.cmd("XADD").arg("events").arg("*").arg(number).arg("x").ignore();
    }
    for number in 0..300 {
        fill.cmd("XREADGROUP").arg(&["GROUP", "mail", &format!("consumer-{number}"), "COUNT", "5"]);
        fill.arg(&["STREAMS", "events", ">"]).ignore();
    }
    let fields: Vec<_> = (0..500).flat_map(|number| [format!("field {number}"), "x".to_owned()]).collect();
    fill.cmd("XADD").arg("wide").arg("*").arg(fields).ignore();
    fill.exec(&mut redis).expect("fill");
    let later = test_request.snapshot().expect("snapshot");
    for text in [later.to_string(), before.diff(&later).to_string()] {
        assert!(text.lines().all(|line| line.len() < 2_000), "{text}");
    }
    assert!(later.to_string().contains("(300 consumers)"), "{later}");
    assert!(before.diff(&later).to_string().contains("more"), "{}", before.diff(&later));
}
