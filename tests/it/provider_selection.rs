//! The order of the providers, their reports, and the time that failing takes.

use std::fs;
use std::path::Path;

use rstest::rstest;
use tempfile::TempDir;
use transient_fixtures::{TestRequest, clean_redis, test_request};

use crate::child::{self, Child};
use crate::golden::golden;
use crate::own_server::{self, OwnServer};

mod crowd {
    use super::{TestRequest, clean_redis, rstest, test_request};

    #[rstest]
    #[clean_redis]
    fn wants_a_server(test_request: TestRequest, #[values(1, 2, 3, 4, 5, 6, 7, 8)] _number: u32) {
        crate::clean::assert_clean_but_for(&[], &test_request);
    }
}

/// A machine on which every provider fails: no server runs, PATH is empty, no engine answers, downloads are forbidden.
fn nowhere(child: Child) -> Child {
    let directory = Path::new("/nowhere");
    child
        .env("PATH", directory)
        .env("DOCKER_HOST", "unix:///nowhere/docker.sock")
        .env("TRANSIENT_OFFLINE", "1")
        .env("XDG_CACHE_HOME", "/nowhere/cache")
}

/// A test.ini that names a port without a listener, so that this machine's server at 6379 does not matter.
fn port_without_a_listener(directory: &TempDir) -> std::path::PathBuf {
    let ini = directory.path().join("test.ini");
    fs::write(&ini, "[app:main]\nredis.sessions.url = redis://127.0.0.1:1\n").expect("write");
    ini
}

#[test]
fn one_report_lists_all_failed_providers() {
    let directory = TempDir::new().expect("a directory");
    let child = nowhere(Child::test("provider_selection::crowd::wants_a_server::_number_1_1"));
    let ended = child.env("TRANSIENT_TEST_INI", port_without_a_listener(&directory)).run();
    ended.assert_failed_with(&["panicked at tests/it/provider_selection.rs"]);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/no_server.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&golden, ended.report() + "\n").expect("write");
    }
    let expected = fs::read_to_string(&golden).expect("the golden file");
    assert_eq!(ended.report().trim_end(), expected.trim_end(), "UPDATE_GOLDEN=1 renews tests/it/no_server.txt");
}

#[test]
fn the_provider_is_printed_with_its_reason() {
    let server = OwnServer::start();
    let directory = TempDir::new().expect("a directory");
    let run = || Child::test("provider_selection::crowd::wants_a_server::_number_1_1");
    let running = run().env("TRANSIENT_REDIS_URL", server.url()).run();
    let said = format!("at 127.0.0.1:{} (running); ", server.port);
    assert!(running.output.contains(&said), "{}", running.output);
    let process = run().env("TRANSIENT_TEST_INI", port_without_a_listener(&directory));
    let process = process.env("TRANSIENT_SERVER_BINARY", own_server::binary()).run();
    process.assert_passed();
    for words in ["(process); started ", "redis://127.0.0.1:1 ("] {
        assert!(process.output.contains(words), "{}", process.output);
    }
}

#[test]
fn a_failing_provider_is_reported_and_the_next_is_tried() {
    let directory = TempDir::new().expect("a directory");
    let child = Child::test("provider_selection::crowd::wants_a_server::_number_1_1");
    let child = child
        .env("TRANSIENT_TEST_INI", port_without_a_listener(&directory))
        .env("TRANSIENT_SERVER_BINARY", "/bin/false");
    let ended = child.env("DOCKER_HOST", "unix:///nowhere/docker.sock").run();
    ended.assert_passed();
    for words in ["(download); ", "/bin/false ", golden("container::no_engine")] {
        assert!(ended.output.contains(words), "{words:?} is missing in:\n{}", ended.output);
    }
}

#[rstest]
#[case("redis")]
#[case("Process")]
#[case("docker")]
fn an_unknown_provider_is_an_error_with_the_valid_ones(#[case] provider: &str) {
    let child =
        Child::test("provider_selection::crowd::wants_a_server::_number_1_1").env("TRANSIENT_PROVIDER", provider);
    child.run().assert_failed_with(&["the environment", provider, "auto, running, process, container or download"]);
}

/// The first test spends the time. The other seven fail at once with the same report.
#[test]
fn failing_takes_time_once_per_process() {
    // A server that never answers times out after 10 s.
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("redis-server");
    let count = directory.path().join("count");
    child::write_program(&path, &format!("#!/bin/sh\necho x >>'{}'\nexec sleep 7656\n", count.display()));
    let child = Child::tests("provider_selection::crowd::").arguments(["--test-threads=4"]);
    let ended = child.env("TRANSIENT_PROVIDER", "process").env("TRANSIENT_SERVER_BINARY", &path).run();
    ended.assert_failed_with(&["0 passed; 8 failed"]);
    assert_eq!(ended.output.matches(golden("report::no_server")).count(), 8, "{}", ended.output);
    assert_eq!(fs::read_to_string(&count).expect("the count").lines().count(), 1);
}

/// An engine that accepts and never replies, and a forbidden download: bounded time.
#[test]
fn a_silent_engine_times_out() {
    let directory = TempDir::new().expect("a directory");
    let socket = directory.path().join("docker.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).expect("bind");
    std::thread::spawn(move || listener.incoming().flatten().for_each(std::mem::forget));
    let child =
        Child::test("provider_selection::crowd::wants_a_server::_number_1_1").env("TRANSIENT_PROVIDER", "container");
    let ended = child.env("DOCKER_HOST", format!("unix://{}", socket.display())).run();
    ended.assert_failed_with(&[golden("report::no_server"), "container ", "->"]);
}

/// The same under a runner with a process for each test.
#[test]
fn failing_takes_time_once_per_nextest_run() {
    let directory = TempDir::new().expect("a directory");
    let run = |id: &str| {
        let child = Child::test("provider_selection::crowd::wants_a_server::_number_1_1");
        let child = child.env("TRANSIENT_PROVIDER", "download").env("PATH", "/nowhere").env("NEXTEST_RUN_ID", id);
        child.env("XDG_CACHE_HOME", directory.path()).run()
    };
    run("one").assert_failed_with(&[golden("download::no_python")]);
    let second = run("one");
    second.assert_failed_with(&[golden("download::no_python"), golden("report::found_before")]);
    let other = run("two");
    assert!(!other.output.contains(golden("report::found_before")), "{}", other.output);
}

/// The same under `cargo test`, which runs a process for each test binary. A shell with cargo's name simulates it.
#[cfg(target_os = "linux")]
#[test]
fn failing_takes_time_once_per_cargo_run() {
    let directory = TempDir::new().expect("a directory");
    let cargo = directory.path().join("cargo");
    let test = std::env::current_exe().expect("this binary");
    let one =
        format!("'{}' provider_selection::crowd::wants_a_server::_number_1_1 --exact --nocapture 2>&1", test.display());
    child::write_program(&cargo, &format!("#!/bin/sh\n{one}\n{one}\n"));
    let run = || {
        let mut command = std::process::Command::new(&cargo);
        command.env("TRANSIENT_PROVIDER", "download").env("PATH", "/nowhere").env("XDG_CACHE_HOME", directory.path());
        command.env_remove("NEXTEST_RUN_ID").env_remove("NEXTEST_EXECUTION_MODE").env_remove("TRANSIENT_REDIS_URL");
        command.env("TRANSIENT_TEST_INI", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/nothing.ini"));
        String::from_utf8_lossy(&command.output().expect("a shell").stdout).into_owned()
    };
    for said in [run(), run()] {
        // The second test of a run, not the first of the next run.
        assert_eq!(said.matches(golden("download::no_python")).count(), 2, "{said}");
        assert_eq!(said.matches(golden("report::found_before")).count(), 1, "{said}");
    }
}
