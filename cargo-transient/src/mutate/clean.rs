//! Which replies of a replay can be compared, and with what.

use std::collections::{HashMap, HashSet};

use super::replay::Difference;
use super::transcript::Transcript;
use crate::resp::Reply;
use crate::shape::keys_of;

/// Stands for any reply of a type, which follows.
const ANY: u8 = b'?';

/// What clean replays on a server have shown.
pub(super) struct Clean {
    comparable: Vec<bool>,
    /// The replies that this server gives, where they are not the recorded ones.
    expected: HashMap<usize, Reply>,
}

impl Clean {
    /// `differences` are those of a first clean replay to the recorded run.
    pub(super) fn new(commands: usize, differences: Vec<Difference>) -> Self {
        let expected = differences.into_iter().filter_map(|difference| Some((difference.index, difference.replayed?)));
        Self { comparable: vec![true; commands], expected: expected.collect() }
    }

    /// Leaves out the parts of replies that differ in another clean replay.
    pub(super) fn leave_out(&mut self, differences: Vec<Difference>) {
        for Difference { index, recorded, replayed } in differences {
            match recorded.zip(replayed).and_then(|(one, other)| common(&one, &other)) {
                Some(common) => _ = self.expected.insert(index, common),
                None => self.comparable[index] = false,
            }
        }
    }

    /// Whether a reply has what is known to be the same in all clean replays.
    pub(super) fn fits(&self, index: usize, reply: &Reply) -> bool {
        self.expected.get(&index).is_some_and(|expected| fits(expected, reply))
    }

    pub(super) fn is_comparable(&self, index: usize) -> bool {
        self.comparable[index]
    }

    /// The reply that is expected instead of the recorded one.
    pub(super) fn expected(&self, index: usize) -> Option<&Reply> {
        self.expected.get(&index)
    }

    /// How many replies can't be compared.
    pub(super) fn incomparable(&self) -> usize {
        self.comparable.iter().filter(|is| !**is).count()
    }

    /// Whether one of these replies could show what these commands have done: it is for one of their keys, or for no
    /// key in particular, and nothing has emptied the server in between.
    pub(super) fn hides(&self, transcript: &Transcript, targets: &[usize]) -> bool {
        let keys =
            |index: usize| -> HashSet<&[u8]> { keys_of(&transcript.exchanges[index].words).into_iter().collect() };
        let mut since_flush: Vec<usize> = Vec::new();
        let mut targets = targets.iter().copied().peekable();
        for (index, exchange) in transcript.exchanges.iter().enumerate() {
            if matches!(exchange.name().as_str(), "FLUSHALL") {
                since_flush.clear();
            }
            since_flush.extend(targets.next_if_eq(&index));
            if self.comparable[index] || since_flush.is_empty() {
                continue;
            }
            let read = keys(index);
            let is_about = |target: &usize| {
                let written = keys(*target);
                read.is_empty() || written.is_empty() || !read.is_disjoint(&written)
            };
            if since_flush.iter().any(is_about) {
                return true;
            }
        }
        false
    }
}

/// What two replies have in common, in which some parts stand for any. `None` if they have not even their type.
fn common(one: &Reply, other: &Reply) -> Option<Reply> {
    match (one, other) {
        _ if one == other => Some(one.clone()),
        (Reply::Elements(kind, Some(ones)), Reply::Elements(_, Some(others))) if ones.len() == others.len() => {
            let elements: Option<_> = ones.iter().zip(others).map(|(one, other)| common(one, other)).collect();
            Some(Reply::Elements(*kind, Some(elements?)))
        }
        _ => (kind(one) == kind(other)).then(|| Reply::Line(ANY, kind(one))),
    }
}

fn fits(expected: &Reply, reply: &Reply) -> bool {
    match (expected, reply) {
        (Reply::Line(ANY, of), _) => *of == kind(reply),
        (Reply::Elements(_, Some(expected)), Reply::Elements(_, Some(elements))) => {
            expected.len() == elements.len() && expected.iter().zip(elements).all(|(one, other)| fits(one, other))
        }
        _ => expected == reply,
    }
}

/// The type of a reply, and whether it is nil or an error.
fn kind(reply: &Reply) -> Vec<u8> {
    match reply {
        Reply::Line(ANY, kind) => kind.clone(),
        Reply::Line(kind, _) => vec![*kind],
        Reply::Bytes(kind, content) => vec![*kind, content.is_some().into()],
        // Lists of different lengths have nothing in common.
        Reply::Elements(kind, elements) => {
            let length = elements.as_ref().map(Vec::len);
            [vec![*kind], format!("{length:?}").into_bytes()].concat()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &str) -> Reply {
        Reply::read(text.as_bytes()).expect(text).0
    }

    #[test]
    fn parts_of_replies_are_compared() {
        let clean = common(&reply("*2\r\n:1\r\n$1\r\na\r\n"), &reply("*2\r\n:1\r\n$1\r\nb\r\n")).expect("a list");
        for (text, is_same) in [
            ("*2\r\n:1\r\n$1\r\nc\r\n", true),
            ("*2\r\n:2\r\n$1\r\na\r\n", false),
            ("*2\r\n:1\r\n$-1\r\n", false),
            ("*1\r\n:1\r\n", false),
            ("*-1\r\n", false),
        ] {
            assert_eq!(fits(&clean, &reply(text)), is_same, "{text:?}");
        }
        assert_eq!(common(&reply("$-1\r\n"), &reply("$1\r\na\r\n")), None);
        assert_eq!(common(&reply("*1\r\n:1\r\n"), &reply("*0\r\n")), None);
    }
}
