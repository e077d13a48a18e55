//! A line about long work, on a terminal only.

use std::env;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// How often the line changes, and how long work takes that has one.
const EVERY: Duration = Duration::from_millis(200);

/// A line on standard error that is written anew, and removed when this is dropped. It needs no escape sequences.
pub(crate) struct Progress {
    is_shown: bool,
    last: Instant,
    /// The number of characters on the terminal.
    width: usize,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let is_dumb = env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
        Self { is_shown: io::stderr().is_terminal() && !is_dumb, last: Instant::now(), width: 0 }
    }

    /// Shows a line, unless the last one is recent. It must be shorter than the terminal is wide.
    pub(crate) fn show(&mut self, line: impl FnOnce() -> String) {
        if self.is_shown && self.last.elapsed() >= EVERY {
            self.write(&line());
            self.last = Instant::now();
        }
    }

    fn write(&mut self, line: &str) {
        let rest = " ".repeat(self.width.saturating_sub(line.chars().count()));
        // If nobody sees it, the work goes on.
        let _ = write!(io::stderr(), "\r{line}{rest}").and_then(|()| io::stderr().flush());
        self.width = line.chars().count();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.width > 0 {
            self.write("");
            let _ = write!(io::stderr(), "\r");
        }
    }
}
