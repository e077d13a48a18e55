//! `#[clean_redis(fixtures("…"))]`: data files that are loaded before the test and its fixtures.

use std::fs;

use redis::Commands;
use rstest::{fixture, rstest};
use tempfile::TempDir;
use transient_fixtures::{TestRequest, clean_redis, get_redis, redis, test_request};

use crate::child::{Child, Ended};
use crate::golden::golden;
use crate::own_server::own_provider;

#[fixture]
fn with_one_more(test_request: TestRequest) -> TestRequest {
    let mut redis = get_redis(&test_request).expect("connect");
    // Data loaded by the attribute is there before the fixtures run.
    assert_eq!(redis.get::<_, String>("brand:1"), Ok("Ångström".to_owned()));
    redis.set::<_, _, ()>("brand:1", "changed").expect("SET");
    test_request
}

#[rstest]
#[case(1)]
#[case(2)]
#[clean_redis(fixtures("brands", "every_type"))]
fn files_are_loaded_before_fixtures_and_for_every_case(with_one_more: TestRequest, #[case] number: u32) {
    let mut redis = get_redis(&with_one_more).expect("connect");
    assert_eq!(redis.get::<_, String>("brand:1"), Ok("changed".to_owned()));
    assert_eq!(redis.llen::<_, u32>("list"), Ok(5));
    redis.rpush::<_, _, ()>("list", number).expect("RPUSH");
}

#[test]
#[clean_redis(lint = "none", fixtures("brands",))]
fn without_rstest() {
    let size: u32 = redis::cmd("DBSIZE").query(&mut get_redis(&TestRequest::new()).expect("connect")).expect("DBSIZE");
    assert_eq!(size, 5);
}

#[tokio::test]
#[clean_redis(fixtures("brands"))]
async fn in_a_runtime() {
    let mut redis = transient_fixtures::get_async_redis(&TestRequest::new()).await.expect("connect");
    assert_eq!(redis::AsyncCommands::exists(&mut redis, "brand:2").await, Ok(true));
}

mod broken {
    use super::{Commands, TestRequest, clean_redis, get_redis, redis, rstest, test_request};

    #[rstest]
    #[ignore = "run by the tests below"]
    #[clean_redis(fixtures("first", "second"))]
    fn never_runs(test_request: TestRequest) {
        panic!("it ran on {}", test_request.server());
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    fn then_the_databases_are_empty(test_request: TestRequest) {
        let mut redis = get_redis(&test_request).expect("connect");
        assert_eq!(redis::cmd("DBSIZE").query::<u32>(&mut redis), Ok(0));
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    #[clean_redis(fixtures("first"))]
    fn fails_with_data(test_request: TestRequest) {
        get_redis(&test_request).expect("connect").set::<_, _, ()>("new", "x").expect("SET");
        panic!("on purpose");
    }
}

/// A package with these two data files.
fn run(test: &str, second: Option<&str>) -> Ended {
    let directory = TempDir::new().expect("a directory");
    fs::write(directory.path().join("Cargo.toml"), "[workspace]\n").expect("write");
    fs::create_dir(directory.path().join("fixtures")).expect("mkdir");
    fs::write(directory.path().join("fixtures/first.redis"), "SET loaded x EX 60\n").expect("write");
    if let Some(text) = second {
        fs::write(directory.path().join("fixtures/second.redis"), text).expect("write");
    }
    let child = Child::tests(&format!("loaded::broken::{test}")).arguments(["--test-threads=1"]);
    child.env("CARGO_MANIFEST_DIR", directory.path()).env("TRANSIENT_PROVIDER", own_provider()).run()
}

#[rstest]
#[case::missing(None, &["\"second\"", "fixtures: first"])]
#[case::refused(Some("SET x 1\nNOSUCHCOMMAND y\n"), &["second.redis:2", "unknown command"])]
#[case::failing(Some("SET x 1\nRPUSH x 2\n"), &["second.redis:2", "WRONGTYPE"])]
#[case::unterminated(Some("SET x \"1\n"), &["second.redis:1"])]
#[case::reaching_beyond(Some("SET x 1\nFLUSHALL\n"), &["second.redis:2", "FLUSHALL"])]
fn a_file_that_cant_be_loaded_fails_the_test_at_its_line(#[case] second: Option<&str>, #[case] words: &[&str]) {
    // The next test on the same server finds no keys: all loaded data has been removed.
    let ended = run("", second);
    ended.assert_failed_with(words);
    ended.assert_failed_with(&["panicked at tests/it/loaded.rs", "1 passed; 2 failed"]);
    assert!(!ended.output.contains("it ran on"), "{}", ended.output);
}

/// The report of a failed test shows the test's changes, but not the loaded data.
#[test]
fn loaded_data_is_not_a_change() {
    let ended = run("fails_with_data", None);
    ended.assert_failed_with(&[golden("failure::changes"), "added 14 new"]);
    assert!(!ended.output.contains("added 14 loaded"), "{}", ended.output);
}
