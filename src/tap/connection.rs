//! A client's connection, with its connection to the server.

use std::net::Shutdown;
use std::sync::MutexGuard;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::lane::{Closed, End, Frame, Gate, Lane, Verdict};
use super::log::Log;
use super::protocol::Protocol;
use super::recording::Recorded;
use super::shared::Shared;
use crate::sync::lock;

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

/// How many times a connection is read before the others get a turn.
const READS_IN_TURN: usize = 16;

pub(super) struct Connection {
    pub(super) client: End,
    pub(super) server: End,
    pub(super) commands: Lane,
    pub(super) replies: Lane,
    pub(super) protocol: Protocol,
    /// Whether the server has been told that the client sends no more.
    pub(super) is_half_closed: bool,
    /// Whether the connection to the server is closed, because the client counts as dead.
    pub(super) is_dead: bool,
    /// Writes the connection to the recording, if the tap has one.
    pub(super) recorded: Option<Recorded>,
}

/// What both gates need. The log is locked for all frames of a read.
struct Context<'a> {
    protocol: &'a mut Protocol,
    recorded: Option<&'a mut Recorded>,
    shared: &'a Shared,
    log: Option<MutexGuard<'a, Log>>,
}

impl Context<'_> {
    /// Returns true if a command that is held, but not by [`Shared::hold`], is judged again.
    fn can_be_released(&self) -> bool {
        match self.shared.turns() {
            Some(turns) => !self.protocol.is_blocked() && turns.is_due(self.protocol.connection),
            // The last earlier command has its reply, which can also be the tap's own.
            None => !self.protocol.is_waiting(),
        }
    }
}

/// Judges and records commands.
struct CommandGate<'context, 'a>(&'context mut Context<'a>);

impl Gate for CommandGate<'_, '_> {
    fn is_judging(&self) -> bool {
        let shared = self.0.shared;
        shared.hold.is_some()
            || shared.rewrite.is_some()
            || shared.turns.get().is_some()
            || shared.has_rules.load(Ordering::Acquire)
    }

    fn needs_whole_frames(&self) -> bool {
        self.0.shared.rewrite.is_some()
    }

    fn judge(&mut self, frame: &Frame<'_>) -> Verdict {
        let Context { protocol, shared, log, .. } = &mut *self.0;
        // A rule can wait for the server, so the log must be unlocked.
        *log = None;
        if let Some(hold) = &shared.hold {
            return protocol.hold_command(frame, &**hold);
        }
        if let Some(mut turns) = shared.turns()
            && (protocol.is_blocked() || !turns.takes(protocol.connection))
        {
            return Verdict::Hold(None);
        }
        if let Some(rewrite) = &shared.rewrite {
            return protocol.rewrite_command(frame, &mut **lock(rewrite));
        }
        let mut rules = shared.rules();
        let verdict = protocol.judge_command(frame, &mut rules);
        shared.has_rules.store(!rules.0.is_empty(), Ordering::Release);
        verdict
    }

    fn read(&mut self, bytes: &[u8]) {
        if let Some(recorded) = &mut self.0.recorded {
            recorded.read_of_command(bytes);
        }
    }

    fn skip(&mut self) {
        if let Some(recorded) = &mut self.0.recorded {
            recorded.skip_command();
        }
    }

    fn released(&mut self, frame: &Frame<'_>) -> Option<Verdict> {
        match &self.0.shared.hold {
            Some(hold) => self.0.protocol.release_command(frame, &**hold),
            None => self.0.can_be_released().then(|| self.judge(frame)),
        }
    }

    fn complete(&mut self, head: &[u8], size: u64, _: &mut Vec<u8>) {
        let Context { protocol, recorded, shared, log } = &mut *self.0;
        if let Some(recorded) = recorded {
            protocol.number = recorded.command(protocol.fault());
        }
        protocol.command(head, size, log.get_or_insert_with(|| shared.log()));
    }
}

/// Judges and records replies.
struct ReplyGate<'context, 'a>(&'context mut Context<'a>);

impl Gate for ReplyGate<'_, '_> {
    fn is_judging(&self) -> bool {
        self.0.protocol.has_fates()
    }

    fn needs_whole_frames(&self) -> bool {
        self.0.shared.rewrite.is_some()
    }

    fn judge(&mut self, frame: &Frame<'_>) -> Verdict {
        self.0.protocol.judge_reply(frame)
    }

    fn forward(&mut self, bytes: &[u8]) {
        let Context { protocol, recorded, .. } = &mut *self.0;
        if let Some(recorded) = recorded {
            recorded.forward_of_reply(bytes, protocol.due().1);
        }
    }

    fn complete(&mut self, head: &[u8], size: u64, out: &mut Vec<u8>) {
        let Context { protocol, recorded, shared, log } = &mut *self.0;
        let log = log.get_or_insert_with(|| shared.log());
        let (due, is_asked) = (protocol.due(), protocol.is_asked());
        let is_reply = protocol.answer(head, size, log);
        if let Some(recorded) = recorded {
            recorded.reply(is_reply.then_some(due));
        }
        if is_reply {
            protocol.own_replies(out, log, recorded.as_deref_mut());
        }
        match &shared.hold {
            Some(_) if is_reply && is_asked => {}
            Some(hold) if is_reply => hold.replies(protocol.connection, head, size),
            Some(hold) => hold.pushes(protocol.connection),
            None => {}
        }
    }
}

impl Connection {
    /// Moves bytes in both directions. Returns true if more might be available.
    pub(super) fn drive(&mut self, scratch: &mut [u8], shared: &Shared) -> Result<bool, Closed> {
        let Self { client, server, commands, replies, protocol, is_half_closed, recorded, .. } = self;
        if !server.stream.proceed()? {
            return Ok(false);
        }
        let mut context = Context { protocol, recorded: recorded.as_mut(), shared, log: None };
        for _ in 0..READS_IN_TURN {
            context.protocol.begin_read();
            let more_commands = commands.pump(client, server, scratch, &mut CommandGate(&mut context));
            if let Some(mut turns) = shared.turns() {
                turns.end_read();
            }
            let mut has_changed = context.log.take().is_some();
            let more_commands = more_commands?;
            if context.protocol.is_replica() {
                (commands.is_raw, replies.is_raw) = (true, true);
            }
            if context.protocol.has_fates()
                && let Some(out) = replies.between_frames()
            {
                context.protocol.own_replies(out, &mut shared.log(), context.recorded.as_deref_mut());
            }
            context.protocol.begin_read();
            let more_replies = replies.pump(server, client, scratch, &mut ReplyGate(&mut context));
            has_changed |= context.log.take().is_some();
            if has_changed {
                shared.has_changed();
            }
            let more_replies = more_replies?;
            if commands.is_ended && shared.hold.is_some() && is_between_commands(commands, replies, context.protocol) {
                return Err(Closed::Socket);
            }
            // Once, because each time causes a new event.
            if commands.is_ended && commands.is_drained() && !*is_half_closed {
                *is_half_closed = server.stream.shutdown(Shutdown::Write).is_ok();
            }
            if replies.is_ended && replies.is_drained() {
                return Err(Closed::Socket);
            }
            if let Some(mut turns) = shared.turns()
                && !context.protocol.is_waiting_for_itself()
            {
                turns.gives_back(context.protocol.connection);
            }
            let is_released = shared.hold.is_none() && commands.is_holding() && context.can_be_released();
            if !more_commands && !more_replies && !is_released {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns true if the next client can use the connection to the server once that is reset.
    pub(super) fn can_be_spare(&self) -> bool {
        let is_open = !self.is_dead && !self.is_half_closed && !self.replies.is_ended && !self.server.has_hung_up;
        is_open && is_between_commands(&self.commands, &self.replies, &self.protocol)
    }

    /// Asks the server for everything that it has sent, if it can send messages.
    pub(super) fn ask(&mut self) {
        if self.protocol.can_be_asked()
            && let Some(out) = self.commands.before_held()
        {
            out.extend_from_slice(PING);
            self.protocol.ask();
        }
    }

    /// Returns true if the server has not answered [`ask`](Self::ask) yet, or not closed a dead client's connection.
    pub(super) fn is_behind(&self) -> bool {
        if self.is_dead { !self.replies.is_ended } else { self.protocol.is_asked() }
    }

    /// Closes the connection to the server. The client waits.
    pub(super) fn die(&mut self, scratch: &mut [u8]) {
        if !std::mem::replace(&mut self.is_dead, true) {
            // It can be closed already.
            self.replies.is_ended |= self.server.stream.shutdown(Shutdown::Write).is_err();
        }
        self.replies.is_ended |= self.server.discard(scratch);
    }

    pub(super) fn held_until(&self) -> Option<Instant> {
        [&self.commands, &self.replies].into_iter().filter_map(Lane::held_until).min()
    }
}

fn is_between_commands(commands: &Lane, replies: &Lane, protocol: &Protocol) -> bool {
    [commands, replies].iter().all(|lane| lane.is_between_frames() && lane.is_drained()) && protocol.is_quiet()
}
