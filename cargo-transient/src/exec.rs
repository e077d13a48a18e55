//! `exec`: a command with a server of its own.

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use transient_fixtures::__cargo_transient::{CommandServer, ServerOptions};

use crate::arguments::Exec;
use crate::variables::Variable;
use crate::{Failure, program, signals};

/// The exit code if there is no server, as in `env` and `timeout`.
const NO_SERVER: u8 = 125;

/// Runs the command and returns its exit code.
pub(crate) fn run(arguments: &Exec) -> Result<ExitCode, Failure> {
    if only_lists_tests(&arguments.command) {
        return Err(program::replace_this_process(&arguments.command));
    }
    let signals = signals::catch();
    let options = ServerOptions {
        provider: arguments.server.provider(),
        database: arguments.server.database,
        password: arguments.variables.iter().any(Variable::has_password),
    };
    let name = format!("cargo transient exec: {}", arguments.command[0].display());
    let server = CommandServer::start(&name, &options).map_err(|error| no_server(&error))?;
    let values = arguments.variables.iter().map(|variable| Ok((&variable.name, variable.value(&server)?)));
    let values = values.collect::<Result<Vec<_>, String>>().map_err(|error| no_server(&error))?;
    let code = program::run(&arguments.command, values, &signals)?;
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
