//! The commands of a recording one by one, as their replies came. Only those that wait are in memory.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use transient_fixtures::__cargo_transient::{is_handshake, name_of};
use transient_fixtures::Error;
use transient_fixtures::tap::{Event, Recording};

use crate::resp::{self, Reply};

/// What happened next.
#[derive(Debug)]
pub(crate) enum Step {
    Command(Command),
    /// This connection was closed.
    Closed(u64),
}

/// A command with its reply.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) connection: u64,
    /// The name that the client has given itself.
    pub(crate) client: Option<Rc<str>>,
    pub(crate) database: u32,
    /// The name in upper case, with the subcommand.
    pub(crate) name: String,
    pub(crate) words: Vec<Vec<u8>>,
    /// When it was forwarded, since the start of the recording.
    pub(crate) at: Duration,
    /// As in the library: no other command of its connection waited, it sets up nothing, and MULTI and the commands of
    /// a transaction count as its EXEC.
    pub(crate) begins_round_trip: bool,
    /// `None` if it has none: the connection was closed before, or the client asked for none.
    pub(crate) reply: Option<Reply>,
    /// When the reply came. Without one, the same as `at`.
    pub(crate) replied_at: Duration,
}

impl Command {
    /// The words after the name and the subcommand.
    pub(crate) fn arguments(&self) -> Vec<&[u8]> {
        self.words.iter().skip(self.name.split(' ').count()).map(Vec::as_slice).collect()
    }

    /// Whether it waits in a transaction. What a transaction has executed has the reply of EXEC for it.
    pub(crate) fn is_queued(&self) -> bool {
        matches!(&self.reply, Some(Reply::Line(b'+', text)) if text == b"QUEUED")
    }
}

/// Iterates over the commands of a recording in the order of their replies.
pub(crate) struct Reader {
    recording: Recording,
    connections: BTreeMap<u64, Connection>,
    ready: VecDeque<Step>,
}

#[derive(Default)]
struct Connection {
    client: Option<Rc<str>>,
    database: u32,
    /// The commands without their replies, with their numbers.
    waiting: VecDeque<(u64, Command)>,
    /// Whether the MULTI of the open transaction began a round trip.
    transaction: Option<bool>,
    replies: Replies,
}

/// What CLIENT REPLY has turned on.
#[derive(Default, PartialEq, Eq)]
enum Replies {
    #[default]
    On,
    SkipNext,
    Off,
}

impl Reader {
    /// # Errors
    ///
    /// Returns an error if the file can't be read.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let recording = Recording::open(path)?;
        Ok(Self { recording, connections: BTreeMap::new(), ready: VecDeque::new() })
    }

    fn command(&mut self, number: u64, connection: u64, at: Duration, words: Vec<Vec<u8>>) {
        let state = self.connections.entry(connection).or_default();
        let (command, is_answered) = state.command(connection, at, words);
        if is_answered {
            state.waiting.push_back((number, command));
        } else {
            self.ready.push_back(Step::Command(command));
        }
    }

    fn reply(&mut self, number: u64, connection: u64, at: Duration, frame: &[u8]) {
        let waiting = &mut self.connections.entry(connection).or_default().waiting;
        // Replies have the order of their commands.
        while waiting.front().is_some_and(|(first, _)| *first <= number) {
            let Some((first, mut command)) = waiting.pop_front() else { return };
            if first == number {
                command.reply = Reply::read(frame).map(|(reply, _)| reply);
                command.replied_at = at;
            }
            self.ready.push_back(Step::Command(command));
        }
    }

    fn close(&mut self, connection: u64) {
        let state = self.connections.remove(&connection).unwrap_or_default();
        self.ready.extend(state.waiting.into_iter().map(|(_, command)| Step::Command(command)));
        self.ready.push_back(Step::Closed(connection));
    }
}

impl Iterator for Reader {
    type Item = Result<Step, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() {
            match self.recording.next() {
                Some(Ok(entry)) => match entry.event() {
                    Event::Connect => _ = self.connections.entry(entry.connection()).or_default(),
                    Event::Close => self.close(entry.connection()),
                    Event::Command { number, frame, .. } => {
                        self.command(*number, entry.connection(), entry.at(), resp::words(frame));
                    }
                    Event::Reply { command, frame, .. } => {
                        self.reply(*command, entry.connection(), entry.at(), frame);
                    }
                    _ => {}
                },
                Some(Err(error)) => return Some(Err(error)),
                // A connection can still be open.
                None => match self.connections.keys().next().copied() {
                    Some(connection) => self.close(connection),
                    None => return None,
                },
            }
        }
        self.ready.pop_front().map(Ok)
    }
}

impl Connection {
    /// Returns the command, and whether it gets a reply.
    fn command(&mut self, connection: u64, at: Duration, words: Vec<Vec<u8>>) -> (Command, bool) {
        let name = name_of(words.iter().map(Vec::as_slice));
        let text = |index: usize| words.get(index).map(|word| String::from_utf8_lossy(word));
        let database = self.database;
        // These apply to the next command, even if it is sent before their reply.
        match name.as_str() {
            "SELECT" => self.database = text(1).and_then(|number| number.parse().ok()).unwrap_or(database),
            "CLIENT SETNAME" => self.client = text(2).filter(|name| !name.is_empty()).map(|name| (&*name).into()),
            "HELLO" => {
                let set_name = words.iter().position(|word| word.eq_ignore_ascii_case(b"SETNAME"));
                self.client = set_name.and_then(|at| text(at + 1)).map(|name| (&*name).into()).or(self.client.take());
            }
            "RESET" => (self.database, self.client, self.transaction, self.replies) = (0, None, None, Replies::On),
            _ => {}
        }
        let is_first = self.waiting.is_empty();
        let begins = match name.as_str() {
            "MULTI" => {
                self.transaction.get_or_insert(is_first);
                false
            }
            // In a pipelined transaction MULTI begins the round trip, but EXEC is counted.
            "EXEC" => self.transaction.take().unwrap_or(is_first) || is_first,
            "DISCARD" => {
                self.transaction = None;
                is_first
            }
            _ => is_first && self.transaction.is_none() && !is_handshake(&name),
        };
        let is_answered = self.is_answered(&name, text(2).as_deref().unwrap_or_default());
        let client = self.client.clone();
        let command = Command {
            connection,
            client,
            database,
            name,
            words,
            at,
            begins_round_trip: begins,
            reply: None,
            replied_at: at,
        };
        (command, is_answered)
    }

    fn is_answered(&mut self, name: &str, mode: &str) -> bool {
        if name == "CLIENT REPLY" {
            self.replies = match mode.to_uppercase().as_str() {
                "OFF" => Replies::Off,
                "SKIP" if self.replies == Replies::On => Replies::SkipNext,
                "ON" => Replies::On,
                _ => return self.replies == Replies::On,
            };
            return self.replies == Replies::On;
        }
        if self.replies == Replies::SkipNext {
            self.replies = Replies::On;
            return false;
        }
        self.replies == Replies::On
    }
}

/// Gives each command of a transaction its element of EXEC's reply. Those that EXEC did not execute keep `QUEUED`.
#[derive(Default)]
pub(crate) struct Transactions(BTreeMap<u64, Vec<Command>>);

impl Transactions {
    /// Takes a step, and passes on those that are due.
    pub(crate) fn take(&mut self, step: Step, mut pass_on: impl FnMut(Step)) {
        let step = match step {
            Step::Command(command) if command.is_queued() => {
                self.0.entry(command.connection).or_default().push(command);
                return;
            }
            step => step,
        };
        let (connection, replies) = match &step {
            Step::Command(command) if command.name == "EXEC" => match &command.reply {
                Some(Reply::Elements(b'*', Some(replies))) => (command.connection, replies.clone()),
                _ => (command.connection, Vec::new()),
            },
            Step::Command(command) if ["DISCARD", "RESET"].contains(&command.name.as_str()) => {
                (command.connection, Vec::new())
            }
            Step::Closed(connection) => (*connection, Vec::new()),
            Step::Command(_) => return pass_on(step),
        };
        let (queued, mut replies) = (self.0.remove(&connection).unwrap_or_default(), replies.into_iter());
        for mut command in queued {
            let at = if let Step::Command(exec) = &step { exec.replied_at } else { command.replied_at };
            if let Some(reply) = replies.next() {
                (command.reply, command.replied_at) = (Some(reply), at);
            }
            pass_on(Step::Command(command));
        }
        pass_on(step);
    }
}

/// Commands and their replies, one a second on one connection, each in a round trip of its own.
#[cfg(test)]
pub(crate) fn steps(exchanges: &[(&str, &str)]) -> Vec<Step> {
    let mut connection = Connection::default();
    let commands = (0..).zip(exchanges).map(|(second, (command, reply))| {
        let (command, _) = connection.command(1, Duration::from_secs(second), resp::words(command.as_bytes()));
        let reply = Reply::read(format!("{reply}\r\n").as_bytes()).map(|(reply, _)| reply);
        Step::Command(Command { reply, ..command })
    });
    commands.chain([Step::Closed(1)]).collect()
}
