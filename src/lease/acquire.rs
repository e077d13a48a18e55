//! How a test begins: the main path, on one screen.

use super::handle::Lease;
use super::own::OwnServer;
use super::shared::SharedServer;
use super::{Hold, pool, registry};
use crate::error::{Error, Kind};
use crate::provider::{Server, Source, select};
use crate::report;
use crate::settings::Settings;

/// Acquires a lease: settings → provider → pool or lock → guard → clear → lease. Afterwards the test databases belong
/// to this test and can be written.
///
/// # Errors
///
/// Returns an error if no provider has a server, the guard refuses its data, or another test holds it for too long.
pub(crate) fn acquire(settings: &'static Settings, test: &str, clean: bool) -> Result<Lease, Error> {
    loop {
        let source = select::source(settings)?;
        let (server, hold): (Server, Box<dyn Hold>) = if let Some(running) = source.running() {
            match SharedServer::begin(running, settings, test, clean) {
                Ok(shared) => (shared.server(), Box::new(shared)),
                // The server at the default address holds foreign data: try the next provider.
                Err(refusal) if refusal.is_refused() && !running.is_named() => {
                    select::rule_out(&source, settings, &refusal);
                    continue;
                }
                Err(error) => return Err(error),
            }
        } else {
            let own = begin_own(&source, settings, test, clean)?;
            (own.server(), Box::new(own))
        };
        announce(&server, &source, settings, test);
        return Lease::new(test, clean, server, settings, hold);
    }
}

/// Takes an idle server of this process, or starts one. A server that an earlier test has reconfigured is ended
/// instead.
fn begin_own(source: &Source, settings: &Settings, test: &str, clean: bool) -> Result<OwnServer, Error> {
    while let Some(mut idle) = pool::take(settings) {
        if idle.begin(test, clean).unwrap_or(false) {
            return Ok(idle);
        }
    }
    loop {
        let mut new = OwnServer::new(source.start(settings)?);
        let begun = new
            .begin(test, clean)
            .map_err(|error| Error::with_source(Kind::Server, report::server_lost(&new.server()), error));
        // A previous process has reconfigured the server, or the server has ended since.
        if new.is_from_another_process() && !matches!(begun, Ok(true)) {
            continue;
        }
        return begun.map(|_| new);
    }
}

fn announce(server: &Server, source: &Source, settings: &Settings, test: &str) {
    // A command's output is its own.
    if settings.command().is_none() {
        report::print(&report::server_taken(server, &source.why, test));
        for note in settings.notes() {
            report::print(&report::note(note));
        }
    }
    if settings.keep() && source.running().is_none() {
        report::shout(&report::will_keep(server, &server.cli_command(), &server.end_command()));
    }
    if let Some(tests) = registry::concurrent_tests() {
        report::print(&report::warning(&report::lease::second_server(&tests)));
    }
}
