//! The state that the taps, the clients' threads and the explorer share.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::report;
use crate::sync::lock;
use crate::tap::Decision;

/// How long a client with several threads, or one that got a message, is given to stop again.
pub(super) const SETTLES_WITHIN: Duration = Duration::from_millis(50);

/// How long a client with subscriptions is given before it counts as waiting for a message.
pub(super) const LISTENS_AFTER: Duration = Duration::from_millis(100);

/// Silence is counted in slices, and a longer wait counts as one: on a busy machine clients get more time, too.
const SLICE: Duration = Duration::from_millis(5);

/// Where a client is stopped.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// Before the client's closure is called.
    Start,
    /// Before a command is forwarded.
    Command(Held),
    Point(String),
    /// Until another client is released from the point with this name.
    After(String),
}

/// A command that is held.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) connection: u64,
    pub(super) name: Arc<str>,
    /// The command and its arguments.
    pub(super) line: String,
    pub(super) arity: usize,
    /// The keys, also those of the commands that EXEC executes, each with its database.
    pub(super) keys: Vec<(u32, Vec<u8>)>,
    pub(super) timeout: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Stop {
    pub(super) number: u64,
    pub(super) place: Place,
}

/// A step of the schedule that is being run.
#[derive(Clone, Debug, Default)]
pub(super) struct Step {
    /// The client that took it; `None` for time.
    pub(super) client: Option<usize>,
    pub(super) line: String,
    pub(super) reply: Option<(Vec<u8>, u64)>,
    pub(super) note: Option<&'static str>,
}

/// How a client's closure ended.
pub(super) enum End {
    Returned(Option<Box<dyn Any + Send>>, Option<String>),
    Panicked(String),
    /// It was unwound at a point, because the schedule had ended.
    Unwound,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Activity {
    /// Until it stops, blocks or ends.
    Runs,
    /// As `Runs`, but silence also counts as a stop: how long it has lasted, and how long it must last.
    CanRun(Duration, Duration),
    #[default]
    Still,
}

/// What the explorer has to wait for.
enum Progress {
    Stopped,
    Runs,
    /// It counts as stopped if it is silent for this long.
    SettlesIn(Duration),
}

/// A command that waits for its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// The index of its step.
    Step(usize),
    /// It is no step, because it is no boundary or was not held.
    Free,
    EarlierSchedule,
}

#[derive(Default)]
pub(super) struct Connection {
    pub(super) decision: Option<Decision>,
    /// The commands that wait for their replies.
    pub(super) waiting: VecDeque<Waiting>,
    /// The commands that are queued in its transaction, and their keys.
    pub(super) queued: Vec<String>,
    pub(super) queued_keys: Vec<(u32, Vec<u8>)>,
    /// Whether the server can send it messages.
    pub(super) is_listening: bool,
}

pub(super) struct Blocked {
    /// The server's id of the client.
    pub(super) id: u64,
    pub(super) can_time_out: bool,
}

impl Connection {
    pub(super) fn waits(&self) -> bool {
        self.waiting.iter().any(|waiting| *waiting != Waiting::EarlierSchedule)
    }
}

#[derive(Default)]
pub(super) struct ClientState {
    pub(super) stops: Vec<Stop>,
    pub(super) activity: Activity,
    pub(super) connections: BTreeMap<u64, Connection>,
    /// The connections whose last command blocks.
    pub(super) blocked: BTreeMap<u64, Blocked>,
    /// The stops that its threads can leave.
    released: Vec<u64>,
    pub(super) has_begun: bool,
    pub(super) end: Option<End>,
    /// Set if its first act was [`Place::After`].
    pub(super) begins_after: Option<String>,
    /// Whether it never gets another step.
    pub(super) is_dead: bool,
    /// The command that was held when its closure ended.
    pub(super) gave_up: Option<String>,
    pub(super) is_behind: bool,
}

impl ClientState {
    pub(super) fn is_listening(&self) -> bool {
        self.connections.values().any(|connection| connection.is_listening)
    }

    /// Whether a command of this connection waits for its reply.
    fn waits(&self, connection: u64) -> bool {
        self.connections.get(&connection).is_some_and(Connection::waits)
    }

    fn progress(&self) -> Progress {
        let mut connections = self.connections.iter();
        let is_unanswered =
            connections.any(|(number, connection)| !self.blocked.contains_key(number) && connection.waits());
        match self.activity {
            _ if self.is_dead => Progress::Stopped,
            Activity::Runs => Progress::Runs,
            Activity::CanRun(..) if is_unanswered => Progress::Runs,
            Activity::CanRun(silent, within) => Progress::SettlesIn(within.saturating_sub(silent)),
            // A client can end before the reply to its last command has arrived.
            Activity::Still if self.end.is_some() && is_unanswered => Progress::Runs,
            Activity::Still => Progress::Stopped,
        }
    }

    pub(super) fn runs(&mut self) {
        if self.end.is_some() {
            self.activity = Activity::Still;
            return;
        }
        self.activity = if !self.stops.is_empty() || !self.blocked.is_empty() {
            Activity::CanRun(Duration::ZERO, SETTLES_WITHIN)
        } else if self.is_listening() {
            Activity::CanRun(Duration::ZERO, LISTENS_AFTER)
        } else {
            Activity::Runs
        };
    }
}

pub(super) struct State {
    pub(super) clients: Vec<ClientState>,
    pub(super) steps: Vec<Step>,
    /// Whether stops no longer stop.
    pub(super) is_free: bool,
    /// Whether the clients' threads unwind at points.
    pub(super) is_ending: bool,
    next_stop: u64,
}

pub(super) struct Coordinator {
    state: Mutex<State>,
    /// The explorer waits for it.
    pub(super) changed: Condvar,
    /// The threads of each client wait for it.
    go: Vec<Condvar>,
    pub(super) is_open: AtomicBool,
}

/// A client that did nothing for too long.
pub(super) struct Stalled(pub(super) usize);

impl Coordinator {
    pub(super) fn new(clients: usize) -> Arc<Self> {
        let state = State {
            clients: (0..clients).map(|_| ClientState::default()).collect(),
            steps: Vec::new(),
            is_free: false,
            is_ending: false,
            next_stop: 0,
        };
        let go = (0..clients).map(|_| Condvar::new()).collect();
        Arc::new(Self { state: Mutex::new(state), changed: Condvar::new(), go, is_open: AtomicBool::new(true) })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    // The explorer

    /// Stops every client before its start.
    pub(super) fn begin(&self) {
        let mut state = self.state();
        state.steps.clear();
        (state.is_free, state.is_ending) = (false, false);
        for index in 0..state.clients.len() {
            let number = state.number();
            let client = &mut state.clients[index];
            // A client can keep its connections for the next schedule.
            let mut connections = std::mem::take(&mut client.connections);
            for connection in connections.values_mut() {
                connection.waiting.iter_mut().for_each(|waiting| *waiting = Waiting::EarlierSchedule);
            }
            *client = ClientState { connections, ..ClientState::default() };
            client.stops.push(Stop { number, place: Place::Start });
        }
    }

    /// Waits until each client is stopped, blocked or has ended.
    pub(super) fn wait_idle(&self, within: Duration) -> Result<(), Stalled> {
        let deadline = Instant::now() + within;
        let mut state = self.state();
        let mut last = Instant::now();
        loop {
            let now = Instant::now();
            let passed = now.duration_since(std::mem::replace(&mut last, now)).min(SLICE);
            let mut wait: Option<Duration> = None;
            for index in 0..state.clients.len() {
                let client = &mut state.clients[index];
                if let Activity::CanRun(silent, _) = &mut client.activity {
                    *silent += passed;
                }
                match client.progress() {
                    Progress::Stopped => {}
                    Progress::SettlesIn(Duration::ZERO) => client.activity = Activity::Still,
                    Progress::SettlesIn(left) => {
                        wait = Some(wait.map_or(left, |other| other.min(left)).min(SLICE));
                    }
                    Progress::Runs if now >= deadline => return Err(Stalled(index)),
                    Progress::Runs => wait = wait.or(Some(deadline.saturating_duration_since(now))),
                }
            }
            let Some(wait) = wait else { return Ok(()) };
            state = self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until the taps have forwarded everything that the server had sent before they were woken.
    pub(super) fn wait_caught_up(&self, wake: impl FnOnce()) {
        let mut state = self.state();
        for client in &mut state.clients {
            client.is_behind = true;
        }
        drop(state);
        wake();
        let state = self.state();
        let is_behind = |state: &mut State| state.clients.iter().any(|client| client.is_behind);
        drop(self.changed.wait_timeout_while(state, Duration::from_secs(5), is_behind));
    }

    /// Lets a client leave a stop. Returns the index of its step. If it is a command, the tap must be woken.
    pub(super) fn release(&self, client: usize, at: usize, decision: Decision, step: Step) -> usize {
        let mut guard = self.state();
        let state = &mut *guard;
        let left = state.clients[client].stops.remove(at);
        let index = state.steps.len();
        state.steps.push(step);
        let state = &mut state.clients[client];
        let Place::Command(held) = &left.place else {
            state.has_begun |= matches!(left.place, Place::Start);
            state.released.push(left.number);
            state.runs();
            drop(guard);
            self.go[client].notify_all();
            return index;
        };
        let connection = state.connections.entry(held.connection).or_default();
        connection.decision = Some(decision);
        if decision != Decision::Cut {
            connection.waiting.push_back(Waiting::Step(index));
        }
        connection.is_listening |= matches!(&*held.name, "SUBSCRIBE" | "PSUBSCRIBE" | "SSUBSCRIBE" | "MONITOR");
        state.runs();
        index
    }

    /// Waits until the reply to the connection's command has arrived, or `within` has passed. Returns true if it has.
    pub(super) fn wait_answered(&self, client: usize, connection: u64, within: Duration) -> bool {
        let waits = |state: &mut State| state.clients[client].waits(connection);
        let waited = self.changed.wait_timeout_while(self.state(), within, waits);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// The server has blocked the connection. Its reply can have arrived since.
    pub(super) fn block(&self, client: usize, connection: u64, blocked: Blocked) {
        let mut state = self.state();
        let state = &mut state.clients[client];
        if state.waits(connection) {
            state.blocked.insert(connection, blocked);
            state.activity = Activity::Still;
        }
    }

    /// The server has blocked only the clients with these ids. The replies to others are on their way.
    pub(super) fn only_blocked(&self, ids: &[u64]) {
        for client in &mut self.state().clients {
            let count = client.blocked.len();
            client.blocked.retain(|_, blocked| ids.contains(&blocked.id));
            if client.blocked.len() < count {
                client.runs();
            }
        }
    }

    /// Lets the rest of the schedule run without stops.
    pub(super) fn free(&self, wake: impl FnOnce()) {
        let mut guard = self.state();
        let state = &mut *guard;
        state.is_free = true;
        for (index, client) in state.clients.iter_mut().enumerate() {
            for stop in std::mem::take(&mut client.stops) {
                match stop.place {
                    Place::Command(held) => {
                        let connection = client.connections.entry(held.connection).or_default();
                        connection.decision = Some(Decision::Forward);
                        connection.waiting.push_back(Waiting::Free);
                    }
                    place => {
                        state.steps.push(Step { client: Some(index), line: place.line(), ..Step::default() });
                        client.released.push(stop.number);
                    }
                }
            }
            client.activity = if client.end.is_none() { Activity::Runs } else { Activity::Still };
            self.go[index].notify_all();
        }
        drop(guard);
        wake();
    }

    /// Closes all connections and unwinds all points. Returns the clients that have not ended in time.
    pub(super) fn end(&self, wake: impl Fn(), within: Duration) -> Vec<usize> {
        let mut state = self.state();
        state.is_ending = true;
        self.is_open.store(false, Ordering::Release);
        for (index, client) in state.clients.iter_mut().enumerate() {
            client.stops.clear();
            if !client.has_begun {
                client.end = Some(End::Unwound);
            }
            self.go[index].notify_all();
        }
        drop(state);
        self.wait_caught_up(&wake);
        let running = self.wait_ended(within);
        self.wait_caught_up(&wake);
        self.is_open.store(true, Ordering::Release);
        running
    }

    /// Waits until all clients have ended. Returns those that have not ended in time.
    pub(super) fn wait_ended(&self, within: Duration) -> Vec<usize> {
        let runs = |state: &mut State| state.clients.iter().any(|client| client.end.is_none());
        let waited = self.changed.wait_timeout_while(self.state(), within, runs);
        let state = waited.unwrap_or_else(PoisonError::into_inner).0;
        let running = state.clients.iter().enumerate().filter(|(_, client)| client.end.is_none());
        running.map(|(index, _)| index).collect()
    }

    // The threads of a client

    /// Waits until the client can start. Returns false if there is nothing more to start.
    pub(super) fn wait_start(&self, client: usize, is_over: &AtomicBool) -> bool {
        let state = self.state();
        let waits = |state: &mut State| {
            let state = &state.clients[client];
            (!state.has_begun || state.end.is_some()) && !is_over.load(Ordering::Acquire)
        };
        drop(self.go[client].wait_while(state, waits).unwrap_or_else(PoisonError::into_inner));
        !is_over.load(Ordering::Acquire)
    }

    /// Wakes the threads that wait for their start.
    pub(super) fn close(&self) {
        // Under the lock, so that no thread is between its check and its wait.
        let _state = self.state();
        for go in &self.go {
            go.notify_all();
        }
    }

    /// Stops the thread at a point. Returns false if it must unwind.
    pub(super) fn stop(&self, client: usize, place: Place) -> bool {
        let mut state = self.state();
        if state.is_ending || state.clients[client].end.is_some() {
            return false;
        }
        if state.is_free {
            state.steps.push(Step { client: Some(client), line: place.line(), ..Step::default() });
            return true;
        }
        let number = state.number();
        let this = &mut state.clients[client];
        this.stops.push(Stop { number, place });
        this.activity = Activity::Still;
        self.changed.notify_one();
        let waits = |state: &mut State| !state.is_ending && !state.clients[client].released.contains(&number);
        let mut state = self.go[client].wait_while(state, waits).unwrap_or_else(PoisonError::into_inner);
        let released = &mut state.clients[client].released;
        let is_released = released.contains(&number);
        released.retain(|other| *other != number);
        is_released
    }

    /// Remembers that the client begins only after this point, if this is its first act. Returns true if it is.
    pub(super) fn begins_after(&self, client: usize, point: &str) -> bool {
        let mut state = self.state();
        let own = |step: &&Step| step.client == Some(client);
        let is_first = !state.is_free && state.steps.iter().filter(own).count() == 1;
        if is_first {
            state.clients[client].begins_after = Some(point.to_owned());
        }
        is_first
    }

    pub(super) fn ended(&self, client: usize, end: End) {
        let mut state = self.state();
        let is_ending = state.is_ending;
        let this = &mut state.clients[client];
        let held = this.stops.iter().find_map(|stop| match &stop.place {
            Place::Command(held) => Some(held.line.clone()),
            _ => None,
        });
        if !is_ending {
            this.gave_up = held;
        }
        this.end = Some(end);
        this.activity = Activity::Still;
        drop(state);
        self.changed.notify_one();
    }
}

impl Place {
    pub(super) fn line(&self) -> String {
        match self {
            Self::Start => report::races::START.to_owned(),
            Self::Command(held) => held.line.clone(),
            Self::Point(name) => report::races::point(name),
            Self::After(name) => report::races::after(name),
        }
    }
}

impl State {
    pub(super) fn number(&mut self) -> u64 {
        self.next_stop += 1;
        self.next_stop
    }
}
