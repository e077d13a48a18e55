//! Tries the providers in order, once in a process, and remembers the first one that has a server.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::no_server_cache::NoServerCache;
use super::running::{AttemptError, Running};
use super::{Started, container, download, process, running};
use crate::error::{Error, Kind};
use crate::report::{self, Reason};
use crate::settings::{Origin, Provider, Settings};
use crate::sync::lock;

/// The timeout of finding a server, for all providers together: half a minute with the time for a report. Each provider
/// has its own, shorter timeout, and gets less if the earlier ones have used up this one.
const SELECT_TIMEOUT: Duration = Duration::from_secs(29);

/// How much of it the container engine leaves for the last provider, whose download takes a second on a fast line.
const LEFT_FOR_DOWNLOAD: Duration = Duration::from_secs(6);

/// A start always gets this much: a healthy server takes a few milliseconds.
const LEFT_FOR_START: Duration = Duration::from_secs(2);

/// All providers, in the order in which they are tried.
pub const ORDER: [Provider; 4] = [Provider::Running, Provider::Process, Provider::Container, Provider::Download];

/// A provider without a server.
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
    /// Why this provider was chosen, for a line in the test's output.
    pub(crate) why: String,
    /// The server that was started to test the provider.
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
    lock(&SELECTED)
}

/// Returns the source of this process's servers. The first caller selects a provider; the others wait for it and get
/// the same result.
///
/// # Errors
///
/// Returns an error that [`Error::is_no_server`] if no provider has a server, or that [`Error::is_refused`] if a named
/// server must not be used.
pub(crate) fn source(settings: &Settings) -> Result<Arc<Source>, Error> {
    selected().get_or_insert_with(|| select(settings, Vec::new())).clone()
}

/// Makes the next provider the source, because the server at the default address holds foreign data.
pub(crate) fn rule_out(source: &Arc<Source>, settings: &Settings, refusal: &Error) {
    let mut selected = selected();
    if selected.as_ref().is_some_and(|now| now.as_ref().is_ok_and(|now| Arc::ptr_eq(now, source))) {
        *selected = Some(select(settings, vec![running::refused(refusal)]));
    }
}

impl Source {
    /// Returns the shared server, if the source is one.
    pub(crate) fn running(&self) -> Option<&Running> {
        match &self.provider {
            Chosen::Running(running) => Some(running),
            Chosen::Binary(..) | Chosen::Image => None,
        }
    }

    /// Starts another server.
    ///
    /// # Errors
    ///
    /// Returns an error that [`Error::is_no_server`] if the provider fails.
    pub(crate) fn start(&self, settings: &Settings) -> Result<Started, Error> {
        if let Some(first) = lock(&self.first).take() {
            return Ok(first);
        }
        match &self.provider {
            Chosen::Binary(provider, path) => process::start(path, *provider, settings, SELECT_TIMEOUT),
            Chosen::Image => container::start(settings, SELECT_TIMEOUT),
            Chosen::Running(_) => unreachable!("a shared server is leased, not started"),
        }
        .map_err(|unavailable| no_server(&[unavailable]))
    }
}

/// Returns the providers that are tried, in order.
pub(crate) fn providers(settings: &Settings) -> Vec<Provider> {
    match settings.provider() {
        Some(one) => vec![one],
        None if settings.command().is_some() => ORDER.into_iter().filter(|one| *one != Provider::Running).collect(),
        None => ORDER.to_vec(),
    }
}

/// Selects a provider. `unavailable` has the first ones, which were ruled out already.
fn select(settings: &Settings, mut unavailable: Vec<Unavailable>) -> Selected {
    let deadline = Instant::now() + SELECT_TIMEOUT;
    let mut cache = NoServerCache::load(settings)?;
    for provider in providers(settings).into_iter().skip(unavailable.len()) {
        if matches!(provider, Provider::Container | Provider::Download) {
            // These providers are slow to fail: the other processes of this run wait for the result.
            cache.wait_for_other_processes()?;
        }
        match attempt(provider, settings, deadline) {
            Ok((provider, first, why)) => {
                let why = std::iter::once(why).chain(unavailable.iter().map(|other| other.why.clone()));
                let (why, first) = (report::because(why), Mutex::new(first));
                return Ok(Arc::new(Source { provider, why, first }));
            }
            Err(AttemptError::Skip(reason)) => unavailable.push(reason),
            Err(AttemptError::Abort(error)) => return Err(error),
        }
    }
    let error = no_server(&unavailable);
    cache.store(&error);
    Err(error)
}

/// Tries one provider, ends the server that it has started, and returns what it was.
///
/// # Errors
///
/// Returns why the provider has no server.
pub(crate) fn diagnose(provider: Provider, settings: &Settings) -> Result<String, Unavailable> {
    match attempt(provider, settings, Instant::now() + SELECT_TIMEOUT) {
        Ok((Chosen::Running(running), _, why)) => Ok(report::because([running.server.to_string(), why].into_iter())),
        Ok((_, first, why)) => {
            let server = first.map(|first| first.server.to_string());
            Ok(report::because(server.into_iter().chain([why])))
        }
        Err(AttemptError::Skip(unavailable)) => Err(unavailable),
        Err(AttemptError::Abort(error)) => {
            Err(Unavailable { provider: provider.to_string(), why: error.to_string(), remedy: String::new() })
        }
    }
}

pub(super) fn no_server(unavailable: &[Unavailable]) -> Error {
    let lines = unavailable.iter().map(|other| [&*other.provider, &*other.why, &*other.remedy]);
    Error::new(Kind::NoServer, report::no_server(lines))
}

fn attempt(
    provider: Provider,
    settings: &Settings,
    deadline: Instant,
) -> Result<(Chosen, Option<Started>, String), AttemptError> {
    let left = || deadline.saturating_duration_since(Instant::now());
    let started = |path: PathBuf| {
        let mut first =
            process::start(&path, provider, settings, left().max(LEFT_FOR_START)).map_err(AttemptError::Skip)?;
        // Another process of the run has checked the server that it has left.
        if first.earlier_password_changes.is_none() {
            process::check(&path, provider, &mut first).map_err(AttemptError::Skip)?;
        }
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
        Provider::Process => started(process::find(settings).map_err(AttemptError::Skip)?),
        Provider::Container => {
            let first =
                container::start(settings, left().saturating_sub(LEFT_FOR_DOWNLOAD)).map_err(AttemptError::Skip)?;
            Ok((Chosen::Image, Some(first), report::container::started(settings.image())))
        }
        Provider::Download => match download::cached() {
            Some(path) => started(path),
            None => started(download::fetch(settings, left()).map_err(AttemptError::Skip)?),
        },
    }
}

/// Rejects a provider that does not support `redis.clock = whole`. A server that the environment names is not skipped
/// silently.
fn no_whole_clock(provider: Provider, settings: &Settings) -> AttemptError {
    let unavailable = Unavailable {
        provider: provider.to_string(),
        why: report::NO_WHOLE_CLOCK.to_owned(),
        remedy: report::REMEDY_NO_WHOLE_CLOCK.to_owned(),
    };
    let named = matches!(settings.redis_url_origin(), Origin::Environment(_));
    if provider == Provider::Running && named {
        AttemptError::Abort(no_server(&[unavailable]))
    } else {
        AttemptError::Skip(unavailable)
    }
}
