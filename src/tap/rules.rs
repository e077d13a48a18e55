//! The rules of a tap: they match commands and inject faults.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::arguments::arguments;
use super::keys;
use crate::report;

/// Selects commands.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    /// The command's name in upper case, in which `*` matches any text.
    pub(super) name: String,
    pub(super) key: Option<String>,
    pub(super) client: Option<String>,
    /// Whether only boundaries match: no connection setup, and no commands queued in a transaction.
    pub(super) at_boundary: bool,
}

impl Pattern {
    fn matches(&self, command: &Judged<'_>) -> bool {
        keys::matches(self.name.as_bytes(), command.name.as_bytes())
            && (command.is_boundary || !self.at_boundary)
            && self.client.as_deref().is_none_or(|client| command.client == Some(client))
            && self.key.as_deref().is_none_or(|pattern| {
                let args: Vec<_> = arguments(command.head).skip(1).collect();
                keys::keys(command.name, &args).iter().any(|key| keys::matches(pattern.as_bytes(), key))
            })
    }
}

/// A command before it is forwarded.
pub(super) struct Judged<'a> {
    pub(super) name: &'a str,
    pub(super) head: &'a [u8],
    pub(super) whole: Option<&'a [u8]>,
    pub(super) client: Option<&'a str>,
    pub(super) is_resp3: bool,
    pub(super) is_boundary: bool,
    /// Whether no earlier command of its connection waits for a reply.
    pub(super) is_first: bool,
}

pub(super) struct Rule {
    pub(super) pattern: Pattern,
    /// How many matching commands still pass before the rule applies.
    pub(super) skips: usize,
    /// How many commands the rule still applies to.
    pub(super) times: usize,
    pub(super) until: Option<Instant>,
    pub(super) action: Action,
    pub(super) fired: Arc<AtomicUsize>,
}

pub(super) enum Action {
    Delay(Duration),
    CutBefore,
    CutAfter,
    Late(Duration),
    /// Reply with this error; the server does not get the command.
    Error(String),
    /// Reply as if the command had succeeded; the server does not get it.
    Pretend,
    Nil,
    HalfReply,
    Garbage,
    WithoutExpiry,
    Twice,
    /// Call this before the command is forwarded.
    Before(Box<dyn FnMut() + Send>),
    /// Call this, and close all connections.
    Restart(Box<dyn FnMut() + Send>),
}

/// The fate of a command.
pub(super) enum Before {
    /// Judge it again when all earlier commands of its connection have their replies.
    WaitForReplies,
    Forward,
    Hold(Instant),
    Cut,
    /// Close all connections of the tap.
    CutAll,
    Answer(Vec<u8>),
    /// Forward these bytes instead. If `true`, they are two commands, and the second reply is dropped.
    Replace(Vec<u8>, bool),
}

pub(super) type RewriteReply = Box<dyn FnOnce(&[u8]) -> Option<Vec<u8>> + Send>;

/// The fate of its reply.
#[derive(Default)]
pub(super) enum After {
    #[default]
    Forward,
    Drop,
    Cut,
    Late(Duration),
    Replace(Vec<u8>),
    /// Forward what this makes of it; drop it for `None`.
    Rewrite(RewriteReply),
    Half,
}

/// The rules of a tap, in the order in which they were made.
#[derive(Default)]
pub(super) struct Rules(pub(super) Vec<Rule>);

impl Rules {
    /// Applies the first rule that matches. Returns the command's fate, its reply's, and the fault for the transcript.
    pub(super) fn judge(&mut self, command: &Judged<'_>) -> Option<(Before, After, &'static str)> {
        let now = Instant::now();
        self.0.retain(|rule| rule.times > 0 && rule.until.is_none_or(|until| now < until));
        let mut matching: Vec<_> = self.0.iter_mut().filter(|rule| rule.pattern.matches(command)).collect();
        let applies = matching.iter().position(|rule| rule.skips == 0);
        if !command.is_first && applies.is_some_and(|at| matching[at].action.changes_data()) {
            return Some((Before::WaitForReplies, After::Forward, ""));
        }
        for rule in matching.iter_mut().take(applies.unwrap_or(usize::MAX)) {
            rule.skips -= 1;
        }
        let rule = &mut *matching[applies?];
        rule.times -= 1;
        rule.fired.fetch_add(1, Ordering::SeqCst);
        Some(rule.action.on(command))
    }
}

impl Action {
    fn changes_data(&self) -> bool {
        matches!(self, Self::Before(_) | Self::Restart(_))
    }

    fn on(&mut self, command: &Judged<'_>) -> (Before, After, &'static str) {
        let nil: &[u8] = if command.is_resp3 { b"_\r\n" } else { b"$-1\r\n" };
        let name = self.name();
        let (before, after) = match self {
            Self::Delay(time) => (Before::Hold(Instant::now() + *time), After::Forward),
            Self::CutBefore => (Before::Cut, After::Forward),
            Self::CutAfter => (Before::Forward, After::Cut),
            Self::Late(time) => (Before::Forward, After::Late(*time)),
            Self::Error(text) => (Before::Answer(format!("-{text}\r\n").into_bytes()), After::Forward),
            Self::Pretend => (Before::Answer(usual_reply(command.name).to_vec()), After::Forward),
            Self::Nil => (Before::Forward, After::Replace(nil.to_vec())),
            Self::HalfReply => (Before::Forward, After::Half),
            Self::Garbage => (Before::Forward, After::Replace(b"\x00\xffgarbage\r\n".to_vec())),
            Self::WithoutExpiry => (without_expiry(command), After::Forward),
            Self::Twice => {
                let before = command.whole.map_or(Before::Forward, |whole| Before::Replace(whole.repeat(2), true));
                (before, After::Forward)
            }
            Self::Before(act) => {
                act();
                (Before::Forward, After::Forward)
            }
            Self::Restart(act) => {
                act();
                (Before::CutAll, After::Forward)
            }
        };
        (before, after, name)
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Delay(_) => report::tap::DELAYED,
            Self::CutBefore => report::tap::CUT_BEFORE,
            Self::CutAfter => report::tap::CUT_AFTER,
            Self::Late(_) => report::tap::LATE,
            Self::Error(_) => report::tap::ERROR,
            Self::Pretend => report::tap::PRETENDED,
            Self::Nil => report::tap::NIL,
            Self::HalfReply => report::tap::HALF_REPLY,
            Self::Garbage => report::tap::GARBAGE,
            Self::WithoutExpiry => report::tap::WITHOUT_EXPIRY,
            Self::Twice => report::tap::TWICE,
            Self::Before(_) => report::tap::BEFORE,
            Self::Restart(_) => report::tap::RESTARTED,
        }
    }
}

/// The server's usual reply if this command succeeds.
fn usual_reply(name: &str) -> &'static [u8] {
    match name {
        "APPEND" | "DECR" | "DECRBY" | "DEL" | "EXPIRE" | "EXPIREAT" | "HDEL" | "HINCRBY" | "HSET" | "HSETNX"
        | "INCR" | "INCRBY" | "LPUSH" | "LPUSHX" | "LREM" | "MSETNX" | "PERSIST" | "PEXPIRE" | "PEXPIREAT"
        | "PUBLISH" | "RPUSH" | "RPUSHX" | "SADD" | "SETNX" | "SETRANGE" | "SREM" | "TOUCH" | "UNLINK" | "XACK"
        | "XDEL" | "ZADD" | "ZREM" => b":1\r\n",
        _ => b"+OK\r\n",
    }
}

/// Removes the expiry from the command.
fn without_expiry(command: &Judged<'_>) -> Before {
    let Some(whole) = command.whole else { return Before::Forward };
    let words: Vec<_> = arguments(whole).collect();
    let is = |word: &[u8], options: &[&str]| options.iter().any(|option| word.eq_ignore_ascii_case(option.as_bytes()));
    let kept: Vec<&[u8]> = match command.name {
        "SET" | "GETEX" => {
            let mut kept = Vec::new();
            let first_option = if command.name == "SET" { 3 } else { 2 };
            let mut rest = words.iter().enumerate();
            while let Some((at, word)) = rest.next() {
                if at >= first_option && is(word, &["EX", "PX", "EXAT", "PXAT"]) {
                    rest.next();
                } else {
                    kept.push(*word);
                }
            }
            kept
        }
        "SETEX" | "PSETEX" if words.len() == 4 => vec![b"SET", words[1], words[3]],
        "EXPIRE" | "PEXPIRE" | "EXPIREAT" | "PEXPIREAT" => return Before::Answer(b":1\r\n".to_vec()),
        _ => return Before::Forward,
    };
    let mut changed = redis::Cmd::new();
    for word in kept {
        changed.arg(word);
    }
    Before::Replace(changed.get_packed_command(), false)
}
