//! Connections that keep state: those that wait, and those that subscribe.

use std::io;
use std::time::Duration;

use super::super::transcript;
use super::Run;
use crate::resp::{self, Reply};

/// How long the reply to a blocking command may take after the command that causes it.
const UNBLOCKED_WITHIN: Duration = Duration::from_millis(250);

/// Marks the end of what a subscriber has got so far.
const BARRIER: &str = "transient-barrier";

impl Run<'_, '_> {
    pub(super) fn keep_message(&mut self, lane: usize, reply: Reply) {
        if transcript::is_message(&reply) {
            self.messages.entry(lane).or_default().push(reply);
        }
    }

    /// Reads everything that a subscriber has got so far.
    pub(super) fn read_messages(&mut self, lane: usize) -> io::Result<()> {
        self.socket(lane)?.send(&resp::command(&["PING", BARRIER]))?;
        let barrier = || Reply::Bytes(b'$', Some(BARRIER.as_bytes().to_vec()));
        loop {
            let (reply, _) = self.socket(lane)?.read()?;
            let is_barrier = match &reply {
                // That of a subscriber who speaks RESP2.
                Reply::Elements(b'*', Some(elements)) => elements.len() == 2 && elements[1] == barrier(),
                reply => *reply == barrier(),
            };
            if is_barrier {
                return Ok(());
            }
            self.keep_message(lane, reply);
        }
    }

    /// Sends a blocking command, and waits until the server has it.
    pub(super) fn block(&mut self, index: usize) -> io::Result<()> {
        let entry = &self.transcript.entries[index];
        self.use_lane(entry.lane, entry.database)?;
        self.flush()?;
        let lane = entry.lane;
        let command = if entry.uses_ids { self.bytes_now(index) } else { entry.bytes.clone() };
        let bytes = [resp::command(&["PING"]), command].concat();
        self.socket(lane)?.send(&bytes)?;
        self.read_reply()?;
        self.blocked.insert(lane, index);
        Ok(())
    }

    /// Reads the reply to a blocking command.
    pub(super) fn unblock(&mut self, index: usize) -> io::Result<()> {
        let lane = self.transcript.entries[index].lane;
        if self.blocked.remove(&lane).is_none() {
            return Ok(());
        }
        let expected = self.transcript.entries[index].expected.as_ref();
        let is_timeout =
            matches!(expected, Some(Reply::Bytes(_, None) | Reply::Elements(_, None) | Reply::Line(b'_', _)));
        let wait = if is_timeout { Duration::from_millis(1) } else { UNBLOCKED_WITHIN };
        let reply = if is_timeout { None } else { self.socket(lane)?.read_within(wait)? };
        let reply = if let Some(reply) = reply {
            reply
        } else {
            // It may have its reply by now.
            if let Some(client) = self.clients.get(&lane) {
                self.replay.control.ask(&["CLIENT", "UNBLOCK", client])?;
            }
            self.socket(lane)?.read()?.0
        };
        self.compare(index, reply);
        Ok(())
    }

    /// Closes a socket as its client did, and compares the messages that it has got.
    pub(super) fn close_lane(&mut self, lane: usize) -> io::Result<()> {
        if self.replay.sockets[lane].is_none() {
            return Ok(());
        }
        if self.blocked.remove(&lane).is_some()
            && let Some(client) = self.clients.get(&lane)
        {
            // The server must not answer it later.
            self.replay.control.ask(&["CLIENT", "UNBLOCK", client])?;
        }
        let facts = &self.transcript.lanes[lane];
        if facts.subscribes {
            self.read_messages(lane)?;
            let messages = self.messages.remove(&lane).unwrap_or_default();
            let length = messages.len().max(facts.messages.len());
            let first = (0..length).find(|number| messages.get(*number) != facts.messages.get(*number));
            if let Some(number) = first {
                self.differs(facts.last, facts.messages.get(number).cloned(), messages.get(number).cloned());
            }
            // The server must not count it any more.
            let socket = self.socket(lane)?;
            socket.send(&[resp::command(&["UNSUBSCRIBE"]), resp::command(&["PUNSUBSCRIBE"])].concat())?;
            self.read_messages(lane)?;
        }
        self.replay.sockets[lane] = None;
        Ok(())
    }

    /// Closes all sockets that keep state.
    pub(super) fn close(&mut self) -> io::Result<()> {
        (0..self.transcript.lanes.len())
            .filter(|lane| !self.transcript.lanes[*lane].is_shared)
            .collect::<Vec<_>>()
            .into_iter()
            .try_for_each(|lane| self.close_lane(lane))
    }
}
