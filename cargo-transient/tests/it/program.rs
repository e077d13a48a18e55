//! `cargo-transient` in an environment that states everything it needs.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Once;

use tempfile::TempDir;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_cargo-transient");

/// A command that runs the program, with a temporary directory of its own.
pub(crate) struct Program {
    pub(crate) command: Command,
    pub(crate) directory: TempDir,
}

pub(crate) fn here(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(file)
}

/// `python3` with this script.
pub(crate) fn python(script: &str) -> [String; 2] {
    ["python3".to_owned(), here(script).display().to_string()]
}

/// The provider that starts servers on this machine: another one could be running, and be other people's.
pub(crate) fn own_provider() -> &'static str {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut names = env::split_paths(&path)
        .flat_map(|directory| ["redis-server", "valkey-server"].map(|name| directory.join(name)));
    if names.any(|path| path.is_file()) { "process" } else { "download" }
}

/// Removes what the runner of these tests has set, and sets what the program needs.
pub(crate) fn set_up(command: &mut Command, directory: &TempDir) {
    static DOWNLOADED: Once = Once::new();
    if own_provider() == "download" {
        // The first download prints a line.
        DOWNLOADED.call_once(|| {
            let mut download = Command::new(PROGRAM);
            set_variables(download.args(["exec", "--", "bash", "-c", "exit 0"]), directory);
            let output = download.output().expect("start the program");
            assert!(output.status.success(), "{output:?}");
        });
    }
    set_variables(command, directory);
}

fn set_variables(command: &mut Command, directory: &TempDir) {
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let ours = text.starts_with("TRANSIENT_") && text != "TRANSIENT_SERVER_BINARY";
        if ours || text.starts_with("NEXTEST") || text == "CARGO_MANIFEST_DIR" || text == "REDIS_URL" {
            command.env_remove(&name);
        }
    }
    command.env("TRANSIENT_TEST_INI", here("nothing.ini")).env("TRANSIENT_PROVIDER", own_provider());
    // A container would take seconds.
    command.env("DOCKER_HOST", "unix:///nowhere/docker.sock");
    command.env("TMPDIR", directory.path()).stdin(Stdio::null());
}

/// Whether these tests run in the background of a shell, which makes them ignore SIGINT and SIGQUIT, or behind `nohup`.
fn ignores_signals() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 0b111 != 0)
}

/// Runs its arguments. They do not inherit that signals are ignored.
const DEFAULT_SIGNALS: &str = "\
import os, signal, sys
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT): signal.signal(number, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])";

impl Program {
    pub(crate) fn new<Argument: AsRef<OsStr>>(arguments: impl IntoIterator<Item = Argument>) -> Self {
        Self::started_by(&[], arguments)
    }

    /// The program as the last arguments of another one.
    pub(crate) fn started_by<Argument: AsRef<OsStr>>(
        other: &[String],
        arguments: impl IntoIterator<Item = Argument>,
    ) -> Self {
        let directory = TempDir::new().expect("a directory");
        let mut words: Vec<_> = other.iter().map(String::as_str).chain([PROGRAM]).collect();
        if ignores_signals() {
            words.splice(..0, ["python3", "-c", DEFAULT_SIGNALS]);
        }
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(arguments);
        set_up(&mut command, &directory);
        Self { command, directory }
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn run(mut self) -> Ended {
        let output = self.command.output().expect("start the program");
        let ended = Ended::of(&output);
        crate::left::assert_nothing_left(&self.directory);
        ended
    }
}

/// The exit code and the output of the program.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    #[track_caller]
    pub(crate) fn assert_quiet(&self, code: i32, stdout: &str) {
        assert_eq!((self.code, &*self.stdout, &*self.stderr), (Some(code), stdout, ""));
    }
}

/// Runs a shell script with a running server, and with `ask DATABASE COMMAND…`.
pub(crate) fn with_a_running_server(script: &str) -> Ended {
    let [python, client] = python("client.py");
    let ask = format!("ask() {{ database=$1; shift; {python} '{client}' \"${{REDIS_URL%/0}}/$database\" \"$@\"; }}");
    Program::new(["exec", "bash", "-c", &format!("{ask}; {script}")]).run()
}
