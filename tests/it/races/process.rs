//! Clients that are processes. They speak the protocol themselves, so they need nothing but Python.

use std::cell::Cell;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use redis::{Commands, Connection};
use rstest::rstest;
use transient_fixtures::races::{self, Client, Outcomes};
use transient_fixtures::{TestRequest, clean_redis, test_request};

use super::{commands, failure};
use crate::golden::golden;

/// `redis("GET", "visits")` and `point("write the file")`.
const PYTHON: &str = r#"
import os, socket, sys
from urllib.parse import unquote, urlsplit

url = urlsplit(os.environ["REDIS_URL"])
file = socket.create_connection((url.hostname, url.port)).makefile("rwb")

def redis(*words):
    parts = [str(word).encode() for word in words]
    file.write(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
    file.flush()
    kind, rest = (line := file.readline())[:1], line[1:-2]
    if kind == b"$":
        return None if rest == b"-1" else file.read(int(rest) + 2)[:-2]
    if kind not in (b":", b"+"):
        sys.exit("the server replied with %r" % line)
    return rest

def point(name):
    print("point:", name, flush=True)
    sys.stdin.readline()

if url.password:
    redis("AUTH", *([unquote(url.username)] if url.username else []), unquote(url.password))
redis("SELECT", url.path.strip("/") or 0)
"#;

/// This program after `PYTHON`.
fn python(program: &str) -> impl Fn(&Client) -> Command + Clone + Send + Sync + 'static {
    let program = format!("{PYTHON}{program}");
    move |_| {
        let mut command = Command::new("python3");
        command.args(["-I", "-S", "-c", &program]);
        command
    }
}

fn process_in(file: &Path) -> String {
    std::fs::read_to_string(file).expect("the id of the process")
}

fn is_alive(process: &str) -> bool {
    assert!(!process.is_empty(), "the process did not write its id");
    let mut kill = Command::new("/bin/sh");
    kill.args(["-c", "kill -0 \"$0\"", process]).stderr(Stdio::null());
    kill.status().expect("a shell").success()
}

#[rstest]
#[clean_redis]
fn a_lost_update_in_another_process_is_found(test_request: TestRequest) {
    let explore = |program| races::explore(&test_request).process("a", python(program)).process("b", python(program));
    let check = |redis: &mut Connection, _: &Outcomes| assert_eq!(redis.get::<_, u32>("visits").unwrap(), 2);
    let lost = r#"redis("SET", "visits", int(redis("GET", "visits") or 0) + 1)"#;
    let text = failure(|| explore(lost).preemptions(1).check(check));
    assert!(text.contains("TRANSIENT_REPLAY='a*2,b*3,a'"), "{text}");
    assert!(text.contains("GET visits -> nil") && text.contains("SET visits 1 -> OK"), "{text}");
    let explored = explore(r#"redis("INCR", "visits")"#).check(check);
    assert_eq!((explored.schedules(), explored.is_complete()), (6, true));
}

/// The process writes only after its point is released, so the reader before it sees nothing.
#[rstest]
#[clean_redis]
fn a_line_is_a_point_and_the_other_lines_are_the_value(test_request: TestRequest) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("file");
    let program =
        format!("point('write the file')\nopen({path:?}, 'w').write('x')\nprint('writ', 'ten')\nprint('twice')");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (file, note) = (path.clone(), seen.clone());
    let explored = races::explore(&test_request)
        .seed(move |_| _ = std::fs::remove_file(&path))
        .process("writer", python(&program))
        .client("reader", move |_| note.lock().unwrap().push(file.exists()))
        .check(|_, outcomes| assert_eq!(outcomes.value::<String>("writer").unwrap(), "writ ten\ntwice\n"));
    // After both steps of the writer, between them, and before them.
    assert_eq!((explored.schedules(), &*seen.lock().unwrap()), (3, &vec![true, false, false]));
}

#[rstest]
#[clean_redis]
fn both_databases_are_in_the_environment(test_request: TestRequest) {
    let program = r#"
print(os.environ["TRANSIENT_REDIS_URL"] == os.environ["REDIS_URL"])
print(os.environ["TRANSIENT_JOBS_URL"])
print(os.environ["BROKER"])
"#;
    let command = move |client: &Client| {
        let mut command = python(program)(client);
        command.env("BROKER", client.jobs_url()).env("REDIS_URL", "redis://127.0.0.1:1");
        command
    };
    races::explore(&test_request).process("a", command).check(|_, outcomes| {
        let lines: Vec<_> = outcomes.value::<String>("a").unwrap().lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0] == "True" && lines[1] == lines[2], "{lines:?}");
    });
}

#[rstest]
#[clean_redis]
fn a_process_that_fails_is_reported(test_request: TestRequest) {
    let program = r#"
redis("SET", "a", 1)
for number in range(40):
    print("line", number, file=sys.stderr)
sys.exit("out of stock")
"#;
    let text = failure(|| races::explore(&test_request).process("shop", python(program)).check(|_, _| ()));
    assert!(text.contains("\"shop\"") && text.contains("exit status: 1") && text.contains("SET a 1"), "{text}");
    assert!(text.contains("out of stock") && text.contains("line 39") && !text.contains("line 9\n"), "{text}");
    let missing = |_: &Client| Command::new("/nowhere/program");
    let text = failure(|| races::explore(&test_request).process("shop", missing).check(|_, _| ()));
    assert!(text.contains("/nowhere/program") && text.contains(golden("races::not_started")), "{text}");
}

/// After a fault, it can fail.
#[rstest]
#[clean_redis]
fn a_process_can_have_faults(test_request: TestRequest) {
    let explored =
        races::explore(&test_request).process("a", python(r#"redis("INCR", "visits")"#)).cutting("a").dying("a").check(
            |redis, outcomes| {
                let visits: Option<u32> = redis.get("visits").unwrap();
                assert_eq!(visits.is_some(), outcomes.value::<String>("a").is_some());
                assert!(visits.is_some() || outcomes.died("a") || outcomes.error("a").is_some());
            },
        );
    assert_eq!(explored.schedules(), 3);
}

/// It waits for the server, and for nothing.
#[rstest]
#[clean_redis]
#[case("redis('BLPOP', 'never', 0)", "races::deadlock")]
#[case("import time; time.sleep(600)", "races::stalled")]
fn a_process_that_hangs_is_killed(test_request: TestRequest, #[case] program: &str, #[case] report: &str) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let program = format!("open({:?}, 'w').write(str(os.getpid()))\nredis('SET', 'a', 1)\n{program}", file.path());
    let text = failure(|| races::explore(&test_request).process("hangs", python(&program)).check(|_, _| ()));
    assert!(text.contains(golden(report)) && text.contains("\"hangs\"") | text.contains("hangs: "), "{text}");
    assert!(!is_alive(&process_in(file.path())));
    // The next exploration on this server works.
    races::explore(&test_request).client("a", commands(1)).check(|_, _| ());
}

/// A process that dies stays at its point until the check has run.
#[rstest]
#[clean_redis]
fn a_process_at_a_point_is_killed(test_request: TestRequest) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let program = format!("open({:?}, 'w').write(str(os.getpid()))\npoint('work')", file.path());
    let deaths = Cell::new(0);
    races::explore(&test_request).process("a", python(&program)).dying("a").check(|_, outcomes| {
        assert_eq!(is_alive(&process_in(file.path())), outcomes.died("a"));
        deaths.set(deaths.get() + usize::from(outcomes.died("a")));
    });
    assert_eq!(deaths.get(), 1);
    assert!(!is_alive(&process_in(file.path())));
}
