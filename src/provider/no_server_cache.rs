//! A negative cache: "no server available", shared by the processes of one test run.
//!
//! It can take half a minute to find out that neither a container engine nor `PyPI` has a server, and a run may have
//! hundreds of processes. The first one pays, and the others read its result.

use std::fs::File;

use super::run::RunFact;
use crate::error::{Error, Kind};
use crate::report;
use crate::settings::Settings;

/// The negative cache of this process's run.
pub(super) struct NoServerCache {
    fact: RunFact,
    /// Held while this process tries the slow providers.
    lock: Option<File>,
}

impl NoServerCache {
    /// Opens the cache.
    ///
    /// # Errors
    ///
    /// Returns the stored error if another process of the run has found no server.
    pub(super) fn load(settings: &Settings) -> Result<Self, Error> {
        let key = format!(
            "no server {:?} {:?} {} {} {} {} {}",
            settings.file(),
            settings.provider(),
            settings.command().is_some(),
            settings.redis_url(),
            settings.image(),
            settings.download(),
            settings.whole_clock(),
        );
        let cache = Self { fact: RunFact::new(&key), lock: None };
        cache.read()?;
        Ok(cache)
    }

    /// Waits until no other process of the run tries the slow providers.
    ///
    /// # Errors
    ///
    /// Returns the stored error if another process has found no server.
    pub(super) fn wait_for_other_processes(&mut self) -> Result<(), Error> {
        if self.lock.is_none() {
            self.lock = self.fact.lock();
        }
        self.read()
    }

    /// Stores the error for the other processes, now and later.
    pub(super) fn store(&self, error: &Error) {
        self.fact.write(&error.to_string());
    }

    fn read(&self) -> Result<(), Error> {
        match self.fact.read() {
            Some(report) => Err(Error::new(Kind::NoServer, report::found_before(&report))),
            None => Ok(()),
        }
    }
}
