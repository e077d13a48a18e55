//! The state that a tap and its thread share.

use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use mio::Waker;
use mio::net::TcpListener;

use super::hold::Hold;
use super::log::Log;
use super::recording::Recorder;
use super::rewrite::Rewrite;
use super::rules::{Rule, Rules};
use super::stream::Listener;
use super::turns::Turns;
use crate::sync::lock;

/// State shared by the thread and the tap.
pub(super) struct Shared {
    pub(super) log: Mutex<Log>,
    pub(super) rules: Mutex<Rules>,
    pub(super) has_rules: AtomicBool,
    pub(super) hold: Option<Arc<dyn Hold>>,
    pub(super) rewrite: Option<Mutex<Box<dyn Rewrite>>>,
    /// Set if the connections take turns.
    pub(super) turns: OnceLock<Mutex<Turns>>,
    pub(super) changed: Condvar,
    /// The number of threads that wait for the log to change.
    pub(super) waiters: AtomicUsize,
    pub(super) is_stopping: AtomicBool,
    pub(super) requests: Mutex<Vec<Request>>,
    pub(super) waker: Waker,
    pub(super) recorder: Arc<Recorder>,
}

/// A request to the thread.
pub(super) enum Request {
    /// Accept clients on this listener as well.
    #[cfg(unix)]
    Listen(Listener),
    /// Start over with only this listener: close all connections, remove the rules, and send the old record.
    Renew(Listener, Sender<Log>),
}

impl Shared {
    pub(super) fn log(&self) -> MutexGuard<'_, Log> {
        lock(&self.log)
    }

    pub(super) fn rules(&self) -> MutexGuard<'_, Rules> {
        lock(&self.rules)
    }

    /// From now on, forwards the commands of one connection at a time.
    pub(super) fn take_turns(&self) {
        self.turns.get_or_init(Mutex::default);
    }

    pub(super) fn turns(&self) -> Option<MutexGuard<'_, Turns>> {
        self.turns.get().map(lock)
    }

    /// Adds a rule. It applies from the next command on.
    pub(super) fn add_rule(&self, rule: Rule) {
        let mut rules = self.rules();
        rules.0.push(rule);
        self.has_rules.store(true, Ordering::Release);
    }

    pub(super) fn clear_rules(&self) {
        self.rules().0.clear();
    }

    /// Accepts clients on this listener as well.
    ///
    /// # Errors
    ///
    /// Returns an error if the proxy has been stopped.
    #[cfg(unix)]
    pub(super) fn listen(&self, listener: Listener) -> io::Result<()> {
        self.request(Request::Listen(listener))
    }

    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        self.wake();
    }

    pub(super) fn wake(&self) {
        // This fails only if the thread has ended.
        let _ = self.waker.wake();
    }

    /// Starts over with only this listener, and returns the old record once all connections are closed.
    ///
    /// # Errors
    ///
    /// Returns an error if the proxy has ended.
    pub(super) fn renew(&self, listener: TcpListener) -> io::Result<Log> {
        let (recorded, log) = mpsc::channel();
        self.request(Request::Renew(Listener::Tcp(listener), recorded))?;
        log.recv().map_err(|_| ErrorKind::BrokenPipe.into())
    }

    fn request(&self, request: Request) -> io::Result<()> {
        let mut requests = lock(&self.requests);
        if self.is_stopping.load(Ordering::Acquire) {
            return Err(ErrorKind::BrokenPipe.into());
        }
        requests.push(request);
        drop(requests);
        self.waker.wake()
    }

    /// Waits until `find` returns a value, or `within` has passed.
    pub(super) fn wait_for<T>(&self, within: Duration, mut find: impl FnMut(&Log) -> Option<T>) -> Option<T> {
        self.waiters.fetch_add(1, Ordering::SeqCst);
        let mut found = None;
        let (log, _) = self
            .changed
            .wait_timeout_while(self.log(), within, |log| {
                found = find(log);
                found.is_none()
            })
            .unwrap_or_else(PoisonError::into_inner);
        drop(log);
        self.waiters.fetch_sub(1, Ordering::SeqCst);
        found
    }

    pub(super) fn has_changed(&self) {
        if self.waiters.load(Ordering::SeqCst) > 0 {
            self.changed.notify_all();
        }
    }
}
