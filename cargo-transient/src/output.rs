//! Standard output.

use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::process;

use crate::{Failure, report};

/// The exit code of a program that SIGPIPE ends.
const BROKEN_PIPE: i32 = 128 + 13;

/// Prints a line to standard error.
pub(crate) fn print_error(line: &str) {
    // If nobody reads it, the exit code still tells.
    let _ = writeln!(io::stderr(), "{line}");
}

/// The failure of standard output. Ends this process if nobody reads it any more.
pub(crate) fn not_written(error: &io::Error) -> Failure {
    if error.kind() == ErrorKind::BrokenPipe {
        process::exit(BROKEN_PIPE);
    }
    Failure::of(&report::backup::stdout_failed(error))
}

/// Prints a line, and ends this process if nobody reads it any more.
pub(crate) fn print(line: &str) {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => process::exit(BROKEN_PIPE),
        // Standard output can be closed from the start.
        _ => {}
    }
}

/// Shows what long work is doing, in a line that the next one replaces. Only a terminal gets it.
pub(crate) fn progress(text: &str) {
    let mut stderr = io::stderr().lock();
    if stderr.is_terminal() {
        // If nobody reads it, nobody waits.
        let _ = write!(stderr, "\r\u{1b}[K{text} …");
        let _ = stderr.flush();
    }
}

/// Removes that line.
pub(crate) fn end_progress() {
    let mut stderr = io::stderr().lock();
    if stderr.is_terminal() {
        let _ = write!(stderr, "\r\u{1b}[K");
    }
}
