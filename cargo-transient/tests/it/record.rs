//! `record`: what it tells about a command, and that it leaves the command alone.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::left::{WAITS, ends_with, kill};
use crate::program::{Ended, PROGRAM, Program, here, python, set_up};
use crate::publish::ways;

/// Where `record` writes.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(TempDir::new().expect("a directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect(name)
    }

    fn option(&self, name: &str) -> String {
        format!("--{name}={}", self.path(name).display())
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.read("json")).expect("JSON")
    }
}

/// Runs a function of `traffic.py` with these options. The summary and the rest are in files.
fn traffic(name: &str, options: &[&str]) -> (Ended, Files) {
    let files = Files::new();
    let written = ["json", "transcript", "report"].map(|name| files.option(name));
    let arguments = ["record"].iter().copied().chain(options.iter().copied());
    let arguments = arguments.chain(written.iter().map(String::as_str)).chain(["--"]);
    let command = python("traffic.py");
    let command = command.iter().map(String::as_str).chain([name]);
    (Program::new(arguments.chain(command)).run(), files)
}

/// The shapes of a list of the summary, each with one of its values.
fn list(summary: &Value, list: &str, value: &str) -> Vec<(String, Value)> {
    let entries = summary[list].as_array().expect("a list").iter();
    entries.map(|entry| (entry["shape"].as_str().expect("a shape").to_owned(), entry[value].clone())).collect()
}

fn count(summary: &Value, shape: &str) -> Option<u64> {
    list(summary, "shapes", "count").iter().find(|(other, _)| other == shape).and_then(|(_, count)| count.as_u64())
}

#[track_caller]
fn assert_list<T: Into<Value>>(summary: &Value, name: &str, value: &str, expected: Vec<(&str, T)>) {
    let expected: Vec<_> = expected.into_iter().map(|(shape, value)| (shape.to_owned(), value.into())).collect();
    assert_eq!(list(summary, name, value), expected, "{summary:#}");
}

#[test]
fn a_run_is_summed_up() {
    let (ended, files) = traffic("shop", &[]);
    ended.assert_quiet(0, "");
    let summary = files.json();
    let shapes = Vec::from([
        ("GET price:<id>", 6),
        ("SET price:<id>", 6),
        ("SET session:<id> EX", 6),
        ("GET session:<id>", 2),
        ("EXPIRE cart:<id>", 1),
        ("HSET cart:<id>", 1),
        ("SET lock:mail NX PX", 1),
    ]);
    assert_list(&summary, "shapes", "count", shapes);
    assert_eq!((&summary["commands"], &summary["round_trips"]), (&json!(23), &json!(23)));
    assert_eq!((&summary["connections"], &summary["handshakes"]["CLIENT SETNAME"]), (&json!(1), &json!(1)));
    assert_list(&summary, "without_ttl", "example", Vec::from([("SET price:<id>", "price:0")]));
    assert_list(&summary, "n_plus_one", "longest", Vec::from([("GET price:<id>", 6)]));
    let never =
        Vec::from([("GET price:<id>", "Missing"), ("EXPIRE cart:<id>", "KeyGone"), ("SET lock:mail NX PX", "Refused")]);
    assert_list(&summary, "never_seen", "never", never);
    assert_eq!(summary["shapes"][0]["clients"], json!(["shop"]));
    let transcript = files.read("transcript");
    assert_eq!(transcript.lines().count(), 25, "{transcript}");
    assert_eq!(transcript.lines().nth(2), Some("[1 shop] 0 SET session:0 x EX 60 -> OK"));
    let report = files.read("report");
    assert!(report.contains("GET price:<id>") && report.lines().all(|line| line.chars().count() <= 80), "{report}");
}

#[test]
fn commands_of_every_kind_are_recorded() {
    let (ended, files) = traffic("kinds", &[]);
    ended.assert_quiet(0, "");
    let summary = files.json();
    for (shape, expected) in [
        ("HGETALL none", 1),
        ("SET inline", 1),
        ("INCR pipelined", 3),
        ("EXEC", 1),
        ("GET stock", 1),
        ("SADD brands", 1),
        ("SET <id>", 1),
        ("BLPOP queue", 1),
        ("SUBSCRIBE news mail", 1),
        ("PUBLISH news", 1),
        ("SET silent", 1),
    ] {
        assert_eq!(count(&summary, shape), Some(expected), "{shape} of {summary:#}");
    }
    let shapes = list(&summary, "shapes", "round_trips");
    let round_trips = |name: &str| {
        let found = shapes.iter().filter(|(shape, _)| shape.starts_with(name));
        found.map(|(_, count)| count.as_u64().expect("a number")).sum::<u64>()
    };
    // A pipeline and a transaction are one each.
    assert_eq!(["INCR", "MULTI", "GET stock", "EXEC"].map(round_trips), [1, 0, 0, 1]);
    // Those of a transaction have the replies of EXEC.
    let never = list(&summary, "never_seen", "never");
    let has_never =
        |shape: &str, what: &str| never.iter().any(|(other, never)| other.starts_with(shape) && never == what);
    assert!(has_never("GET stock", "Found") && !has_never("GET stock", "Missing"), "{summary:#}");
    assert!(has_never("SADD brands", "AlreadyThere") && has_never("EXEC", "Aborted"), "{summary:#}");
    // The script is known by its comment, and answered 1 and 2.
    assert_eq!(shapes.iter().filter(|(shape, _)| shape.contains("(Counts.)")).count(), 2, "{summary:#}");
    assert!(!never.iter().any(|(_, never)| never.as_str().is_some_and(|text| text.starts_with("AnythingBut"))));
    // What a script and a transaction wrote.
    let without_ttl = list(&summary, "without_ttl", "never");
    assert!(without_ttl.iter().any(|(shape, count)| shape == "SADD brands" && *count == 1), "{summary:#}");
}

#[test]
fn all_processes_of_a_command_are_seen() {
    let (ended, files) = traffic("two", &[]);
    ended.assert_quiet(0, "");
    let summary = files.json();
    assert_eq!(summary["connections"], json!(2));
    assert_eq!([count(&summary, "SET child:<id>"), count(&summary, "SET parent:<id>")], [Some(1), Some(1)]);
}

#[test]
fn a_command_that_dies_is_summed_up() {
    let (ended, files) = traffic("dies", &[]);
    ended.assert_quiet(128 + 9, "");
    let summary = files.json();
    assert_list(&summary, "without_ttl", "example", Vec::from([("SET done:<id>", "done:1")]));
    assert_eq!([count(&summary, "SET queued:<id>"), count(&summary, "BLPOP queue")], [Some(1), Some(1)]);
}

#[test]
fn commands_just_before_the_end_are_recorded() {
    let (ended, files) = traffic("last", &[]);
    ended.assert_quiet(0, "");
    assert_eq!(count(&files.json(), "SET last:<id>"), Some(5000));
}

#[test]
fn exceeded_budgets_fail_a_run_that_succeeds() {
    let budgets = ["--round-trips=23", "--never=KEYS", "--never=CLIENT LIST"];
    traffic("shop", &budgets).0.assert_quiet(0, "");
    for (budget, named) in [
        ("--round-trips=22", "23"),
        ("--never=get", "GET"),
        ("--never=EXP*", "EXPIRE"),
        ("--never=CLIENT", "CLIENT SETNAME"),
        ("--never-without-ttl", "price:0"),
        ("--never-n-plus-one", "GET price:<id>"),
    ] {
        let (ended, files) = traffic("shop", &[budget]);
        assert_eq!((ended.code, ended.stderr.lines().count()), (Some(123), 1), "{ended:?}");
        assert!(ended.stderr.contains(named), "{ended:?}");
        assert!(!files.read("report").is_empty());
    }
    let (ended, _) = traffic("dies", &["--round-trips=0"]);
    ended.assert_quiet(128 + 9, "");
}

/// The summary is all that is added, to standard error.
#[test]
fn input_output_and_exit_codes_are_the_commands() {
    let line = "echo out; echo error >&2; read line || exit 7";
    let ended = Program::new(["record", "--", "bash", "-c", line]).run();
    assert_eq!((ended.code, &*ended.stdout), (Some(7), "out\n"));
    assert!(ended.stderr.starts_with("error\nrecord: "), "{ended:?}");
    let ended = Program::new(["record", "--", "no-such-program"]).run();
    assert_eq!((ended.code, ended.stderr.lines().count()), (Some(127), 1), "{ended:?}");
}

#[test]
fn the_variables_lead_through_the_tap() {
    let [python, script] = python("client.py");
    for (options, url) in [
        (&["--var", "A={host}:{port}/{database}", "--database=5"][..], "redis://$A"),
        (&["--var", "A", "--database=5"], "$A"),
    ] {
        let (files, line) = (Files::new(), format!("exec {python} '{script}' {url} 'SET a 1' 'SELECT 4' 'GET a'"));
        let json = files.option("json");
        let arguments = ["record", &json].into_iter().chain(options.iter().copied());
        let ended = Program::new(arguments.chain(["--", "bash", "-c", &line])).run();
        assert_eq!((ended.code, &*ended.stdout), (Some(0), "+OK\n+OK\n$-1\n"), "{ended:?}");
        assert_eq!(files.json()["handshakes"]["SELECT"], json!(2));
    }
}

#[test]
fn a_published_server_is_recorded() {
    for mut way in ways() {
        let port = way.arguments.iter().find_map(|argument| argument.strip_prefix("--publish=").map(str::to_owned));
        let (Some(port), files) = (port, Files::new()) else { continue };
        way.arguments.splice(..1, ["record".to_owned(), files.option("json")]);
        let ([python, script], url) = (python("client.py"), format!("redis://127.0.0.1:{port}"));
        let ended = way.program([&*python, &*script, &*url, "SET a 1"]).run();
        assert_eq!((ended.code, &*ended.stdout), (Some(0), "+OK\n"), "{ended:?}");
        assert_eq!(count(&files.json(), "SET a"), Some(1));
    }
}

#[test]
fn a_running_server_is_recorded_if_asked() {
    let files = Files::new();
    let [python, script] = python("client.py");
    let client = format!("{python} '{script}' $REDIS_URL 'SET a 1'");
    // The shell of the command expands the variable, and not that of `exec`.
    let client = client.replace('$', "\\$");
    let line = format!("'{PROGRAM}' record '{}' --provider running -- bash -c \"{client}\" 2>&-", files.option("json"));
    Program::new(["exec", "bash", "-c", &line]).run().assert_quiet(0, "+OK\n");
    assert_eq!(count(&files.json(), "SET a"), Some(1));
}

#[test]
fn a_run_without_commands_says_so() {
    let files = Files::new();
    let ended = Program::new(["record", &files.option("json"), "--", "bash", "-c", "exit 0"]).run();
    assert_eq!(ended.code, Some(0));
    assert!(ended.stderr.contains("REDIS_URL") && ended.stderr.contains("--var"), "{ended:?}");
    assert_eq!(files.json()["commands"], json!(0));
}

/// The whole recording, which the library reads.
#[test]
fn a_recording_can_be_kept() {
    let files = Files::new();
    traffic("shop", &[&files.option("recording")]).0.assert_quiet(0, "");
    let recording = files.read("recording");
    assert!(recording.starts_with("transient-fixtures recording 1\n"), "{recording}");
    assert!(
        recording.contains("\r\nsession:1\r\n")
            && recording.lines().last().is_some_and(|line| line.starts_with("end "))
    );
}

#[test]
fn files_that_cant_be_written_are_named_before_the_command_starts() {
    let files = Files::new();
    for option in ["report", "json", "transcript"] {
        let path = files.path("missing").join(option);
        let ended = Program::new(["record", &format!("--{option}={}", path.display()), "--", "bash", "-c", "echo ran"]);
        let ended = ended.run();
        assert_eq!((ended.code, &*ended.stdout, ended.stderr.lines().count()), (Some(125), "", 1), "{ended:?}");
        assert!(ended.stderr.contains(path.to_str().expect("UTF-8")), "{ended:?}");
    }
    let ended = Program::new(["record", "--recording=/dev/null/x", "--", "bash", "-c", "echo ran"]).run();
    assert_eq!((ended.code, &*ended.stdout), (Some(125), ""), "{ended:?}");
}

/// A limit on the size of files is like a full disk. The command does not notice.
#[test]
fn a_full_disk_takes_the_summary_away_alone() {
    let files = Files::new();
    let limited = ["bash", "-c", "trap '' XFSZ; ulimit -f 100; exec \"$0\" \"$@\""].map(str::to_owned);
    let command = python("traffic.py");
    let options = ["record".to_owned(), files.option("report"), files.option("json"), "--".to_owned()];
    let arguments = options.iter().chain(&command).map(String::as_str).chain(["much"]);
    let ended = Program::started_by(&limited, arguments).run();
    assert_eq!((ended.code, &*ended.stdout), (Some(125), "done\n"), "{ended:?}");
    assert!(ended.stderr.contains("TMPDIR"), "{ended:?}");
    assert_eq!((files.read("report").as_str(), files.read("json").as_str()), ("", ""));
}

#[test]
fn a_closed_output_is_not_an_error() {
    let closed = ["bash", "-c", "exec 2>&-; exec \"$0\" \"$@\""].map(str::to_owned);
    Program::started_by(&closed, ["record", "--", "bash", "-c", "echo out"]).run().assert_quiet(0, "out\n");
}

#[test]
#[cfg(target_os = "linux")]
fn a_killed_recording_leaves_nothing() {
    assert_eq!(ends_with(Program::new(["record"].iter().chain(&WAITS)), |program| kill("KILL", program)), None);
}

#[test]
#[cfg(target_os = "linux")]
fn a_signal_ends_the_command_and_the_summary_comes() {
    let files = Files::new();
    let option = files.option("json");
    let program = Program::new(["record", &option].into_iter().chain(WAITS));
    assert_eq!(ends_with(program, |program| kill("TERM", program)), Some(128 + 15));
    assert_eq!(files.json()["commands"], json!(0));
}

/// The transcript waits for a reader.
#[test]
#[cfg(target_os = "linux")]
fn a_signal_ends_a_summary() {
    let command = python("traffic.py");
    let arguments = ["record", "--transcript=/dev/stdout", "--"].into_iter();
    let mut program = Program::new(arguments.chain(command.iter().map(String::as_str)).chain(["last"]));
    let mut child = program.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start");
    let mut output = child.stdout.take().expect("its output");
    output.read_exact(&mut [0]).expect("the transcript");
    kill("TERM", child.id());
    let ended = Ended::of(&child.wait_with_output().expect("wait"));
    assert_eq!((ended.code, &*ended.stderr), (Some(128 + 15), ""));
    crate::left::assert_nothing_left(&program.directory);
}

/// As the runner of cargo, it starts no server to list tests.
#[test]
fn lists_of_tests_are_not_recorded() {
    let directory = TempDir::new().expect("a directory");
    let mut command = Command::new(PROGRAM);
    command.args(["record", "bash", "-c", "echo ${REDIS_URL-unset} $1", "bash", "--list"]);
    set_up(&mut command, &directory);
    command.env("TRANSIENT_SERVER_BINARY", "/nowhere").env("TRANSIENT_PROVIDER", "process");
    command.env("CARGO_MANIFEST_DIR", directory.path());
    Ended::of(&command.output().expect("start")).assert_quiet(0, "unset --list\n");
}

/// All but the line with the times.
#[test]
fn the_documented_summary_is_that_of_a_run() {
    let page = fs::read_to_string(here("../../../docs/record.md")).expect("the page");
    let block = page.split("```text\n").nth(1).expect("a block").split("```").next().expect("its end");
    let without_times = |text: &str| text.lines().filter(|line| !line.contains(" s; ")).collect::<Vec<_>>().join("\n");
    let (_, files) = traffic("shop", &[]);
    assert_eq!(without_times(block), without_times(&files.read("report")));
}
