//! "No server can be had", shared by the processes of one test run.
//!
//! Under cargo-nextest every test is a process. Finding out that neither a container engine nor `PyPI` gives a server can
//! take half a minute, and a run has hundreds of tests: the first one pays, the others read what it found.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use std::{env, process};

use crate::cache;
use crate::error::{Error, Kind};
use crate::report;
use crate::settings::Settings;

/// Verdicts of runs that are over are removed after that long.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// The test run that this process belongs to, if its runner says so.
pub(super) struct Run {
    file: Option<PathBuf>,
    /// Held while this process finds out for all.
    lock: Option<File>,
}

impl Run {
    /// # Errors
    ///
    /// The verdict, if another process of the run has reached it.
    pub(super) fn of(settings: &Settings) -> Result<Self, Error> {
        let file = env::var("NEXTEST_RUN_ID").ok().and_then(|run| {
            // Two crates of one workspace may have other settings.
            let mut hash = DefaultHasher::new();
            (
                run,
                settings.file(),
                settings.provider(),
                settings.redis_url(),
                settings.image(),
                settings.download(),
                settings.whole_clock(),
            )
                .hash(&mut hash);
            Some(cache::subdirectory("verdicts").ok()?.join(format!("{:016x}", hash.finish())))
        });
        let run = Self { file, lock: None };
        run.read()?;
        Ok(run)
    }

    /// Waits until no other process of the run is finding out.
    ///
    /// # Errors
    ///
    /// The verdict, if one of them has reached it.
    pub(super) fn wait_for_others(&mut self) -> Result<(), Error> {
        if let (Some(file), None) = (&self.file, &self.lock) {
            // Without a lock every process finds out for itself: slower, not wrong.
            self.lock = File::create(file.with_extension("lock")).ok().filter(|lock| lock.lock().is_ok());
        }
        self.read()
    }

    /// Tells the other processes, now and later.
    pub(super) fn no_server(&self, error: &Error) {
        let Some(file) = &self.file else { return };
        remove_old(file);
        // Renamed into place, so that nobody reads half of it.
        let whole = file.with_extension(process::id().to_string());
        if fs::write(&whole, error.to_string()).is_ok() {
            let _ = fs::rename(&whole, file);
        }
    }

    fn read(&self) -> Result<(), Error> {
        match self.file.as_ref().and_then(|file| fs::read_to_string(file).ok()) {
            Some(report) => Err(Error::new(Kind::NoServer, report::same_verdict(&report))),
            None => Ok(()),
        }
    }
}

fn remove_old(file: &std::path::Path) {
    let entries = file.parent().and_then(|directory| fs::read_dir(directory).ok());
    for entry in entries.into_iter().flatten().flatten() {
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        let age = changed.ok().and_then(|changed| SystemTime::now().duration_since(changed).ok());
        if age.is_some_and(|age| age > KEPT_FOR) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
