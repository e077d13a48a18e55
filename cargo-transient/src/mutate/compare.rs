//! Whether a reply is the recorded one.

use std::time::Duration;

use crate::resp::Reply;

/// How far a TTL may be from the recorded one.
const TTL_TOLERANCE: Duration = Duration::from_secs(2);

/// Commands whose replies are random, or depend on the time or the server.
const NEVER: [&str; 14] = [
    "COMMAND",
    "DUMP",
    "HRANDFIELD",
    "INFO",
    "LASTSAVE",
    "LOLWUT",
    "MEMORY",
    "RANDOMKEY",
    "ROLE",
    "SPOP",
    "SRANDMEMBER",
    "TIME",
    "XINFO",
    "ZRANDMEMBER",
];

/// Commands whose replies have no order.
const UNORDERED: [&str; 9] = ["HGETALL", "HKEYS", "HVALS", "KEYS", "PUBSUB", "SDIFF", "SINTER", "SMEMBERS", "SUNION"];

/// How the replies to a command are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    /// They are not.
    None,
    Exact,
    /// In any order. Pairs stay together.
    Unordered {
        pairs: bool,
    },
    /// A scan: only if one step has found all.
    Scan {
        pairs: bool,
    },
    /// Times from now on, with this many units a second.
    Ttl(u64),
    /// Times since 1970.
    Expiry(u64),
    /// Texts of errors have line numbers and hashes of scripts, so that only their first word is compared.
    Script,
}

impl Comparison {
    /// How the replies to a command are compared, given its name in upper case.
    pub(super) fn of(name: &str, words: &[Vec<u8>]) -> Self {
        let first = || words.get(1).map(|word| word.to_ascii_uppercase()).unwrap_or_default();
        match name {
            _ if NEVER.contains(&name) => Self::None,
            "OBJECT" if first() != b"ENCODING" => Self::None,
            // Idle times.
            "XPENDING" if words.len() > 3 => Self::None,
            "SCAN" | "SSCAN" => Self::Scan { pairs: false },
            "HSCAN" | "ZSCAN" => Self::Scan { pairs: !words.iter().any(|word| word.eq_ignore_ascii_case(b"NOVALUES")) },
            "HGETALL" => Self::Unordered { pairs: true },
            _ if UNORDERED.contains(&name) => Self::Unordered { pairs: false },
            "TTL" | "HTTL" => Self::Ttl(1),
            "PTTL" | "HPTTL" => Self::Ttl(1_000),
            "EXPIRETIME" | "HEXPIRETIME" => Self::Expiry(1),
            "PEXPIRETIME" | "HPEXPIRETIME" => Self::Expiry(1_000),
            "EVAL" | "EVALSHA" | "EVAL_RO" | "EVALSHA_RO" | "FCALL" | "FCALL_RO" => Self::Script,
            _ => Self::Exact,
        }
    }

    /// Whether two replies are the same. `later` is how much later, since 1970, the second one is; `behind` how far
    /// the time on its server is behind.
    pub(super) fn is_same(self, recorded: &Reply, replayed: &Reply, later: Duration, behind: Duration) -> bool {
        if recorded == replayed {
            return true;
        }
        match self {
            Self::None => true,
            Self::Exact => false,
            Self::Unordered { pairs } => sorted(recorded, pairs) == sorted(replayed, pairs),
            Self::Scan { pairs } => match (scanned(recorded), scanned(replayed)) {
                (Some(recorded), Some(replayed)) => sorted(recorded, pairs) == sorted(replayed, pairs),
                // In several steps, and in another order on another server.
                _ => true,
            },
            Self::Ttl(per_second) => is_near(recorded, replayed, 0, units(TTL_TOLERANCE + behind, per_second)),
            Self::Expiry(per_second) => {
                is_near(recorded, replayed, units(later, per_second), units(TTL_TOLERANCE + behind, per_second))
            }
            Self::Script => match (recorded, replayed) {
                (Reply::Line(b'-', recorded), Reply::Line(b'-', replayed)) => {
                    first_word(recorded) == first_word(replayed)
                }
                _ => sorted(recorded, false) == sorted(replayed, false) && has_no_order(recorded),
            },
        }
    }
}

fn units(time: Duration, per_second: u64) -> i64 {
    i64::try_from(time.as_millis() * u128::from(per_second) / 1_000).unwrap_or(i64::MAX)
}

/// Times, or arrays of them. Negative ones have a meaning of their own.
fn is_near(recorded: &Reply, replayed: &Reply, later: i64, tolerance: i64) -> bool {
    match (recorded, replayed) {
        (Reply::Line(b':', recorded), Reply::Line(b':', replayed)) => {
            let number = |text: &[u8]| std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok());
            match (number(recorded), number(replayed)) {
                (Some(recorded), Some(replayed)) if recorded >= 0 && replayed >= 0 => {
                    (replayed.saturating_sub(later) - recorded).abs() <= tolerance
                }
                (recorded, replayed) => recorded == replayed,
            }
        }
        (Reply::Elements(_, Some(recorded)), Reply::Elements(_, Some(replayed))) => {
            recorded.len() == replayed.len()
                && recorded
                    .iter()
                    .zip(replayed)
                    .all(|(recorded, replayed)| is_near(recorded, replayed, later, tolerance))
        }
        _ => recorded == replayed,
    }
}

/// The elements in a fixed order, as bytes.
fn sorted(reply: &Reply, pairs: bool) -> Option<Vec<Vec<u8>>> {
    let Reply::Elements(kind, Some(elements)) = reply else { return None };
    let size = if pairs || *kind == b'%' { 2 } else { 1 };
    let mut elements: Vec<_> = elements
        .chunks(size)
        .map(|chunk| {
            let mut bytes = Vec::new();
            for element in chunk {
                element.write(&mut bytes);
            }
            bytes
        })
        .collect();
    elements.sort_unstable();
    Some(elements)
}

/// Whether a reply is a set or a map.
fn has_no_order(reply: &Reply) -> bool {
    matches!(reply, Reply::Elements(b'~' | b'%', _))
}

/// What a scan has found, if it is over after one step.
fn scanned(reply: &Reply) -> Option<&Reply> {
    match reply {
        Reply::Elements(_, Some(parts)) => match parts.as_slice() {
            [Reply::Bytes(_, Some(cursor)), found] if cursor == b"0" => Some(found),
            _ => None,
        },
        _ => None,
    }
}

fn first_word(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == b' ').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_same(command: &str, recorded: &str, replayed: &str) -> bool {
        let words = crate::resp::words(command.as_bytes());
        let comparison = Comparison::of(&command.split(' ').next().unwrap().to_uppercase(), &words);
        let reply = |text: &str| Reply::read(text.as_bytes()).expect(text).0;
        comparison.is_same(&reply(recorded), &reply(replayed), Duration::from_secs(1_000), Duration::ZERO)
    }

    #[test]
    fn replies_are_compared_by_what_they_mean() {
        for (command, recorded, replayed) in [
            ("GET k", "$1\r\na\r\n", "$1\r\na\r\n"),
            ("TIME", "*0\r\n", ":1\r\n"),
            ("SMEMBERS k", "*2\r\n+a\r\n+b\r\n", "*2\r\n+b\r\n+a\r\n"),
            ("HGETALL k", "*4\r\n+a\r\n:1\r\n+b\r\n:2\r\n", "*4\r\n+b\r\n:2\r\n+a\r\n:1\r\n"),
            ("HGETALL k", "%2\r\n+a\r\n:1\r\n+b\r\n:2\r\n", "%2\r\n+b\r\n:2\r\n+a\r\n:1\r\n"),
            ("SCAN 0", "*2\r\n$1\r\n0\r\n*2\r\n+a\r\n+b\r\n", "*2\r\n$1\r\n0\r\n*2\r\n+b\r\n+a\r\n"),
            ("SCAN 0", "*2\r\n$1\r\n7\r\n*1\r\n+a\r\n", "*2\r\n$1\r\n0\r\n*1\r\n+b\r\n"),
            ("TTL k", ":60\r\n", ":58\r\n"),
            ("PTTL k", ":60000\r\n", ":61999\r\n"),
            ("EXPIRETIME k", ":500\r\n", ":1499\r\n"),
            ("EVAL x 0", "-ERR a 12\r\n", "-ERR b 13\r\n"),
        ] {
            assert!(is_same(command, recorded, replayed), "{command}: {recorded:?} {replayed:?}");
        }
        for (command, recorded, replayed) in [
            ("GET k", "$1\r\na\r\n", "$-1\r\n"),
            ("LRANGE k 0 -1", "*2\r\n+a\r\n+b\r\n", "*2\r\n+b\r\n+a\r\n"),
            ("SMEMBERS k", "*2\r\n+a\r\n+b\r\n", "*2\r\n+b\r\n+b\r\n"),
            ("HGETALL k", "*4\r\n+a\r\n:1\r\n+b\r\n:2\r\n", "*4\r\n+a\r\n:2\r\n+b\r\n:1\r\n"),
            ("SCAN 0", "*2\r\n$1\r\n0\r\n*1\r\n+a\r\n", "*2\r\n$1\r\n0\r\n*0\r\n"),
            ("TTL k", ":60\r\n", ":-1\r\n"),
            ("TTL k", ":60\r\n", ":57\r\n"),
            ("EVAL x 0", "-ERR a\r\n", "-NOSCRIPT a\r\n"),
            ("EVAL x 0", "*2\r\n+a\r\n+b\r\n", "*2\r\n+b\r\n+a\r\n"),
        ] {
            assert!(!is_same(command, recorded, replayed), "{command}: {recorded:?} {replayed:?}");
        }
    }
}
