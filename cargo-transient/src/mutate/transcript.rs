//! The recorded run as steps that can be replayed on another server.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use transient_fixtures::Error;
use transient_fixtures::tap::{Event, Recording};

use super::compare::Comparison;
use super::times;
use crate::exchange::{self, Exchange};
use crate::resp::{self, Reply};

/// Commands that are not sent: they would change the server itself, or wait for other servers, or are sent by the
/// replay where it needs them.
const LEFT_OUT: [&str; 26] = [
    "ACL",
    "AUTH",
    "BGREWRITEAOF",
    "BGSAVE",
    "CLIENT",
    "CLUSTER",
    "CONFIG",
    "DEBUG",
    "FAILOVER",
    "HELLO",
    "LATENCY",
    "MIGRATE",
    "MODULE",
    "MONITOR",
    "PSYNC",
    "QUIT",
    "REPLICAOF",
    "RESET",
    "SAVE",
    "SELECT",
    "SHUTDOWN",
    "SLAVEOF",
    "SLOWLOG",
    "SYNC",
    "WAIT",
    "WAITAOF",
];

const SUBSCRIPTIONS: [&str; 6] =
    ["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"];

/// Blocking commands, and where their time-out is: counted from the front, or from the end.
const BLOCKING: [(&str, Timeout); 9] = [
    ("BLPOP", Timeout::Last),
    ("BRPOP", Timeout::Last),
    ("BRPOPLPUSH", Timeout::Last),
    ("BLMOVE", Timeout::Last),
    ("BZPOPMIN", Timeout::Last),
    ("BZPOPMAX", Timeout::Last),
    ("BLMPOP", Timeout::First),
    ("BZMPOP", Timeout::First),
    ("XREAD", Timeout::Option),
];

#[derive(Clone, Copy)]
enum Timeout {
    First,
    Last,
    /// After the word BLOCK.
    Option,
}

/// How a command is replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It is not sent.
    LeftOut,
    /// It is sent as part of a transaction, when that is executed.
    Queued,
    Send,
    /// These are sent with it: the beginning of the transaction, and what was queued.
    Execute(Vec<usize>),
    /// It is sent without a time-out, and its reply is awaited where it was recorded.
    Block,
    Subscribe,
}

/// A command of the transcript.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Entry {
    pub(super) step: Step,
    /// The bytes that are sent.
    pub(super) bytes: Vec<u8>,
    /// The lane of its connection.
    pub(super) lane: usize,
    pub(super) database: u32,
    pub(super) comparison: Comparison,
    /// Whether a connection has watched keys before it, whose transaction is still to come.
    pub(super) is_watching: bool,
    /// Whether an expiry is absolute, so that the bytes depend on the time of the replay.
    pub(super) has_absolute_expiry: bool,
    /// Whether the server chooses an id of a stream.
    pub(super) chooses_id: bool,
    /// Whether it names such an id.
    pub(super) uses_ids: bool,
    /// Whether no mutant may change it: it is not what the program has sent, or is from the fixtures of its tests.
    pub(super) is_ours: bool,
    /// The reply that is expected. `None` if none was recorded.
    pub(super) expected: Option<Reply>,
}

/// Something that happens before a command.
#[derive(Clone, Copy, Debug)]
pub(super) enum Occurrence {
    /// The reply to this blocking command arrives.
    Reply(usize),
    /// This lane is closed.
    Close(usize),
}

/// A socket of the replay. Connections that keep no state share one.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) is_resp3: bool,
    pub(super) is_shared: bool,
    /// The messages that subscribers got.
    pub(super) messages: Vec<Reply>,
    pub(super) subscribes: bool,
    /// The last command of a subscriber, to which its messages are attributed.
    pub(super) last: usize,
}

pub(super) struct Transcript {
    pub(super) exchanges: Vec<Exchange>,
    pub(super) entries: Vec<Entry>,
    pub(super) lanes: Vec<Lane>,
    pub(super) occurrences: BTreeMap<usize, Vec<Occurrence>>,
    pub(super) databases: Vec<u32>,
    /// Since 1970.
    pub(super) started: Duration,
}

impl Transcript {
    /// Reads a recording.
    ///
    /// # Errors
    ///
    /// Returns an error if the file can't be read.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let exchanges = exchange::read(path)?;
        let mut recording = Recording::open(path)?;
        let started = recording.started().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (mut closed, mut messages, mut commands) = (Vec::new(), HashMap::<u64, Vec<Reply>>::new(), 0);
        for event in &mut recording {
            let event = event?;
            match event.event() {
                Event::Command { .. } => commands += 1,
                Event::Close => closed.push((event.connection(), commands)),
                Event::Push { frame, .. } => {
                    let message = Reply::read(frame).map(|(reply, _)| reply).filter(is_message);
                    messages.entry(event.connection()).or_default().extend(message);
                }
                _ => {}
            }
        }
        Ok(Self::of(exchanges, &closed, messages, started))
    }

    pub(super) fn of(
        exchanges: Vec<Exchange>,
        closed: &[(u64, usize)],
        mut messages: HashMap<u64, Vec<Reply>>,
        started: Duration,
    ) -> Self {
        let names: Vec<_> = exchanges.iter().map(Exchange::name).collect();
        let mut lanes = vec![
            Lane { is_shared: true, ..Lane::default() },
            Lane { is_shared: true, is_resp3: true, ..Lane::default() },
        ];
        let mut lane_of = HashMap::new();
        for (connection, is_resp3, keeps_state) in connections(&exchanges, &names) {
            let lane = if keeps_state {
                let messages = messages.remove(&connection).unwrap_or_default();
                lanes.push(Lane { is_resp3, messages, ..Lane::default() });
                lanes.len() - 1
            } else {
                usize::from(is_resp3)
            };
            lane_of.insert(connection, lane);
        }
        let mut occurrences: BTreeMap<usize, Vec<Occurrence>> = BTreeMap::new();
        let (mut database_of, mut queued) = (HashMap::<u64, u32>::new(), HashMap::<u64, Vec<usize>>::new());
        let mut entries = Vec::with_capacity(exchanges.len());
        let mut watching = HashSet::new();
        let tools: HashSet<u64> = exchanges
            .iter()
            .filter(|exchange| is_of_tool(&exchange.words))
            .map(|exchange| exchange.connection)
            .collect();
        let (mut databases, mut ids) = (HashSet::from([0]), HashSet::new());
        for (index, exchange) in exchanges.iter().enumerate() {
            let (name, connection) = (names[index].as_str(), exchange.connection);
            let lane = lane_of[&connection];
            let is_queued = matches!(&exchange.reply, Some(Reply::Line(b'+', text)) if text == b"QUEUED")
                || exchange.executed_by.is_some();
            let step = match name {
                "MULTI" => {
                    queued.insert(connection, vec![index]);
                    Step::Queued
                }
                "EXEC" => queued.remove(&connection).map_or(Step::Send, Step::Execute),
                "DISCARD" => {
                    queued.remove(&connection);
                    // WATCH ends with it.
                    Step::LeftOut
                }
                "SELECT" | "RESET" => {
                    let selected = String::from_utf8_lossy(exchange.words.get(1).map_or(b"0", Vec::as_slice)).parse();
                    if let (Ok(selected), false) = (selected, is_error(exchange.reply.as_ref())) {
                        database_of.insert(connection, selected);
                        databases.insert(selected);
                    }
                    Step::LeftOut
                }
                _ if LEFT_OUT.contains(&name) => Step::LeftOut,
                _ if is_queued || queued.contains_key(&connection) => {
                    queued.entry(connection).or_default().push(index);
                    Step::Queued
                }
                _ if SUBSCRIPTIONS.contains(&name) => {
                    (lanes[lane].subscribes, lanes[lane].last) = (true, index);
                    Step::Subscribe
                }
                _ if timeout_at(name, &exchange.words).is_some() => {
                    if let Some((_, commands_before)) = exchange.replied {
                        occurrences.entry(commands_before).or_default().push(Occurrence::Reply(index));
                    }
                    Step::Block
                }
                _ if lanes[lane].subscribes => Step::Subscribe,
                _ => Step::Send,
            };
            let database = database_of.get(&connection).copied().unwrap_or_default();
            let mut entry = entry(step, exchange, name, lane, database, &ids);
            entry.is_ours |= tools.contains(&connection);
            for (closed, _) in closed.iter().filter(|(_, commands_before)| *commands_before == index) {
                watching.remove(closed);
            }
            entry.is_watching = !watching.is_empty();
            match name {
                "WATCH" => _ = watching.insert(connection),
                "EXEC" | "DISCARD" | "UNWATCH" | "RESET" => _ = watching.remove(&connection),
                _ => {}
            }
            if let (true, Some(Reply::Bytes(_, Some(id)))) = (entry.chooses_id, &entry.expected) {
                ids.insert(id.clone());
            }
            entries.push(entry);
        }
        for (connection, commands_before) in closed {
            if let Some(lane) = lane_of.get(connection).filter(|lane| !lanes[**lane].is_shared) {
                occurrences.entry(*commands_before).or_default().push(Occurrence::Close(*lane));
            }
        }
        let mut databases: Vec<_> = databases.into_iter().collect();
        databases.sort_unstable();
        Self { exchanges, entries, lanes, occurrences, databases, started }
    }

    /// The time of a command, since 1970.
    pub(super) fn time_of(&self, index: usize) -> Duration {
        self.started + self.exchanges[index].at
    }

    /// How long the recorded run was.
    pub(super) fn duration(&self) -> Duration {
        self.exchanges.last().map_or(Duration::ZERO, |exchange| exchange.at)
    }
}

/// The time now, since 1970.
pub(super) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Whether this names a connection of the crate transient-fixtures, which prepares and checks the data of tests.
pub(super) fn is_of_tool(words: &[Vec<u8>]) -> bool {
    let is = |index: usize, word: &[u8]| words.get(index).is_some_and(|other| other.eq_ignore_ascii_case(word));
    is(0, b"CLIENT") && is(1, b"SETNAME") && words.get(2).is_some_and(|name| name.starts_with(b"transient-fixtures:"))
}

fn entry(step: Step, exchange: &Exchange, name: &str, lane: usize, database: u32, ids: &HashSet<Vec<u8>>) -> Entry {
    let uses_ids =
        !ids.is_empty() && exchange.words.iter().any(|word| ids.contains(word.strip_prefix(b"(").unwrap_or(word)));
    let mut words = exchange.words.clone();
    let mut comparison = Comparison::of(name, &words);
    let mut expected = exchange.reply.clone();
    let mut is_ours = false;
    if matches!(step, Step::LeftOut | Step::Subscribe) {
        comparison = Comparison::None;
    }
    if let (Step::Block, Some(at)) = (&step, timeout_at(name, &words)) {
        words[at] = b"0".to_vec();
    }
    if let ("SPOP", Some(members)) = (name, expected.as_ref().and_then(popped)) {
        // Which members it takes is random. These were taken.
        let count = members.len();
        words = [b"SREM".to_vec(), words[1].clone()].into_iter().chain(members).collect();
        expected = Some(Reply::Line(b':', count.to_string().into_bytes()));
        (comparison, is_ours) = (Comparison::Exact, true);
    }
    Entry {
        bytes: resp::command(&words),
        lane,
        database,
        comparison,
        is_watching: false,
        has_absolute_expiry: times::absolute_expiry(&words).is_some(),
        chooses_id: name == "XADD" && words.iter().any(|word| word == b"*"),
        uses_ids,
        is_ours,
        expected,
        step,
    }
}

fn popped(reply: &Reply) -> Option<Vec<Vec<u8>>> {
    match reply {
        Reply::Bytes(_, Some(member)) => Some(vec![member.clone()]),
        Reply::Elements(_, Some(members)) if !members.is_empty() => members
            .iter()
            .map(|member| match member {
                Reply::Bytes(_, Some(member)) => Some(member.clone()),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}

/// The connections in order, whether they speak RESP3, and whether they keep state that others must not share.
fn connections(exchanges: &[Exchange], names: &[String]) -> Vec<(u64, bool, bool)> {
    let (mut order, mut facts) = (Vec::new(), HashMap::<u64, (bool, bool)>::new());
    for (exchange, name) in exchanges.iter().zip(names) {
        let (is_resp3, keeps_state) = facts.entry(exchange.connection).or_insert_with(|| {
            order.push(exchange.connection);
            (false, false)
        });
        let name = name.as_str();
        let says_3 = || exchange.words.get(1).is_some_and(|word| word == b"3");
        *is_resp3 |= name == "HELLO" && says_3() && !is_error(exchange.reply.as_ref());
        *keeps_state |= name == "WATCH"
            || SUBSCRIPTIONS.contains(&name)
            || (timeout_at(name, &exchange.words).is_some() && exchange.executed_by.is_none());
    }
    order.into_iter().map(|connection| (connection, facts[&connection].0, facts[&connection].1)).collect()
}

pub(super) fn is_error(reply: Option<&Reply>) -> bool {
    matches!(reply, Some(Reply::Line(b'-', _) | Reply::Bytes(b'!', _)))
}

/// Whether this is a message of a channel. Events of keys depend on the time at which the server removes them.
pub(super) fn is_message(reply: &Reply) -> bool {
    let Reply::Elements(b'*' | b'>', Some(elements)) = reply else { return false };
    let text = |index: usize| match elements.get(index) {
        Some(Reply::Bytes(_, Some(text))) => text.as_slice(),
        _ => b"",
    };
    [&b"message"[..], b"pmessage", b"smessage"].contains(&text(0))
        && !text(1).starts_with(b"__key")
        && !text(2).starts_with(b"__key")
}

/// The index of the time-out of a blocking command.
fn timeout_at(name: &str, words: &[Vec<u8>]) -> Option<usize> {
    let name = if name == "XREADGROUP" { "XREAD" } else { name };
    let (_, timeout) = BLOCKING.iter().find(|(blocking, _)| *blocking == name)?;
    match timeout {
        Timeout::First => (words.len() > 2).then_some(1),
        Timeout::Last => (words.len() > 2).then(|| words.len() - 1),
        Timeout::Option => {
            let streams = words.iter().position(|word| word.eq_ignore_ascii_case(b"STREAMS"))?;
            let at = words[..streams].iter().position(|word| word.eq_ignore_ascii_case(b"BLOCK"))?;
            (at + 1 < streams).then_some(at + 1)
        }
    }
}
