//! Matches replies to commands, and mirrors the state that the server keeps for a connection.

mod push;
pub(super) mod secrets;
mod waiting;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use self::push::{Push, elements};
use self::secrets::Hidden;
use self::waiting::{Effect, Fate, Waiting};
use super::arguments::{self, arguments};
use super::hold::{self, Arrived, Decision, Hold};
use super::lane::{Closed, Frame, Verdict};
use super::log::Log;
use super::record::{Command, Reply, is_boundary};
use super::recording::Recorded;
use super::rewrite::{Rewrite, Rewritten};
use super::rules::{After, Before, Judged, RewriteReply, Rules};

/// The server's view of one connection.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "the server keeps them as independent flags")]
pub(super) struct Protocol {
    pub(super) connection: u64,
    database: u32,
    name: Option<Arc<str>>,
    is_resp3: bool,
    /// The MULTI that is open, and the database that was selected before it.
    transaction: Option<(usize, u32)>,
    replies: Replies,
    /// The subscriptions: the first letter of the command, and the channel or pattern.
    channels: BTreeSet<(u8, Vec<u8>)>,
    /// The number of commands that wait for the confirmation of a subscription.
    subscribing: usize,
    is_monitor: bool,
    is_replica: bool,
    waiting: VecDeque<Waiting>,
    /// How many of the waiting commands have a fate.
    fates: usize,
    /// The fate of the command that has been judged, but not forwarded yet.
    next: Option<Fate>,
    /// The number of the command that is being forwarded, in the file of the recording.
    pub(super) number: u64,
    /// How much of the reply to EXEC is hidden.
    of_exec: Hidden,
    /// When the bytes that are being handled were read. Asking for the time takes longer than handling a short command.
    read_at: Option<Instant>,
    /// Whether the record leaves out the connection.
    pub(super) is_unrecorded: bool,
    /// The name of the last command. The next command often has the same name.
    last_name: Option<(Box<[u8]>, Arc<str>)>,
    /// The last reply. The next reply is often equal.
    last_reply: Option<Arc<[u8]>>,
}

/// The mode set by `CLIENT REPLY`.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Replies {
    #[default]
    On,
    SkipNext,
    Off,
}

impl Protocol {
    pub(super) fn new(connection: u64) -> Self {
        Self { connection, ..Self::default() }
    }

    /// Returns true if the stream is a replication stream from here on, which is not the protocol.
    pub(super) fn is_replica(&self) -> bool {
        self.is_replica
    }

    /// New bytes will be handled.
    pub(super) fn begin_read(&mut self) {
        self.read_at = None;
    }

    fn now(&mut self) -> Instant {
        *self.read_at.get_or_insert_with(Instant::now)
    }

    /// Applies the rules to a command before it is forwarded.
    pub(super) fn judge_command(&mut self, frame: &Frame<'_>, rules: &mut Rules) -> Verdict {
        let name = self.name_of(frame.head);
        let (client, is_resp3) = (self.name.clone(), self.is_resp3);
        let judged = Judged {
            name: &name,
            head: frame.head,
            whole: frame.whole,
            client: client.as_deref(),
            is_resp3,
            is_boundary: is_boundary(&name, self.transaction.is_some()),
            is_first: !self.is_waiting(),
        };
        let Some((before, after, fault)) = rules.judge(&judged) else { return Verdict::Forward };
        let mut fate = Fate { after, fault: Some(fault), ..Fate::default() };
        let verdict = match before {
            // A rule that changes data waits for earlier commands of the same pipeline.
            Before::WaitForReplies => return Verdict::Hold(None),
            Before::Forward => Verdict::Forward,
            Before::Hold(until) => Verdict::Hold(Some(until)),
            Before::Replace(other, is_doubled) => {
                fate.is_doubled = is_doubled;
                Verdict::Replace(other)
            }
            Before::Answer(reply) => {
                fate.answer = Some(reply);
                Verdict::Drop
            }
            Before::Cut => Verdict::Cut(Closed::Socket),
            Before::CutAll => Verdict::Cut(Closed::All),
        };
        fate.is_cut = matches!(verdict, Verdict::Cut(_));
        self.next = Some(fate);
        verdict
    }

    /// Asks how a command is rewritten.
    pub(super) fn rewrite_command(&mut self, frame: &Frame<'_>, rewrite: &mut dyn Rewrite) -> Verdict {
        let rewritten = frame.whole.and_then(|whole| rewrite.command(self.connection, whole));
        let Some(Rewritten { forward, first, reply }) = rewritten else { return Verdict::Forward };
        let after = reply.map_or(After::Forward, |reply| After::Rewrite(Box::new(|bytes| Some(reply(bytes)))));
        let first = first.map(|first| -> RewriteReply {
            Box::new(|bytes| {
                first(bytes);
                None
            })
        });
        self.next = Some(Fate { after, first, ..Fate::default() });
        forward.map_or(Verdict::Forward, Verdict::Replace)
    }

    /// Asks whether a command is held.
    pub(super) fn hold_command(&mut self, frame: &Frame<'_>, hold: &dyn Hold) -> Verdict {
        let name = self.name_of(frame.head);
        let is_boundary = is_boundary(&name, self.transaction.is_some());
        let is_queued = self.transaction.is_some() && !is_boundary && &*name != "DISCARD";
        let (connection, database) = (self.connection, self.database);
        let arrived = Arrived { connection, name: &name, head: frame.head, database, is_boundary, is_queued };
        if hold.arrives(arrived) { Verdict::Hold(None) } else { Verdict::Forward }
    }

    /// Asks for the decision about the command that is held.
    pub(super) fn release_command(&mut self, frame: &Frame<'_>, hold: &dyn Hold) -> Option<Verdict> {
        let decision = hold.decision(self.connection)?;
        let after = if decision == Decision::LoseReply { After::Cut } else { After::Forward };
        let is_cut = decision == Decision::Cut;
        if is_cut || decision == Decision::LoseReply {
            self.next = Some(Fate { after, is_cut, ..Fate::default() });
        }
        let name = self.name_of(frame.head);
        let changed = (decision == Decision::WithoutTimeout).then(|| hold::without_timeout(&name, frame.whole?));
        Some(match changed.flatten() {
            Some(changed) => Verdict::Replace(changed),
            None if is_cut => Verdict::Cut(Closed::Socket),
            None => Verdict::Forward,
        })
    }

    /// Returns true if the client waits for replies.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Returns true if the server sends nothing until it gets the next command.
    pub(super) fn is_quiet(&self) -> bool {
        !self.is_waiting() && self.channels.is_empty() && !self.is_monitor && !self.is_replica
    }

    /// Returns true if a PING gets its reply at once, and nobody else sees it.
    pub(super) fn can_be_asked(&self) -> bool {
        let is_plain = self.transaction.is_none() && self.replies == Replies::On;
        self.waiting.is_empty() && is_plain && !self.is_monitor && !self.is_replica
    }

    /// The tap sends a PING of its own.
    pub(super) fn ask(&mut self) {
        let fate = Fate { after: After::Drop, ..Fate::default() };
        let (record, number, hidden) = (None, 0, Hidden::Nothing);
        self.expect(Waiting { record, number, hidden, effect: Effect::Asked, fate: Some(fate) });
    }

    /// Returns true if the reply that is due is that to [`ask`](Self::ask).
    pub(super) fn is_asked(&self) -> bool {
        self.waiting.front().is_some_and(|waiting| matches!(waiting.effect, Effect::Asked))
    }

    /// Returns true if the client waits for a reply that can depend on a command of another connection.
    pub(super) fn is_blocked(&self) -> bool {
        self.waiting.iter().any(Waiting::is_blocked)
    }

    /// Returns true if the next reply depends on no other connection. A replica gets none.
    pub(super) fn is_waiting_for_itself(&self) -> bool {
        !self.is_replica && self.waiting.front().is_some_and(|waiting| !waiting.is_blocked())
    }

    /// Returns true if a rule applies to a reply that is pending.
    pub(super) fn has_fates(&self) -> bool {
        self.fates > 0
    }

    /// Applies a rule to a frame from the server.
    pub(super) fn judge_reply(&mut self, frame: &Frame<'_>) -> Verdict {
        let waiting = self.waiting.front();
        let missing = match (self.push(frame.head), waiting.map(|waiting| &waiting.effect)) {
            (None, _) => 1,
            (Some(Push::Confirmation(kind, _)), Some(Effect::Subscribe(word, missing))) if **word == *kind => *missing,
            (Some(_), _) => return Verdict::Forward,
        };
        if missing == 1
            && let Some(whole) = frame.whole
            && let Some(Fate { after: after @ After::Rewrite(_), .. }) = self.fate_of_due()
            && let After::Rewrite(rewrite) = std::mem::take(after)
        {
            return rewrite(whole).map_or(Verdict::Drop, Verdict::Replace);
        }
        match self.waiting.front().and_then(|waiting| waiting.fate.as_ref()).map(|fate| &fate.after) {
            None | Some(After::Forward | After::Rewrite(_)) => Verdict::Forward,
            // The last confirmation is the reply.
            Some(After::Late(_)) if missing > 1 => Verdict::Forward,
            Some(After::Replace(_)) if missing > 1 => Verdict::Drop,
            Some(After::Drop) => Verdict::Drop,
            Some(After::Cut) => Verdict::Cut(Closed::Socket),
            Some(After::Late(time)) => Verdict::Hold(Some(Instant::now() + *time)),
            Some(After::Replace(other)) => Verdict::Replace(other.clone()),
            Some(After::Half) => Verdict::CutHalf,
        }
    }

    fn fate_of_due(&mut self) -> Option<&mut Fate> {
        self.waiting.front_mut()?.fate.as_mut()
    }

    /// Sends the tap's own replies to commands that the server did not get, if it is their turn.
    pub(super) fn own_replies(&mut self, out: &mut Vec<u8>, log: &mut Log, mut recorded: Option<&mut Recorded>) {
        while let Some(Waiting { record, number, fate: Some(Fate { answer: Some(reply), .. }), .. }) =
            self.waiting.front_mut()
        {
            let (record, number, reply) = (*record, *number, std::mem::take(reply));
            out.extend_from_slice(&reply);
            if let Some(recorded) = &mut recorded {
                recorded.own_reply(&reply, number);
            }
            self.reply(record, &reply, reply.len() as u64, log);
            self.next_expected();
        }
    }

    /// Returns the fault of the command that is being forwarded.
    pub(super) fn fault(&self) -> Option<&'static str> {
        self.next.as_ref().and_then(|fate| fate.fault)
    }

    /// Returns the number of the command whose reply is due, and how much of that reply is hidden.
    pub(super) fn due(&self) -> (u64, Hidden) {
        self.waiting.front().map_or_else(Default::default, |waiting| (waiting.number, waiting.hidden))
    }

    /// Records a command that is being forwarded. `head` is the beginning of its frame, which has `size` bytes.
    pub(super) fn command(&mut self, head: &[u8], size: u64, log: &mut Log) {
        let name = self.name_of(head);
        let mut args = arguments(head).skip(1);
        // RESET, HELLO and SELECT apply to the next command, even if it is sent before their reply.
        let before = self.database;
        let effect = match &*name {
            "SELECT" => {
                if let Some(database) = args.next().and_then(|number| std::str::from_utf8(number).ok()?.parse().ok()) {
                    self.database = database;
                }
                Effect::Select(before)
            }
            "HELLO" => {
                let words = args.by_ref();
                if words.any(|word| word.eq_ignore_ascii_case(b"SETNAME")) {
                    self.name = words.next().map(|name| arguments::text(name).into());
                }
                Effect::Hello
            }
            "CLIENT SETNAME" => {
                self.name = args.nth(1).filter(|name| !name.is_empty()).map(|name| arguments::text(name).into());
                Effect::Nothing
            }
            "MULTI" if self.transaction.is_none() => Effect::Multi,
            "SUBSCRIBE" | "PSUBSCRIBE" | "SSUBSCRIBE" | "UNSUBSCRIBE" | "PUNSUBSCRIBE" | "SUNSUBSCRIBE" => {
                let word = name.to_lowercase().into_bytes().into();
                Effect::Subscribe(word, arguments::count(head).saturating_sub(1).max(1))
            }
            "MONITOR" => Effect::Monitor,
            "PSYNC" | "SYNC" => {
                self.is_replica = true;
                Effect::Nothing
            }
            "RESET" => {
                (self.database, self.name, self.transaction, self.replies) = (0, None, None, Replies::On);
                Effect::Reset
            }
            _ if self.transaction.is_none() && hold::is_blocking(&name, head) => Effect::Block,
            _ => Effect::Nothing,
        };
        // In a pipelined transaction MULTI begins the round trip, but EXEC is counted.
        let multi = self.transaction.filter(|_| &*name == "EXEC").and_then(|(multi, _)| log.commands.get(multi));
        let begins_round_trip = !self.is_waiting() || multi.is_some_and(|multi| multi.begins_round_trip);
        let (index, at) = (log.commands.len(), self.now());
        if name.as_ref() == "MULTI" && self.transaction.is_none() {
            self.transaction = Some((index, before));
        }
        let record = (!self.is_unrecorded).then(|| Command {
            index,
            connection: self.connection,
            client_name: self.name.clone(),
            database: before,
            head: secrets::without_secrets(&name, head).map_or_else(|| head.into(), Into::into),
            name: name.clone(),
            size,
            at,
            transaction: self.transaction.map(|(multi, _)| multi),
            begins_round_trip,
            fault: self.fault(),
            reply: None,
        });
        let record = record.and_then(|command| log.push(command));
        let mut hidden = Hidden::of(&name, head);
        match (&*name, self.transaction) {
            ("DISCARD", Some((_, before))) => {
                (self.database, self.transaction, self.of_exec) = (before, None, Hidden::Nothing);
            }
            ("EXEC", Some(_)) => (hidden, self.transaction) = (std::mem::take(&mut self.of_exec), None),
            (_, Some(_)) if hidden != Hidden::Nothing => self.of_exec = Hidden::Everything,
            _ => {}
        }
        let mut fate = self.next.take();
        if !self.is_answered(&name, head) || fate.as_ref().is_some_and(|fate| fate.is_cut) {
            return;
        }
        // A command that does not reach the server does not change the connection's state.
        let effect = if fate.as_ref().is_some_and(|fate| fate.answer.is_some()) { Effect::Nothing } else { effect };
        let is_doubled = fate.as_ref().is_some_and(|fate| fate.is_doubled);
        let uncounted = |after| {
            let fate = Some(Fate { after, ..Fate::default() });
            Waiting { record: None, number: 0, hidden, effect: Effect::Nothing, fate }
        };
        if let Some(first) = fate.as_mut().and_then(|fate| fate.first.take()) {
            self.expect(uncounted(After::Rewrite(first)));
        }
        self.expect(Waiting { record, number: self.number, hidden, effect, fate });
        if is_doubled {
            self.expect(uncounted(After::Drop));
        }
    }

    fn expect(&mut self, waiting: Waiting) {
        self.fates += usize::from(waiting.fate.is_some());
        self.subscribing += usize::from(matches!(waiting.effect, Effect::Subscribe(..)));
        self.waiting.push_back(waiting);
    }

    /// Removes the command whose reply has come.
    fn next_expected(&mut self) -> Option<Waiting> {
        let waiting = self.waiting.pop_front()?;
        self.fates -= usize::from(waiting.fate.is_some());
        self.subscribing -= usize::from(matches!(waiting.effect, Effect::Subscribe(..)));
        Some(waiting)
    }

    /// Returns true if the server will reply to this command.
    fn is_answered(&mut self, name: &str, head: &[u8]) -> bool {
        if name == "CLIENT REPLY" {
            let mode = arguments(head).nth(2).unwrap_or_default();
            self.replies = match arguments::upper(mode).as_str() {
                "ON" => Replies::On,
                "OFF" => Replies::Off,
                "SKIP" if self.replies == Replies::On => Replies::SkipNext,
                _ => self.replies,
            };
            return self.replies == Replies::On;
        }
        match self.replies {
            Replies::On => true,
            Replies::Off => false,
            Replies::SkipNext => {
                self.replies = Replies::On;
                false
            }
        }
    }

    /// Handles a complete frame from the server. Returns true if it is the reply to a command.
    pub(super) fn answer(&mut self, head: &[u8], size: u64, log: &mut Log) -> bool {
        match self.push(head) {
            Some(Push::Other) => return false,
            Some(Push::Confirmation(kind, channel)) => {
                self.confirm(kind, channel, log);
                let Some(Waiting { effect: Effect::Subscribe(word, missing), .. }) = self.waiting.front_mut() else {
                    return false;
                };
                if **word != *kind {
                    return false;
                }
                *missing -= 1;
                if *missing > 0 {
                    return false;
                }
            }
            None => {}
        }
        let Some(Waiting { record, effect, hidden, .. }) = self.next_expected() else { return false };
        let is_error = matches!(head.first(), Some(b'-' | b'!'));
        match effect {
            Effect::Select(before) if is_error => self.database = before,
            Effect::Multi if is_error => self.transaction = None,
            Effect::Hello if !is_error => self.is_resp3 = head.first() == Some(&b'%'),
            Effect::Monitor if !is_error => self.is_monitor = true,
            Effect::Reset if !is_error => {
                (self.is_resp3, self.is_monitor) = (false, false);
                self.end(log);
            }
            _ => {}
        }
        let shown = hidden.instead_of(head);
        self.reply(record, shown.as_deref().unwrap_or(head), size, log);
        true
    }

    /// Returns `Some` if this frame is unsolicited or confirms a subscription.
    fn push<'head>(&self, head: &'head [u8]) -> Option<Push<'head>> {
        let is_push = head.first() == Some(&b'>');
        if self.is_monitor && head.first() == Some(&b'+') && head.get(1).is_some_and(u8::is_ascii_digit) {
            return Some(Push::Other);
        }
        // While it is subscribed in RESP2, no command replies with an array but PING.
        let is_subscribed = self.subscribing > 0 || !self.channels.is_empty();
        let can_be_message = is_subscribed && !self.is_resp3 && head.first() == Some(&b'*');
        if !is_push && !can_be_message {
            return None;
        }
        let mut words = elements(head);
        let kind = words.next().unwrap_or_default();
        if kind.ends_with(b"subscribe") {
            return Some(Push::Confirmation(kind, words.next().unwrap_or_default()));
        }
        let is_message = matches!(kind, b"message" | b"pmessage" | b"smessage");
        (is_push || is_message).then_some(Push::Other)
    }

    /// `kind` is `subscribe`, `punsubscribe` and their like.
    fn confirm(&mut self, kind: &[u8], channel: &[u8], log: &mut Log) {
        let (family, is_end) = match kind {
            [b'p' | b's', b'u', b'n', ..] => (kind[0], true),
            [b'u', b'n', ..] => (b' ', true),
            b"subscribe" => (b' ', false),
            _ => (kind[0], false),
        };
        let channel = (family, channel.to_vec());
        if is_end && self.channels.remove(&channel) {
            log.unsubscribe(&channel.1);
        } else if !is_end && !self.channels.contains(&channel) {
            *log.subscribed.entry(channel.1.clone()).or_default() += 1;
            self.channels.insert(channel);
        }
    }

    /// The connection is closed or reset: it is subscribed to nothing.
    pub(super) fn end(&mut self, log: &mut Log) {
        for (_, channel) in std::mem::take(&mut self.channels) {
            log.unsubscribe(&channel);
        }
    }

    fn reply(&mut self, record: Option<usize>, head: &[u8], size: u64, log: &mut Log) {
        let Some(index) = record else { return };
        let head = match &self.last_reply {
            Some(last) if **last == *head => last.clone(),
            _ => self.last_reply.insert(head.into()).clone(),
        };
        log.reply(index, Reply::read(&head), head, size, self.now());
    }

    fn name_of(&mut self, head: &[u8]) -> Arc<str> {
        let first = arguments(head).next().unwrap_or_default();
        if let Some((known, name)) = &self.last_name
            && **known == *first
        {
            return name.clone();
        }
        let name: Arc<str> = arguments::name(head).into();
        // With a subcommand, the first word alone does not determine the name.
        self.last_name = (!name.contains(' ')).then(|| (first.into(), name.clone()));
        name
    }
}

#[cfg(test)]
mod tests;
