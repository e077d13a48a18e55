//! What a recording tells about a run.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, SystemTime};

use transient_fixtures::__cargo_transient::is_handshake;

use super::branches::{self, Outcome};
use super::keys::{Keys, WithoutTtl};
use super::reader::{Command, Step};
use super::repeated::{Rows, Suspect};
use crate::resp::Reply;
use crate::shape::{Shape, Vocabulary, keys_of};

/// How many names of clients are kept of a shape.
const CLIENTS: usize = 4;

/// The commands of a run.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    /// All commands but those that set up connections.
    pub(crate) commands: usize,
    /// HELLO, AUTH, SELECT, CLIENT, PING and COMMAND: how often each.
    pub(crate) handshakes: BTreeMap<String, usize>,
    pub(crate) connections: usize,
    pub(crate) round_trips: usize,
    /// How long the clients waited for replies, except to blocking commands.
    pub(crate) waited: Duration,
    /// From the most frequent.
    pub(crate) shapes: Vec<ShapeSummary>,
    pub(crate) without_ttl: Vec<(Shape, WithoutTtl)>,
    pub(crate) repeated: Vec<(Shape, Suspect)>,
    pub(crate) never_seen: Vec<NeverSeen>,
}

/// The commands of one shape.
#[derive(Clone, Debug)]
pub(crate) struct ShapeSummary {
    pub(crate) shape: Shape,
    pub(crate) count: usize,
    pub(crate) round_trips: usize,
    /// The first key.
    pub(crate) example: Option<Vec<u8>>,
    /// How often the server answered with an error, by its code.
    pub(crate) errors: BTreeMap<String, usize>,
    /// Some names of clients that sent it.
    pub(crate) clients: BTreeSet<String>,
    /// Replies that are no errors.
    answered: usize,
    outcomes: Vec<Outcome>,
    /// The short replies of a script. `None` for other commands, and if they differ.
    answers: Option<BTreeSet<String>>,
}

/// What no command of this shape was answered.
#[derive(Clone, Debug)]
pub(crate) struct NeverSeen {
    pub(crate) shape: Shape,
    pub(crate) count: usize,
    pub(crate) what: Never,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Never {
    Outcome(Outcome),
    /// A script never answered anything but this.
    AnythingBut(String),
}

/// Takes the steps of a run, and sums them up.
pub(crate) struct Summing<'run> {
    vocabulary: &'run Vocabulary,
    summary: Summary,
    numbers: HashMap<Shape, usize>,
    keys: Keys,
    rows: Rows,
    watches: bool,
}

impl<'run> Summing<'run> {
    pub(crate) fn new(vocabulary: &'run Vocabulary, started: SystemTime) -> Self {
        Self {
            vocabulary,
            summary: Summary::default(),
            numbers: HashMap::new(),
            keys: Keys::new(started),
            rows: Rows::default(),
            watches: false,
        }
    }

    pub(crate) fn take(&mut self, step: &Step) {
        match step {
            Step::Closed(connection) => {
                self.summary.connections += 1;
                self.rows.close(*connection);
            }
            Step::Command(command) if is_handshake(&command.name) => {
                *self.summary.handshakes.entry(command.name.clone()).or_default() += 1;
            }
            Step::Command(command) => self.command(command),
        }
    }

    fn command(&mut self, command: &Command) {
        let shape = Shape::of(&command.words, self.vocabulary);
        let summary = &mut self.summary;
        let number = *self.numbers.entry(shape.clone()).or_insert_with(|| {
            summary.shapes.push(ShapeSummary::new(shape.clone(), command));
            summary.shapes.len() - 1
        });
        summary.commands += 1;
        summary.round_trips += usize::from(command.begins_round_trip);
        if command.begins_round_trip && !blocks(&command.name) {
            summary.waited += command.replied_at.saturating_sub(command.at);
        }
        summary.shapes[number].add(command);
        self.watches |= command.name == "WATCH";
        self.rows.take(command, number);
        self.keys.take(command, &shape, number);
    }

    pub(crate) fn finish(self) -> Summary {
        let Self { mut summary, keys, rows, watches, .. } = self;
        let shape = |number: usize| summary.shapes[number].shape.clone();
        summary.without_ttl = keys.without_ttl().into_iter().map(|(number, found)| (shape(number), found)).collect();
        summary.repeated = rows.suspects().into_iter().map(|(number, found)| (shape(number), found)).collect();
        let without_ttl = |found: &WithoutTtl| found.never + found.lost;
        summary.without_ttl.sort_by(|(one, first), (other, second)| {
            without_ttl(second).cmp(&without_ttl(first)).then_with(|| one.cmp(other))
        });
        summary
            .repeated
            .sort_by(|(one, first), (other, second)| second.commands.cmp(&first.commands).then_with(|| one.cmp(other)));
        summary.shapes.sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.shape.cmp(&other.shape)));
        summary.never_seen = summary.shapes.iter().flat_map(|shape| shape.never_seen(watches)).collect();
        summary
    }
}

impl ShapeSummary {
    fn new(shape: Shape, first: &Command) -> Self {
        let is_script = shape.name().starts_with("EVAL") || shape.name().starts_with("FCALL");
        Self {
            shape,
            count: 0,
            round_trips: 0,
            example: keys_of(&first.words).first().map(|key| key.to_vec()),
            errors: BTreeMap::new(),
            clients: BTreeSet::new(),
            answered: 0,
            outcomes: Vec::new(),
            answers: is_script.then(BTreeSet::new),
        }
    }

    fn add(&mut self, command: &Command) {
        self.count += 1;
        self.round_trips += usize::from(command.begins_round_trip);
        if let Some(client) = &command.client
            && self.clients.len() < CLIENTS
        {
            self.clients.insert(client.to_string());
        }
        let Some(reply) = command.reply.as_ref().filter(|_| !command.is_queued()) else { return };
        match branches::error_code(reply) {
            Some(code) => *self.errors.entry(code).or_default() += 1,
            None => self.answered += 1,
        }
        for outcome in branches::seen(self.possible(), reply) {
            if !self.outcomes.contains(&outcome) {
                self.outcomes.push(outcome);
            }
        }
        if let Some(answers) = &mut self.answers
            && branches::error_code(reply).is_none()
        {
            // Two are enough to see that it has several.
            match short(reply) {
                Some(answer) if answers.len() < 2 => _ = answers.insert(answer),
                _ => self.answers = None,
            }
        }
    }

    fn possible(&self) -> &'static [Outcome] {
        branches::possible(self.shape.name(), self.shape.options())
    }

    /// `watches`: whether the run has a WATCH, without which no EXEC can be aborted.
    fn never_seen(&self, watches: bool) -> Vec<NeverSeen> {
        let can_be = |outcome: &&Outcome| watches || **outcome != Outcome::Aborted;
        let unseen = self.possible().iter().filter(|outcome| !self.outcomes.contains(outcome)).filter(can_be);
        let mut never: Vec<_> = unseen.map(|outcome| Never::Outcome(*outcome)).collect();
        if let Some(answers) = &self.answers
            && let (Some(only), 1, 2..) = (answers.first(), answers.len(), self.answered)
        {
            never.push(Never::AnythingBut(only.clone()));
        }
        never.retain(|_| self.answered > 0);
        let never_seen = |what| NeverSeen { shape: self.shape.clone(), count: self.count, what };
        never.into_iter().map(never_seen).collect()
    }
}

/// A short reply in words. Long ones are data.
fn short(reply: &Reply) -> Option<String> {
    match reply {
        _ if branches::is_nil(reply) => Some("nil".to_owned()),
        Reply::Line(_, text) | Reply::Bytes(_, Some(text)) if text.len() <= 20 => Some(text.escape_ascii().to_string()),
        _ => None,
    }
}

/// Whether the command waits for something to happen, so that its time is not the server's.
fn blocks(name: &str) -> bool {
    let pops = ["BLPOP", "BRPOP", "BLMOVE", "BRPOPLPUSH", "BLMPOP", "BZPOPMIN", "BZPOPMAX", "BZMPOP"];
    pops.contains(&name) || ["XREAD", "XREADGROUP", "WAIT"].contains(&name)
}

/// Sums up commands and their replies, one a second on one connection.
#[cfg(test)]
pub(crate) fn summed_up(exchanges: &[(&str, &str)]) -> Summary {
    let words: Vec<_> = exchanges.iter().map(|(command, _)| crate::resp::words(command.as_bytes())).collect();
    let vocabulary = Vocabulary::of(words.iter().map(Vec::as_slice));
    let mut summing = Summing::new(&vocabulary, SystemTime::UNIX_EPOCH);
    let mut transactions = super::reader::Transactions::default();
    for step in super::reader::steps(exchanges) {
        transactions.take(step, |step| summing.take(&step));
    }
    summing.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was never seen, as `SHAPE: WHAT`.
    fn never_seen(exchanges: &[(&str, &str)]) -> Vec<String> {
        let never_seen = summed_up(exchanges).never_seen;
        never_seen.iter().map(|never| format!("{}: {:?}", never.shape, never.what)).collect()
    }

    #[test]
    fn only_what_no_command_of_a_shape_was_answered_is_never_seen() {
        let twice = [("GET a", "$-1"), ("GET a", "+x"), ("GET b", "+x")];
        assert_eq!(never_seen(&twice), ["GET b: Outcome(Missing)"]);
        // Errors tell nothing about the rest.
        assert_eq!(never_seen(&[("GET a", "-WRONGTYPE no")]), [""; 0]);
        // Without WATCH, EXEC is never aborted.
        let transaction = [("MULTI", "+OK"), ("EXEC", "*0")];
        assert_eq!(never_seen(&transaction), [""; 0]);
        let watched: Vec<_> = [("WATCH a", "+OK")].into_iter().chain(transaction).collect();
        assert_eq!(never_seen(&watched), ["EXEC: Outcome(Aborted)"]);
    }

    #[test]
    fn scripts_that_always_answer_the_same_are_told() {
        let (one, other) = (("EVAL x 0", ":1"), ("EVAL x 0", ":0"));
        let only = |exchanges: &[(&str, &str)]| never_seen(exchanges).concat().contains("AnythingBut(\"1\")");
        assert!(only(&[one, one]));
        assert!(!only(&[one]) && !only(&[one, other, one]));
        assert!(!only(&[one, ("EVAL x 0", "*0")]));
    }

    #[test]
    fn commands_of_an_aborted_transaction_were_not_executed() {
        let summary = summed_up(&[("MULTI", "+OK"), ("SET a 1", "+QUEUED"), ("GET a", "+QUEUED"), ("EXEC", "*-1")]);
        assert_eq!((summary.commands, summary.without_ttl.len()), (4, 0));
        assert!(summary.never_seen.iter().all(|never| never.shape.name() == "EXEC"));
    }

    #[test]
    fn rows_of_different_keys_are_suspect() {
        let gets = |keys: &[&str]| -> usize {
            let commands: Vec<_> = keys.iter().map(|key| format!("GET k:{key}")).collect();
            let exchanges: Vec<_> = commands.iter().map(|command| (command.as_str(), "+x")).collect();
            summed_up(&exchanges).repeated.iter().map(|(_, suspect)| suspect.longest).sum()
        };
        assert_eq!(gets(&["1", "2", "3", "4", "5"]), 5);
        assert_eq!(gets(&["1", "2", "3", "4"]), 0);
        // The same key again is polling, which MGET does not shorten.
        assert_eq!(gets(&["1", "1", "1", "1", "1", "2"]), 0);
        assert_eq!(gets(&["1", "2", "3", "x", "4", "5"]), 0);
    }
}
