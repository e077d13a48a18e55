//! A client's connection, with its connection to the server.

use std::net::Shutdown;
use std::sync::MutexGuard;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::lane::{Closed, End, Frame, Gate, Lane, Verdict};
use super::protocol::Protocol;
use super::record::Log;
use super::recording::Recorded;
use super::shared::Shared;

/// How often one connection is read before the others get their turn.
const READS_IN_TURN: usize = 16;

pub(super) struct Connection {
    pub(super) client: End,
    pub(super) server: End,
    pub(super) commands: Lane,
    pub(super) replies: Lane,
    pub(super) protocol: Protocol,
    /// Whether the server has been told that the client sends no more.
    pub(super) is_half_closed: bool,
    /// Writes it to the file, if the tap has one.
    pub(super) recorded: Option<Recorded>,
}

/// Judges and records commands.
struct CommandGate<'a> {
    protocol: &'a mut Protocol,
    recorded: Option<&'a mut Recorded>,
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

    fn read(&mut self, bytes: &[u8]) {
        if let Some(recorded) = &mut self.recorded {
            recorded.read_of_command(bytes);
        }
    }

    fn skip(&mut self) {
        if let Some(recorded) = &mut self.recorded {
            recorded.skip_command();
        }
    }

    fn released(&mut self, frame: &Frame<'_>) -> Option<Verdict> {
        self.protocol.release_command(frame, &**self.shared.hold.as_ref()?)
    }

    fn complete(&mut self, head: &[u8], size: u64, _: &mut Vec<u8>) {
        if let Some(recorded) = &mut self.recorded {
            self.protocol.number = recorded.command(self.protocol.fault());
        }
        let log = self.log.get_or_insert_with(|| self.shared.log());
        self.protocol.command(head, size, log);
    }
}

/// Judges and records replies.
struct ReplyGate<'a> {
    protocol: &'a mut Protocol,
    recorded: Option<&'a mut Recorded>,
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

    fn forward(&mut self, bytes: &[u8]) {
        if let Some(recorded) = &mut self.recorded {
            recorded.forward_of_reply(bytes, self.protocol.due().1);
        }
    }

    fn complete(&mut self, head: &[u8], size: u64, out: &mut Vec<u8>) {
        let log = self.log.get_or_insert_with(|| self.shared.log());
        let due = self.protocol.due();
        let is_reply = self.protocol.answer(head, size, log);
        if let Some(recorded) = &mut self.recorded {
            recorded.reply(is_reply.then_some(due));
        }
        if is_reply {
            self.protocol.own_replies(out, log, self.recorded.as_deref_mut());
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
    pub(super) fn drive(&mut self, scratch: &mut [u8], shared: &Shared) -> Result<bool, Closed> {
        let Self { client, server, commands, replies, protocol, is_half_closed, recorded } = self;
        if !server.stream.proceed()? {
            return Ok(false);
        }
        for _ in 0..READS_IN_TURN {
            protocol.begin_read();
            let mut gate = CommandGate { protocol, recorded: recorded.as_mut(), shared, log: None };
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
                protocol.own_replies(out, &mut shared.log(), recorded.as_mut());
            }
            protocol.begin_read();
            let mut gate = ReplyGate { protocol, recorded: recorded.as_mut(), shared, log: None };
            let more_replies = replies.pump(server, client, scratch, &mut gate);
            has_changed |= gate.log.take().is_some();
            drop(gate);
            if has_changed {
                shared.has_changed();
            }
            let more_replies = more_replies?;
            // Once, because each time causes a new event.
            if commands.is_ended && commands.is_drained() && !*is_half_closed {
                *is_half_closed = server.stream.shutdown(Shutdown::Write).is_ok();
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

    pub(super) fn held_until(&self) -> Option<Instant> {
        [&self.commands, &self.replies].into_iter().filter_map(Lane::held_until).min()
    }
}
