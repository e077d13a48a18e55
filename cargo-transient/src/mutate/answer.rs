//! What the program gets for a command that was sent changed, and whether the change can have had an effect.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::resp::Reply;

/// What the program gets, made from the reply to the command that was sent, and a number. An error is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The reply as it came.
    Same,
    /// `OK`.
    Ok,
    /// The number.
    Number,
    /// The number plus that in the reply, where nil is 0.
    Plus,
    /// The number minus that in the reply.
    Minus,
    /// 1 if the reply is a number above 0, and 0 if not.
    IsPositive,
    /// 1 if the reply is not nil, and 0 if it is.
    IsSome,
    /// How many elements are not nil.
    Found,
    /// How many elements are nil.
    Missing,
    /// The sum of the elements.
    Sum,
    /// The number minus the sum of the elements.
    MinusSum,
    /// For each element 1, and -2 for nil.
    EachSet,
    /// The second element.
    Second,
    /// `OK` if the reply is 0, and nil if not.
    OkIfZero,
    /// `OK` if the reply is not 0, and nil if it is.
    OkUnlessZero,
    /// The id of a stream's entry, of this time in milliseconds, or of now for 0.
    Id,
    /// Nil, or nothing, as the reply's type has it.
    Nothing,
    /// An array with as many nils as the reply has elements.
    Nils,
}

/// When the change can have had an effect. Never, if the reply or the answer is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Always,
    /// If the reply is not nil, 0, negative or without an element that is neither.
    IfReply,
    /// If what the program gets is not.
    IfAnswer,
    /// If the reply to the command sent first is not.
    IfFirst,
    /// If that reply, or one of its elements, is nil, 0 or negative.
    UnlessFirst,
    /// If that reply is this number.
    IfFirstIs(i64),
    /// If that reply is at least the number of the answer.
    IfFirstAtLeastNumber,
    /// If the reply is a number of at least this.
    IfReplyAtLeast(i64),
    /// If it differs from the reply to the command sent first.
    IfOther,
}

/// The protocol of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Version {
    #[default]
    Resp2,
    Resp3,
}

impl Version {
    pub(super) fn nil(self) -> Reply {
        match self {
            Self::Resp2 => Reply::Bytes(b'$', None),
            Self::Resp3 => Reply::Line(b'_', Vec::new()),
        }
    }
}

impl Answer {
    /// Returns what the program gets.
    pub(crate) fn give(self, of: i64, reply: &Reply, version: Version) -> Reply {
        let elements = || -> &[Reply] {
            match reply {
                Reply::Elements(_, Some(elements)) => elements.as_slice(),
                _ => &[],
            }
        };
        let count = |is_it: fn(&Reply) -> bool| {
            number(i64::try_from(elements().iter().filter(|element| is_it(element)).count()).unwrap_or(i64::MAX))
        };
        let sum = || elements().iter().filter_map(number_in).sum::<i64>();
        let ok_if = |is_ok: bool| if is_ok { Reply::Line(b'+', b"OK".to_vec()) } else { version.nil() };
        match self {
            _ if is_error(reply) => reply.clone(),
            Self::Same => reply.clone(),
            Self::Ok => ok_if(true),
            Self::Number => number(of),
            Self::Plus if is_nil(reply) => number(of),
            Self::Plus => match number_in(reply).and_then(|value| value.checked_add(of)) {
                Some(sum) => number(sum),
                None => Reply::Line(b'-', b"ERR value is not an integer or out of range".to_vec()),
            },
            Self::Minus => number(of - number_in(reply).unwrap_or_default()),
            Self::IsPositive => number(number_in(reply).is_some_and(|number| number > 0).into()),
            Self::IsSome => number((!is_nil(reply)).into()),
            Self::Found => count(|element| !is_nil(element)),
            Self::Missing => count(is_nil),
            Self::Sum => number(sum()),
            Self::MinusSum => number(of - sum()),
            Self::EachSet => {
                let each = elements().iter().map(|element| number(if is_nil(element) { -2 } else { 1 }));
                Reply::Elements(b'*', Some(each.collect()))
            }
            Self::Second => elements().get(1).unwrap_or(reply).clone(),
            Self::OkIfZero => ok_if(number_in(reply) == Some(0)),
            Self::OkUnlessZero => ok_if(number_in(reply) != Some(0)),
            Self::Id => Reply::Bytes(b'$', Some(made_id(of))),
            Self::Nothing => match reply {
                Reply::Elements(kind, Some(_)) => Reply::Elements(*kind, Some(Vec::new())),
                Reply::Elements(_, None) => reply.clone(),
                _ => version.nil(),
            },
            Self::Nils => match reply {
                Reply::Elements(kind, Some(elements)) => {
                    Reply::Elements(*kind, Some(elements.iter().map(|_| version.nil()).collect()))
                }
                _ => reply.clone(),
            },
        }
    }
}

impl Effect {
    /// `first` is the reply to the command that was sent first, if there was one.
    pub(crate) fn is_there(self, of: i64, first: Option<&Reply>, reply: &Reply, answer: &Reply) -> bool {
        if is_error(reply) || is_error(answer) {
            return false;
        }
        match self {
            Self::Always => true,
            Self::IfReply => is_something(reply),
            Self::IfAnswer => is_something(answer),
            Self::IfFirst => first.is_some_and(is_something),
            Self::UnlessFirst => first.is_some_and(lacks_something),
            Self::IfFirstIs(expected) => first.and_then(number_in) == Some(expected),
            Self::IfFirstAtLeastNumber => first.and_then(number_in).is_some_and(|number| number >= of),
            Self::IfReplyAtLeast(least) => number_in(reply).is_some_and(|number| number >= least),
            Self::IfOther => first != Some(reply),
        }
    }
}

pub(crate) fn number(number: i64) -> Reply {
    Reply::Line(b':', number.to_string().into_bytes())
}

pub(crate) fn is_error(reply: &Reply) -> bool {
    matches!(reply, Reply::Line(b'-', _) | Reply::Bytes(b'!', _))
}

pub(crate) fn is_nil(reply: &Reply) -> bool {
    matches!(reply, Reply::Line(b'_', _) | Reply::Bytes(_, None) | Reply::Elements(_, None))
}

/// Returns the number that the reply is, or that its text is.
pub(super) fn number_in(reply: &Reply) -> Option<i64> {
    let (Reply::Line(b':', text) | Reply::Bytes(b'$', Some(text))) = reply else { return None };
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn is_something(reply: &Reply) -> bool {
    match reply {
        Reply::Elements(_, Some(elements)) => elements.iter().any(is_something),
        Reply::Line(b':', _) => number_in(reply).is_some_and(|number| number > 0),
        _ => !is_nil(reply) && !is_error(reply),
    }
}

fn lacks_something(reply: &Reply) -> bool {
    match reply {
        Reply::Elements(_, Some(elements)) => elements.iter().any(lacks_something),
        _ => !is_something(reply) && !is_error(reply),
    }
}

/// Returns an id that is later than all that were made before in the same millisecond.
fn made_id(time: i64) -> Vec<u8> {
    static MADE: AtomicU64 = AtomicU64::new(1);
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let time = if time == 0 { now() } else { time.unsigned_abs().into() };
    format!("{time}-{}", MADE.fetch_add(1, Ordering::Relaxed)).into_bytes()
}
