//! The hold of a client's tap, which notes the client's commands on the coordinator.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::coordinator::{Activity, Coordinator, Held, LISTENS_AFTER, Place, SETTLES_WITHIN, Stop, Waiting};
use crate::report;
use crate::tap::{Arrived, Decision, Hold};

/// The hold of one client's tap.
pub(super) struct ClientHold {
    pub(super) coordinator: Arc<Coordinator>,
    pub(super) client: usize,
}

impl Hold for ClientHold {
    fn is_open(&self) -> bool {
        self.coordinator.is_open.load(Ordering::Acquire)
    }

    fn is_dead(&self) -> bool {
        self.coordinator.state().clients[self.client].is_dead
    }

    fn arrives(&self, command: Arrived<'_>) -> bool {
        let mut state = self.coordinator.state();
        let is_held = command.is_boundary && !state.is_free && !state.is_ending;
        let number = state.number();
        let client = &mut state.clients[self.client];
        let connection = client.connections.entry(command.connection).or_default();
        let keys = command.keys().into_iter().map(|key| (command.database, key));
        if !is_held {
            match &**command.name {
                "MULTI" => (connection.queued, connection.queued_keys) = (Vec::new(), Vec::new()),
                "CLIENT TRACKING" => connection.is_listening = true,
                _ if command.is_queued => {
                    connection.queued.push(command.line());
                    connection.queued_keys.extend(keys);
                }
                _ => {}
            }
            connection.waiting.push_back(Waiting::Free);
            return false;
        }
        let keys = std::mem::take(&mut connection.queued_keys).into_iter().chain(keys).collect();
        let queued = std::mem::take(&mut connection.queued);
        let held = Held {
            connection: command.connection,
            name: command.name.clone(),
            line: if queued.is_empty() { command.line() } else { report::races::transaction(&queued) },
            arity: command.arity(),
            keys,
            timeout: command.timeout(),
        };
        client.stops.push(Stop { number, place: Place::Command(held) });
        client.activity = Activity::Still;
        // The thread that wakes needs the lock.
        drop(state);
        self.coordinator.changed.notify_one();
        true
    }

    fn decision(&self, connection: u64) -> Option<Decision> {
        self.coordinator.state().clients[self.client].connections.get_mut(&connection)?.decision.take()
    }

    fn replies(&self, connection: u64, head: &[u8], size: u64) {
        let mut state = self.coordinator.state();
        let client = &mut state.clients[self.client];
        let Some(waiting) = client.connections.get_mut(&connection).and_then(|known| known.waiting.pop_front()) else {
            return;
        };
        if client.blocked.remove(&connection).is_some() {
            client.runs();
            self.coordinator.changed.notify_one();
        } else if let Activity::CanRun(silent, _) = &mut client.activity {
            *silent = Duration::ZERO;
            self.coordinator.changed.notify_one();
        } else if client.end.is_some() {
            // It ended before the reply to its last command.
            self.coordinator.changed.notify_one();
        }
        if let Waiting::Step(step) = waiting
            && let Some(step) = state.steps.get_mut(step)
        {
            step.reply = Some((head.to_vec(), size));
        }
    }

    fn pushes(&self, connection: u64) {
        let mut state = self.coordinator.state();
        let client = &mut state.clients[self.client];
        if client.end.is_none() && client.connections.contains_key(&connection) {
            let within = if client.stops.is_empty() { LISTENS_AFTER } else { SETTLES_WITHIN };
            client.activity = Activity::CanRun(Duration::ZERO, within);
            self.coordinator.changed.notify_one();
        }
    }

    fn closes(&self, connection: u64) {
        let mut state = self.coordinator.state();
        let client = &mut state.clients[self.client];
        let closed = client.connections.remove(&connection);
        if closed.is_some_and(|closed| closed.waits()) {
            self.coordinator.changed.notify_one();
        }
        if client.blocked.remove(&connection).is_some() {
            client.runs();
            self.coordinator.changed.notify_one();
        }
        let count = client.stops.len();
        client.stops.retain(|stop| !matches!(&stop.place, Place::Command(held) if held.connection == connection));
        if client.stops.len() < count {
            self.coordinator.changed.notify_one();
        }
    }

    fn is_listening(&self, connection: u64) -> bool {
        let state = self.coordinator.state();
        state.clients[self.client].connections.get(&connection).is_some_and(|known| known.is_listening)
    }

    fn is_behind(&self) -> bool {
        self.coordinator.state().clients[self.client].is_behind
    }

    fn catches_up(&self) {
        let mut state = self.coordinator.state();
        if std::mem::take(&mut state.clients[self.client].is_behind) {
            self.coordinator.changed.notify_one();
        }
    }
}
