//! Tries the providers in order, once in a process, and remembers which one has a server.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::no_server_cache::Verdict;
use super::running::{Running, Stop};
use super::{Started, container, download, process, running};
use crate::error::{Error, Kind};
use crate::report::{self, Reason};
use crate::settings::{Origin, Provider, Settings};

/// How long finding a server may take in all, whatever the providers do. Each has a limit of its own as well.
const FOUND_WITHIN: Duration = Duration::from_secs(29);

/// What the container engine leaves of it for the last provider, which takes a second where it works.
const LEFT_FOR_DOWNLOAD: Duration = Duration::from_secs(6);

/// What a start has in any case: a healthy server takes a few milliseconds.
const LEFT_FOR_START: Duration = Duration::from_secs(2);

const IN_ORDER: [Provider; 4] = [Provider::Running, Provider::Process, Provider::Container, Provider::Download];

/// A provider that has no server.
#[derive(Clone, Debug)]
pub(crate) struct Unavailable {
    pub(crate) provider: String,
    pub(crate) why: String,
    /// Empty where the reason ends with one.
    pub(crate) remedy: String,
}

impl Unavailable {
    pub(crate) fn new(provider: Provider, Reason { why, remedy }: Reason) -> Self {
        Self { provider: provider.to_string(), why, remedy }
    }
}

/// Where the servers of this process come from.
pub(crate) struct Source {
    provider: Chosen,
    /// Why it is this provider, for the line on a test's output.
    pub(crate) why: String,
    /// The server that was started to find out that the provider can.
    first: Mutex<Option<Started>>,
}

enum Chosen {
    Running(Running),
    Binary(Provider, PathBuf),
    Image,
}

type Selected = Result<Arc<Source>, Error>;

static SELECTED: Mutex<Option<Selected>> = Mutex::new(None);

fn selected() -> MutexGuard<'static, Option<Selected>> {
    SELECTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The source of this process's servers. The first caller pays for finding out; the others wait for it, and are told
/// the same, be it good or bad.
///
/// # Errors
///
/// [`Error::is_no_server`] when no provider has a server, [`Error::is_refused`] when one was named that we won't touch.
pub(crate) fn source(settings: &Settings) -> Result<Arc<Source>, Error> {
    selected().get_or_insert_with(|| select(settings, Vec::new())).clone()
}

/// A server that nobody named turned out to hold somebody's data: from now on, the next provider is the source.
pub(crate) fn rule_out(source: &Arc<Source>, settings: &Settings, refusal: &Error) {
    let mut selected = selected();
    if selected.as_ref().is_some_and(|now| now.as_ref().is_ok_and(|now| Arc::ptr_eq(now, source))) {
        *selected = Some(select(settings, vec![running::refused(refusal)]));
    }
}

impl Source {
    /// The shared server, if that is what there is.
    pub(crate) fn running(&self) -> Option<&Running> {
        match &self.provider {
            Chosen::Running(running) => Some(running),
            Chosen::Binary(..) | Chosen::Image => None,
        }
    }

    /// Another own server.
    ///
    /// # Errors
    ///
    /// [`Error::is_no_server`] when the provider has no more.
    pub(crate) fn start(&self, settings: &Settings) -> Result<Started, Error> {
        if let Some(first) = self.first.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Ok(first);
        }
        match &self.provider {
            Chosen::Binary(provider, path) => process::start(path, *provider, settings, FOUND_WITHIN),
            Chosen::Image => container::start(settings, FOUND_WITHIN),
            Chosen::Running(_) => unreachable!("a shared server is leased, not started"),
        }
        .map_err(|unavailable| no_server(&[unavailable]))
    }
}

/// `unavailable` are the providers that were ruled out already, which are the first ones.
fn select(settings: &Settings, mut unavailable: Vec<Unavailable>) -> Selected {
    let providers = match settings.provider() {
        Some(one) => vec![one],
        None => IN_ORDER.to_vec(),
    };
    let deadline = Instant::now() + FOUND_WITHIN;
    let mut verdict = Verdict::of(settings)?;
    for provider in providers.into_iter().skip(unavailable.len()) {
        if matches!(provider, Provider::Container | Provider::Download) {
            // Slow to fail: the other processes of this test run wait, and are told.
            verdict.wait_for_others()?;
        }
        match attempt(provider, settings, deadline) {
            Ok((provider, first, why)) => {
                let why = std::iter::once(why).chain(unavailable.iter().map(|other| other.why.clone()));
                let (why, first) = (report::because(why), Mutex::new(first));
                return Ok(Arc::new(Source { provider, why, first }));
            }
            Err(Stop::Next(reason)) => unavailable.push(reason),
            Err(Stop::End(error)) => return Err(error),
        }
    }
    let error = no_server(&unavailable);
    verdict.no_server(&error);
    Err(error)
}

pub(super) fn no_server(unavailable: &[Unavailable]) -> Error {
    let lines = unavailable.iter().map(|other| [&*other.provider, &*other.why, &*other.remedy]);
    Error::new(Kind::NoServer, report::no_server(lines))
}

fn attempt(
    provider: Provider,
    settings: &Settings,
    deadline: Instant,
) -> Result<(Chosen, Option<Started>, String), Stop> {
    let left = || deadline.saturating_duration_since(Instant::now());
    let started = |path: PathBuf| {
        let mut first = process::start(&path, provider, settings, left().max(LEFT_FOR_START)).map_err(Stop::Next)?;
        process::check(&path, provider, &mut first).map_err(Stop::Next)?;
        let why = report::process::started(&path);
        Ok((Chosen::Binary(provider, path), Some(first), why))
    };
    if settings.whole_clock() && matches!(provider, Provider::Running | Provider::Container) {
        return Err(no_whole_clock(provider, settings));
    }
    match provider {
        Provider::Running => {
            let running = running::find(settings)?;
            let why = report::running::taken(&settings.redis_url_origin());
            Ok((Chosen::Running(running), None, why))
        }
        Provider::Process => started(process::find(settings).map_err(Stop::Next)?),
        Provider::Container => {
            let first = container::start(settings, left().saturating_sub(LEFT_FOR_DOWNLOAD)).map_err(Stop::Next)?;
            Ok((Chosen::Image, Some(first), report::container::started(settings.image())))
        }
        Provider::Download => match download::cached() {
            Some(path) => started(path),
            None => started(download::fetch(settings, left()).map_err(Stop::Next)?),
        },
    }
}

/// `redis.clock = whole` asks for what that provider can't give. A server that somebody named is not passed over in
/// silence.
fn no_whole_clock(provider: Provider, settings: &Settings) -> Stop {
    let unavailable = Unavailable {
        provider: provider.to_string(),
        why: report::NO_WHOLE_CLOCK.to_owned(),
        remedy: report::REMEDY_NO_WHOLE_CLOCK.to_owned(),
    };
    let named = matches!(settings.redis_url_origin(), Origin::Environment(_));
    if provider == Provider::Running && named { Stop::End(no_server(&[unavailable])) } else { Stop::Next(unavailable) }
}
