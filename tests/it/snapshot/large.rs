//! Snapshots that are restored in steps, because a single MULTI would block the server for too long.

use std::fs;

use redis::Commands;
use rstest::rstest;
use transient_fixtures::{Provider, Snapshot, TestRequest, clean_redis, get_jobs_redis, redis, test_request};

use super::{connect, run};

/// Keys of every type in both databases, some with more elements than fit in one step.
fn fill(test_request: &TestRequest) {
    let mut fill = redis::pipe();
    for number in 0..3_000 {
        fill.cmd("SET").arg(format!("code:{number}")).arg(number).arg("EX").arg(100_000 + number).ignore();
        fill.cmd("SADD").arg(format!("tags:{number}")).arg(&["å", "b"]).ignore();
        fill.cmd("EXPIRE").arg(format!("tags:{number}")).arg(200_000).ignore();
        fill.cmd("HSET").arg(format!("cart:{number}")).arg(&["brand", "1"]).ignore();
    }
    for number in 0..6_500 {
        fill.cmd("RPUSH").arg("seen").arg(number).ignore();
        fill.cmd("ZADD").arg("ranking").arg(number / 2).arg(format!("visitor {number}")).ignore();
        fill.cmd("XADD").arg("events").arg(format!("{}-0", number + 1)).arg(&["seen", "1"]).ignore();
    }
    fill.cmd("XGROUP").arg(&["CREATE", "events", "mail", "0"]).ignore();
    fill.cmd("XREADGROUP").arg(&["GROUP", "mail", "asa", "COUNT", "1500", "STREAMS", "events", ">"]).ignore();
    fill.cmd("EXPIRE").arg("seen").arg(300_000).ignore();
    fill.exec(&mut connect(test_request)).expect("fill");
    let mut jobs = redis::pipe();
    (0..1_200).fold(&mut jobs, |jobs, number| jobs.lpush("celery", number).ignore());
    jobs.exec(&mut get_jobs_redis(test_request).expect("connect")).expect("fill");
}

/// A snapshot file with one special key and this number of others.
fn file(count: usize, entry: &str) -> tempfile::NamedTempFile {
    let many = |number| format!(r#", {{"key": "k{number}", "value": {{"string": "x"}}}}"#);
    let many = (0..count).map(many).collect::<Vec<_>>().concat();
    let file = tempfile::Builder::new().suffix(".json").tempfile().expect("a file");
    let text = format!(r#"{{"transient_fixtures_snapshot": 1, "databases": {{"14": [{entry}{many}]}}}}"#);
    fs::write(file.path(), text).expect("write");
    file
}

#[rstest]
#[clean_redis]
fn large_snapshots_are_restored(test_request: TestRequest) {
    fill(&test_request);
    let before = test_request.snapshot().expect("snapshot");
    assert_eq!(before.len(), 9_004);
    let mut redis = connect(&test_request);
    run(&mut redis, commands!["SET", "new", "x"; "RPUSH", "seen", "more"; "DEL", "events", "code:1";]);
    test_request.restore(&before).expect("restore");
    let after = test_request.snapshot().expect("snapshot");
    assert!(after == before, "{}", before.diff(&after));
    let file = tempfile::NamedTempFile::new().expect("a file");
    after.save(file.path()).expect("save");
    assert!(Snapshot::from_file(file.path()).expect("read") == before);
}

/// Only the keys named in a file are replaced.
#[rstest]
#[clean_redis]
fn a_large_file_is_loaded_beside_existing_keys(test_request: TestRequest) {
    let mut redis = connect(&test_request);
    run(&mut redis, commands!["SET", "stays", "x"; "RPUSH", "k7", "other"; "SET", "list", "other";]);
    let file = file(6_000, r#"{"key": "list", "value": {"list": ["a", "b"]}, "ttl_ms": 1000000}"#);
    test_request.load(file.path().to_str().expect("UTF-8")).expect("load");
    assert_eq!(redis.get("stays"), Ok("x".to_owned()));
    assert_eq!(redis.get("k7"), Ok("x".to_owned()));
    assert_eq!(redis.lrange("list", 0, -1), Ok(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(redis::cmd("DBSIZE").query(&mut redis), Ok(6_002));
}

#[rstest]
#[clean_redis]
fn a_large_load_that_fails_leaves_nothing(
    test_request: TestRequest,
    #[values(false, true)] load: bool,
    // In the first step or in the last.
    #[values("a", "z")] name: &str,
) {
    connect(&test_request).set::<_, _, ()>("before", "x").expect("SET");
    let file =
        file(6_000, &format!(r#"{{"key": "{name}", "value": {{"set": ["x"]}}, "ttl_ms": 18446744073709551615}}"#));
    let error = if load {
        test_request.load(file.path().to_str().expect("UTF-8"))
    } else {
        test_request.restore(&Snapshot::from_file(file.path()).expect("read"))
    };
    let error = error.expect_err("no such end");
    assert!(error.is_data() && error.to_string().contains(&format!(" {name} in database 14")), "{error}");
    assert!(test_request.snapshot().expect("snapshot").is_empty());
}

/// Anything that the server would refuse is found before data changes.
#[rstest]
#[clean_redis]
fn a_large_load_that_is_refused_changes_nothing(test_request: TestRequest) {
    let mut redis = connect(&test_request);
    run(&mut redis, commands!["SET", "before", "x";]);
    let before = test_request.snapshot().expect("snapshot");
    let file = file(6_000, r#"{"key": "z", "value": {"hash": [{"field": "a", "value": "x", "ttl_ms": 100000}]}}"#);
    let restored = test_request.restore(&Snapshot::from_file(file.path()).expect("read"));
    if redis::cmd("HTTL")
        .arg(&["before", "FIELDS", "1", "a"])
        .exec(&mut redis)
        .is_err_and(|error| error.code() == Some("ERR"))
    {
        let error = restored.expect_err("fields have no timeouts here");
        assert!(error.is_data() && error.to_string().contains(" z in database 14"), "{error}");
        assert_eq!(test_request.snapshot().expect("snapshot"), before);
    } else {
        restored.expect("fields have timeouts here");
        assert_eq!(redis.hget("z", "a"), Ok("x".to_owned()));
        assert_eq!(test_request.snapshot().expect("snapshot").len(), 6_001);
    }
}

/// Not about a key.
#[rstest]
#[clean_redis]
fn databases_that_can_not_be_cleared_stay(test_request: TestRequest, #[values(1, 6_000)] count: usize) {
    if test_request.server().provider() == Provider::Running {
        return println!("not on a server that we have not started");
    }
    let mut redis = connect(&test_request);
    run(&mut redis, commands!["SET", "before", "x"; "ACL", "SETUSER", "default", "-flushdb";]);
    let file = file(count, r#"{"key": "a", "value": {"string": "x"}}"#);
    let error = test_request.restore(&Snapshot::from_file(file.path()).expect("read")).expect_err("no permission");
    assert!(error.is_data() && error.to_string().contains("NOPERM"), "{error}");
    assert_eq!(redis::cmd("DBSIZE").query(&mut redis), Ok(1));
}

/// How often the server has executed a command.
fn calls(test_request: &TestRequest, command: &str) -> usize {
    let info: redis::InfoDict = redis::cmd("INFO").arg("commandstats").query(&mut connect(test_request)).expect("INFO");
    let stats: Option<String> = info.get(&format!("cmdstat_{command}"));
    let calls = stats.as_deref().and_then(|stats| stats.strip_prefix("calls=")?.split(',').next()?.parse().ok());
    calls.unwrap_or_default()
}

/// One command or one MULTI of many megabytes would block the server, however few elements it has.
#[rstest]
#[case::small("HSET", [10, 2, 100], 1..=3, 10)]
#[case::keys("HSET", [300, 1, 20_000], 300..=303, 300)]
#[case::lists("RPUSH", [300, 1, 20_000], 300..=303, 300)]
#[case::hash("HSET", [1, 900, 20_000], 0..=3, 18)]
#[case::list("RPUSH", [1, 900, 20_000], 0..=3, 18)]
#[case::huge_elements("SADD", [1, 3, 2_000_000], 0..=3, 3)]
#[clean_redis]
fn large_values_are_restored_in_steps(
    test_request: TestRequest,
    #[case] command: &str,
    #[case] contents: [usize; 3],
    #[case] transactions: std::ops::RangeInclusive<usize>,
    #[case] least_commands: usize,
) {
    let mut redis = connect(&test_request);
    let [keys, elements, size] = contents;
    for (key, element) in (0..keys).flat_map(|key| (0..elements).map(move |element| (key, element))) {
        let mut add = redis::cmd(command);
        add.arg(key).arg(format!("{element}{}", "x".repeat(size)));
        if command == "HSET" { add.arg(element) } else { &mut add }.exec(&mut redis).expect(command);
    }
    let before = test_request.snapshot().expect("snapshot");
    let counts = || ["exec", &command.to_lowercase()].map(|command| calls(&test_request, command));
    let [executed, added] = counts();
    test_request.restore(&before).expect("restore");
    let [executed, added] = [counts()[0] - executed, counts()[1] - added];
    assert!(transactions.contains(&executed), "{executed} transactions");
    assert!((least_commands..=least_commands + 2).contains(&added), "{added} commands");
    assert!(test_request.snapshot().expect("snapshot") == before);
}
