//! The test run that this process belongs to, and facts that its processes share.
//!
//! cargo-nextest starts a process for every test and passes the id of its run. `cargo test` starts a process for every
//! test binary; its run is identified by the cargo process.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use std::{env, thread};

use crate::cache;

/// Facts of earlier runs are removed after this time.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// Returns whether the runner has a process for each test, as cargo-nextest does.
pub(crate) fn is_process_per_test() -> bool {
    env::var_os("NEXTEST_EXECUTION_MODE").is_some_and(|mode| mode == "process-per-test")
}

/// Returns whether this process runs one test at a time, by the harness's arguments: with one thread, or with one test.
pub(crate) fn is_one_test_at_a_time() -> bool {
    let arguments: Vec<String> = env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let threads =
        arguments.iter().enumerate().find_map(|(number, word)| match word.strip_prefix("--test-threads")? {
            "" => arguments.get(number + 1).cloned(),
            value => value.strip_prefix('=').map(str::to_owned),
        });
    let is_one_thread = match threads.or_else(|| env::var("RUST_TEST_THREADS").ok()) {
        Some(threads) => threads == "1",
        None => thread::available_parallelism().is_ok_and(|threads| threads.get() == 1),
    };
    let filters = arguments.iter().filter(|word| !word.starts_with('-')).count();
    is_one_thread || (filters == 1 && arguments.iter().any(|word| word == "--exact"))
}

/// A run with a process for each test: its id, and the runner's pid.
#[cfg(unix)]
pub(super) struct ProcessPerTest {
    pub(super) id: String,
    pub(super) runner: u32,
}

#[cfg(unix)]
pub(super) fn process_per_test() -> Option<ProcessPerTest> {
    let id = nextest_id().filter(|_| is_process_per_test())?;
    Some(ProcessPerTest { id, runner: std::os::unix::process::parent_id() })
}

fn nextest_id() -> Option<String> {
    env::var("NEXTEST_RUN_ID").ok().filter(|id| !id.is_empty())
}

/// Returns the id of this run, or `None` if the runner is unknown.
fn id() -> Option<String> {
    nextest_id().or_else(of_cargo)
}

/// Identifies the cargo that has started this process. The id includes its start time, since pids are reused.
#[cfg(target_os = "linux")]
fn of_cargo() -> Option<String> {
    let parent = std::os::unix::process::parent_id();
    let line = fs::read_to_string(format!("/proc/{parent}/stat")).ok()?;
    // The name is in parentheses, and can contain some itself.
    let (name, rest) = line.split_once('(')?.1.rsplit_once(')')?;
    let start = rest.split_whitespace().nth(19)?;
    (name == "cargo").then(|| format!("cargo-{parent}-{start}"))
}

#[cfg(not(target_os = "linux"))]
fn of_cargo() -> Option<String> {
    None
}

/// A fact that the processes of a run find out once.
pub(super) struct RunFact {
    file: Option<PathBuf>,
}

impl RunFact {
    /// `key` lists everything that the fact depends on: two crates of one workspace can have different settings.
    pub(super) fn new(key: &str) -> Self {
        let file = id().and_then(|run| {
            let directory = cache::subdirectory("runs").ok()?;
            Some(directory.join(cache::file_name(&format!("{run}\n{key}"))))
        });
        Self { file }
    }

    /// Waits until no other process of the run is finding it out. Dropping the file releases the lock.
    ///
    /// Without a lock every process finds out for itself: slower, not wrong.
    pub(super) fn lock(&self) -> Option<File> {
        let lock = cache::open_lock(&self.file.as_ref()?.with_extension("lock")).ok()?;
        lock.lock().ok().map(|()| lock)
    }

    pub(super) fn read(&self) -> Option<String> {
        cache::read(self.file.as_ref()?).ok()
    }

    /// Stores the fact for the other processes, now and later.
    pub(super) fn write(&self, text: &str) {
        let Some(file) = &self.file else { return };
        remove_old(file);
        let _ = cache::write_private(file, text);
    }
}

fn remove_old(file: &Path) {
    let entries = file.parent().and_then(|directory| fs::read_dir(directory).ok());
    for entry in entries.into_iter().flatten().flatten() {
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        let age = changed.ok().and_then(|changed| SystemTime::now().duration_since(changed).ok());
        if age.is_some_and(|age| age > KEPT_FOR) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
