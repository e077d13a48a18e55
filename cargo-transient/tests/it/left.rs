//! Nothing is left behind, whatever ends the program.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::program::{Ended, PROGRAM, Program, python};
use crate::publish::ways;

/// Only something that is left reaches it.
const LIMIT: Duration = Duration::from_secs(60);

/// Waits until `found` finds nothing.
#[track_caller]
pub(crate) fn assert_gone(found: impl Fn() -> Option<String>) {
    let deadline = Instant::now() + LIMIT;
    while let Some(left) = found() {
        assert!(Instant::now() < deadline, "left behind: {left}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Asserts that no server, no supervisor and no directory is left.
#[track_caller]
pub(crate) fn assert_nothing_left(directory: &TempDir) {
    let path = directory.path();
    assert_gone(|| {
        let file = fs::read_dir(path).expect("read").flatten().next();
        file.map(|file| file.path().display().to_string()).or_else(|| process_of(path))
    });
}

/// A process that has the directory in its command line, or works there.
#[cfg(target_os = "linux")]
fn process_of(path: &Path) -> Option<String> {
    let path = path.to_str().expect("UTF-8");
    fs::read_dir("/proc").expect("/proc").flatten().find_map(|entry| {
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let place = fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        let line = format!("{} in {}", String::from_utf8_lossy(&line).replace('\0', " "), place.display());
        line.contains(path).then_some(line)
    })
}

#[cfg(not(target_os = "linux"))]
fn process_of(_: &Path) -> Option<String> {
    None
}

/// A command that tells its process id and then waits for ever.
pub(crate) const WAITS: [&str; 3] = ["/bin/sh", "-c", "echo $$; exec /bin/sleep 1000"];

/// Starts the program with a command that waits, ends it with `end`, and asserts that the command is gone too.
#[track_caller]
pub(crate) fn ends_with(mut program: Program, end: impl FnOnce(u32)) -> Option<i32> {
    let mut child = program.command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("start");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("its output")).read_line(&mut line).expect("read");
    let command = Path::new("/proc").join(line.trim()).join("cmdline");
    let runs = || fs::read(&command).ok().filter(|line| line.starts_with(b"/bin/sleep"));
    end(child.id());
    let code = child.wait().expect("wait").code();
    assert_gone(|| runs().map(|_| "the command".to_owned()));
    assert_nothing_left(&program.directory);
    code
}

pub(crate) fn kill(signal: &str, process: u32) {
    let line = format!("kill -{signal} {process}");
    assert!(Command::new("/bin/sh").args(["-c", &line]).status().expect("a shell").success());
}

#[test]
#[cfg(target_os = "linux")]
fn a_killed_program_leaves_nothing() {
    for way in ways() {
        assert_eq!(ends_with(way.program(WAITS), |program| kill("KILL", program)), None);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_killed_program_leaves_no_nested_one() {
    for way in ways() {
        let program = way.program([PROGRAM, "exec"].into_iter().chain(WAITS));
        assert_eq!(ends_with(program, |program| kill("KILL", program)), None);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_signal_ends_the_command_and_the_server() {
    for (signal, number) in [("TERM", 15), ("INT", 2), ("HUP", 1)] {
        for way in ways() {
            let code = ends_with(way.program(WAITS), |program| kill(signal, program));
            assert_eq!(code, Some(128 + number), "{signal}");
        }
    }
}

/// The server may just be starting.
#[test]
fn a_signal_at_any_moment_leaves_nothing() {
    for (milliseconds, signal) in (0..36).step_by(4).flat_map(|start| [(start, "TERM"), (start + 2, "KILL")]) {
        for way in ways() {
            let mut program = way.program(WAITS);
            let child = program.command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("start");
            thread::sleep(Duration::from_millis(milliseconds));
            kill(signal, child.id());
            let ended = Ended::of(&child.wait_with_output().expect("wait"));
            assert!(ended.stderr.lines().count() <= way.lines_said(), "{ended:?}");
            assert_nothing_left(&program.directory);
        }
    }
}

/// The kernel tells the program, which is the leader of the terminal's session.
#[test]
fn a_closed_terminal_leaves_nothing() {
    for mut way in ways() {
        way.launcher.splice(..0, python("terminal.py").into_iter().chain(["close".to_owned()]));
        let ended = way.program(["/bin/sh", "-c", "echo ready; exec /bin/sleep 1000"]).run();
        assert!(ended.stdout.ends_with("ready\nexit 129\n"), "{ended:?}");
    }
}

/// The temporary directory has no room for a byte, or not even for a name.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_leaves_nothing() {
    if !crate::publish::has_namespaces() {
        return;
    }
    for (what, code) in [("bytes", 0), ("names", 125)] {
        let mut disk = python("full_disk.py").to_vec();
        disk.push(what.to_owned());
        let ended = Program::started_by(&disk, ["exec", "--", "/bin/sh", "-c", "echo ran"]).run();
        let ran = if code == 0 { "ran\n" } else { "" };
        assert_eq!(ended.stdout, format!("{ran}exit {code}, left: nothing\n"), "{ended:?}");
        assert_eq!(ended.stderr.is_empty(), code == 0, "{ended:?}");
    }
}
