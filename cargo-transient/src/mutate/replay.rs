//! Sends a transcript to another server, and compares the replies.
//!
//! Commands are sent in the recorded order. Those of connections that keep no state share a socket, so that they can be
//! sent without waiting for the replies to earlier ones; before another socket is used, all replies are read. The time
//! between two commands is not waited for: the server's keys age instead.

mod stateful;

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::time::{Duration, Instant};

use transient_fixtures::__cargo_transient::{ChangesReply, CommandServer, Rewrite, Rewritten, TakesReply, TimeTravel};

use super::clean::Clean;
use super::socket::Socket;
use super::times;
use super::transcript::{self, Occurrence, Step, Transcript};
use crate::resp::{self, Reply};

/// A pause that keys age for.
const PAUSE: Duration = Duration::from_millis(20);

/// A pause that keys age for even if they are watched.
const LONG: Duration = Duration::from_secs(1);

/// Into how many steps the shorter pauses of a run are collected at most.
const STEPS: u32 = 500;

/// How many bytes are sent before the replies are read.
const BATCH: usize = 64 * 1024;

/// A reply that is not the recorded one.
#[derive(Clone, Debug)]
pub(super) struct Difference {
    /// The index of the command.
    pub(super) index: usize,
    pub(super) recorded: Option<Reply>,
    /// `None` if there was none.
    pub(super) replayed: Option<Reply>,
}

/// Replays transcripts on one server.
pub(super) struct Replay<'server> {
    server: &'server CommandServer,
    control: Socket,
    /// Those of the two shared lanes stay.
    sockets: Vec<Option<Socket>>,
}

impl<'server> Replay<'server> {
    /// # Errors
    ///
    /// Returns an error if the server does not answer.
    pub(super) fn new(server: &'server CommandServer) -> io::Result<Self> {
        Ok(Self { server, control: Socket::connect(server, false)?, sockets: Vec::new() })
    }

    /// Replays a transcript on the empty server, with a mutant of some of its commands if there is one. Compares the
    /// replies with what is expected of this server, if that is known. With a mutant, stops at the first that differs.
    ///
    /// # Errors
    ///
    /// Returns an error if the server stops answering. It must not be used any more then.
    pub(super) fn play(
        &mut self,
        transcript: &Transcript,
        mutant: Option<(&mut (dyn Rewrite + 'static), &[usize])>,
        clean: Option<&Clean>,
    ) -> io::Result<Vec<Difference>> {
        self.sockets.truncate(2);
        self.sockets.resize_with(transcript.lanes.len(), || None);
        self.control.ask(&["FLUSHALL"])?;
        self.control.ask(&["SCRIPT", "FLUSH"])?;
        // Redis before 7 has no functions.
        let _ = self.control.ask(&["FUNCTION", "FLUSH"]);
        let mut run = Run {
            replay: self,
            transcript,
            changed: mutant.as_ref().map(|(_, targets)| changed(transcript, targets)).unwrap_or_default(),
            greeted: HashSet::new(),
            rewrite: mutant.map(|(rewrite, _)| rewrite),
            clean,
            time: None,
            lane: 0,
            out: Vec::new(),
            pending: VecDeque::new(),
            blocked: HashMap::new(),
            clients: HashMap::new(),
            messages: HashMap::new(),
            ids: HashMap::new(),
            began: Instant::now(),
            travelled: Duration::ZERO,
            differences: Vec::new(),
        };
        run.run()?;
        Ok(run.differences)
    }
}

/// The commands that a mutant of these must see: also the transactions that they are in, and those that make scripts
/// known.
fn changed(transcript: &Transcript, targets: &[usize]) -> Vec<bool> {
    let is_of_scripts = |index: usize| transcript.exchanges[index].name().starts_with("EVAL");
    let mut changed = vec![false; transcript.entries.len()];
    for index in targets {
        changed[*index] = true;
    }
    if targets.iter().any(|index| is_of_scripts(*index)) {
        for (index, exchange) in transcript.exchanges.iter().enumerate() {
            changed[index] |= is_of_scripts(index) || exchange.name() == "SCRIPT";
        }
    }
    for (index, entry) in transcript.entries.iter().enumerate() {
        if let Step::Execute(queued) = &entry.step
            && queued.iter().any(|command| changed[*command])
        {
            for command in queued.iter().chain([&index]) {
                changed[*command] = true;
            }
        }
    }
    changed
}

/// A reply that is awaited.
struct Pending {
    what: Awaited,
    first: Option<TakesReply>,
    reply: Option<ChangesReply>,
}

enum Awaited {
    /// Of a command that is not compared.
    Nothing,
    Command(usize),
    /// EXEC, with its commands.
    Transaction(usize, Vec<usize>),
}

/// One replay.
struct Run<'run, 'server> {
    replay: &'run mut Replay<'server>,
    transcript: &'run Transcript,
    rewrite: Option<&'run mut (dyn Rewrite + 'static)>,
    /// The commands that the mutant sees.
    changed: Vec<bool>,
    /// The connections of which it knows that they speak RESP3.
    greeted: HashSet<u64>,
    clean: Option<&'run Clean>,
    /// Connects when it is first needed.
    time: Option<TimeTravel<'server>>,
    /// The lane in use.
    lane: usize,
    out: Vec<u8>,
    pending: VecDeque<Pending>,
    /// The blocking commands that have no reply yet, by lane.
    blocked: HashMap<usize, usize>,
    /// The clients' ids, by lane.
    clients: HashMap<usize, String>,
    messages: HashMap<usize, Vec<Reply>>,
    /// The ids that this server has chosen, by the recorded ones.
    ids: HashMap<Vec<u8>, Vec<u8>>,
    began: Instant,
    travelled: Duration,
    differences: Vec<Difference>,
}

impl Run<'_, '_> {
    fn run(&mut self) -> io::Result<()> {
        let transcript = self.transcript;
        for index in 0..transcript.entries.len() {
            self.occur(index)?;
            self.pass_time(index)?;
            self.step(index)?;
            if self.is_over() {
                return self.close();
            }
        }
        let after_all: Vec<_> =
            transcript.occurrences.range(transcript.entries.len()..).map(|(index, _)| *index).collect();
        after_all.into_iter().try_for_each(|index| self.occur(index))?;
        self.flush()?;
        self.close()
    }

    fn is_over(&self) -> bool {
        self.rewrite.is_some() && !self.differences.is_empty()
    }

    /// What happens before a command.
    fn occur(&mut self, index: usize) -> io::Result<()> {
        for occurrence in self.transcript.occurrences.get(&index).into_iter().flatten() {
            self.flush()?;
            match *occurrence {
                Occurrence::Reply(command) => self.unblock(command)?,
                Occurrence::Close(lane) => self.close_lane(lane)?,
            }
        }
        Ok(())
    }

    /// How far the server's time is behind the recorded one.
    fn behind(&self, index: usize) -> Duration {
        self.transcript.exchanges[index].at.saturating_sub(self.travelled + self.began.elapsed())
    }

    /// Lets the recorded time pass that has not passed yet.
    fn pass_time(&mut self, index: usize) -> io::Result<()> {
        let exchanges = &self.transcript.exchanges;
        let pause = exchanges[index]
            .at
            .saturating_sub(index.checked_sub(1).map_or(Duration::ZERO, |index| exchanges[index].at));
        let behind = self.behind(index);
        // A key that ages breaks a WATCH.
        if self.transcript.entries[index].is_watching && pause < LONG {
            return Ok(());
        }
        let time = if pause >= PAUSE { behind.min(pause) } else { behind };
        if time < PAUSE || (pause < PAUSE && time < self.transcript.duration() / STEPS) {
            return Ok(());
        }
        self.flush()?;
        if self.time.is_none() {
            self.time = Some(self.replay.server.time_travel().map_err(io::Error::other)?);
        }
        if let Some(travel) = &mut self.time {
            travel.travel(time, &self.transcript.databases).map_err(io::Error::other)?;
        }
        self.travelled += time;
        Ok(())
    }

    fn step(&mut self, index: usize) -> io::Result<()> {
        let transcript = self.transcript;
        let entry = &transcript.entries[index];
        match &entry.step {
            Step::LeftOut | Step::Queued => Ok(()),
            Step::Send => {
                self.use_lane(entry.lane, entry.database)?;
                self.forward(index, Awaited::Command(index))
            }
            Step::Execute(queued) => {
                self.use_lane(entry.lane, entry.database)?;
                for command in queued {
                    self.forward(*command, Awaited::Nothing)?;
                }
                let executed =
                    queued.iter().copied().filter(|command| transcript.exchanges[*command].executed_by.is_some());
                self.forward(index, Awaited::Transaction(index, executed.collect()))
            }
            Step::Block => self.block(index),
            Step::Subscribe => {
                self.use_lane(entry.lane, entry.database)?;
                self.flush()?;
                self.socket(entry.lane)?.send(&entry.bytes)?;
                self.read_messages(entry.lane)
            }
        }
    }

    /// Switches to a lane and a database.
    fn use_lane(&mut self, lane: usize, database: u32) -> io::Result<()> {
        if lane != self.lane {
            self.flush()?;
            self.lane = lane;
        }
        let socket = self.socket(lane)?;
        if socket.database != database {
            socket.database = database;
            self.out.extend(resp::command(&["SELECT", &database.to_string()]));
            self.pending.push_back(Pending { what: Awaited::Nothing, first: None, reply: None });
        }
        Ok(())
    }

    fn socket(&mut self, lane: usize) -> io::Result<&mut Socket> {
        if self.replay.sockets[lane].is_none() {
            let facts = &self.transcript.lanes[lane];
            let mut socket = Socket::connect(self.replay.server, facts.is_resp3)?;
            if !facts.is_shared
                && let Reply::Line(_, id) = socket.ask(&["CLIENT", "ID"])?
            {
                self.clients.insert(lane, String::from_utf8_lossy(&id).into_owned());
            }
            self.replay.sockets[lane] = Some(socket);
        }
        self.replay.sockets[lane].as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Sends a command on the lane in use, as the mutant changes it.
    fn forward(&mut self, index: usize, what: Awaited) -> io::Result<()> {
        let entry = &self.transcript.entries[index];
        if entry.uses_ids {
            self.flush()?;
        }
        let is_other = entry.has_absolute_expiry || entry.uses_ids;
        let bytes = if is_other { &self.bytes_now(index) } else { &entry.bytes };
        let connection = self.transcript.exchanges[index].connection;
        if self.rewrite.is_some()
            && self.changed[index]
            && self.transcript.lanes[entry.lane].is_resp3
            && self.greeted.insert(connection)
        {
            self.greet(connection);
        }
        let rewrite = self.rewrite.as_mut().filter(|_| self.changed.get(index) == Some(&true));
        let Rewritten { forward, first, reply, .. } =
            rewrite.and_then(|rewrite| rewrite.command(connection, bytes)).unwrap_or_default();
        self.out.extend_from_slice(forward.as_ref().unwrap_or(bytes));
        self.pending.push_back(Pending { what, first, reply });
        // The mutant learns the scripts from the replies.
        let loads_script = self.rewrite.is_some() && self.transcript.exchanges[index].name() == "SCRIPT";
        if loads_script || self.out.len() >= BATCH { self.flush() } else { Ok(()) }
    }

    /// Tells the mutant that a connection speaks RESP3.
    fn greet(&mut self, connection: u64) {
        let rewritten = self.rewrite.as_mut().and_then(|rewrite| rewrite.command(connection, b"HELLO 3\r\n"));
        if let Some(reply) = rewritten.and_then(|rewritten| rewritten.reply) {
            reply(b"%0\r\n");
        }
    }

    /// A command with the ids and the expiry that it has now.
    fn bytes_now(&self, index: usize) -> Vec<u8> {
        let words = self.transcript.exchanges[index].words.iter().map(|word| {
            let (open, id) = word.strip_prefix(b"(").map_or((&b""[..], word.as_slice()), |id| (&b"("[..], id));
            self.ids.get(id).map_or_else(|| word.clone(), |id| [open, id].concat())
        });
        resp::command(&times::rebased(words.collect(), self.transcript.time_of(index), transcript::now()))
    }

    /// Sends what was collected, and reads the replies.
    fn flush(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let out = std::mem::take(&mut self.out);
        self.socket(self.lane)?.send(&out)?;
        while let Some(Pending { what, first, reply }) = self.pending.pop_front() {
            if let Some(first) = first {
                first(&self.read_reply()?.1);
            }
            let (mut replayed, bytes) = self.read_reply()?;
            if let Some(reply) = reply {
                let bytes = reply(&bytes);
                replayed = Reply::read(&bytes).map(|(reply, _)| reply).ok_or(io::ErrorKind::InvalidData)?;
            }
            match what {
                Awaited::Nothing => {}
                Awaited::Command(index) => self.compare(index, replayed),
                Awaited::Transaction(index, commands) => self.compare_transaction(index, &commands, replayed),
            }
        }
        self.out = out;
        self.out.clear();
        Ok(())
    }

    /// The next reply on the lane in use. Messages are kept.
    fn read_reply(&mut self) -> io::Result<(Reply, Vec<u8>)> {
        let lane = self.lane;
        loop {
            let (reply, bytes) = self.socket(lane)?.read()?;
            if !matches!(reply, Reply::Elements(b'>', _)) {
                return Ok((reply, bytes));
            }
            self.keep_message(lane, reply);
        }
    }

    fn compare(&mut self, index: usize, replayed: Reply) {
        let entry = &self.transcript.entries[index];
        let Some(recorded) = &entry.expected else { return };
        let recorded = self.clean.and_then(|clean| clean.expected(index)).unwrap_or(recorded);
        if entry.chooses_id
            && let (Reply::Bytes(_, Some(recorded)), Reply::Bytes(_, Some(replayed))) = (recorded, &replayed)
        {
            self.ids.insert(recorded.clone(), replayed.clone());
            return;
        }
        if self.clean.is_some_and(|clean| clean.fits(index, &replayed)) {
            return;
        }
        let is_same = |replayed: &Reply| {
            let later = transcript::now().saturating_sub(self.transcript.time_of(index));
            entry.comparison.is_same(recorded, replayed, later, self.behind(index))
        };
        if !is_same(&replayed) && (self.ids.is_empty() || !is_same(&self.with_recorded_ids(replayed.clone()))) {
            self.differs(index, Some(recorded.clone()), Some(replayed));
        }
    }

    fn compare_transaction(&mut self, index: usize, commands: &[usize], replayed: Reply) {
        match (&self.transcript.entries[index].expected, replayed) {
            (Some(Reply::Elements(_, Some(recorded))), Reply::Elements(_, Some(replayed)))
                if recorded.len() == replayed.len() && commands.len() == recorded.len() =>
            {
                for (command, replayed) in commands.iter().zip(replayed) {
                    self.compare(*command, replayed);
                }
            }
            (_, replayed) => self.compare(index, replayed),
        }
    }

    fn with_recorded_ids(&self, reply: Reply) -> Reply {
        match reply {
            Reply::Bytes(kind, Some(bytes)) => {
                let recorded = self.ids.iter().find_map(|(recorded, id)| (*id == bytes).then(|| recorded.clone()));
                Reply::Bytes(kind, Some(recorded.unwrap_or(bytes)))
            }
            Reply::Elements(kind, Some(elements)) => Reply::Elements(
                kind,
                Some(elements.into_iter().map(|element| self.with_recorded_ids(element)).collect()),
            ),
            reply => reply,
        }
    }

    fn differs(&mut self, index: usize, recorded: Option<Reply>, replayed: Option<Reply>) {
        if self.clean.is_none_or(|clean| clean.is_comparable(index)) {
            self.differences.push(Difference { index, recorded, replayed });
        }
    }
}
