//! Without the signals of Unix: Ctrl-C ends this process, and the server with it.

use std::io;
use std::process::{Child, ExitStatus};
use std::thread;

pub(crate) struct Signals;

pub(crate) fn catch() -> Signals {
    Signals
}

#[expect(clippy::unused_self, reason = "as on Unix")]
impl Signals {
    /// Waits until this process is ended.
    pub(crate) fn wait(&self) {
        loop {
            thread::park();
        }
    }

    /// Starts the command and waits for its end.
    ///
    /// # Errors
    ///
    /// Returns an error if it can't be started.
    pub(crate) fn pass_to(&self, start: impl FnOnce() -> io::Result<Child>) -> io::Result<ExitStatus> {
        start()?.wait()
    }

    /// A signal ends this process anyway.
    pub(crate) fn release(&self) {}
}
