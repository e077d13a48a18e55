//! `mutate`: what it finds, and what it refuses.

use std::fs;
#[cfg(target_os = "linux")]
use std::path::Path;
use std::process::Command;
#[cfg(target_os = "linux")]
use std::process::Stdio;
use std::sync::OnceLock;

use serde_json::Value;

#[cfg(target_os = "linux")]
use crate::left::{assert_gone, assert_nothing_left, kill};
use crate::program::{Ended, Program, here};

/// `mutate` on one of the suites in `mutate/`.
fn program(arguments: &[&str], suite: &str) -> Program {
    let words: Vec<_> = suite.split(' ').collect();
    let script = here("mutate").join(words[0]).display().to_string();
    let mut all: Vec<_> =
        ["mutate", "--json", "report.json"].iter().chain(arguments).map(ToString::to_string).collect();
    all.extend(["--", interpreter(), "-B", &script].map(ToOwned::to_owned));
    all.extend(words[1..].iter().map(ToString::to_string));
    Program::new(all)
}

/// Runs it, and returns what it wrote with `--json` too.
fn mutate(arguments: &[&str], suite: &str) -> (Ended, Value) {
    let mut program = program(arguments, suite);
    let directory = tempfile::tempdir().expect("a directory");
    program.command.current_dir(directory.path());
    let ended = program.run();
    let json = fs::read_to_string(directory.path().join("report.json")).unwrap_or_default();
    (ended, serde_json::from_str(&json).unwrap_or_default())
}

/// Python itself. The one on PATH can be a script that takes long to find it.
fn interpreter() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| {
        let output = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
        String::from_utf8(output.expect("python3").stdout).expect("UTF-8").trim().to_owned()
    })
}

/// Operator and shape of each finding.
fn findings(report: &Value) -> Vec<(String, String, String)> {
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    let findings = report["findings"].as_array().expect("findings").iter();
    findings.map(|finding| (text(finding, "operator"), text(finding, "shape"), text(finding, "certainty"))).collect()
}

const CERTAIN: [(&str, &str); 4] = [
    ("ttl-drop", "SETEX session:<id>"),
    ("range-open", "ZCOUNT hits:wrong"),
    ("write-skip", "RPUSH in EVAL"),
    ("ttl-drop", "SET EX"),
];

#[test]
fn gaps_are_found_and_covered_promises_are_not() {
    let (ended, report) = mutate(&["--suite", "all", "-j", "2"], "shop.py -v");
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), ""), "{ended:?}");
    let found = findings(&report);
    let is = |operator: &str, shape: &str, certainty: &str| {
        found.iter().any(|(name, other, how)| name == operator && other.starts_with(shape) && how == certainty)
    };
    for (operator, shape) in CERTAIN {
        assert!(is(operator, shape, "certain"), "{operator} on {shape}: {}", ended.stdout);
    }
    // The cache that never hits: the reply differs, and no test looks.
    assert!(is("read-nil", "GET price:", "passed"), "{}", ended.stdout);
    for covered in ["SETEX code:", "GET brand:", "GET code:", "GET session:", "SET lock:", "ZCOUNT hits:right", "DECR"]
    {
        assert!(!found.iter().any(|(_, shape, _)| shape.starts_with(covered)), "{covered}: {}", ended.stdout);
    }
    // For each mutant that the replay calls untested, the suite passes too.
    assert_eq!(report["contradictions"], Value::Array(Vec::new()), "{}", ended.stdout);
    assert_eq!((&report["undecided"], &report["tests"], &report["tests_on_redis"]), (&0.into(), &9.into(), &9.into()));
    assert!(report["never_seen"].to_string().contains("HSETNX lease:a"), "{}", ended.stdout);
    let sent_by = &report["findings"].as_array().expect("findings").iter();
    assert!(sent_by.clone().any(|finding| finding["sent_by"].to_string().contains("test_log_in")), "{}", ended.stdout);
}

/// Replays without a mutant are equal, and each kind of reply shows a mutant.
#[test]
fn commands_of_every_kind_are_replayed() {
    let (ended, report) = mutate(&["--suite", "never"], "kinds.py");
    assert_eq!(report["incomparable"], 0, "{ended:?}");
    let found = findings(&report);
    let is = |operator: &str, shape: &str| found.iter().any(|(name, other, _)| name == operator && other == shape);
    for (operator, shape) in [("twice", "XADD log:all"), ("del-skip", "XDEL log:all")] {
        assert!(is(operator, shape), "{operator} on {shape}: {}", ended.stdout);
    }
    for (operator, shape) in [
        ("publish-skip", "PUBLISH news:all"),
        ("write-skip", "LPUSH jobs:all"),
        ("watch-skip", "WATCH stock:all"),
        ("write-skip", "SADD members:all"),
        ("ttl-drop", "SET short:all PX"),
        ("ttl-drop", "SET a:all PX"),
        ("ttl-x60", "SET long:all EXAT"),
        ("read-nil", "HGETALL user:all"),
        ("write-skip", "SET in EVALSHA"),
    ] {
        assert!(!is(operator, shape), "{operator} on {shape}: {}", ended.stdout);
    }
}

/// Only what replay tells, and only of some commands. Its findings can be accepted.
#[test]
fn findings_can_be_accepted() {
    let only = ["--suite", "never", "--only", "ttl-drop", "--match", "SETEX session:*"];
    let (ended, report) = mutate(&only, "shop.py");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let found = findings(&report);
    assert_eq!(found, [("ttl-drop".to_owned(), "SETEX session:<id>".to_owned(), "certain".to_owned())]);
    let directory = tempfile::tempdir().expect("a directory");
    let accepted = directory.path().join("accepted.json");
    let entry = |shape: &str| serde_json::json!({"shape": shape, "operator": "ttl-drop", "reason": "a test"});
    let text = serde_json::json!({"accept": [entry("SETEX session:<id>"), entry("SETEX basket:<id>")]}).to_string();
    fs::write(&accepted, text).expect("write");
    let path = accepted.display().to_string();
    let (ended, report) = mutate(&[&only[..], &["--accept", &path]].concat(), "shop.py");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(report["unused_accept"], serde_json::json!([["SETEX basket:<id>", "ttl-drop"]]));
    fs::write(&accepted, "{\"accept\": [{}]}").expect("write");
    let (ended, _) = mutate(&["--accept", &path], "shop.py");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
}

#[test]
fn a_suite_that_fails_is_refused() {
    for (suite, arguments) in [("other.py red", &[][..]), ("other.py flaky", &[]), ("other.py red", &["--allow-flaky"])]
    {
        let (ended, _) = mutate(arguments, suite);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(3), ""), "{ended:?}");
        assert!(ended.stderr.contains("test_odd") && !ended.stderr.contains("test_green"), "{ended:?}");
    }
    let (ended, _) = mutate(&[], "other.py silent");
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.contains("REDIS_URL") && ended.stderr.contains("--var"), "{ended:?}");
}

#[test]
fn flaky_tests_can_be_left_out() {
    let (ended, report) = mutate(&["--allow-flaky", "--only", "write-skip"], "other.py flaky");
    assert_eq!((ended.code, &report["noticed"]), (Some(0), &1.into()), "{ended:?}");
}

/// It would wait for ever.
#[test]
fn a_suite_that_hangs_with_a_mutant_notices_it() {
    let (ended, report) = mutate(&["--only", "read-nil"], "other.py fine");
    assert_eq!((ended.code, &report["noticed"], &report["mutants"]), (Some(0), &1.into(), &1.into()), "{ended:?}");
}

#[test]
fn the_time_can_be_over() {
    let (ended, _) = mutate(&["--time", "0s"], "other.py fine");
    assert_eq!(ended.code, Some(124), "{ended:?}");
}

#[test]
fn wrong_arguments_are_named() {
    let (ended, _) = mutate(&["--only", "ttl-dorp"], "other.py fine");
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("ttl-dorp") && ended.stderr.contains("ttl-drop"), "{ended:?}");
    let ended = Program::new(["mutate", "--", "no-such-program"]).run();
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert!(ended.stderr.contains("no-such-program"), "{ended:?}");
}

/// Ends the program while the suite runs, and returns its exit code.
#[cfg(target_os = "linux")]
fn ends_with(signal: &str) -> Option<i32> {
    let mut program = program(&["-j", "2"], "other.py waits");
    let directory = tempfile::tempdir().expect("a directory");
    let mut child = program.command.current_dir(directory.path()).stdout(Stdio::null()).spawn().expect("start");
    let path = directory.path().join("process");
    assert_gone(|| (!path.exists()).then(|| "the suite does not run".to_owned()));
    let process = fs::read_to_string(&path).expect("read");
    kill(signal, child.id());
    let code = child.wait().expect("wait").code();
    let line = Path::new("/proc").join(process).join("cmdline");
    assert_gone(|| fs::read_to_string(&line).ok().filter(|line| line.contains("other.py")));
    assert_nothing_left(&program.directory);
    code
}

#[test]
#[cfg(target_os = "linux")]
fn nothing_is_left_after_a_signal() {
    let codes = ["INT", "TERM", "KILL"].map(ends_with);
    assert_eq!(codes, [Some(128 + 2), Some(128 + 15), None]);
}
