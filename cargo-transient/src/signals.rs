//! Signals that arrive while a command runs are passed on to it.

use std::fs::File;
use std::io;
use std::process::{self, Child, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpgrp, kill_process, waitid};
use rustix::termios::tcgetpgrp;
use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};

const CAUGHT: [i32; 6] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];

/// What a signal is for.
#[derive(Clone, Copy)]
enum State {
    /// No command runs: a signal ends this process.
    Alone,
    /// The command runs: it gets the signals.
    Running(Pid),
    /// A server is up until a signal.
    Waiting,
    /// The command has ended, and this process is about to.
    Ended,
}

pub(crate) struct Signals(Arc<(Mutex<State>, Condvar)>);

/// Catches signals from here on.
pub(crate) fn catch() -> Signals {
    let state = Arc::new((Mutex::new(State::Alone), Condvar::new()));
    // A signal that this process was started to ignore (nohup) is ignored by the command as well.
    let caught = unless_ignored(&CAUGHT);
    // Without a handler a signal ends this process, and the server ends with it.
    if let Ok(mut signals) = signal_hook::iterator::Signals::new(caught) {
        let state = state.clone();
        std::thread::spawn(move || signals.forever().for_each(|signal| pass_on(&state, signal)));
    }
    Signals(state)
}

fn pass_on((state, changed): &(Mutex<State>, Condvar), signal: i32) {
    // The lock keeps the pid from being reused.
    let mut state = lock(state);
    match *state {
        // The exit handler ends a server that is starting.
        State::Alone => process::exit(128 + signal),
        State::Running(command) if !is_from_terminal(signal) => {
            if let Some(signal) = Signal::from_named_raw(signal) {
                // It may have just ended.
                let _ = kill_process(command, signal);
            }
        }
        State::Waiting => {
            *state = State::Ended;
            changed.notify_all();
        }
        State::Running(_) | State::Ended => {}
    }
}

/// Whether Ctrl-C or Ctrl-\ has sent it, which the command gets from the terminal too. Many programs take a second one
/// for impatience. In the foreground of a terminal, these two are taken to be its.
fn is_from_terminal(signal: i32) -> bool {
    let is_in_foreground = || {
        let group = File::open("/dev/tty").map(tcgetpgrp);
        group.is_ok_and(|group| group == Ok(getpgrp()))
    };
    [SIGINT, SIGQUIT].contains(&signal) && is_in_foreground()
}

impl Signals {
    /// Waits for a signal.
    pub(crate) fn wait(&self) {
        let mut state = lock(&self.0.0);
        *state = State::Waiting;
        let waits = |state: &mut State| matches!(state, State::Waiting);
        drop(self.0.1.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner));
    }

    /// Starts the command and waits for its end.
    ///
    /// # Errors
    ///
    /// Returns an error if it can't be started.
    pub(crate) fn pass_to(&self, start: impl FnOnce() -> io::Result<Child>) -> io::Result<ExitStatus> {
        let mut child = {
            let mut state = lock(&self.0.0);
            let child = start()?;
            *state = State::Running(Pid::from_child(&child));
            child
        };
        // Its pid stays its own until it is reaped.
        while let Err(rustix::io::Errno::INTR) =
            waitid(WaitId::Pid(Pid::from_child(&child)), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
        {}
        *lock(&self.0.0) = State::Ended;
        child.wait()
    }

    /// The command has ended, and this process has more to do: a signal ends it again.
    pub(crate) fn release(&self) {
        *lock(&self.0.0) = State::Alone;
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Those of the signals that this process was not started to ignore.
pub(crate) fn unless_ignored(signals: &'static [i32]) -> impl Iterator<Item = i32> {
    let ignored = ignored();
    signals.iter().copied().filter(move |signal| ignored & (1 << (signal - 1)) == 0)
}

/// The signals that are ignored, one bit each. Without /proc, none.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}
