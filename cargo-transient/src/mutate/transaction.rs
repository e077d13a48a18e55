//! The reply to EXEC, of a transaction in which commands were sent changed.

use super::answer::Version;
use crate::resp::Reply;

/// Returns what the program gets, of the reply to the command sent first, if there was one, and that to the command.
pub(super) type Judge = Box<dyn FnOnce(Option<&Reply>, &Reply, Version) -> Reply + Send>;

/// A command that is queued.
#[derive(Default)]
pub(super) struct Queued {
    /// Whether another one is queued before it.
    pub(super) is_doubled: bool,
    /// `None` for a command that was sent as it came.
    pub(super) judge: Option<Judge>,
}

/// Returns the reply to EXEC that the program gets; `None` for it as it came: nil, an error, or without a change.
pub(super) fn executed(reply: &Reply, queued: Vec<Queued>, version: Version) -> Option<Reply> {
    let Reply::Elements(kind, Some(elements)) = reply else { return None };
    if queued.iter().all(|command| command.judge.is_none()) {
        return None;
    }
    let mut came = elements.iter();
    let mut given = Vec::new();
    for Queued { is_doubled, judge } in queued {
        let first = if is_doubled { Some(came.next()?) } else { None };
        let element = came.next()?;
        given.push(judge.map_or_else(|| element.clone(), |judge| judge(first, element, version)));
    }
    given.extend(came.cloned());
    Some(Reply::Elements(*kind, Some(given)))
}
