//! The commands that wait for their replies.

use super::secrets::Hidden;
use crate::tap::rules::{After, RewriteReply};

/// A command that waits for its reply.
pub(super) struct Waiting {
    pub(super) record: Option<usize>,
    /// Its number in the file of the recording.
    pub(super) number: u64,
    pub(super) hidden: Hidden,
    pub(super) effect: Effect,
    pub(super) fate: Option<Fate>,
}

impl Waiting {
    pub(super) fn is_blocked(&self) -> bool {
        matches!(self.effect, Effect::Block)
    }
}

/// A rule's decision about a command.
#[derive(Default)]
pub(super) struct Fate {
    pub(super) after: After,
    /// The tap's own reply. If set, the server does not get the command.
    pub(super) answer: Option<Vec<u8>>,
    /// Whether the server replies twice, and the client gets the first reply.
    pub(super) is_doubled: bool,
    /// For a command that the tap sends before this one: what becomes of its reply.
    pub(super) first: Option<RewriteReply>,
    /// Whether the connection is cut before the command.
    pub(super) is_cut: bool,
    /// For the transcript.
    pub(super) fault: Option<&'static str>,
}

/// The effect of a reply on the connection's state.
pub(super) enum Effect {
    Nothing,
    /// On an error, the connection returns to this database.
    Select(u32),
    Hello,
    /// On an error, no transaction is open.
    Multi,
    /// A (P|S)(UN)SUBSCRIBE, which this number of confirmations follows.
    Subscribe(Box<[u8]>, usize),
    Monitor,
    Reset,
    /// The tap itself has asked, to get everything that the server sent before.
    Asked,
    /// The reply can wait for a command of another connection.
    Block,
}
