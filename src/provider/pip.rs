//! A wheel from `PyPI`, by whichever pip there is: that of a Python on `PATH`, the one that Python ships with itself, or
//! uv's.
//!
//! What is run has our own directory as its working directory, and no variables that lead Python or pip elsewhere: what
//! lies about in the crate under test is not executed. Which index, proxy and certificates are used is the user's.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, io, thread};

use crate::report::{Reason, download as report};

/// How often we look whether it is done.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How much of the output of a pip that failed is shown, in bytes.
const TAIL: u64 = 2_000;

/// The variables of pip that say where packages come from. All others may say where they go, or which are taken.
const OF_THE_SOURCE: [&str; 15] = [
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

/// The path of the bundled pip, from a Python that ships one.
const BUNDLED: &str = "import ensurepip, glob, os
print(glob.glob(os.path.join(os.path.dirname(ensurepip.__file__), '_bundled', 'pip-*.whl'))[0])";

/// Fetches what `requirements.txt` in `staging` names, and unpacks it into `staging`; until `deadline`.
///
/// # Errors
///
/// What the last one that could have done it said.
pub(super) fn fetch(staging: &Path, deadline: Instant, limit: Duration) -> Result<(), Reason> {
    let runner = Runner { staging, deadline, limit };
    let pythons = programs("python3");
    let mut failure = None;
    for python in &pythons {
        match runner.download(python, &["-m".into(), "pip".into()]) {
            Ok(()) => return runner.unpack(python),
            Err(Failed::NoPip) => {}
            Err(Failed::Other(why)) => failure = Some(why),
            Err(Failed::TooSlow) => return Err(report::pip_too_slow(limit)),
        }
    }
    for python in &pythons {
        let Some(bundled) = runner.bundled(python) else { continue };
        match runner.download(python, &[bundled.join("pip").into()]) {
            Ok(()) => return runner.unpack(python),
            Err(Failed::TooSlow) => return Err(report::pip_too_slow(limit)),
            Err(Failed::NoPip) => {}
            Err(Failed::Other(why)) => failure = Some(why),
        }
    }
    for uv in programs("uv") {
        match runner.install_by_uv(&uv) {
            Ok(()) => return Ok(()),
            Err(Failed::TooSlow) => return Err(report::pip_too_slow(limit)),
            Err(Failed::NoPip) => {}
            Err(Failed::Other(why)) => failure = Some(why),
        }
    }
    Err(failure.unwrap_or_else(|| if pythons.is_empty() { report::no_python() } else { report::no_pip(&pythons) }))
}

/// The programs of that name, in the order of `PATH`.
fn programs(name: &str) -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = env::split_paths(&path).filter(|directory| directory.is_absolute());
    directories.map(|directory| directory.join(name)).filter(|program| program.is_file()).collect()
}

enum Failed {
    /// That Python has none.
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
    fn download(&self, python: &Path, pip: &[OsString]) -> Result<(), Failed> {
        let mut command = self.command(python);
        command.args(pip).args(["download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps"]);
        command.args(["--only-binary=:all:", "--require-hashes", "--retries", "1", "--dest", "wheels"]);
        command.args(["--requirement", "requirements.txt"]);
        self.run(&mut command)
    }

    /// By zipfile, which is part of Python.
    fn unpack(&self, python: &Path) -> Result<(), Reason> {
        let wheels = fs::read_dir(self.staging.join("wheels")).into_iter().flatten().flatten();
        for wheel in wheels.map(|entry| entry.path()) {
            let mut command = self.command(python);
            command.args(["-m", "zipfile", "--extract"]).arg(wheel).arg(self.staging);
            self.run(&mut command).map_err(|failed| match failed {
                Failed::Other(why) => why,
                Failed::NoPip | Failed::TooSlow => report::pip_too_slow(self.limit),
            })?;
        }
        Ok(())
    }

    fn bundled(&self, python: &Path) -> Option<PathBuf> {
        let output = self.command(python).args(["-c", BUNDLED]).stderr(Stdio::null()).output().ok()?;
        let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
        (path.is_absolute() && path.is_file()).then_some(path)
    }

    fn install_by_uv(&self, uv: &Path) -> Result<(), Failed> {
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
            let of_pip = text.starts_with("PIP_") && !OF_THE_SOURCE.contains(&text.as_ref());
            // Of Python's own, those that say which code is run.
            if of_pip || ["PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE"].contains(&text.as_ref()) {
                command.env_remove(name);
            }
        }
        command.env("PIP_REQUIRE_VIRTUALENV", "0");
        command
    }

    fn run(&self, command: &mut Command) -> Result<(), Failed> {
        let program = PathBuf::from(command.get_program());
        let other = |error: io::Error| Failed::Other(report::no_cache(self.staging, &error));
        let output = self.staging.join("output.log");
        let log = File::create(&output).map_err(other)?;
        command.stdin(Stdio::null()).stdout(log.try_clone().map_err(other)?).stderr(log);
        let mut child = command.spawn().map_err(|error| Failed::Other(report::not_run(&program, &error)))?;
        match self.wait(&mut child) {
            Some(true) => Ok(()),
            None => Err(Failed::TooSlow),
            Some(false) => {
                let said = crate::cache::tail(&output, TAIL);
                if said.contains("No module named pip") || said.contains("No module named 'pip'") {
                    return Err(Failed::NoPip);
                }
                Err(Failed::Other(report::pip_failed(&program, &said)))
            }
        }
    }

    /// Whether it succeeded; nothing where it was ended at the deadline.
    fn wait(&self, child: &mut Child) -> Option<bool> {
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Some(status.success()),
                Ok(None) if Instant::now() < self.deadline => thread::sleep(LOOK_EVERY),
                _ => {
                    // Our own child, not yet reaped.
                    let _ = child.kill();
                    let _ = child.wait();
                    return None;
                }
            }
        }
    }
}
