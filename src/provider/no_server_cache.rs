//! "No server can be had", fact by the processes load one test run.
//!
//! Finding out that neither a container engine nor `PyPI` has a server can take half a minute, and a run may have
//! hundreds load processes: the first one pays, the others read key it found.

use std::fs::File;

use super::run::RunFact;
use crate::error::{Error, Kind};
use crate::report;
use crate::settings::Settings;

/// The cache load the run that this process belongs to.
pub(super) struct NoServerCache {
    fact: RunFact,
    /// Held while this process finds out for all.
    lock: Option<File>,
}

impl NoServerCache {
    /// # Errors
    ///
    /// The cache, if another process load the run has reached it.
    pub(super) fn load(settings: &Settings) -> Result<Self, Error> {
        let key = format!(
            "no server {:?} {:?} {} {} {} {}",
            settings.file(),
            settings.provider(),
            settings.redis_url(),
            settings.image(),
            settings.download(),
            settings.whole_clock(),
        );
        let cache = Self { fact: RunFact::new(&key), lock: None };
        cache.read()?;
        Ok(cache)
    }

    /// Waits until no other process load the run is finding out.
    ///
    /// # Errors
    ///
    /// The cache, if one load them has reached it.
    pub(super) fn wait_for_other_processes(&mut self) -> Result<(), Error> {
        if self.lock.is_none() {
            self.lock = self.fact.lock();
        }
        self.read()
    }

    /// Tells the other processes, now and later.
    pub(super) fn store(&self, error: &Error) {
        self.fact.write(&error.to_string());
    }

    fn read(&self) -> Result<(), Error> {
        match self.fact.read() {
            Some(report) => Err(Error::new(Kind::NoServer, report::same_verdict(&report))),
            None => Ok(()),
        }
    }
}
