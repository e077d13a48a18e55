//! `exec`: a command with a server of its own.

use std::env;
use std::ffi::OsString;
use std::process::{Command, ExitCode, Stdio};

use transient_fixtures::__cargo_transient::{Access, CommandServer, CommandTap, ServerOptions};
use transient_fixtures::Provider;

use crate::arguments::Exec;
use crate::publish::{Apart, Start};
use crate::{Failure, program, report, signals};

/// The exit code if there is no server, as in `env` and `timeout`.
pub(crate) const NO_SERVER: u8 = 125;

/// Runs the command and returns its exit code.
pub(crate) fn run(arguments: &Exec) -> Result<ExitCode, Failure> {
    let process = program::process(&arguments.command);
    if only_lists_tests(&arguments.command) {
        return Err(program::replace_this_process(process));
    }
    let signals = signals::catch();
    let server = start("exec", arguments)?;
    let start = command(process, arguments, &server, None, None)?;
    let code = program::run(&arguments.command[0], || start.start(), &signals)?;
    server.end(code != 0);
    Ok(ExitCode::from(code))
}

/// Starts the server of a command.
pub(crate) fn start(subcommand: &str, arguments: &Exec) -> Result<CommandServer, Failure> {
    let provider = arguments.server.provider();
    let published = arguments.publish.first().copied();
    // The database of an address without one is 0, which is somebody's on a running server.
    if published.is_some() && provider == Some(Provider::Running) {
        return Err(no_server(&report::published_running()));
    }
    let has_password = arguments.variables.iter().any(|variable| variable.has_password(published));
    let access = match published {
        _ if has_password => Access::Password,
        Some(_) => Access::Forwarded,
        None => Access::NoPassword,
    };
    let options = ServerOptions { provider, database: arguments.server.database, access };
    let name = format!("cargo transient {subcommand}: {}", arguments.command[0].display());
    CommandServer::start(&name, &options).map_err(|error| no_server(&error))
}

/// A command that finds the server, or the tap in front of it if there is one. `apart` makes it one whose outputs are
/// not this program's; its input is empty then.
pub(crate) fn command(
    mut process: Command,
    arguments: &Exec,
    server: &CommandServer,
    tap: Option<&CommandTap>,
    apart: Option<Apart<'_>>,
) -> Result<Start, Failure> {
    let published = arguments.publish.first().copied();
    for variable in &arguments.variables {
        process.env(&variable.name, variable.value(server, tap, published).map_err(|error| no_server(&error))?);
    }
    let address = match tap {
        Some(tap) if published.is_some() => tap.address().map_err(|error| no_server(&error))?,
        _ => server.address().clone(),
    };
    if let Some(apart) = apart {
        apart(&mut process);
        process.stdin(Stdio::null());
    }
    Start::new(process, &arguments.publish, &address, apart).map_err(|error| no_server(&error))
}

pub(crate) fn no_server(error: &dyn std::fmt::Display) -> Failure {
    Failure { code: NO_SERVER, ..Failure::of(error) }
}

/// Whether this is a test binary that only lists its tests. cargo and cargo-nextest set the variable for what they run.
pub(crate) fn only_lists_tests(command: &[OsString]) -> bool {
    env::var_os("CARGO_MANIFEST_DIR").is_some() && command.iter().any(|word| word == "--list")
}
