//! Runs one of this binary's tests in its own process, with its own environment.

use std::env;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Only a child that hangs reaches it: it is five times the longest that a child can take.
const LIMIT: Duration = Duration::from_secs(150);

pub(crate) struct Child(Command);

/// The exit status and the output of a child.
pub(crate) struct Ended {
    pub(crate) passed: bool,
    pub(crate) output: String,
    pub(crate) took: Duration,
}

/// The tests of this binary whose names start with `filter`.
pub(crate) fn list(filter: &str) -> Vec<String> {
    let this = env::current_exe().expect("this binary");
    let output = Command::new(this).args(["--list", filter]).output().expect("list the tests");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}

/// Writes a program from another process. If this process wrote it, a concurrently forked child could have it open for
/// writing, and such a file can't be executed.
pub(crate) fn write_program(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;

    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "printf '%s' \"$1\" >\"$0\""]).arg(path).arg(text);
    assert!(shell.status().expect("a shell").success());
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("chmod");
}

impl Child {
    /// Only this test, ignored or not.
    pub(crate) fn test(name: &str) -> Self {
        Self::tests(name).arguments(["--exact"])
    }

    /// All tests with this text in their names.
    pub(crate) fn tests(filter: &str) -> Self {
        Self::of(&env::current_exe().expect("this binary"), filter)
    }

    /// As another user, who may have no access to this binary: runs a copy of it. Only root can do this.
    pub(crate) fn as_user(test: &str, user: u32, directory: &Path) -> Self {
        use std::os::unix::process::CommandExt;

        let copy = directory.join("tests");
        // By another process, for the same reason as in `write_program`.
        let mut cp = Command::new("/bin/cp");
        assert!(cp.arg(env::current_exe().expect("this binary")).arg(&copy).status().expect("cp").success());
        let ini = directory.join("nothing.ini");
        std::fs::write(&ini, "").expect("write");
        let mut child = Self::of(&copy, test).arguments(["--exact"]).env("TRANSIENT_TEST_INI", ini);
        child.0.uid(user).gid(user);
        child.current_directory(directory)
    }

    fn of(program: &Path, filter: &str) -> Self {
        let mut command = Command::new(program);
        command.args([filter, "--include-ignored", "--nocapture"]);
        for (name, _) in env::vars_os() {
            let name_text = name.to_string_lossy();
            // The children use the same server binary, because the tests run on every version.
            let ours = name_text.starts_with("TRANSIENT_") && name_text != "TRANSIENT_SERVER_BINARY";
            if ours || name_text.starts_with("NEXTEST") {
                command.env_remove(name);
            }
        }
        // The repository's test.ini names 127.0.0.1:6379, where this machine can have a server.
        command.env("TRANSIENT_TEST_INI", Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/nothing.ini"));
        Self(command)
    }

    pub(crate) fn arguments<'a>(mut self, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        self.0.args(arguments);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.0.env_remove(name);
        self
    }

    pub(crate) fn current_directory(mut self, directory: &Path) -> Self {
        self.0.current_dir(directory);
        self
    }

    /// Runs a shell script instead, with this child's command line in `$@`.
    pub(crate) fn by_shell(self, script: &str) -> Self {
        let mut shell = Command::new("/bin/sh");
        // Without the second command, the shell would replace itself by the first one.
        shell.arg("-c").arg(format!("{script}\nexit $?")).arg("sh").arg(self.0.get_program()).args(self.0.get_args());
        for (name, value) in self.0.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        Self(shell)
    }

    /// Starts it, for a test that acts concurrently.
    pub(crate) fn start(mut self) -> Running {
        let log = tempfile::NamedTempFile::new().expect("a file for the child's output");
        // One file, opened once and duplicated, so that neither stream overwrites the other.
        let stdout = log.as_file().try_clone().expect("duplicate");
        let child = self
            .0
            .stdin(Stdio::null())
            .stdout(stdout.try_clone().expect("duplicate"))
            .stderr(stdout)
            .spawn()
            .expect("start the child");
        Running { child, log, start: Instant::now() }
    }

    /// Runs it until it exits.
    pub(crate) fn run(self) -> Ended {
        self.start().wait(LIMIT)
    }
}

pub(crate) struct Running {
    pub(crate) child: std::process::Child,
    log: tempfile::NamedTempFile,
    start: Instant,
}

impl Running {
    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log.path()).expect("the child's output")).into_owned()
    }

    /// Waits until the child has printed this.
    pub(crate) fn wait_for(&self, words: &str) {
        let deadline = Instant::now() + LIMIT;
        while !self.output().contains(words) {
            assert!(Instant::now() < deadline, "the child never printed {words:?}, but:\n{}", self.output());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops all its threads, like Ctrl-Z.
    pub(crate) fn stop(&self) {
        self.signal("STOP");
        let is_stopped = |thread: &Path| {
            let line = std::fs::read_to_string(thread.join("stat")).unwrap_or_default();
            line.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
        };
        let threads = || std::fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten().flatten();
        // A signal takes a moment to reach all threads. Without /proc there is no way to wait for that.
        let deadline = Instant::now() + LIMIT;
        while !threads().all(|thread| is_stopped(&thread.path())) {
            assert!(Instant::now() < deadline, "the process did not stop");
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn go_on(&self) {
        self.signal("CONT");
    }

    /// With a shell, which is found even if `PATH` is empty.
    fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("/bin/sh").args(["-c", &command]).status().expect("a shell").success());
    }

    /// Waits at most `limit` for it to exit. After that, kills it and fails the test.
    pub(crate) fn wait(mut self, limit: Duration) -> Ended {
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("wait for the child") {
                break status;
            }
            if self.start.elapsed() > limit {
                self.child.kill().expect("kill the child");
                self.child.wait().expect("reap the child");
                panic!("the child hung for {limit:?}:\n{}", self.output());
            }
            thread::sleep(Duration::from_millis(2));
        };
        Ended { passed: status.success(), output: self.output(), took: self.start.elapsed() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Our own child. If it has exited, there is no process to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    #[track_caller]
    pub(crate) fn assert_passed(&self) {
        assert!(self.passed, "the child failed:\n{}", self.output);
        assert!(
            self.output.contains("1 passed") || !self.output.contains(" 0 passed"),
            "nothing ran:\n{}",
            self.output
        );
    }

    /// Asserts that it failed and printed all of these.
    #[track_caller]
    pub(crate) fn assert_failed_with(&self, words: &[&str]) {
        assert!(!self.passed, "the child passed:\n{}", self.output);
        for words in words {
            assert!(self.output.contains(words), "{words:?} is missing in:\n{}", self.output);
        }
    }

    /// The report of the only test that failed, without the harness's lines.
    #[track_caller]
    pub(crate) fn report(&self) -> String {
        let (_, report) = self.output.split_once(" can't run: ").expect("a report");
        let end = ["\nnote: run with", "\nstack backtrace:"].iter().filter_map(|end| report.find(end)).min();
        report[..end.unwrap_or(report.len())].to_owned()
    }
}
