//! `cargo transient`: a real Redis for any command.
//!
//! - `arguments`: the command line;
//! - `exec`: a command with a server of its own; `variables`: how the command learns the address; `publish`: the
//!   server at an address that it has hard-coded; `program`: its process; `signals`: are passed on to it;
//! - `record`: the same, with a summary of the commands that it sends;
//! - `up`: a server until Ctrl-C; `flush`, `show`: the databases of a running one, `connection` to it;
//! - `dump`, `restore`: backups, with `new_file`, `progress` and `stop`;
//! - `doctor`: what works on this machine; `clean`: what is kept there;
//! - `generated`: the manual page and the completions of shells;
//! - `mutate`: mutation testing on the wire;
//! - `resp`, `exchange`, `shape`: commands and replies of a recording;
//! - `report`: every sentence that this program prints.

mod arguments;
mod clean;
mod connection;
mod doctor;
mod dump;
mod exchange;
mod exec;
mod flush;
mod generated;
mod mutate;
mod new_file;
mod output;
mod program;
mod progress;
mod publish;
mod record;
mod report;
mod resp;
mod restore;
mod shape;
mod show;
#[cfg(unix)]
mod signals;
#[cfg(not(unix))]
#[path = "signals/unsupported.rs"]
mod signals;
mod stop;
mod up;
mod variables;

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Arguments, Subcommand};

/// What failed, and the exit code.
pub(crate) struct Failure {
    pub(crate) text: String,
    pub(crate) code: u8,
}

impl Failure {
    /// `text` begins in lower case.
    pub(crate) fn of(text: &dyn std::fmt::Display) -> Self {
        Self { text: report::error(text), code: 1 }
    }
}

fn main() -> ExitCode {
    let mut words: Vec<OsString> = env::args_os().collect();
    // Cargo runs `cargo-transient transient …`.
    if words.get(1).is_some_and(|word| word == "transient") {
        words.remove(1);
    }
    #[cfg(target_os = "linux")]
    if let Some(failure) = publish::namespace::become_command(&words) {
        return fail(&failure);
    }
    let outcome = match Arguments::parse_from(words).subcommand {
        Subcommand::Exec(arguments) => exec::run(&arguments),
        Subcommand::Record(arguments) => record::run(&arguments),
        Subcommand::Mutate(arguments) => mutate::run(&arguments),
        Subcommand::Up(arguments) => up::run(&arguments),
        Subcommand::Flush => flush::run(),
        Subcommand::Show(arguments) => show::run(&arguments),
        Subcommand::Dump(arguments) => dump::run(&arguments),
        Subcommand::Restore(arguments) => restore::run(&arguments),
        Subcommand::Doctor => doctor::run(),
        Subcommand::Clean(arguments) => clean::run(&arguments),
        Subcommand::Man => Ok(generated::manual()),
        Subcommand::Completions(arguments) => Ok(generated::completions(arguments.shell)),
    };
    outcome.unwrap_or_else(|failure| fail(&failure))
}

fn fail(failure: &Failure) -> ExitCode {
    output::print_error(&failure.text);
    ExitCode::from(failure.code)
}
