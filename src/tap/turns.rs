//! Connections that take turns, so that the order in which commands are forwarded is that in which the server executes
//! them.

use std::collections::VecDeque;

use super::Tap;

/// Whose commands are forwarded.
#[derive(Default)]
pub(super) struct Turns {
    /// The connection that waits for replies.
    holder: Option<u64>,
    /// Whether more of the holder's commands can have been read together with the last one.
    is_reading: bool,
    /// The connections whose commands are held, in the order in which these arrived.
    queue: VecDeque<u64>,
}

impl Turns {
    /// Returns true if this connection's command can be forwarded now, or is not queued yet.
    pub(super) fn is_due(&self, connection: u64) -> bool {
        self.can_take(connection) || !self.queue.contains(&connection)
    }

    fn can_take(&self, connection: u64) -> bool {
        match self.holder {
            None => self.queue.front().is_none_or(|first| *first == connection),
            // If others wait, only the commands that were read together: a pipeline, or a part of it.
            Some(holder) => holder == connection && (self.is_reading || self.queue.is_empty()),
        }
    }

    /// Forwards this connection's command, or queues it and returns false.
    pub(super) fn takes(&mut self, connection: u64) -> bool {
        let can_take = self.can_take(connection);
        if can_take {
            (self.holder, self.is_reading) = (Some(connection), true);
            if self.queue.front() == Some(&connection) {
                self.queue.pop_front();
            }
        } else if !self.queue.contains(&connection) {
            self.queue.push_back(connection);
        }
        can_take
    }

    /// All commands that were read together are forwarded.
    pub(super) fn end_read(&mut self) {
        self.is_reading = false;
    }

    /// The connection waits for no reply, or for one that can depend on other connections.
    pub(super) fn gives_back(&mut self, connection: u64) {
        self.holder.take_if(|holder| *holder == connection);
    }

    /// Returns the connection whose turn it is, if its command is held.
    pub(super) fn next(&self) -> Option<u64> {
        if self.holder.is_some() { None } else { self.queue.front().copied() }
    }

    pub(super) fn leaves(&mut self, connection: u64) {
        self.gives_back(connection);
        self.queue.retain(|waiting| *waiting != connection);
    }
}

impl Tap {
    /// From now on, forwards the commands of a connection only while no other waits for replies. Blocking commands and
    /// subscriptions do not count as waiting.
    ///
    /// The server then executes the commands in the order of the record. If several connections have commands, each in
    /// turn forwards those that were read together. A client that turned its replies off does not wait, so its order is
    /// not known.
    pub(crate) fn take_turns(&self) {
        self.running.shared.take_turns();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_taken_in_the_order_of_arrival() {
        let mut turns = Turns::default();
        assert!(turns.takes(1) && !turns.takes(2) && turns.takes(1), "a pipeline");
        turns.end_read();
        assert!(!turns.takes(3) && !turns.takes(1), "others wait");
        assert_eq!(turns.next(), None);
        turns.gives_back(2);
        assert_eq!(turns.next(), None, "only the holder gives back");
        turns.gives_back(1);
        assert_eq!(turns.next(), Some(2));
        assert!(!turns.is_due(3) && turns.is_due(4), "the fourth is not queued");
        assert!(!turns.takes(3) && turns.takes(2));
        turns.leaves(2);
        turns.leaves(3);
        assert!(turns.takes(1));
    }
}
