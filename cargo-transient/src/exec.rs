//! `exec`: a command with a server of its own.

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use transient_fixtures::__cargo_transient::{Access, CommandServer, ServerOptions};
use transient_fixtures::Provider;

use crate::arguments::Exec;
use crate::publish::Start;
use crate::{Failure, program, report, signals};

/// The exit code if there is no server, as in `env` and `timeout`.
const NO_SERVER: u8 = 125;

/// Runs the command and returns its exit code.
pub(crate) fn run(arguments: &Exec) -> Result<ExitCode, Failure> {
    let mut process = program::process(&arguments.command);
    if only_lists_tests(&arguments.command) {
        return Err(program::replace_this_process(process));
    }
    let signals = signals::catch();
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
    let name = format!("cargo transient exec: {}", arguments.command[0].display());
    let server = CommandServer::start(&name, &options).map_err(|error| no_server(&error))?;
    for variable in &arguments.variables {
        process.env(&variable.name, variable.value(&server, published).map_err(|error| no_server(&error))?);
    }
    let start = Start::new(process, &arguments.publish, &server).map_err(|error| no_server(&error))?;
    let code = program::run(&arguments.command[0], || start.start(), &signals)?;
    server.end(code != 0);
    Ok(ExitCode::from(code))
}

fn no_server(error: &dyn std::fmt::Display) -> Failure {
    Failure { code: NO_SERVER, ..Failure::of(error) }
}

/// Whether this is a test binary that only lists its tests. cargo and cargo-nextest set the variable for what they run.
fn only_lists_tests(command: &[OsString]) -> bool {
    env::var_os("CARGO_MANIFEST_DIR").is_some() && command.iter().any(|word| word == "--list")
}
