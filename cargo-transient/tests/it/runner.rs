//! `exec` as the runner of cargo.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::program::{Ended, PROGRAM, here, set_up};

/// `.cargo/config.toml` as the documentation shows it.
fn documented() -> String {
    let page = fs::read_to_string(here("../../../docs/without-changing-your-tests.md")).expect("the page");
    let block = page.split("```toml\n").nth(1).expect("a block").split("```").next().expect("its end");
    block.to_owned()
}

/// Copies the suite, which knows nothing of us, and adds the documented file.
fn suite() -> TempDir {
    let suite = TempDir::new().expect("a directory");
    for file in ["Cargo.toml", "Cargo.lock", "lib.rs", "tests/one.rs", "tests/two.rs"] {
        let to = suite.path().join(file);
        fs::create_dir_all(to.parent().expect("a directory")).expect("mkdir");
        fs::copy(here("../suite").join(file), to).expect("copy");
    }
    fs::create_dir(suite.path().join(".cargo")).expect("mkdir");
    fs::write(suite.path().join(".cargo/config.toml"), documented()).expect("write");
    suite
}

/// `cargo test` in the suite, with the program on PATH, and behind `record` if there are options for it.
fn cargo_test(suite: &TempDir, record: &[&str], variables: &[(&str, &Path)]) -> Ended {
    let directory = TempDir::new().expect("a directory");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(if record.is_empty() { &cargo } else { OsStr::new(PROGRAM) });
    if !record.is_empty() {
        command.arg("record").args(record).arg("--").arg(&cargo);
    }
    command.args(["test", "--offline", "--no-fail-fast"]);
    set_up(&mut command, &directory);
    let path = env::var_os("PATH").unwrap_or_default();
    let program = Path::new(PROGRAM).parent().expect("a directory").to_owned();
    let path = env::join_paths([program].into_iter().chain(env::split_paths(&path))).expect("a PATH");
    command.env("PATH", path).env("CARGO_TARGET_DIR", suite.path().join("target"));
    command.current_dir(suite.path()).envs(variables.iter().copied());
    let ended = Ended::of(&command.output().expect("cargo"));
    crate::left::assert_nothing_left(&directory);
    ended
}

#[test]
fn an_unchanged_suite_runs() {
    let suite = suite();
    let ended = cargo_test(&suite, &[], &[]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.stdout.matches("2 passed").count(), 2, "{ended:?}");

    // That there is no server is found out once, and then told to each test binary.
    let log = suite.path().join("log");
    let server = suite.path().join("redis-server");
    let script = format!("#!/bin/sh\n[ \"$1\" = --version ] || echo started >>'{}'\nexit 1\n", log.display());
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "printf '%s' \"$1\" >\"$0\" && /bin/chmod +x \"$0\""]).arg(&server).arg(script);
    assert!(shell.status().expect("a shell").success());
    let provider = ("TRANSIENT_PROVIDER", Path::new("process"));
    let ended = cargo_test(&suite, &[], &[provider, ("TRANSIENT_SERVER_BINARY", &server)]);
    assert_ne!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.stdout.contains("passed"), "{ended:?}");
    // The library, and two test binaries.
    assert_eq!(ended.stderr.matches("cargo transient: ").count(), 3, "{ended:?}");
    assert_eq!(fs::read_to_string(&log).expect("the log"), "started\n", "{ended:?}");
}

/// Without the runner, all test binaries share the server that is recorded.
#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn a_whole_suite_is_recorded() {
    let suite = suite();
    let (json, runner) = (suite.path().join("summary"), env::consts::ARCH.to_uppercase());
    let [option, runner] =
        [format!("--json={}", json.display()), format!("CARGO_TARGET_{runner}_UNKNOWN_LINUX_GNU_RUNNER")];
    let commands = |variables: &[(&str, &Path)]| {
        let ended = cargo_test(&suite, &[&option], variables);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let summary: serde_json::Value = serde_json::from_slice(&fs::read(&json).expect("the summary")).expect("JSON");
        summary["commands"].as_u64().expect("a number")
    };
    assert_eq!(commands(&[]), 0);
    assert_eq!(commands(&[(&runner, Path::new("env"))]), 404);
}

/// The shell is cargo-nextest, which outlives its processes.
#[test]
fn processes_of_a_run_share_a_server() {
    let directory = TempDir::new().expect("a directory");
    let [python, client] = crate::program::python("client.py");
    let one =
        format!("'{PROGRAM}' exec bash -c \"echo \\$REDIS_URL; {python} '{client}' \\$REDIS_URL DBSIZE 'SET a 1'\"");
    let run = format!("{}-{}", std::process::id(), directory.path().display());
    let mut command = Command::new("bash");
    command.args(["-c", &format!("{one} && {one} && NEXTEST_RUN_ID=\"other $0\" && {one}; exit $?"), &run]);
    set_up(&mut command, &directory);
    command.env("NEXTEST_EXECUTION_MODE", "process-per-test").env("NEXTEST_RUN_ID", &run);
    let ended = Ended::of(&command.output().expect("bash"));
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
    let lines: Vec<_> = ended.stdout.lines().collect();
    let [first, second, other] = [0, 3, 6].map(|line| lines[line].split_once('@').expect("a password"));
    for process in [1, 4, 7] {
        assert_eq!(lines[process..process + 2], [":0", "+OK"], "{ended:?}");
    }
    assert!(first.1 == second.1 && first.0 != second.0 && first.1 != other.1, "{ended:?}");
    crate::left::assert_nothing_left(&directory);
}

/// cargo-nextest lists the tests of each binary before it runs them.
#[test]
fn lists_of_tests_need_no_server() {
    let directory = TempDir::new().expect("a directory");
    let mut command = Command::new(PROGRAM);
    command.args(["exec", "bash", "-c", "echo ${REDIS_URL-unset} $1", "bash", "--list"]);
    set_up(&mut command, &directory);
    command.env("TRANSIENT_SERVER_BINARY", "/nowhere").env("TRANSIENT_PROVIDER", "process");
    command.env("CARGO_MANIFEST_DIR", directory.path());
    Ended::of(&command.output().expect("start")).assert_quiet(0, "unset --list\n");
    // Only what cargo runs is a test binary.
    assert_eq!(Ended::of(&command.env_remove("CARGO_MANIFEST_DIR").output().expect("start")).code, Some(125));
}
