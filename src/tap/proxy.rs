//! The thread between the clients and the server, which forwards bytes unchanged and records commands.
//!
//! One thread polls all sockets, so commands are recorded in the order in which they are forwarded. A connection is not
//! read while its other side accepts no bytes, so memory does not grow with the size of a value.

use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use mio::{Events, Poll, Token, Waker};

use super::connection::Connection;
use super::framer::{Malformed, Side};
use super::hold::Hold;
use super::lane::{Closed, End, Lane};
use super::log::Log;
use super::protocol::Protocol;
use super::record::{REPLY_BYTES, REQUEST_BYTES};
use super::rewrite::Rewrite;
use super::shared::{Request, Shared};
use super::spare::Spare;
use super::stream::{Address, Listener, Stream};
use crate::report;
use crate::sync::lock;

/// How many bytes are read at once.
const READ_BYTES: usize = 64 * 1024;

/// The time before another attempt if accepting fails, for example because too many files are open.
const ACCEPT_AGAIN: Duration = Duration::from_millis(10);

const WAKE: Token = Token(0);
const LISTENER: Token = Token(1);
/// Each connection has two tokens: one for the client's stream and one for the server's.
const FIRST_STREAM: usize = 2;

pub(super) struct Proxy {
    poll: Poll,
    listeners: Vec<Listener>,
    server: Address,
    connections: Vec<Option<Connection>>,
    /// For the slots that have no connection, connections to the server that their clients have left.
    spare: Vec<Option<Spare>>,
    accepted: u64,
    shared: Arc<Shared>,
}

impl Proxy {
    pub(super) fn new(
        listener: TcpListener,
        server: Address,
        hold: Option<Arc<dyn Hold>>,
        rewrite: Option<Box<dyn Rewrite>>,
    ) -> io::Result<(Self, Arc<Shared>)> {
        let poll = Poll::new()?;
        let shared = Arc::new(Shared {
            log: Mutex::default(),
            rules: Mutex::default(),
            has_rules: AtomicBool::new(false),
            hold,
            rewrite: rewrite.map(Mutex::new),
            turns: OnceLock::new(),
            changed: Condvar::new(),
            waiters: AtomicUsize::new(0),
            is_stopping: AtomicBool::new(false),
            requests: Mutex::default(),
            waker: Waker::new(poll.registry(), WAKE)?,
            recorder: Arc::default(),
        });
        let mut proxy = Self {
            poll,
            listeners: Vec::new(),
            server,
            connections: Vec::new(),
            spare: Vec::new(),
            accepted: 0,
            shared: shared.clone(),
        };
        proxy.listen(Listener::Tcp(listener))?;
        Ok((proxy, shared))
    }

    fn listen(&mut self, mut listener: Listener) -> io::Result<()> {
        listener.register(self.poll.registry(), LISTENER)?;
        self.listeners.push(listener);
        Ok(())
    }

    /// Forwards until it is stopped. Then closes all connections.
    pub(super) fn run(mut self) {
        self.forward();
        self.shared.is_stopping.store(true, Ordering::Release);
        // Otherwise their senders would wait forever.
        lock(&self.shared.requests).clear();
    }

    fn forward(&mut self) {
        let mut events = Events::with_capacity(256);
        let mut scratch = vec![0; READ_BYTES];
        let mut runnable: Vec<usize> = Vec::new();
        let (mut accept_again, mut is_woken, mut has_asked) = (false, false, false);
        while !self.shared.is_stopping.load(Ordering::Acquire) {
            // Before the poll, so that the poll sees everything that had arrived before.
            let is_behind = self.shared.hold.as_ref().is_some_and(|hold| hold.is_behind());
            let held = self.connections.iter().enumerate();
            let held = held.filter_map(|(slot, connection)| Some((slot, connection.as_ref()?.held_until()?)));
            let next_held = held.min_by_key(|(_, until)| *until);
            let timeout = match (runnable.is_empty() && (!is_behind || has_asked), accept_again, next_held) {
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
                            self.spare[slot].take_if(|spare| is_server && !spare.read(&mut scratch));
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
            let requests = is_woken.then(|| std::mem::take(&mut *lock(&self.shared.requests)));
            for request in requests.into_iter().flatten() {
                // If this fails, clients can't connect.
                let _ = match request {
                    Request::Listen(listener) => self.listen(listener),
                    Request::Renew(listener, recorded) => {
                        (accepts, accept_again) = (false, false);
                        runnable.clear();
                        self.renew(listener, &recorded)
                    }
                };
            }
            if accepts {
                accept_again = (0..self.listeners.len()).filter(|index| self.accept(*index)).count() > 0;
            }
            if let Some((slot, until)) = next_held
                && Instant::now() >= until
                && !runnable.contains(&slot)
            {
                runnable.push(slot);
            }
            // What was changed before somebody asked applies now, even if the wake is still on its way.
            if (is_woken || is_behind)
                && let Some(hold) = self.shared.hold.clone()
            {
                let is_over = !hold.is_open() || hold.is_dead();
                let held = self.connections.iter().enumerate().filter_map(|(slot, connection)| {
                    let is_due = is_over || connection.as_ref()?.commands.is_holding();
                    (is_due && !runnable.contains(&slot)).then_some(slot)
                });
                runnable.extend(held.collect::<Vec<_>>());
            }
            runnable.retain(|&slot| self.drive(slot, &mut scratch));
            if let Some(slot) = self.next_in_turn()
                && !runnable.contains(&slot)
            {
                runnable.push(slot);
            }
            if runnable.is_empty() {
                is_woken = false;
                if is_behind && let Some(hold) = self.shared.hold.clone() {
                    if !std::mem::replace(&mut has_asked, true) {
                        runnable.extend(self.ask(&*hold));
                    }
                    if runnable.is_empty() && !self.is_behind() {
                        has_asked = false;
                        hold.catches_up();
                    }
                }
            }
        }
    }

    /// Asks the server for its messages. Returns the slots of the connections that it is asked on.
    fn ask(&mut self, hold: &dyn Hold) -> Vec<usize> {
        let mut asked = Vec::new();
        for (slot, connection) in self.connections.iter_mut().enumerate() {
            let Some(connection) = connection.as_mut().filter(|known| !known.is_dead) else { continue };
            if hold.is_listening(connection.protocol.connection) {
                connection.ask();
                asked.push(slot);
            }
        }
        asked
    }

    /// Returns true if the server still has to answer [`ask`](Self::ask), or to close a connection.
    fn is_behind(&self) -> bool {
        self.connections.iter().flatten().any(Connection::is_behind)
            || self.spare.iter().flatten().any(|spare| spare.is_closing)
    }

    /// Returns the slot of the connection whose held command is forwarded next, if it is its turn.
    fn next_in_turn(&self) -> Option<usize> {
        let next = self.shared.turns()?.next()?;
        let is_it = |connection: &Option<Connection>| {
            connection.as_ref().is_some_and(|connection| connection.protocol.connection == next)
        };
        self.connections.iter().position(is_it)
    }

    /// Drives one connection. Returns true if it has more to do at once.
    fn drive(&mut self, slot: usize, scratch: &mut [u8]) -> bool {
        let Some(connection) = &mut self.connections[slot] else { return false };
        let driven = match &self.shared.hold {
            Some(hold) if !hold.is_open() => Err(Closed::Socket),
            Some(hold) if hold.is_dead() => {
                let was_dead = connection.is_dead;
                connection.die(scratch);
                if !was_dead {
                    hold.closes(connection.protocol.connection);
                }
                Ok(false)
            }
            _ => connection.drive(scratch, &self.shared),
        };
        if let Some(recorded) = &connection.recorded {
            recorded.flush();
        }
        match driven {
            Ok(more) => more,
            Err(Closed::All) => {
                self.close_all();
                false
            }
            Err(closed) => {
                if let Closed::Malformed(side, malformed, bytes) = closed {
                    let from_client = side == Side::Client;
                    let text =
                        report::tap::malformed(connection.protocol.connection, from_client, &reason(malformed), &bytes);
                    report::print(&report::warning(&text));
                    self.shared.log().malformed.push(text);
                }
                self.close(slot);
                false
            }
        }
    }

    fn renew(&mut self, listener: Listener, recorded: &Sender<Log>) -> io::Result<()> {
        self.close_all();
        self.listeners.clear();
        self.listen(listener)?;
        self.accepted = 0;
        self.shared.clear_rules();
        let log = std::mem::take(&mut *self.shared.log());
        // The receiver waits for it.
        let _ = recorded.send(log);
        Ok(())
    }

    fn close_all(&mut self) {
        (0..self.connections.len()).for_each(|slot| self.close(slot));
    }

    fn close(&mut self, slot: usize) {
        if let Some(mut connection) = self.connections[slot].take() {
            connection.protocol.end(&mut self.shared.log());
            if let Some(hold) = &self.shared.hold {
                hold.closes(connection.protocol.connection);
            }
            if let Some(rewrite) = &self.shared.rewrite {
                lock(rewrite).closes(connection.protocol.connection);
            }
            if let Some(mut turns) = self.shared.turns() {
                turns.leaves(connection.protocol.connection);
            }
            self.shared.has_changed();
            if self.shared.hold.is_some() {
                let reset = connection.can_be_spare();
                self.spare[slot] =
                    if reset { Spare::reset(connection.server) } else { Spare::close(connection.server) };
            }
        }
    }

    /// Accepts all waiting clients of a listener. Returns true if accepting must be retried.
    fn accept(&mut self, listener: usize) -> bool {
        loop {
            let client = match self.listeners[listener].accept() {
                Ok(client) => client,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => continue,
                Err(_) => return true,
            };
            // If the server is gone, the client sees a closed connection.
            let _ = self.connect(client);
        }
    }

    /// Returns a connection to the server, and its slot.
    fn connect_server(&mut self) -> io::Result<(usize, End)> {
        let reset = self.spare.iter().position(|spare| spare.as_ref().is_some_and(Spare::is_reset));
        if let Some(slot) = reset
            && let Some(spare) = self.spare[slot].take()
        {
            return Ok((slot, spare.into_server()));
        }
        let mut server = self.server.connect()?;
        server.set_nodelay()?;
        let mut slots = self.connections.iter().zip(&self.spare);
        let free = slots.position(|(connection, spare)| connection.is_none() && spare.is_none());
        let slot = free.unwrap_or_else(|| {
            self.connections.push(None);
            self.spare.push(None);
            self.connections.len() - 1
        });
        server.register(self.poll.registry(), Token(FIRST_STREAM + 2 * slot + 1))?;
        Ok((slot, End::new(server)))
    }

    fn connect(&mut self, mut client: Stream) -> io::Result<()> {
        if self.shared.hold.as_ref().is_some_and(|hold| !hold.is_open()) {
            return Ok(());
        }
        client.set_nodelay()?;
        let (slot, server) = self.connect_server()?;
        client.register(self.poll.registry(), Token(FIRST_STREAM + 2 * slot))?;
        self.accepted += 1;
        if let Some(rewrite) = &self.shared.rewrite {
            lock(rewrite).connects(self.accepted, client.peer_port());
        }
        let mut protocol = Protocol::new(self.accepted);
        protocol.is_unrecorded = self.shared.hold.is_some();
        self.connections[slot] = Some(Connection {
            client: End::new(client),
            server,
            commands: Lane::new(Side::Client, REQUEST_BYTES),
            replies: Lane::new(Side::Server, REPLY_BYTES),
            protocol,
            is_half_closed: false,
            is_dead: false,
            recorded: self.shared.recorder.connect(self.accepted),
        });
        Ok(())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.connections.clear();
        // A failure has been printed.
        let _ = self.shared.recorder.finish();
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
