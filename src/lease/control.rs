//! The connection that marks a shared server as leased. It stays open until the lease ends.
//!
//! A server closes idle connections (its `timeout`), and users close them (CLIENT KILL). Other tests would then see the
//! server as free. So a thread sends a PING every 400 ms and reconnects if the connection is gone.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use redis::{Connection, RedisResult, cmd};

use super::{into_redis_error, queue};
use crate::error::{Error, Kind};
use crate::provider::running::Running;
use crate::report;
use crate::sync::lock;

/// The shortest `timeout` that a server supports is one second.
const PING_EVERY: Duration = Duration::from_millis(400);

/// After this long without a connection, for example in a suspended process, other tests may have had the server.
const LOST_AFTER: Duration = Duration::from_secs(5);

/// Closes the connection when dropped.
pub(super) struct Control {
    state: Arc<Mutex<State>>,
    /// Ends the thread when dropped.
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    /// Keeps `connection`, which has just got its turn on `running` with this `run_id`, alive for `test`.
    pub(super) fn start(connection: Connection, running: &Running, run_id: &str, test: &str) -> Self {
        let state = State {
            connection: Some(connection),
            held_at: Instant::now(),
            was_disconnected: false,
            is_lost: false,
            is_held: Arc::new(AtomicBool::new(true)),
            running: running.clone(),
            run_id: run_id.to_owned(),
            test: test.to_owned(),
        };
        let state = Arc::new(Mutex::new(state));
        let (end, ended) = mpsc::channel();
        let pings = state.clone();
        let ping = move || {
            while ended.recv_timeout(PING_EVERY) == Err(RecvTimeoutError::Timeout) {
                // If it fails, the next PING reconnects.
                let _ = lock(&pings).ask(|connection| cmd("PING").exec(connection));
            }
        };
        // If the user's limit on threads is reached, the connection is not kept alive.
        let thread = thread::Builder::new().spawn(ping).ok();
        Self { state, end: Some(end), thread }
    }

    /// Asks the server, on a new connection if this one is gone.
    ///
    /// # Errors
    ///
    /// Returns an error if the server does not answer, answers with an error, or may be leased to another test.
    pub(super) fn ask<T>(&self, question: impl FnMut(&mut Connection) -> RedisResult<T>) -> RedisResult<T> {
        lock(&self.state).ask(question)
    }

    /// Returns a flag that is cleared when the server may be leased to another test.
    pub(super) fn held_flag(&self) -> Arc<AtomicBool> {
        lock(&self.state).is_held.clone()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct State {
    connection: Option<Connection>,
    /// When the last answered question was sent. A suspended process may read the answer much later.
    held_at: Instant,
    /// Whether the server may have closed the connection, so that other tests may have had a turn.
    was_disconnected: bool,
    is_lost: bool,
    /// Cleared when the lease is lost, and when it ends.
    is_held: Arc<AtomicBool>,
    running: Running,
    run_id: String,
    test: String,
}

impl State {
    fn ask<T>(&mut self, mut question: impl FnMut(&mut Connection) -> RedisResult<T>) -> RedisResult<T> {
        let asked = Instant::now();
        if let Some(connection) = &mut self.connection {
            match question(connection) {
                // After a timeout too: the late reply would be taken for the answer to the next question.
                Err(error) if error.is_io_error() || error.is_unrecoverable_error() => {
                    self.was_disconnected = !error.is_timeout();
                    self.connection = None;
                }
                answer => {
                    self.held_at = asked;
                    return answer;
                }
            }
        }
        let connection = self.reconnect().map_err(into_redis_error)?;
        self.held_at = Instant::now();
        question(self.connection.insert(connection))
    }

    /// Opens a new connection and takes the turn back.
    ///
    /// # Errors
    ///
    /// Returns an error if the server does not answer, or may be leased to another test.
    fn reconnect(&mut self) -> Result<Connection, Error> {
        self.is_lost |= self.was_disconnected && self.held_at.elapsed() > LOST_AFTER;
        if !self.is_lost {
            let (mut connection, server) = self.running.connect()?;
            self.is_lost = server.run_id() != self.run_id
                || !queue::reclaim_turn(&mut connection, &self.test, &self.running.shown_url())?;
            if !self.is_lost {
                return Ok(connection);
            }
        }
        self.is_held.store(false, Ordering::Relaxed);
        Err(Error::new(Kind::Server, report::lease::lost(&self.test)))
    }
}
