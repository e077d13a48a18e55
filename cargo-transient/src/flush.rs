//! `flush`: the test databases of a running server, emptied.

use std::process::ExitCode;

use transient_fixtures::__cargo_transient::{CommandServer, ServerOptions};
use transient_fixtures::Provider;

use crate::{Failure, output, report};

/// Takes a turn on the running server, as a test does, which empties its test databases or refuses to.
pub(crate) fn run() -> Result<ExitCode, Failure> {
    let options = ServerOptions::of(Some(Provider::Running));
    let server = CommandServer::start("cargo transient flush", &options).map_err(|error| Failure::of(&error))?;
    let flushed = report::flushed(server.server(), server.test_databases());
    server.end(false);
    output::print(&flushed);
    Ok(ExitCode::SUCCESS)
}
