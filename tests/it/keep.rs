//! `TRANSIENT_KEEP` keeps the server of a test that does not pass.

use std::path::Path;
use std::time::{Duration, Instant};

use redis::Commands;
use rstest::rstest;
use tempfile::TempDir;
use transient_fixtures::{TestRequest, clean_redis, get_redis, redis, test_request};

use crate::child::{Child, Running};
use crate::golden::golden;
use crate::own_server;

mod verdicts {
    use super::{Commands, Duration, TestRequest, clean_redis, get_redis, rstest, test_request};

    fn leave_evidence(test_request: &TestRequest) {
        get_redis(test_request).expect("connect").set::<_, _, ()>("evidence", "here").expect("SET");
        println!("evidence at {}", test_request.redis_url());
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    #[clean_redis]
    fn passes(test_request: TestRequest) {
        leave_evidence(&test_request);
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    #[clean_redis]
    fn panics(test_request: TestRequest) {
        leave_evidence(&test_request);
        panic!("on purpose");
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    fn panics_without_the_attribute(test_request: TestRequest) {
        leave_evidence(&test_request);
        panic!("on purpose");
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    #[clean_redis]
    fn returns_an_error(test_request: TestRequest) -> Result<(), String> {
        leave_evidence(&test_request);
        Err("on purpose".to_owned())
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    #[clean_redis]
    fn returns_ok(test_request: TestRequest) -> Result<(), String> {
        leave_evidence(&test_request);
        Ok(())
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    #[clean_redis]
    #[should_panic(expected = "on purpose")]
    fn should_panic_and_does(test_request: TestRequest) {
        leave_evidence(&test_request);
        panic!("on purpose");
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    #[clean_redis]
    #[should_panic(expected = "on purpose")]
    fn should_panic_and_does_not(test_request: TestRequest) {
        leave_evidence(&test_request);
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    #[clean_redis]
    #[should_panic(expected = "with other words")]
    fn should_panic_with_other_words(test_request: TestRequest) {
        leave_evidence(&test_request);
        panic!("on purpose");
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    #[timeout(Duration::from_secs(3))]
    #[clean_redis]
    fn times_out(test_request: TestRequest) {
        leave_evidence(&test_request);
        std::thread::sleep(Duration::from_secs(20));
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    #[timeout(Duration::from_secs(3))]
    fn times_out_without_the_attribute(test_request: TestRequest) {
        leave_evidence(&test_request);
        std::thread::sleep(Duration::from_secs(20));
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    fn forgets_and_panics(test_request: TestRequest) {
        leave_evidence(&test_request);
        std::mem::forget(test_request);
        panic!("on purpose");
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    #[clean_redis]
    fn waits_to_be_killed(test_request: TestRequest) {
        leave_evidence(&test_request);
        std::thread::sleep(Duration::from_secs(20));
    }
}

fn keeping(test: &str, temporary: &Path) -> Child {
    let child = Child::test(&format!("keep::verdicts::{test}")).env("TRANSIENT_KEEP", "1");
    child.env("TRANSIENT_PROVIDER", own_server::own_provider()).env("TMPDIR", temporary)
}

/// Looks at the evidence with the printed command, then ends the server with the other one.
fn look_at_and_end_the_server(output: &str, temporary: &Path) {
    let url = output.split_once("evidence at ").expect("a URL").1.lines().next().expect("a line");
    let port = url.trim_end_matches("/14").rsplit(':').next().expect("a port");
    let command = format!("-cli -h 127.0.0.1 -p {port} -n 14");
    assert!(output.contains(&command), "{command:?} is missing in:\n{output}");
    let end = output.lines().find_map(|line| line.split_once("Stop it: ")).expect("a command").1;
    let process: u32 = end.strip_prefix("kill ").expect("kill").parse().expect("a process");
    let mut connection = redis::Client::open(url).expect("a client").get_connection().expect("it still runs");
    assert_eq!(connection.get::<_, String>("evidence").expect("GET"), "here");
    let info: redis::InfoDict = redis::cmd("INFO").arg("server").query(&mut connection).expect("INFO");
    assert_eq!(info.get::<u32>("process_id"), Some(process));
    assert!(std::process::Command::new("/bin/sh").args(["-c", end]).status().expect("a shell").success());
    assert_gone(temporary);
}

/// The server's directory is removed with it.
#[track_caller]
fn assert_gone(temporary: &Path) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let left = || {
        let entries = std::fs::read_dir(temporary).expect("read").flatten().map(|entry| entry.file_name());
        entries.filter(|name| name.to_string_lossy().starts_with("transient-fixtures-")).count()
    };
    while left() > 0 {
        assert!(Instant::now() < deadline, "the directory is still there");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[rstest]
#[case("panics")]
#[case("panics_without_the_attribute")]
#[case("returns_an_error")]
#[case("should_panic_and_does_not")]
#[case("should_panic_with_other_words")]
#[case("times_out")]
#[case("times_out_without_the_attribute")]
#[case("forgets_and_panics")]
fn a_failed_tests_server_stays(#[case] test: &str) {
    let temporary = TempDir::new().expect("a directory");
    let ended = keeping(test, temporary.path()).run();
    ended.assert_failed_with(&["KEPT", &format!("it::keep::verdicts::{test}, ")]);
    std::thread::sleep(Duration::from_millis(700));
    look_at_and_end_the_server(&ended.output, temporary.path());
}

#[test]
fn a_killed_tests_server_stays() {
    let temporary = TempDir::new().expect("a directory");
    let mut running: Running = keeping("waits_to_be_killed", temporary.path()).start();
    running.wait_for("evidence at ");
    running.child.kill().expect("SIGKILL");
    running.child.wait().expect("reap");
    std::thread::sleep(Duration::from_millis(700));
    look_at_and_end_the_server(&running.output(), temporary.path());
}

#[rstest]
#[case("passes")]
#[case("returns_ok")]
#[case("should_panic_and_does")]
fn a_passed_tests_server_goes(#[case] test: &str) {
    let temporary = TempDir::new().expect("a directory");
    let ended = keeping(test, temporary.path()).run();
    ended.assert_passed();
    assert!(!ended.output.contains("KEPT"), "{}", ended.output);
    assert_gone(temporary.path());
}

#[test]
fn without_the_variable_nothing_stays() {
    let temporary = TempDir::new().expect("a directory");
    let ended = keeping("panics", temporary.path()).env("TRANSIENT_KEEP", "0").run();
    assert!(!ended.passed && !ended.output.contains("KEPT"), "{}", ended.output);
    assert_gone(temporary.path());
}

/// A running server is not kept, and the output states that.
#[test]
fn a_running_server_is_not_kept() {
    let (server, temporary) = (own_server::OwnServer::start(), TempDir::new().expect("a directory"));
    let child = keeping("panics", temporary.path()).without("TRANSIENT_PROVIDER");
    let ended = child.env("TRANSIENT_REDIS_URL", server.url()).run();
    ended.assert_failed_with(&[golden("report::not_kept"), &format!("-p {} -n 14", server.port)]);
    // No command to end it is printed.
    assert!(!ended.output.contains("shutdown") && !ended.output.contains("kill "), "{}", ended.output);
}
