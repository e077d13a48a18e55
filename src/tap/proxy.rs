//! The thread between the clients and the server, which forwards bytes unchanged and records commands.
//!
//! One thread polls all sockets, so commands are recorded in the order in which they are forwarded. A connection is not
//! read while its other side accepts no bytes, so memory does not grow with the size of a value.

use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};

use super::framer::{Malformed, Side};
use super::hold::Hold;
use super::lane::{Closed, End, Frame, Gate, Lane, Verdict};
use super::protocol::Protocol;
use super::record::{Log, REPLY_BYTES, REQUEST_BYTES};
use super::rules::{Rule, Rules};
use super::stream::{Address, Stream};
use crate::report;
use crate::sync::lock;

/// How many bytes are read at once.
const READ_BYTES: usize = 64 * 1024;

/// How often one connection is read before the others get their turn.
const READS_IN_TURN: usize = 16;

/// The time before another attempt if accepting fails, for example because too many files are open.
const ACCEPT_AGAIN: Duration = Duration::from_millis(10);

const WAKE: Token = Token(0);
const LISTENER: Token = Token(1);
/// Each connection has two tokens: one for the client's stream and one for the server's.
const FIRST_STREAM: usize = 2;

/// State shared by the thread and the tap.
pub(super) struct Shared {
    log: Mutex<Log>,
    rules: Mutex<Rules>,
    has_rules: AtomicBool,
    hold: Option<Arc<dyn Hold>>,
    changed: Condvar,
    /// The number of threads that wait for the log to change.
    waiters: AtomicUsize,
    is_stopping: AtomicBool,
    waker: Waker,
}

impl Shared {
    pub(super) fn log(&self) -> MutexGuard<'_, Log> {
        lock(&self.log)
    }

    fn rules(&self) -> MutexGuard<'_, Rules> {
        lock(&self.rules)
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

    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        self.wake();
    }

    pub(super) fn wake(&self) {
        // This fails only if the thread has ended.
        let _ = self.waker.wake();
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

    fn has_changed(&self) {
        if self.waiters.load(Ordering::SeqCst) > 0 {
            self.changed.notify_all();
        }
    }
}

struct Connection {
    client: End,
    server: End,
    commands: Lane,
    replies: Lane,
    protocol: Protocol,
}

/// Judges and records commands.
struct CommandGate<'a> {
    protocol: &'a mut Protocol,
    shared: &'a Shared,
    log: Option<MutexGuard<'a, Log>>,
}

impl Gate for CommandGate<'_> {
    fn is_judging(&self) -> bool {
        self.shared.hold.is_some() || self.shared.has_rules.load(Ordering::Acquire)
    }

    fn judge(&mut self, frame: &Frame<'_>) -> Verdict {
        // A rule can wait for the server, so the log must be unlocked.
        self.log = None;
        if let Some(hold) = &self.shared.hold {
            return self.protocol.hold_command(frame, &**hold);
        }
        let mut rules = self.shared.rules();
        let verdict = self.protocol.judge_command(frame, &mut rules);
        self.shared.has_rules.store(!rules.0.is_empty(), Ordering::Release);
        verdict
    }

    fn released(&mut self, frame: &Frame<'_>) -> Option<Verdict> {
        self.protocol.release_command(frame, &**self.shared.hold.as_ref()?)
    }

    fn complete(&mut self, head: &[u8], size: u64, _: &mut Vec<u8>) {
        let log = self.log.get_or_insert_with(|| self.shared.log());
        self.protocol.command(head, size, log);
    }
}

/// Judges and records replies.
struct ReplyGate<'a> {
    protocol: &'a mut Protocol,
    shared: &'a Shared,
    log: Option<MutexGuard<'a, Log>>,
}

impl Gate for ReplyGate<'_> {
    fn is_judging(&self) -> bool {
        self.protocol.has_fates()
    }

    fn judge(&mut self, frame: &Frame<'_>) -> Verdict {
        self.protocol.judge_reply(frame)
    }

    fn complete(&mut self, head: &[u8], size: u64, out: &mut Vec<u8>) {
        let log = self.log.get_or_insert_with(|| self.shared.log());
        let is_reply = self.protocol.answer(head, size, log);
        if is_reply {
            self.protocol.own_replies(out, log);
        }
        match &self.shared.hold {
            Some(hold) if is_reply => hold.replies(self.protocol.connection, head, size),
            Some(hold) => hold.pushes(self.protocol.connection),
            None => {}
        }
    }
}

impl Connection {
    /// Moves bytes in both directions. Returns true if more might be available.
    fn drive(&mut self, scratch: &mut [u8], shared: &Shared) -> Result<bool, Closed> {
        let Self { client, server, commands, replies, protocol } = self;
        for _ in 0..READS_IN_TURN {
            let mut gate = CommandGate { protocol, shared, log: None };
            let more_commands = commands.pump(client, server, scratch, &mut gate);
            let mut has_changed = gate.log.take().is_some();
            drop(gate);
            let more_commands = more_commands?;
            if protocol.is_replica() {
                (commands.is_raw, replies.is_raw) = (true, true);
            }
            if protocol.has_fates()
                && let Some(out) = replies.between_frames()
            {
                protocol.own_replies(out, &mut shared.log());
            }
            let mut gate = ReplyGate { protocol, shared, log: None };
            let more_replies = replies.pump(server, client, scratch, &mut gate);
            has_changed |= gate.log.take().is_some();
            drop(gate);
            if has_changed {
                shared.has_changed();
            }
            let more_replies = more_replies?;
            if commands.is_ended && commands.is_drained() {
                let _ = server.stream.shutdown(Shutdown::Write);
            }
            if replies.is_ended && replies.is_drained() {
                return Err(Closed::Socket);
            }
            if !more_commands && !more_replies {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn held_until(&self) -> Option<Instant> {
        [&self.commands, &self.replies].into_iter().filter_map(Lane::held_until).min()
    }
}

pub(super) struct Proxy {
    poll: Poll,
    listener: TcpListener,
    server: Address,
    connections: Vec<Option<Connection>>,
    accepted: u64,
    shared: Arc<Shared>,
}

impl Proxy {
    pub(super) fn new(
        mut listener: TcpListener,
        server: Address,
        hold: Option<Arc<dyn Hold>>,
    ) -> io::Result<(Self, Arc<Shared>)> {
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let shared = Arc::new(Shared {
            log: Mutex::default(),
            rules: Mutex::default(),
            has_rules: AtomicBool::new(false),
            hold,
            changed: Condvar::new(),
            waiters: AtomicUsize::new(0),
            is_stopping: AtomicBool::new(false),
            waker: Waker::new(poll.registry(), WAKE)?,
        });
        let proxy = Self { poll, listener, server, connections: Vec::new(), accepted: 0, shared: shared.clone() };
        Ok((proxy, shared))
    }

    /// Forwards until it is stopped. Then closes all connections.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(256);
        let mut scratch = vec![0; READ_BYTES];
        let mut runnable: Vec<usize> = Vec::new();
        let (mut accept_again, mut is_woken) = (false, false);
        while !self.shared.is_stopping.load(Ordering::Acquire) {
            let held = self.connections.iter().enumerate();
            let held = held.filter_map(|(slot, connection)| Some((slot, connection.as_ref()?.held_until()?)));
            let next_held = held.min_by_key(|(_, until)| *until);
            let timeout = match (runnable.is_empty(), accept_again, next_held) {
                (false, ..) => Some(Duration::ZERO),
                (true, true, _) => Some(ACCEPT_AGAIN),
                // Add a millisecond: poll's clock is coarser, and must not wake too early.
                (true, false, Some((_, until))) => {
                    Some(until.saturating_duration_since(Instant::now()) + Duration::from_millis(1))
                }
                (true, false, None) => None,
            };
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return,
                _ => {}
            }
            let mut accepts = accept_again;
            for event in &events {
                match event.token().0 {
                    0 => is_woken = true,
                    token if token < FIRST_STREAM => accepts = true,
                    token => {
                        let (slot, is_server) = ((token - FIRST_STREAM) / 2, (token - FIRST_STREAM) % 2 == 1);
                        let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_mut) else {
                            continue;
                        };
                        let end = if is_server { &mut connection.server } else { &mut connection.client };
                        end.has_hung_up |= event.is_read_closed() || event.is_error();
                        end.is_readable |= event.is_readable() || end.has_hung_up;
                        end.is_writable |= event.is_writable() || event.is_write_closed();
                        if !runnable.contains(&slot) {
                            runnable.push(slot);
                        }
                    }
                }
            }
            if accepts {
                accept_again = self.accept();
            }
            if let Some((slot, until)) = next_held
                && Instant::now() >= until
                && !runnable.contains(&slot)
            {
                runnable.push(slot);
            }
            if is_woken && let Some(hold) = self.shared.hold.clone() {
                let held = self.connections.iter().enumerate().filter_map(|(slot, connection)| {
                    let is_due = !hold.is_open() || connection.as_ref()?.commands.is_holding();
                    (is_due && !runnable.contains(&slot)).then_some(slot)
                });
                runnable.extend(held.collect::<Vec<_>>());
            }
            runnable.retain(|&slot| self.drive(slot, &mut scratch));
            if is_woken && runnable.is_empty() {
                is_woken = false;
                if let Some(hold) = &self.shared.hold {
                    hold.catches_up();
                }
            }
        }
    }

    /// Drives one connection. Returns true if it has more to do at once.
    fn drive(&mut self, slot: usize, scratch: &mut [u8]) -> bool {
        let Some(connection) = &mut self.connections[slot] else { return false };
        let is_open = self.shared.hold.as_ref().is_none_or(|hold| hold.is_open());
        let driven = if is_open { connection.drive(scratch, &self.shared) } else { Err(Closed::Socket) };
        match driven {
            Ok(more) => more,
            Err(closed) => {
                if let Closed::Malformed(side, malformed, bytes) = closed {
                    let from_client = side == Side::Client;
                    let text =
                        report::tap::malformed(connection.protocol.connection, from_client, &reason(malformed), &bytes);
                    report::print(&report::warning(&text));
                    self.shared.log().malformed.push(text);
                }
                connection.protocol.end(&mut self.shared.log());
                if let Some(hold) = &self.shared.hold {
                    hold.closes(connection.protocol.connection);
                }
                self.connections[slot] = None;
                self.shared.has_changed();
                false
            }
        }
    }

    /// Accepts all waiting clients. Returns true if accepting must be retried.
    fn accept(&mut self) -> bool {
        loop {
            let client = match self.listener.accept() {
                Ok((client, _)) => Stream::Tcp(client),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => continue,
                Err(_) => return true,
            };
            // If the server is gone, the client sees a closed connection.
            let _ = self.connect(client);
        }
    }

    fn connect(&mut self, mut client: Stream) -> io::Result<()> {
        if self.shared.hold.as_ref().is_some_and(|hold| !hold.is_open()) {
            return Ok(());
        }
        let mut server = self.server.connect()?;
        client.set_nodelay()?;
        server.set_nodelay()?;
        let slot = self.connections.iter().position(Option::is_none).unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        let token = FIRST_STREAM + 2 * slot;
        client.register(self.poll.registry(), Token(token))?;
        server.register(self.poll.registry(), Token(token + 1))?;
        self.accepted += 1;
        let mut protocol = Protocol::new(self.accepted);
        protocol.is_unrecorded = self.shared.hold.is_some();
        let end = |stream| End { stream, is_readable: false, is_writable: false, has_hung_up: false };
        self.connections[slot] = Some(Connection {
            client: end(client),
            server: end(server),
            commands: Lane::new(Side::Client, REQUEST_BYTES),
            replies: Lane::new(Side::Server, REPLY_BYTES),
            protocol,
        });
        Ok(())
    }
}

/// Why bytes are not the protocol.
fn reason(malformed: Malformed) -> String {
    match malformed {
        Malformed::Type(byte) => report::tap::unexpected_type(byte),
        Malformed::Length(byte) => report::tap::unexpected_in_length(byte),
        Malformed::LengthOf(kind) => report::tap::invalid_length(kind),
        Malformed::Depth => report::tap::TOO_DEEP.to_owned(),
    }
}

#[cfg(test)]
mod tests;
