//! Commands that are held until they are released.

use std::sync::Arc;

use redis::Cmd;

use super::Tap;
use super::arguments::{arguments, count, text};
use super::keys::keys;
use crate::report;

/// Decides when the commands of a tap are forwarded. The tap's thread calls it, so it must not block.
pub(crate) trait Hold: Send + Sync {
    /// Returns true if the tap can have connections. If not, [`Tap::wake`] closes them.
    fn is_open(&self) -> bool;

    /// Returns true if the server must see the connections closed, while the client must not.
    fn is_dead(&self) -> bool;

    /// A command has arrived. Returns true if it is held.
    fn arrives(&self, command: Arrived<'_>) -> bool;

    /// Returns the decision about the command that is held on this connection; `None` while there is none.
    fn decision(&self, connection: u64) -> Option<Decision>;

    /// A reply is about to be forwarded.
    fn replies(&self, connection: u64, head: &[u8], size: u64);

    /// A message or an invalidation is about to be forwarded.
    fn pushes(&self, connection: u64);

    fn closes(&self, connection: u64);

    /// Returns true if the server can send messages on this connection.
    fn is_listening(&self, connection: u64) -> bool;

    /// Returns true if somebody waits for [`catches_up`](Self::catches_up).
    fn is_behind(&self) -> bool;

    /// Everything that had arrived before [`is_behind`](Self::is_behind) returned true is forwarded, with the messages
    /// that the server had sent by then, and the server has closed the connections that were closed.
    fn catches_up(&self);
}

/// A command before it is forwarded.
pub(crate) struct Arrived<'a> {
    pub(crate) connection: u64,
    pub(crate) name: &'a Arc<str>,
    /// The first bytes of its frame.
    pub(crate) head: &'a [u8],
    pub(crate) database: u32,
    pub(crate) is_boundary: bool,
    /// Whether EXEC will execute it.
    pub(crate) is_queued: bool,
}

impl Arrived<'_> {
    pub(crate) fn keys(&self) -> Vec<Vec<u8>> {
        let args: Vec<_> = arguments(self.head).skip(1 + usize::from(self.name.contains(' '))).collect();
        keys(self.name, &args).into_iter().map(<[u8]>::to_vec).collect()
    }

    /// Returns the number of arguments, including the name.
    pub(crate) fn arity(&self) -> usize {
        count(self.head)
    }

    /// Returns the command and its arguments in one line.
    pub(crate) fn line(&self) -> String {
        let args: Vec<_> = arguments(self.head).skip(1 + usize::from(self.name.contains(' '))).collect();
        report::tap::arguments(self.name, &args, count(self.head).saturating_sub(1 + args.len()))
    }

    /// Returns the argument that is the timeout of a blocking command; `None` for any other command.
    pub(crate) fn timeout(&self) -> Option<String> {
        let words: Vec<_> = arguments(self.head).collect();
        let at = timeout_at(self.name, &words)?;
        words.get(at).map(|word| text(word).into_owned())
    }
}

/// The fate of a held command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Forward,
    /// Forward it with the timeout 0, so that it blocks until it is unblocked.
    WithoutTimeout,
    /// Close the connection before it.
    Cut,
    /// Forward it, and close the connection before the reply.
    LoseReply,
}

/// Returns the index of the timeout among the words of a blocking command.
fn timeout_at(name: &str, words: &[&[u8]]) -> Option<usize> {
    let last = words.len().checked_sub(1)?;
    match name {
        "BLPOP" | "BRPOP" | "BRPOPLPUSH" | "BLMOVE" | "BZPOPMAX" | "BZPOPMIN" | "WAIT" | "WAITAOF" => Some(last),
        "BLMPOP" | "BZMPOP" => Some(1),
        "XREAD" | "XREADGROUP" => {
            let options = words.iter().take_while(|word| !word.eq_ignore_ascii_case(b"STREAMS"));
            options.enumerate().find(|(_, word)| word.eq_ignore_ascii_case(b"BLOCK")).map(|(at, _)| at + 1)
        }
        _ => None,
    }
}

/// Returns true if the command can wait for a command of another connection.
pub(super) fn is_blocking(name: &str, head: &[u8]) -> bool {
    // Most commands have another name, and their words are not needed then.
    let can_block = matches!(name.as_bytes(), [b'B' | b'W' | b'X', ..]);
    can_block && timeout_at(name, &arguments(head).collect::<Vec<_>>()).is_some()
}

/// Returns the command with the timeout 0.
pub(super) fn without_timeout(name: &str, frame: &[u8]) -> Option<Vec<u8>> {
    let words: Vec<_> = arguments(frame).collect();
    let at = timeout_at(name, &words)?;
    let mut command = Cmd::new();
    for (index, word) in words.iter().enumerate() {
        command.arg(if index == at { b"0" } else { *word });
    }
    Some(command.get_packed_command())
}

impl Tap {
    /// Makes the tap ask for the decisions about its held commands.
    pub(crate) fn wake(&self) {
        self.running.shared.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocking_commands_lose_their_timeout() {
        for (command, expected) in [
            ("BLPOP a b 5", Some("BLPOP a b 0")),
            ("BLMOVE a b LEFT RIGHT 0.5", Some("BLMOVE a b LEFT RIGHT 0")),
            ("BLMPOP 5 1 a LEFT", Some("BLMPOP 0 1 a LEFT")),
            ("XREAD COUNT 1 BLOCK 500 STREAMS a $", Some("XREAD COUNT 1 BLOCK 0 STREAMS a $")),
            ("XREAD STREAMS BLOCK 0", None),
            ("GET a", None),
        ] {
            let words = command.split(' ').map(str::as_bytes).collect::<Vec<_>>();
            let changed =
                without_timeout(words[0].escape_ascii().to_string().as_str(), format!("{command}\r\n").as_bytes());
            let is_blocking = is_blocking(&words[0].escape_ascii().to_string(), format!("{command}\r\n").as_bytes());
            assert_eq!(is_blocking, expected.is_some(), "{command}");
            let changed = changed
                .map(|frame| arguments(&frame).map(|word| text(word).into_owned()).collect::<Vec<_>>().join(" "));
            assert_eq!(changed.as_deref(), expected, "{command}");
        }
    }
}
