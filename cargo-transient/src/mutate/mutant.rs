//! An operator at work in a tap.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use transient_fixtures::__cargo_transient::{Rewrite, Rewritten, TakesReply};

use super::answer::{Version, is_error};
use super::operator::Operator;
use super::options::upper;
use super::rule::{Mutation, Word};
use super::script::{self, Scripts};
use super::transaction::{Judge, Queued, executed};
use crate::resp::{self, Reply};

/// Selects the commands that a mutant changes, of those that its operator applies to.
pub(crate) type Selects = Box<dyn Fn(&[Word]) -> bool + Send>;

/// Changes the selected commands, and counts them.
pub(crate) struct Mutant {
    operator: &'static Operator,
    selects: Selects,
    /// What makes a script change its commands; `None` if the operator can't.
    prefix: Option<String>,
    counts: Arc<Counts>,
    scripts: Arc<Mutex<Scripts>>,
    connections: HashMap<u64, Connection>,
}

/// How often a mutant has changed a command. A run in which that never ends is a livelock.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    applied: AtomicU64,
    effective: AtomicU64,
}

impl Counts {
    /// Returns how many commands were sent changed. In scripts, those of scripts that have ended without an error.
    pub(crate) fn applied(&self) -> u64 {
        self.applied.load(Ordering::Relaxed)
    }

    /// Returns how many of them can have had an effect.
    pub(crate) fn effective(&self) -> u64 {
        self.effective.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, applied: u64, effective: u64) {
        self.applied.fetch_add(applied, Ordering::Relaxed);
        self.effective.fetch_add(effective, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Connection {
    /// Whether a MULTI was sent, and no EXEC or DISCARD. Its reply can be pending.
    is_in_transaction: bool,
    state: Arc<Mutex<State>>,
}

/// What the replies so far have told.
#[derive(Default)]
struct State {
    version: Version,
    /// The commands that are queued, if a transaction is open.
    queued: Option<Vec<Queued>>,
    /// The reply to the first of the two commands that were sent for one.
    first: Option<Reply>,
}

impl Mutant {
    /// A mutant that changes the selected commands. It selects a script by its EVAL or EVALSHA.
    pub(crate) fn new(operator: &'static Operator, selects: Selects) -> Self {
        Self {
            operator,
            selects,
            prefix: script::prefix(operator, None),
            counts: Arc::default(),
            scripts: Arc::default(),
            connections: HashMap::new(),
        }
    }

    /// Of the commands in selected scripts, changes only those with this name.
    pub(crate) fn inside(self, inner: &str) -> Self {
        Self { prefix: script::prefix(self.operator, Some(&inner.to_uppercase())), ..self }
    }

    /// Returns its counts, which change while it is at work.
    pub(crate) fn counts(&self) -> Arc<Counts> {
        self.counts.clone()
    }

    /// Returns the commands that are sent instead, and what becomes of their replies.
    fn changed(&self, words: &[Word]) -> Option<(Option<Vec<Word>>, Vec<Word>, Judge)> {
        let counts = self.counts.clone();
        if script::is_call(words) {
            let text = lock(&self.scripts).called(words)?;
            let prefix = self.prefix.as_ref().filter(|_| (self.selects)(words))?;
            let (first, forward) = script::changed(words, &text, prefix);
            let hashes = [script::hash(&forward[1]), script::hash(text.as_bytes())];
            let judge = move |_: Option<&Reply>, reply: &Reply, version: Version| {
                let (applied, effective, reply) = script::result(reply, version);
                counts.add(applied, effective);
                script::with_hash(reply, &hashes)
            };
            return Some((first, forward, Box::new(judge)));
        }
        let Mutation { first, forward, answer, number, effect } = self.operator.mutate(words)?;
        if !(self.selects)(words) {
            return None;
        }
        counts.add(1, 0);
        let judge = move |first: Option<&Reply>, reply: &Reply, version: Version| {
            let given = answer.give(number, reply, version);
            counts.add(0, effect.is_there(number, first, reply, &given).into());
            given
        };
        Some((first, forward, Box::new(judge)))
    }
}

impl Rewrite for Mutant {
    fn command(&mut self, connection: u64, frame: &[u8]) -> Option<Rewritten> {
        let words = resp::words(frame);
        let name = upper(words.first()?);
        let connection = self.connections.entry(connection).or_default();
        let state = connection.state.clone();
        match name.as_str() {
            "HELLO" => return Some(watched(state, State::greeted)),
            "RESET" => {
                connection.is_in_transaction = false;
                return Some(watched(state, State::reset));
            }
            "MULTI" => {
                connection.is_in_transaction = true;
                return Some(watched(state, State::began));
            }
            "DISCARD" => {
                connection.is_in_transaction = false;
                return Some(watched(state, State::discarded));
            }
            "EXEC" => {
                connection.is_in_transaction = false;
                return Some(replied(move |reply| lock(&state).executed(reply)));
            }
            "SCRIPT" if !connection.is_in_transaction => {
                if let Some(script) = lock(&self.scripts).administered(&words) {
                    let scripts = self.scripts.clone();
                    return Some(replied(move |reply| {
                        lock(&scripts).loaded(reply, script);
                        None
                    }));
                }
            }
            _ => {}
        }
        let is_in_transaction = connection.is_in_transaction;
        // The quotes of an inline command are not understood.
        let is_understood = frame.first() == Some(&b'*') || !frame.iter().any(|byte| matches!(byte, b'"' | b'\''));
        let changed = if is_understood { self.changed(&words) } else { None };
        let Some((first, forward, judge)) = changed else {
            return is_in_transaction.then(|| watched(state, State::queued));
        };
        let mut frames = first.as_deref().map(resp::command).unwrap_or_default();
        frames.extend_from_slice(&resp::command(&forward));
        let is_doubled = first.is_some();
        let first = is_doubled.then(|| {
            let state = state.clone();
            Box::new(move |bytes: &[u8]| lock(&state).first = whole(bytes)) as TakesReply
        });
        let reply = replied(move |reply| lock(&state).judged(reply, is_doubled, judge));
        Some(Rewritten { forward: Some(frames), first, ..reply })
    }

    fn closes(&mut self, connection: u64) {
        self.connections.remove(&connection);
    }
}

impl State {
    fn greeted(&mut self, reply: &Reply) {
        self.version = if matches!(reply, Reply::Elements(b'%', _)) { Version::Resp3 } else { Version::Resp2 };
    }

    fn reset(&mut self, _: &Reply) {
        *self = Self::default();
    }

    fn began(&mut self, _: &Reply) {
        self.queued.get_or_insert_default();
    }

    fn discarded(&mut self, _: &Reply) {
        self.queued = None;
    }

    fn queued(&mut self, reply: &Reply) {
        if is_queued(reply)
            && let Some(queued) = &mut self.queued
        {
            queued.push(Queued::default());
        }
    }

    /// Returns what the program gets for a command that was sent changed; `None` for the reply as it came.
    fn judged(&mut self, reply: &Reply, is_doubled: bool, judge: Judge) -> Option<Reply> {
        let first = self.first.take();
        match &mut self.queued {
            Some(queued) if is_queued(reply) => {
                queued.push(Queued { is_doubled, judge: Some(judge) });
                None
            }
            _ => Some(judge(first.as_ref(), reply, self.version)),
        }
    }

    fn executed(&mut self, reply: &Reply) -> Option<Reply> {
        executed(reply, self.queued.take()?, self.version)
    }
}

fn is_queued(reply: &Reply) -> bool {
    matches!(reply, Reply::Line(b'+', text) if text == b"QUEUED")
}

fn whole(bytes: &[u8]) -> Option<Reply> {
    Reply::read(bytes).map(|(reply, _)| reply)
}

/// The command as it came. If the reply is no error, notes it.
fn watched(state: Arc<Mutex<State>>, note: fn(&mut State, &Reply)) -> Rewritten {
    replied(move |reply| {
        if !is_error(reply) {
            note(&mut lock(&state), reply);
        }
        None
    })
}

/// The command as it came, and the reply that this returns; as it came for `None`.
fn replied(reply: impl FnOnce(&Reply) -> Option<Reply> + Send + 'static) -> Rewritten {
    let reply = move |bytes: &[u8]| {
        let Some(changed) = whole(bytes).and_then(|came| reply(&came)) else { return bytes.to_vec() };
        let mut out = Vec::new();
        changed.write(&mut out);
        out
    };
    Rewritten { reply: Some(Box::new(reply)), ..Rewritten::default() }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
