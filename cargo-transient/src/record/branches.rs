//! The replies that a program must be ready for.

use crate::resp::Reply;

/// What a reply tells the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A read found a value, or not.
    Found,
    Missing,
    /// A condition such as NX was met, or not.
    Accepted,
    Refused,
    /// Something was removed, or nothing was there.
    Removed,
    NothingToRemove,
    /// A question was answered yes or no.
    True,
    False,
    /// A queue had an element, or none.
    Element,
    NoElement,
    /// An expiry was set, or there was no key for it.
    KeyThere,
    KeyGone,
    /// A member was new, or there already.
    New,
    AlreadyThere,
    /// A transaction was executed, or aborted because a watched key had changed.
    Executed,
    Aborted,
    /// TTL of a key that is not there, or that has none.
    NoKey,
    NoTtl,
    /// The consumer group was there already.
    GroupThere,
    /// A message had a receiver.
    Received,
    /// The server did not know the script.
    ScriptUnknown,
}
use Outcome::{
    Aborted, Accepted, AlreadyThere, Element, Executed, False, Found, GroupThere, KeyGone, KeyThere, Missing, New,
    NoElement, NoKey, NoTtl, NothingToRemove, Received, Refused, Removed, ScriptUnknown, True,
};

#[cfg(test)]
impl Outcome {
    pub(crate) const ALL: [Self; 21] = [
        Found,
        Missing,
        Accepted,
        Refused,
        Removed,
        NothingToRemove,
        True,
        False,
        Element,
        NoElement,
        KeyThere,
        KeyGone,
        New,
        AlreadyThere,
        Executed,
        Aborted,
        NoKey,
        NoTtl,
        GroupThere,
        Received,
        ScriptUnknown,
    ];
}

/// What a command of this shape can answer, and a program must be ready for.
pub(crate) fn possible(name: &str, options: &[&str]) -> &'static [Outcome] {
    let has = |option: &str| options.contains(&option);
    let is_conditional = ["NX", "XX", "GT", "LT", "IFEQ", "IFNE", "IFDEQ", "IFDNE", "FNX", "FXX"].into_iter().any(has);
    match name {
        // With GET, the reply is the old value.
        "SET" if has("GET") => &[Found, Missing],
        "SET" | "HSETEX" | "EXPIRE" | "PEXPIRE" | "EXPIREAT" | "PEXPIREAT" if is_conditional => &[Accepted, Refused],
        "EXPIRE" | "PEXPIRE" | "EXPIREAT" | "PEXPIREAT" | "PERSIST" => &[KeyThere, KeyGone],
        // The reply is the number of new members, or with INCR the score.
        "ZADD" if has("NX") || has("INCR") && is_conditional => &[Accepted, Refused],
        "XADD" if has("NOMKSTREAM") => &[Accepted, Refused],
        "SETNX" | "HSETNX" | "MSETNX" | "RENAMENX" | "COPY" | "LPUSHX" | "RPUSHX" => &[Accepted, Refused],
        "GET" | "GETEX" | "GETDEL" | "GETSET" | "MGET" | "HGET" | "HMGET" | "HGETEX" | "HGETDEL" | "HGETALL"
        | "HKEYS" | "HVALS" | "LINDEX" | "LRANGE" | "LPOS" | "SMEMBERS" | "SRANDMEMBER" | "HRANDFIELD" | "SINTER"
        | "SUNION" | "SDIFF" | "ZRANGE" | "ZRANGEBYSCORE" | "ZREVRANGEBYSCORE" | "ZRANGEBYLEX" | "ZREVRANGE"
        | "ZSCORE" | "ZMSCORE" | "ZRANK" | "ZREVRANK" | "XRANGE" | "XREVRANGE" | "JSON.GET" => &[Found, Missing],
        "EXISTS" | "SISMEMBER" | "SMISMEMBER" | "HEXISTS" => &[True, False],
        "DEL" | "UNLINK" | "HDEL" | "SREM" | "ZREM" | "LREM" | "XDEL" | "XACK" | "ZREMRANGEBYSCORE" | "SMOVE"
        | "JSON.DEL" => &[Removed, NothingToRemove],
        "SADD" | "PFADD" => &[New, AlreadyThere],
        "LPOP" | "RPOP" | "BLPOP" | "BRPOP" | "LMOVE" | "BLMOVE" | "RPOPLPUSH" | "BRPOPLPUSH" | "LMPOP" | "BLMPOP"
        | "SPOP" | "ZPOPMIN" | "ZPOPMAX" | "BZPOPMIN" | "BZPOPMAX" | "ZMPOP" | "BZMPOP" | "XREAD" | "XREADGROUP" => {
            &[Element, NoElement]
        }
        "EXEC" => &[Executed, Aborted],
        "TTL" | "PTTL" | "EXPIRETIME" | "PEXPIRETIME" => &[NoKey, NoTtl],
        "XGROUP CREATE" => &[GroupThere],
        "PUBLISH" | "SPUBLISH" => &[Received],
        "EVALSHA" | "EVALSHA_RO" => &[ScriptUnknown],
        _ => &[],
    }
}

/// Which of the possible outcomes this reply is. A reply with several values can be two.
pub(crate) fn seen(possible: &[Outcome], reply: &Reply) -> Vec<Outcome> {
    if let Some(code) = error_code(reply) {
        let outcome = match code.as_str() {
            "BUSYGROUP" => GroupThere,
            "NOSCRIPT" => ScriptUnknown,
            _ => return Vec::new(),
        };
        return Vec::from([outcome]);
    }
    match (possible, reply) {
        ([Found, Missing], Reply::Elements(_, Some(values))) if !values.is_empty() => {
            let outcome = |value: &Reply| if is_nothing(value) { Missing } else { Found };
            both(values.iter().map(outcome))
        }
        ([Found, Missing], _) if number(reply) == Some(0) => Vec::from([Found]),
        ([True, False], Reply::Elements(_, Some(values))) => {
            both(values.iter().map(|value| if is_nothing(value) { False } else { True }))
        }
        ([NoKey, NoTtl], _) => match number(reply) {
            Some(-2) => Vec::from([NoKey]),
            Some(-1) => Vec::from([NoTtl]),
            _ => Vec::new(),
        },
        ([Executed, Aborted], _) => Vec::from([if is_nil(reply) { Aborted } else { Executed }]),
        ([yes, no], _) => Vec::from([if is_nothing(reply) { *no } else { *yes }]),
        ([Received], _) if !is_nothing(reply) => Vec::from([Received]),
        _ => Vec::new(),
    }
}

fn both(outcomes: impl Iterator<Item = Outcome>) -> Vec<Outcome> {
    let mut different = Vec::new();
    for outcome in outcomes {
        if !different.contains(&outcome) {
            different.push(outcome);
        }
    }
    different
}

/// Nil, 0, false or empty.
fn is_nothing(reply: &Reply) -> bool {
    match reply {
        Reply::Line(b'_', _) | Reply::Bytes(_, None) | Reply::Elements(_, None) => true,
        Reply::Line(b'#', text) => text == b"f",
        Reply::Elements(_, Some(elements)) => elements.is_empty(),
        _ => number(reply) == Some(0),
    }
}

/// Nil.
pub(crate) fn is_nil(reply: &Reply) -> bool {
    matches!(reply, Reply::Line(b'_', _) | Reply::Bytes(_, None) | Reply::Elements(_, None))
}

pub(crate) fn number(reply: &Reply) -> Option<i64> {
    let Reply::Line(b':', text) = reply else { return None };
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The first word of an error.
pub(crate) fn error_code(reply: &Reply) -> Option<String> {
    let (Reply::Line(b'-', text) | Reply::Bytes(b'!', Some(text))) = reply else { return None };
    let word = text.split(|byte| *byte == b' ').next().unwrap_or_default();
    Some(String::from_utf8_lossy(word).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_have_outcomes() {
        for (name, options, reply, expected) in [
            ("SET", &["EX", "NX"][..], "$-1\r\n", &[Refused][..]),
            ("SET", &["NX"], "+OK\r\n", &[Accepted]),
            ("SET", &["NX"], "_\r\n", &[Refused]),
            ("SET", &["EX"], "+OK\r\n", &[]),
            ("SET", &["NX", "GET"], "$-1\r\n", &[Missing]),
            ("GET", &[], "$0\r\n\r\n", &[Found]),
            ("GET", &[], "-WRONGTYPE no\r\n", &[]),
            ("ZRANK", &[], ":0\r\n", &[Found]),
            ("LPOS", &[], "$-1\r\n", &[Missing]),
            ("HGETALL", &[], "%0\r\n", &[Missing]),
            ("MGET", &[], "*2\r\n$1\r\na\r\n$-1\r\n", &[Found, Missing]),
            ("SMISMEMBER", &[], "*2\r\n:0\r\n:0\r\n", &[False]),
            ("DEL", &[], ":0\r\n", &[NothingToRemove]),
            ("BLPOP", &[], "*-1\r\n", &[NoElement]),
            ("ZADD", &["NX"], ":0\r\n", &[Refused]),
            ("ZADD", &["CH"], ":0\r\n", &[]),
            ("TTL", &[], ":-2\r\n", &[NoKey]),
            ("EXEC", &[], "*-1\r\n", &[Aborted]),
            ("EXEC", &[], "*0\r\n", &[Executed]),
            ("XGROUP CREATE", &[], "-BUSYGROUP there\r\n", &[GroupThere]),
            ("PUBLISH", &[], ":0\r\n", &[]),
            ("EVALSHA", &[], "-NOSCRIPT no\r\n", &[ScriptUnknown]),
        ] {
            let (reply_read, _) = Reply::read(reply.as_bytes()).expect(reply);
            assert_eq!(seen(possible(name, options), &reply_read), expected, "{name} {reply}");
        }
    }
}
