//! The process of a command.

use std::ffi::{OsStr, OsString};
use std::io;
use std::process::{Child, Command, ExitStatus};

use crate::signals::Signals;
use crate::{Failure, report};

/// The exit codes of a shell if a command is not there, or can't be executed.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

/// The program and its arguments.
pub(crate) fn process(command: &[OsString]) -> Command {
    let mut process = Command::new(&command[0]);
    process.args(&command[1..]);
    process
}

/// Starts the command, waits for it, and returns its exit code.
///
/// # Errors
///
/// Returns an error if it can't be started.
pub(crate) fn run(
    program: &OsStr,
    start: impl FnOnce() -> io::Result<Child>,
    signals: &Signals,
) -> Result<u8, Failure> {
    signals.pass_to(start).map(code).map_err(|error| not_started(program, &error))
}

/// Becomes the command. Returns only if that fails.
pub(crate) fn replace_this_process(mut process: Command) -> Failure {
    #[cfg(unix)]
    let error = std::os::unix::process::CommandExt::exec(&mut process);
    #[cfg(not(unix))]
    let error = match process.status() {
        Ok(status) => std::process::exit(i32::from(code(status))),
        Err(error) => error,
    };
    not_started(process.get_program(), &error)
}

pub(crate) fn not_started(program: &OsStr, error: &io::Error) -> Failure {
    let code = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE };
    Failure { text: report::not_started(&program.display(), error), code }
}

/// The exit code; after a signal, that of a shell.
pub(crate) fn code(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status).map(|signal| 128 + signal);
    #[cfg(not(unix))]
    let signal = None;
    // The codes of Unix have eight bits.
    status.code().or(signal).and_then(|code| u8::try_from(code & 0xff).ok()).unwrap_or(NOT_EXECUTABLE)
}
