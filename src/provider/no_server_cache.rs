//! "No server can be had", shared by the processes of one test run.
//!
//! Finding out that neither a container engine nor `PyPI` has a server can take half a minute, and a run may have
//! hundreds of processes: the first one pays, the others read what it found.

use std::fs::File;

use super::run::Shared;
use crate::error::{Error, Kind};
use crate::report;
use crate::settings::Settings;

/// The verdict of the run that this process belongs to.
pub(super) struct Verdict {
    shared: Shared,
    /// Held while this process finds out for all.
    lock: Option<File>,
}

impl Verdict {
    /// # Errors
    ///
    /// The verdict, if another process of the run has reached it.
    pub(super) fn of(settings: &Settings) -> Result<Self, Error> {
        let what = format!(
            "no server {:?} {:?} {} {} {} {}",
            settings.file(),
            settings.provider(),
            settings.redis_url(),
            settings.image(),
            settings.download(),
            settings.whole_clock(),
        );
        let verdict = Self { shared: Shared::new(&what), lock: None };
        verdict.read()?;
        Ok(verdict)
    }

    /// Waits until no other process of the run is finding out.
    ///
    /// # Errors
    ///
    /// The verdict, if one of them has reached it.
    pub(super) fn wait_for_others(&mut self) -> Result<(), Error> {
        if self.lock.is_none() {
            self.lock = self.shared.lock();
        }
        self.read()
    }

    /// Tells the other processes, now and later.
    pub(super) fn no_server(&self, error: &Error) {
        self.shared.write(&error.to_string());
    }

    fn read(&self) -> Result<(), Error> {
        match self.shared.read() {
            Some(report) => Err(Error::new(Kind::NoServer, report::same_verdict(&report))),
            None => Ok(()),
        }
    }
}
