//! `up`: a server until Ctrl-C.

use std::process::ExitCode;

use transient_fixtures::__cargo_transient::{Access, CommandServer, ServerOptions};

use crate::arguments::Up;
use crate::{Failure, output, report, signals};

/// Starts a server, prints how to connect to it, and ends it when a signal arrives.
pub(crate) fn run(arguments: &Up) -> Result<ExitCode, Failure> {
    let signals = signals::catch();
    let options = ServerOptions {
        provider: arguments.server.provider(),
        database: arguments.server.database,
        access: if arguments.no_password { Access::NoPassword } else { Access::Password },
    };
    let server = CommandServer::start("cargo transient up", &options).map_err(|error| Failure::of(&error))?;
    output::print(&report::up(server.server(), server.url()));
    signals.wait();
    server.end(false);
    Ok(ExitCode::SUCCESS)
}
