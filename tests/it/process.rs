//! The process provider: server binaries that misbehave, and clean-up afterwards.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use redis::Commands;
use rstest::rstest;
use tempfile::TempDir;
use transient_fixtures::{TestRequest, clean_redis, get_redis, redis, test_request};

use crate::child::{self, Child, Ended};
use crate::golden::golden;
use crate::own_server;

#[rstest]
#[clean_redis]
fn uses_a_server(test_request: TestRequest) -> redis::RedisResult<()> {
    println!("at {}", test_request.redis_url());
    get_redis(&test_request)?.set("foo", "bar")
}

/// A test that never ends by itself.
#[rstest]
#[ignore = "killed by a_killed_test_leaves_nothing"]
fn waits(test_request: TestRequest) {
    println!("waiting on {}", test_request.redis_url());
    std::thread::sleep(Duration::from_secs(60));
}

fn script(directory: &TempDir, text: &str) -> PathBuf {
    let path = directory.path().join("redis-server");
    child::write_program(&path, text);
    path
}

fn run(binary: &Path) -> Ended {
    let child = Child::test("process::uses_a_server").env("TRANSIENT_PROVIDER", "process");
    child.env("TRANSIENT_SERVER_BINARY", binary).run()
}

#[track_caller]
fn assert_one_report(ended: &Ended, words: &[&str]) {
    ended.assert_failed_with(words);
    ended.assert_failed_with(&["panicked at tests/it/process.rs", golden("report::no_server"), "process ", "->"]);
}

/// Asserts that no process has this in its command line or its working directory.
#[cfg(target_os = "linux")]
#[track_caller]
fn assert_nothing_runs_with(needle: &str) {
    let running = || {
        let processes = fs::read_dir("/proc").expect("/proc").flatten();
        let lines = processes.filter_map(|entry| {
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            // A running server shows another command line, and works in its directory, or where that was.
            let place = fs::read_link(entry.path().join("cwd")).unwrap_or_default();
            Some(format!("{} in {}", String::from_utf8_lossy(&line).replace('\0', " "), place.display()))
        });
        lines.into_iter().find(|line| line.contains(needle))
    };
    // It takes half a second. The torture test counts slow ones.
    let deadline = Instant::now() + Duration::from_secs(30);
    while let Some(line) = running() {
        assert!(Instant::now() < deadline, "still running: {line}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_binary_that_is_not_there() {
    assert_one_report(
        &run(Path::new("/nowhere/redis-server")),
        &["/nowhere/redis-server", golden("process::no_such_binary")],
    );
}

#[test]
fn a_file_that_is_not_executable() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("redis-server");
    fs::write(&path, "just text").expect("write");
    assert_one_report(&run(&path), &[golden("process::no_such_binary")]);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
    assert_one_report(&run(&path), &["(Exec format error"]);
}

#[test]
fn a_binary_that_exits_at_once_is_quoted() {
    let directory = TempDir::new().expect("a directory");
    let path = script(&directory, "#!/bin/sh\necho '*** FATAL CONFIG FILE ERROR ***'\nexit 1\n");
    let ended = run(&path);
    assert_one_report(&ended, &["*** FATAL CONFIG FILE ERROR ***"]);
    assert!(!ended.output.contains(golden("process::never_ready")), "{}", ended.output);
    assert_nothing_runs_with(&path.display().to_string());
}

#[test]
fn a_binary_that_never_answers_is_ended() {
    let directory = TempDir::new().expect("a directory");
    // It has a child, like a wrapper that does not `exec`.
    let path = script(&directory, &format!("#!/bin/sh\necho 'about to be ready'\nsleep 7654.{}\n", std::process::id()));
    let ended = run(&path);
    assert_one_report(&ended, &["10 s", golden("process::never_ready"), "about to be ready"]);
    assert_nothing_runs_with(&path.display().to_string());
    assert_nothing_runs_with(&format!("sleep 7654.{}", std::process::id()));
}

/// A wrapper that stays the parent of its server: both must end.
#[test]
fn a_wrapper_ends_with_its_server() {
    let directory = TempDir::new().expect("a directory");
    let server = own_server::binary();
    let path = script(&directory, &format!("#!/bin/sh\n'{}' \"$@\"\nexit $?\n", server.display()));
    let ended = run(&path);
    ended.assert_passed();
    let port = ended.output.split_once("@127.0.0.1:").expect("a URL").1.split('/').next().expect("a port");
    assert_nothing_runs_with(&path.display().to_string());
    assert_nothing_runs_with(&format!("--port {port}"));
    assert_nothing_runs_with(&format!("127.0.0.1:{port}"));
}

/// The first ports that it is given are taken. Others are tried.
#[test]
fn a_taken_port_is_retried() {
    let directory = TempDir::new().expect("a directory");
    let count = directory.path().join("count");
    let server = own_server::binary();
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("bind");
    let port = taken.local_addr().expect("an address").port();
    let text = format!(
        "#!/bin/sh\necho x >>'{count}'\nif [ $(wc -l <'{count}') -le 3 ]; then\n  shift 2\n  exec '{server}' --port {port} \"$@\"\nfi\nexec '{server}' \"$@\"\n",
        count = count.display(),
        server = server.display(),
    );
    run(&script(&directory, &text)).assert_passed();
    assert_eq!(fs::read_to_string(&count).expect("the count").lines().count(), 4);
}

#[test]
fn ports_that_are_all_taken_are_reported() {
    let directory = TempDir::new().expect("a directory");
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("bind");
    let port = taken.local_addr().expect("an address").port();
    let server = own_server::binary();
    let text = format!("#!/bin/sh\nshift 2\nexec '{}' --port {port} \"$@\"\n", server.display());
    let ended = run(&script(&directory, &text));
    assert_one_report(&ended, &["10 times", "in use"]);
}

#[test]
fn a_temporary_directory_that_cant_be_used() {
    let child = Child::test("process::uses_a_server").env("TRANSIENT_PROVIDER", "process");
    let ended = child.env("TRANSIENT_SERVER_BINARY", own_server::binary()).env("TMPDIR", "/proc/nowhere").run();
    assert_one_report(&ended, &["/proc/nowhere", "TMPDIR"]);
}

/// /dev/full simulates a full disk: the server can't even print.
#[test]
fn a_server_that_cant_print_is_reported() {
    let directory = TempDir::new().expect("a directory");
    let path = script(&directory, "#!/bin/sh\nexec >/dev/full 2>&1\necho 'no space' || exit 1\n");
    assert_one_report(&run(&path), &[golden("process::ended, without output")]);
}

#[test]
fn a_long_temporary_directory_works() {
    let directory = TempDir::new().expect("a directory");
    let long = directory.path().join("x".repeat(120));
    fs::create_dir(&long).expect("mkdir");
    let child = Child::test("process::uses_a_server").env("TRANSIENT_PROVIDER", own_server::own_provider());
    child.env("TMPDIR", &long).run().assert_passed();
}

/// A server that is not leased again ends at once, even if another process still has this process's pipes open.
#[test]
#[ignore = "run by a_forked_child_does_not_delay_the_end"]
#[cfg(target_os = "linux")]
fn retires_its_server_beside_a_forked_child() {
    let test_request = TestRequest::clean();
    let descriptors = fs::read_dir("/proc/self/fd").expect("/proc").flatten().map(|entry| entry.path());
    let is_pipe =
        |path: &PathBuf| fs::read_link(path).is_ok_and(|target| target.to_string_lossy().starts_with("pipe:"));
    let pipes =
        descriptors.filter(is_pipe).map(|path| path.to_string_lossy().replace("self", &std::process::id().to_string()));
    let mut holders: Vec<_> = pipes
        .map(|pipe| {
            let hold = format!("exec 9>{pipe}; exec /bin/sleep 60");
            let nothing = std::process::Stdio::null;
            let mut shell = std::process::Command::new("/bin/sh");
            shell.args(["-c", &hold]).stdin(nothing()).stdout(nothing()).stderr(nothing()).spawn().expect("a shell")
        })
        .collect();
    assert!(!holders.is_empty());
    // By then, each shell has its pipe open and is about to sleep.
    for holder in &holders {
        let descriptor = format!("/proc/{}/fd/9", holder.id());
        while !Path::new(&descriptor).exists() {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    redis::cmd("CONFIG")
        .arg("SET")
        .arg("maxmemory")
        .arg(0)
        .exec(&mut get_redis(&test_request).expect("connect"))
        .expect("CONFIG");
    let start = Instant::now();
    drop(test_request);
    let took = start.elapsed();
    for holder in &mut holders {
        holder.kill().expect("our own child");
        holder.wait().expect("reap");
    }
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_forked_child_does_not_delay_the_end() {
    let child = Child::test("process::retires_its_server_beside_a_forked_child");
    child.env("TRANSIENT_PROVIDER", own_server::own_provider()).run().assert_passed();
}

#[test]
#[cfg(target_os = "linux")]
fn a_run_leaves_nothing() {
    let directory = TempDir::new().expect("a directory");
    let child = Child::test("process::uses_a_server").env("TRANSIENT_PROVIDER", own_server::own_provider());
    child.env("TMPDIR", directory.path()).run().assert_passed();
    assert_nothing_runs_with(&directory.path().display().to_string());
    assert_eq!(fs::read_dir(directory.path()).expect("read").count(), 0);
}

#[test]
#[cfg(target_os = "linux")]
fn a_killed_test_leaves_nothing() {
    let directory = TempDir::new().expect("a directory");
    let child = Child::test("process::waits").env("TRANSIENT_PROVIDER", own_server::own_provider());
    let mut running = child.env("TMPDIR", directory.path()).start();
    running.wait_for("waiting on redis://");
    assert_ne!(fs::read_dir(directory.path()).expect("read").count(), 0);
    running.child.kill().expect("SIGKILL");
    running.child.wait().expect("reap");
    assert_nothing_runs_with(&directory.path().display().to_string());
    assert!(fs::read_dir(directory.path()).expect("read").flatten().next().is_none_or(|entry| {
        // The child's own output is a temporary file of this process, not of the child.
        panic!("left behind: {}", entry.path().display())
    }));
}

/// A binary that prints without end is killed before it fills the disk.
#[test]
fn a_flood_is_stopped() {
    let directory = TempDir::new().expect("a directory");
    let path = script(&directory, "#!/bin/sh\nexec yes 'this line is printed again and again, without end'\n");
    let ended = run(&path);
    assert_one_report(&ended, &[golden("process::floods"), "again and again"]);
    assert!(ended.output.len() < 20_000, "{} bytes", ended.output.len());
}

/// The temporary directory is absolute, whatever TMPDIR is.
#[rstest]
fn a_temporary_directory_is_made_absolute(#[values("", ".", "relative", "./relative/..")] tmpdir: &str) {
    let directory = TempDir::new().expect("a directory");
    fs::create_dir(directory.path().join("relative")).expect("mkdir");
    let child = Child::test("process::uses_a_server").env("TRANSIENT_PROVIDER", own_server::own_provider());
    child.env("TMPDIR", tmpdir).current_directory(directory.path()).run().assert_passed();
    let left: Vec<_> = fs::read_dir(directory.path()).expect("read").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["relative"]);
}
