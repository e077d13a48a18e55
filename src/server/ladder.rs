//! Tries the rungs in order, once in a process, and remembers which one gave a server.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use once_cell::sync::OnceCell;

use super::running::{Running, Stop};
use super::{Throwaway, container, download, process, running, verdict};
use crate::error::{Error, Kind};
use crate::report::{self, Fallen};
use crate::settings::{self, Origin, Provider, Settings};

/// How long finding a server may take in all, whatever the rungs do. Each has a limit of its own as well.
const FOUND_WITHIN: Duration = Duration::from_secs(29);

/// What the container engine leaves of it for the last rung, which takes a second where it works.
const LEFT_FOR_DOWNLOAD: Duration = Duration::from_secs(6);

/// What a start has in any case: a healthy server takes a few milliseconds.
const LEFT_FOR_START: Duration = Duration::from_secs(2);

/// Where the servers of this process come from.
pub(crate) struct Source {
    rung: Rung,
    /// Why it is this rung, for the line on a test's output.
    pub(crate) why: String,
    /// The server that was started to find out that the rung can.
    first: Mutex<Option<Throwaway>>,
}

enum Rung {
    Running(Running),
    Binary(Provider, PathBuf),
    Image,
}

/// The source of this process's servers. The first caller pays for finding out; the others wait for it, and are told
/// the same, be it good or bad.
///
/// # Errors
///
/// [`Error::is_no_server`] when no rung gives a server, [`Error::is_refused`] when one was named that we won't touch,
/// [`Error::is_settings`] when the settings are wrong.
pub(crate) fn source() -> Result<&'static Source, Error> {
    static SOURCE: OnceCell<Result<Source, Error>> = OnceCell::new();
    let settings = settings::of_process()?;
    SOURCE.get_or_init(|| climb(settings)).as_ref().map_err(Error::clone)
}

impl Source {
    /// The running server that all tests share, if that is what there is.
    pub(crate) fn running(&self) -> Option<&Running> {
        match &self.rung {
            Rung::Running(running) => Some(running),
            Rung::Binary(..) | Rung::Image => None,
        }
    }

    /// Another server of our own.
    ///
    /// # Errors
    ///
    /// [`Error::is_no_server`] when the rung gives no more.
    pub(crate) fn start(&self, settings: &Settings) -> Result<Throwaway, Error> {
        if let Some(first) = self.first.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take() {
            return Ok(first);
        }
        match &self.rung {
            Rung::Binary(provider, path) => process::start(path, *provider, settings, FOUND_WITHIN),
            Rung::Image => container::start(settings, FOUND_WITHIN),
            Rung::Running(_) => unreachable!("a running server is leased, not started"),
        }
        .map_err(|fallen| Error::new(Kind::NoServer, report::no_server(&[fallen])))
    }
}

fn climb(settings: &Settings) -> Result<Source, Error> {
    let rungs = match settings.provider() {
        Some(one) => vec![one],
        None => vec![Provider::Running, Provider::Process, Provider::Container, Provider::Download],
    };
    let deadline = Instant::now() + FOUND_WITHIN;
    let mut fallen = Vec::new();
    let mut run = verdict::Run::of(settings)?;
    for rung in rungs {
        if matches!(rung, Provider::Container | Provider::Download) {
            // Slow to fail: the other processes of this test run wait, and are told.
            run.wait_for_others()?;
        }
        match step(rung, settings, deadline) {
            Ok((rung, first, why)) => {
                let why = std::iter::once(why).chain(fallen.iter().map(|fallen: &Fallen| fallen.why.clone()));
                return Ok(Source { rung, why: report::because(why), first: Mutex::new(first) });
            }
            Err(Stop::Next(reason)) => fallen.push(reason),
            Err(Stop::End(error)) => return Err(error),
        }
    }
    let error = Error::new(Kind::NoServer, report::no_server(&fallen));
    run.no_server(&error);
    Err(error)
}

fn step(rung: Provider, settings: &Settings, deadline: Instant) -> Result<(Rung, Option<Throwaway>, String), Stop> {
    let left = || deadline.saturating_duration_since(Instant::now());
    let started = |path: PathBuf| {
        let first = process::start(&path, rung, settings, left().max(LEFT_FOR_START)).map_err(Stop::Next)?;
        let why = report::process::started(&path);
        Ok((Rung::Binary(rung, path), Some(first), why))
    };
    if settings.whole_clock() && matches!(rung, Provider::Running | Provider::Container) {
        let fallen = report::no_whole_clock(rung);
        // One that somebody named is not passed over in silence.
        let named = matches!(settings.redis_url_origin(), Origin::Environment(_));
        return Err(if rung == Provider::Running && named {
            Stop::End(Error::new(Kind::NoServer, report::no_server(&[fallen])))
        } else {
            Stop::Next(fallen)
        });
    }
    match rung {
        Provider::Running => {
            let running = running::find(settings)?;
            let why = report::running::taken(&settings.redis_url_origin());
            Ok((Rung::Running(running), None, why))
        }
        Provider::Process => started(process::find(settings).map_err(Stop::Next)?),
        Provider::Container => {
            let first = container::start(settings, left().saturating_sub(LEFT_FOR_DOWNLOAD)).map_err(Stop::Next)?;
            Ok((Rung::Image, Some(first), report::container::started(settings.image())))
        }
        Provider::Download => match download::cached() {
            Some(path) => started(path),
            None => started(download::fetch(settings, left()).map_err(Stop::Next)?),
        },
    }
}
