//! Data fixtures, on any server. `.ci/run` tests them on every version.

use std::fs;
use std::path::Path;
use std::time::Duration;

use redis::{Commands, Connection};
use rstest::rstest;
use tempfile::TempDir;
use transient_fixtures::{Error, TestRequest, clean_redis, get_jobs_redis, get_redis, redis, test_request};

use crate::child::Child;
use crate::golden::golden;

fn connect(test_request: &TestRequest) -> Connection {
    get_redis(test_request).expect("connect")
}

/// Loads a file with this text.
fn load(test_request: &TestRequest, text: impl AsRef<[u8]>) -> Result<(), Error> {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("some.redis");
    fs::write(&path, text).expect("write");
    test_request.load(path.to_str().expect("UTF-8"))
}

/// The file's fifth line.
const FAILS_IN_THE_MIDDLE: &str = "SET name x\nSELECT 15\nSET job x\nSELECT 14\nLPUSH name y\nSET good 2\nINCR name\n";

fn jobs(test_request: &TestRequest) -> Connection {
    get_jobs_redis(test_request).expect("connect")
}

fn size(redis: &mut Connection) -> u64 {
    redis::cmd("DBSIZE").query(redis).expect("DBSIZE")
}

#[rstest]
#[clean_redis]
fn brands_are_loaded(test_request: TestRequest) {
    test_request.load("brands").expect("load");
    let mut redis = connect(&test_request);
    assert_eq!(redis.get::<_, String>("brand:1"), Ok("Ångström".to_owned()));
    for timed in ["brand:1", "brand:2"] {
        test_request.assert_ttl(timed, Duration::from_secs(290)..=Duration::from_secs(300));
    }
    assert_eq!(test_request.ttl("brand:3").expect("ttl"), None);
    assert_eq!(redis.hget::<_, _, u32>("brand:1:prices", "winter coat"), Ok(129_900));
    assert_eq!(redis.zrange::<_, Vec<String>>("brands:by_sales", 0, 0), Ok(vec!["brand:2".to_owned()]));
    let mut jobs = get_jobs_redis(&test_request).expect("connect");
    assert_eq!(jobs.lrange::<_, Vec<String>>("celery", 0, -1), Ok(vec!["a job".to_owned()]));
    // Existing keys stay, another fixture adds keys, and a fixture's keys replace existing ones.
    let () = redis.set("brand:3", "changed").expect("SET");
    test_request.load("every_type").expect("load");
    test_request.load("every_type.json").expect("load");
    assert_eq!(redis.get::<_, String>("brand:3"), Ok("changed".to_owned()));
    assert_eq!(jobs.llen::<_, u32>("celery"), Ok(1));
    assert_eq!(redis.llen::<_, u32>("list"), Ok(5));
    assert_eq!(size(&mut redis), 5 + 17);
}

#[rstest]
#[clean_redis]
fn words_are_split_as_redis_cli_does(test_request: TestRequest) {
    let text: &[u8] = b"\xef\xbb\xbfset plain a#b\r\n  \t\r\n# SET comment x\n   # SET comment y\n\
        SET \"quoted key\" \"a \\\"b\\\" \\\\ \\n\\r\\t\\a\\b \\x00\\xfF \\q \\xg1\"\n\
        SET single 'raw \\n \\x00 \"it\\'s\"'\n\
        SET empty \"\"\n\
        SET part\"ly quoted\" x\n\
        SET\tbytes\t\xff\xfe \n\
        SET \xc3\xa5\xc3\xa4\xc3\xb6 '\xe2\x98\x83'\n\
        RPUSH list a 'b c' \"d\" '' #e";
    load(&test_request, text).expect("load");
    let mut redis = connect(&test_request);
    for (key, value) in [
        ("plain", &b"a#b"[..]),
        ("quoted key", b"a \"b\" \\ \n\r\t\x07\x08 \x00\xff q xg1"),
        ("single", b"raw \\n \\x00 \"it's\""),
        ("empty", b""),
        ("partly quoted", b"x"),
        ("bytes", b"\xff\xfe"),
        ("åäö", "☃".as_bytes()),
    ] {
        assert_eq!(redis.get::<_, Option<Vec<u8>>>(key), Ok(Some(value.to_vec())), "{key}");
    }
    assert_eq!(redis.lrange::<_, Vec<String>>("list", 0, -1).unwrap(), ["a", "b c", "d", "", "#e"]);
    assert_eq!(size(&mut redis), 8);
}

/// Our lines mean the same as redis-cli's, if it is installed.
#[rstest]
#[clean_redis]
fn redis_cli_has_the_same_words(test_request: TestRequest) {
    let lines = [
        r#"RPUSH words "\x41\x0a\xfg\n\t\b\a\r\\\"\'" 'it\'s \n' plain"quoted" plain'single' a\nb"#,
        r"RPUSH words '' \x41 a\\b",
        "RPUSH words \"\" \"å\" å  'two  spaces'",
    ];
    load(&test_request, lines.join("\n")).expect("load");
    let mut redis = connect(&test_request);
    let ours: Vec<Vec<u8>> = redis.lrange("words", 0, -1).expect("LRANGE");
    let () = redis.del("words").expect("DEL");
    let cli = std::process::Command::new("/bin/sh")
        .args(["-c", &format!("command -v redis-cli >/dev/null || exit 127; {}", test_request.server().cli_command())])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn();
    let mut cli = cli.expect("a shell");
    // Without redis-cli, the shell has already exited.
    let _ = std::io::Write::write_all(&mut cli.stdin.take().expect("stdin"), lines.join("\n").as_bytes());
    let status = cli.wait().expect("redis-cli");
    if status.code() == Some(127) {
        // CI has redis-cli beside the server.
        assert_ne!(std::env::var("EXPECTED_PROVIDER").as_deref(), Ok("process"), "no redis-cli");
        return println!("no redis-cli here");
    }
    assert!(status.success());
    assert_eq!(redis.lrange::<_, Vec<Vec<u8>>>("words", 0, -1), Ok(ours));
}

#[rstest]
#[case::open("SET a \"b", golden("data::open_quotation"))]
#[case::open_single("SET a 'b\\'", golden("data::open_quotation"))]
#[case::glued("SET a \"b\"c", golden("data::glued_quotation"))]
#[case::flushall("flushall", golden("data::forbidden"))]
#[case::quoted("\"FLUSH\\x41LL\" async", "FLUSHALL")]
#[case::config("CONFIG SET save ''", "CONFIG ")]
#[case::shutdown("SHUTDOWN NOSAVE", "SHUTDOWN ")]
#[case::script("EVAL \"redis.call('FLUSHALL')\" 0", "EVAL ")]
#[case::swapdb("SWAPDB 14 0", "SWAPDB ")]
#[case::multi("Multi", golden("data::of_transactions"))]
#[case::watch("WATCH a", "WATCH")]
#[case::select("SELECT 0", "14")]
#[case::select_word("SELECT jobs", golden("data::other_database"))]
#[case::moved("MOVE good 3", golden("data::other_database"))]
#[case::copied("COPY good better REPLACE DB 1", golden("data::other_database"))]
#[case::copied_twice("COPY good better DB 14 DB 0", golden("data::other_database"))]
#[case::copied_in_lower_case("copy good better db 0", golden("data::other_database"))]
#[clean_redis]
fn forbidden_lines_are_reported(test_request: TestRequest, #[case] line: &str, #[case] words: &str) {
    let mut redis = connect(&test_request);
    let () = redis.set("old", "x").expect("SET");
    let error = load(&test_request, format!("SET good 1\n\n# a comment\n{line}\nSET good 2\n")).expect_err("bad");
    let text = error.to_string();
    assert!(error.is_data() && text.starts_with('/') && text.contains("/some.redis:4: "), "{text}");
    assert!(text.contains(words), "{words:?} is missing in: {text}");
    assert_eq!((size(&mut redis), redis.exists("old")), (1, Ok(true)));
}

#[rstest]
#[case::unknown("FROBNICATE a b", "ERR unknown command 'FROBNICATE'")]
#[case::arguments("SET a", "arguments for 'set' command: SET a")]
#[clean_redis]
fn a_line_that_is_refused_loads_nothing(test_request: TestRequest, #[case] line: &str, #[case] words: &str) {
    let mut redis = connect(&test_request);
    let () = redis.set("old", "x").expect("SET");
    let error = load(&test_request, format!("SET good 1\n{line}\nSET good 2\nGET\n")).expect_err("refused");
    let text = error.to_string().replace('`', "'");
    assert!(error.is_data() && text.contains("/some.redis:2: "), "{text}");
    assert!(text.contains(words), "{words:?} is missing in: {text}");
    assert!(
        text.contains("(and 1 more)") && text.contains(golden("data::refused, of several lines, a long one")),
        "{text}"
    );
    assert_eq!((size(&mut redis), redis.exists("old")), (1, Ok(true)));
}

#[rstest]
#[clean_redis]
fn a_line_that_fails_leaves_clean_databases_clean(test_request: TestRequest) {
    let mut redis = connect(&test_request);
    jobs(&test_request).set::<_, _, ()>("old", "x").expect("SET");
    let error = load(&test_request, FAILS_IN_THE_MIDDLE).expect_err("fails").to_string();
    assert!(error.contains("/some.redis:5: WRONGTYPE "), "{error}");
    assert!(error.contains(": LPUSH name y\nThis line (and 1 more) "), "{error}");
    assert!(error.contains(golden("data::failed, of several lines, undone")), "{error}");
    assert_eq!((size(&mut redis), size(&mut jobs(&test_request))), (0, 0));
}

/// Without the attribute, existing keys are not ours to delete.
#[rstest]
fn a_line_that_fails_takes_nothing_away_from_a_test_that_is_not_clean(test_request: TestRequest) {
    let mut redis = connect(&test_request);
    for database in [&mut redis, &mut jobs(&test_request)] {
        redis::cmd("FLUSHDB").exec(database).expect("FLUSHDB");
    }
    jobs(&test_request).set::<_, _, ()>("old", "x").expect("SET");
    let error = load(&test_request, FAILS_IN_THE_MIDDLE).expect_err("fails").to_string();
    assert!(error.contains(golden("data::failed, of several lines, not undone")), "{error}");
    assert_eq!((size(&mut redis), size(&mut jobs(&test_request))), (2, 2));
}

#[rstest]
#[clean_redis]
fn an_empty_file_and_a_long_line_are_fine(test_request: TestRequest) {
    load(&test_request, "").expect("load");
    load(&test_request, format!("SET long \"{}\"", "x".repeat(1_000_000))).expect("load");
    assert_eq!(connect(&test_request).strlen("long"), Ok(1_000_000));
    let line = format!("LPUSH long \"{}\"", "å".repeat(100));
    let error = load(&test_request, line).expect_err("fails").to_string();
    assert!(error.contains("å… (213 bytes)\nThis line failed"), "{error}");
}

#[rstest]
#[clean_redis]
fn a_missing_fixture_is_reported_with_the_existing_ones(test_request: TestRequest) {
    let error = test_request.load("brand").expect_err("no such fixture").to_string();
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    assert!(error.contains("\"brand\""), "{error}");
    assert!(error.contains(&format!("{}: brands, every_type, field_timeouts", place.display())), "{error}");
    assert!(error.contains("\"brands\"?"), "{error}");
}

/// The child of the next test.
#[rstest]
#[clean_redis]
#[ignore = "a child: needs its fixtures"]
fn child_loads_its_own(test_request: TestRequest) -> Result<(), Error> {
    test_request.load("own")?;
    test_request.load("shared")?;
    test_request.load("deep/er")?;
    println!("{}", test_request.snapshot()?);
    println!("{}", test_request.load("both").expect_err("two"));
    println!("{}", test_request.load("nowhere").expect_err("none"));
    println!("{}", test_request.load("wrong").expect_err("wrong"));
    println!("{}", test_request.load("odd").expect_err("odd"));
    Ok(())
}

#[test]
fn fixtures_are_beside_the_manifest_and_upwards() {
    let root = TempDir::new().expect("a directory");
    let write = |path: &str, text: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("directories");
        fs::write(path, text).expect("write");
    };
    let snapshot = |key: &str, kind: &str| {
        format!(
            "{{\"transient_fixtures_snapshot\": 1, \"databases\": {{\"14\": [\n{{\"key\": \"{key}\", \"value\": \
             {{\"{kind}\": \"x\"}}}}]}}}}"
        )
    };
    write("Cargo.toml", "[workspace]\nmembers = [\"shop\"]\n");
    write("fixtures/shared.json", &snapshot("shared", "string"));
    write("fixtures/own.redis", "SET own wrong\n");
    write("shop/Cargo.toml", "[package]\nname = \"shop\"\n");
    write("shop/fixtures/own.redis", "SET own right\n");
    write("shop/fixtures/deep/er.redis", "SET deep x\n");
    write("shop/fixtures/both.redis", "");
    write("shop/fixtures/both.json", "");
    write("shop/fixtures/wrong.json", &snapshot("a", "text"));
    write("shop/fixtures/odd.json", &snapshot("a", "other"));
    let ended = Child::test("data::child_loads_its_own").env("CARGO_MANIFEST_DIR", root.path().join("shop")).run();
    ended.assert_passed();
    let at = |path: &str| root.path().join(path).display().to_string();
    for words in [
        "database 14: 3 keys\n  deep string \"x\"\n  own string \"right\"\n  shared string \"x\"\n",
        &format!("\"both\" is ambiguous: {} or {}", at("shop/fixtures/both.redis"), at("shop/fixtures/both.json")),
        &format!(":\n  {}: both, odd, own, wrong\n  {}: own, shared\n", at("shop/fixtures"), at("fixtures")),
        &format!("{}:2:", at("shop/fixtures/wrong.json")),
        &format!("{}: the key a in", at("shop/fixtures/odd.json")),
    ] {
        assert!(ended.output.contains(words), "{words:?} is missing in:\n{}", ended.output);
    }
}

/// A snapshot file written by hand, of which the server accepts only half.
#[rstest]
#[clean_redis]
fn a_failing_snapshot_leaves_a_clean_test_empty(test_request: TestRequest) {
    let file = tempfile::Builder::new().suffix(".json").tempfile().expect("a file");
    let text = r#"{"transient_fixtures_snapshot": 1, "databases": {"14": [
        {"key": "good", "value": {"string": "x"}},
        {"key": "never", "value": {"string": "x"}, "ttl_ms": 18446744073709551615}]}}"#;
    std::fs::write(file.path(), text).expect("write");
    let error = test_request.load(file.path().to_str().expect("UTF-8")).expect_err("no such end");
    assert!(error.is_data(), "{error}");
    for words in ["never", "database 14"] {
        assert!(error.to_string().contains(words), "{words:?} is missing in: {error}");
    }
    assert_eq!(connect(&test_request).exists::<_, bool>("good"), Ok(false));
}
