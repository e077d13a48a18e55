//! The connection by which a lease is known in a shared server, kept until the lease ends.
//!
//! A server closes idle connections (its `timeout`), and people close them (CLIENT KILL). Other tests would take the
//! server for free then. So a thread sends a PING every 400 ms, and connects again where the connection is gone.

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

/// The shortest `timeout` that a server knows is a second.
const PING_EVERY: Duration = Duration::from_millis(400);

/// After so long without a connection (the process was stopped, say) other tests may have had the server.
const LOST_AFTER: Duration = Duration::from_secs(5);

/// Dropped, it closes the connection.
pub(super) struct Control {
    kept: Arc<Mutex<Kept>>,
    /// Ends the thread.
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    /// Keeps a connection that has just got its turn on `running`, whose `run_id` that is, for `test`.
    pub(super) fn keep(connection: Connection, running: &Running, run_id: &str, test: &str) -> Self {
        let kept = Kept {
            connection: Some(connection),
            held_at: Instant::now(),
            was_dropped: false,
            is_lost: false,
            is_held: Arc::new(AtomicBool::new(true)),
            running: running.clone(),
            run_id: run_id.to_owned(),
            test: test.to_owned(),
        };
        let kept = Arc::new(Mutex::new(kept));
        let (end, ended) = mpsc::channel();
        let pings = kept.clone();
        let ping = move || {
            while ended.recv_timeout(PING_EVERY) == Err(RecvTimeoutError::Timeout) {
                // After a failure, the next PING connects again.
                let _ = lock(&pings).ask(|connection| cmd("PING").exec(connection));
            }
        };
        // Where the user may start no more threads, the connection is not kept alive.
        let thread = thread::Builder::new().spawn(ping).ok();
        Self { kept, end: Some(end), thread }
    }

    /// Asks the server, on another connection where this one is gone.
    ///
    /// # Errors
    ///
    /// When the server does not answer, answers with an error, or may be another test's by now.
    pub(super) fn ask<T>(&self, question: impl FnMut(&mut Connection) -> RedisResult<T>) -> RedisResult<T> {
        lock(&self.kept).ask(question)
    }

    /// Cleared when the server may be another test's.
    pub(super) fn held_flag(&self) -> Arc<AtomicBool> {
        lock(&self.kept).is_held.clone()
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

struct Kept {
    connection: Option<Connection>,
    /// When the last question was sent that the server has answered: its answer may have been read much later, by a
    /// process that was stopped meanwhile.
    held_at: Instant,
    /// Whether the server may have closed the connection, so that others may have come in.
    was_dropped: bool,
    is_lost: bool,
    /// Cleared by a loss, and by the lease when it ends.
    is_held: Arc<AtomicBool>,
    running: Running,
    run_id: String,
    test: String,
}

impl Kept {
    fn ask<T>(&mut self, mut question: impl FnMut(&mut Connection) -> RedisResult<T>) -> RedisResult<T> {
        let asked = Instant::now();
        if let Some(connection) = &mut self.connection {
            match question(connection) {
                // Also after a time-out: the late reply would answer the next question.
                Err(error) if error.is_io_error() || error.is_unrecoverable_error() => {
                    self.was_dropped = !error.is_timeout();
                    self.connection = None;
                }
                answer => {
                    self.held_at = asked;
                    return answer;
                }
            }
        }
        let connection = self.connect_again().map_err(into_redis_error)?;
        self.held_at = Instant::now();
        question(self.connection.insert(connection))
    }

    /// # Errors
    ///
    /// When the server does not answer, or may be another test's by now.
    fn connect_again(&mut self) -> Result<Connection, Error> {
        self.is_lost |= self.was_dropped && self.held_at.elapsed() > LOST_AFTER;
        if !self.is_lost {
            let (mut connection, server) = self.running.connect()?;
            self.is_lost = server.run_id() != self.run_id
                || !queue::takes_place_again(&mut connection, &self.test, &self.running.shown_url())?;
            if !self.is_lost {
                return Ok(connection);
            }
        }
        self.is_held.store(false, Ordering::Relaxed);
        Err(Error::new(Kind::Server, report::lease::lost(&self.test)))
    }
}
