//! Fetches a wheel from `PyPI` with any pip: that of a Python on `PATH`, the one that is bundled with Python, or uv's.
//!
//! The working directory is our own, and variables that redirect Python or pip are removed: files in the crate under
//! test are never executed. The user's settings for index, proxy and certificates apply.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, io};

use crate::report::{Reason, download as report};
use crate::sync::poll_until;

/// How often to check whether it has finished.
const CHECK_EVERY: Duration = Duration::from_millis(20);

/// How much output of a failed pip is shown, in bytes.
const TAIL: u64 = 2_000;

/// The variables of pip that define where packages come from. The others can change where they are installed, or which
/// ones are taken.
const SOURCE_VARIABLES: [&str; 15] = [
    "PIP_CACHE_DIR",
    "PIP_CERT",
    "PIP_CLIENT_CERT",
    "PIP_CONFIG_FILE",
    "PIP_DEFAULT_TIMEOUT",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_INDEX_URL",
    "PIP_KEYRING_PROVIDER",
    "PIP_NO_CACHE_DIR",
    "PIP_NO_INDEX",
    "PIP_PROXY",
    "PIP_RETRIES",
    "PIP_TIMEOUT",
    "PIP_TRUSTED_HOST",
];

/// Prints the path of the pip that is bundled with Python.
const BUNDLED: &str = "import ensurepip, glob, os
print(glob.glob(os.path.join(os.path.dirname(ensurepip.__file__), '_bundled', 'pip-*.whl'))[0])";

/// Fetches the packages in `staging`/requirements.txt and unpacks them into `staging`.
///
/// # Errors
///
/// Returns the reason of the last program that could have done it.
pub(super) fn fetch(staging: &Path, deadline: Instant, limit: Duration) -> Result<(), Reason> {
    let runner = Runner { staging, deadline, limit };
    let pythons = programs("python3");
    let mut failure = None;
    for python in &pythons {
        match runner.download(python, &["-m".into(), "pip".into()]) {
            Ok(()) => return runner.unpack(python),
            Err(PipError::NoPip) => {}
            Err(PipError::Other(why)) => failure = Some(why),
            Err(PipError::TooSlow) => return Err(report::pip_too_slow(limit)),
        }
    }
    for python in &pythons {
        let Some(bundled) = runner.bundled(python) else { continue };
        match runner.download(python, &[bundled.join("pip").into()]) {
            Ok(()) => return runner.unpack(python),
            Err(PipError::TooSlow) => return Err(report::pip_too_slow(limit)),
            Err(PipError::NoPip) => {}
            Err(PipError::Other(why)) => failure = Some(why),
        }
    }
    for uv in programs("uv") {
        match runner.install_by_uv(&uv) {
            Ok(()) => return Ok(()),
            Err(PipError::TooSlow) => return Err(report::pip_too_slow(limit)),
            Err(PipError::NoPip) => {}
            Err(PipError::Other(why)) => failure = Some(why),
        }
    }
    Err(failure.unwrap_or_else(|| if pythons.is_empty() { report::no_python() } else { report::no_pip(&pythons) }))
}

/// Returns the programs with this name, in the order of `PATH`.
fn programs(name: &str) -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = env::split_paths(&path).filter(|directory| directory.is_absolute());
    directories.map(|directory| directory.join(name)).filter(|program| program.is_file()).collect()
}

enum PipError {
    /// That Python has no pip.
    NoPip,
    TooSlow,
    Other(Reason),
}

struct Runner<'fetch> {
    staging: &'fetch Path,
    deadline: Instant,
    limit: Duration,
}

impl Runner<'_> {
    fn download(&self, python: &Path, pip: &[OsString]) -> Result<(), PipError> {
        let mut command = self.command(python);
        command.args(pip).args(["download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps"]);
        command.args(["--only-binary=:all:", "--require-hashes", "--retries", "1", "--dest", "wheels"]);
        command.args(["--requirement", "requirements.txt"]);
        self.run(&mut command)
    }

    /// Unpacks with zipfile, which is part of Python.
    fn unpack(&self, python: &Path) -> Result<(), Reason> {
        let wheels = fs::read_dir(self.staging.join("wheels")).into_iter().flatten().flatten();
        for wheel in wheels.map(|entry| entry.path()) {
            let mut command = self.command(python);
            command.args(["-m", "zipfile", "--extract"]).arg(wheel).arg(self.staging);
            self.run(&mut command).map_err(|failed| match failed {
                PipError::Other(why) => why,
                PipError::NoPip | PipError::TooSlow => report::pip_too_slow(self.limit),
            })?;
        }
        Ok(())
    }

    fn bundled(&self, python: &Path) -> Option<PathBuf> {
        let output = self.command(python).args(["-c", BUNDLED]).stderr(Stdio::null()).output().ok()?;
        let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
        (path.is_absolute() && path.is_file()).then_some(path)
    }

    fn install_by_uv(&self, uv: &Path) -> Result<(), PipError> {
        let mut command = self.command(uv);
        command.args(["pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"]);
        command.args(["--no-config", "--target"]).arg(self.staging).args(["--requirement", "requirements.txt"]);
        self.run(&mut command)
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.staging).env("PYTHONSAFEPATH", "1").env("PIP_REQUIRE_VIRTUALENV", "0");
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            let of_pip = text.starts_with("PIP_") && !SOURCE_VARIABLES.contains(&text.as_ref());
            // The variables of Python that define which code is run.
            if of_pip || ["PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE"].contains(&text.as_ref()) {
                command.env_remove(name);
            }
        }
        command.env("PIP_REQUIRE_VIRTUALENV", "0");
        command
    }

    fn run(&self, command: &mut Command) -> Result<(), PipError> {
        let program = PathBuf::from(command.get_program());
        let other = |error: io::Error| PipError::Other(report::no_cache(self.staging, &error));
        let output = self.staging.join("output.log");
        let log = File::create(&output).map_err(other)?;
        command.stdin(Stdio::null()).stdout(log.try_clone().map_err(other)?).stderr(log);
        let mut child = command.spawn().map_err(|error| PipError::Other(report::not_run(&program, &error)))?;
        match self.wait(&mut child) {
            Some(true) => Ok(()),
            None => Err(PipError::TooSlow),
            Some(false) => {
                let said = crate::cache::tail(&output, TAIL);
                if said.contains("No module named pip") || said.contains("No module named 'pip'") {
                    return Err(PipError::NoPip);
                }
                Err(PipError::Other(report::pip_failed(&program, &said)))
            }
        }
    }

    /// Waits for the program and returns whether it succeeded, or `None` if it was killed at the deadline.
    fn wait(&self, child: &mut Child) -> Option<bool> {
        let status = poll_until(self.deadline, CHECK_EVERY, || child.try_wait().transpose());
        if let Some(Ok(status)) = status {
            return Some(status.success());
        }
        // It is our own child and not yet reaped, so the pid is still its own.
        let _ = child.kill();
        let _ = child.wait();
        None
    }
}
