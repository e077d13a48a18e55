//! The options of commands.
//!
//! Taken from the syntax of Redis 8. A command that is not in the table has no options that change what it does, or
//! they are subcommands or at a fixed place.

/// How many words an option takes after itself.
#[derive(Clone, Copy)]
enum Takes {
    Words(usize),
    /// `=` or `~` and a number, or the number alone.
    Bound,
}
use Takes::{Bound, Words};

type Known = (&'static str, Takes);

const NOTHING: Takes = Words(0);
const EXPIRIES: [Known; 4] = [("EX", Words(1)), ("PX", Words(1)), ("EXAT", Words(1)), ("PXAT", Words(1))];
const CONDITIONS: [Known; 4] = [("NX", NOTHING), ("XX", NOTHING), ("GT", NOTHING), ("LT", NOTHING)];
const TRIMMING: [Known; 6] = [
    ("MAXLEN", Bound),
    ("MINID", Bound),
    ("LIMIT", Words(1)),
    ("KEEPREF", NOTHING),
    ("DELREF", NOTHING),
    ("ACKED", NOTHING),
];
const SCANNING: [Known; 4] = [("MATCH", Words(1)), ("COUNT", Words(1)), ("TYPE", Words(1)), ("NOVALUES", NOTHING)];
const RANGES: [Known; 5] =
    [("BYSCORE", NOTHING), ("BYLEX", NOTHING), ("REV", NOTHING), ("LIMIT", Words(2)), ("WITHSCORES", NOTHING)];
const READING: [Known; 4] = [("COUNT", Words(1)), ("BLOCK", Words(1)), ("NOACK", NOTHING), ("CLAIM", Words(1))];

/// How many arguments come before the options, and the options.
fn known(name: &str) -> Option<(usize, Vec<Known>)> {
    let known = |before: usize, groups: &[&[Known]]| Some((before, groups.concat()));
    match name {
        "SET" => known(
            2,
            &[
                &CONDITIONS[..2],
                &EXPIRIES,
                &[("KEEPTTL", NOTHING), ("GET", NOTHING), ("IFEQ", Words(1)), ("IFNE", Words(1))],
                &[("IFDEQ", Words(1)), ("IFDNE", Words(1))],
            ],
        ),
        "GETEX" | "HGETEX" => known(1, &[&EXPIRIES, &[("PERSIST", NOTHING)]]),
        "EXPIRE" | "PEXPIRE" | "EXPIREAT" | "PEXPIREAT" | "HEXPIRE" | "HPEXPIRE" | "HEXPIREAT" | "HPEXPIREAT" => {
            known(2, &[&CONDITIONS])
        }
        "HSETEX" => known(1, &[&EXPIRIES, &[("FNX", NOTHING), ("FXX", NOTHING), ("KEEPTTL", NOTHING)]]),
        "ZADD" | "GEOADD" => known(1, &[&CONDITIONS, &[("CH", NOTHING), ("INCR", NOTHING)]]),
        "XADD" => known(1, &[&[("NOMKSTREAM", NOTHING)], &TRIMMING]),
        "XTRIM" => known(1, &[&TRIMMING]),
        "ZRANGE" | "ZRANGEBYSCORE" | "ZREVRANGEBYSCORE" | "ZRANGEBYLEX" | "ZREVRANGEBYLEX" | "ZREVRANGE" => {
            known(3, &[&RANGES])
        }
        "ZRANGESTORE" => known(4, &[&RANGES]),
        "ZRANK" | "ZREVRANK" => known(2, &[&[("WITHSCORE", NOTHING)]]),
        "LPOS" => known(2, &[&[("RANK", Words(1)), ("COUNT", Words(1)), ("MAXLEN", Words(1))]]),
        "SCAN" => known(1, &[&SCANNING]),
        "SSCAN" | "HSCAN" | "ZSCAN" => known(2, &[&SCANNING]),
        "XREAD" => known(0, &[&READING]),
        "XREADGROUP" => known(3, &[&READING]),
        "XRANGE" | "XREVRANGE" => known(3, &[&[("COUNT", Words(1))]]),
        "COPY" => known(2, &[&[("DB", Words(1)), ("REPLACE", NOTHING)]]),
        "RESTORE" => {
            known(3, &[&[("REPLACE", NOTHING), ("ABSTTL", NOTHING), ("IDLETIME", Words(1)), ("FREQ", Words(1))]])
        }
        "HRANDFIELD" => known(2, &[&[("WITHVALUES", NOTHING)]]),
        "ZRANDMEMBER" => known(2, &[&[("WITHSCORES", NOTHING)]]),
        "FLUSHALL" | "FLUSHDB" => known(0, &[&[("ASYNC", NOTHING), ("SYNC", NOTHING)]]),
        _ => None,
    }
}

/// The options among the arguments of a command, in upper case and in order.
pub(super) fn of(name: &str, arguments: &[&[u8]]) -> Vec<&'static str> {
    let Some((before, known)) = known(name) else { return Vec::new() };
    let mut rest = arguments.get(before..).unwrap_or_default();
    let next = || {
        let word = rest.first()?;
        let (option, takes) = known.iter().find(|(option, _)| word.eq_ignore_ascii_case(option.as_bytes()))?;
        let words = match takes {
            Words(count) => *count,
            Bound => 1 + usize::from(rest.get(1).is_some_and(|word| matches!(*word, b"=" | b"~"))),
        };
        rest = rest.get(1 + words..).unwrap_or_default();
        Some(*option)
    };
    std::iter::from_fn(next).collect()
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn options_are_found_where_they_can_be() {
        for (command, expected) in [
            ("SET NX XX", ""),
            ("SET k v px 5 NX get", "PX NX GET"),
            ("SET k EX EX EX KEEPTTL", "EX KEEPTTL"),
            ("ZADD k NX CH 1 XX", "NX CH"),
            ("GETEX k PERSIST", "PERSIST"),
            ("PEXPIRE k 5 GT", "GT"),
            ("XADD k NOMKSTREAM MAXLEN ~ 10 LIMIT 5 * MINID 1", "NOMKSTREAM MAXLEN LIMIT"),
            ("XADD k MAXLEN 10 * f v", "MAXLEN"),
            ("ZRANGE k 0 -1 BYSCORE LIMIT 0 5 WITHSCORES", "BYSCORE LIMIT WITHSCORES"),
            ("LPOS k COUNT COUNT 2", "COUNT"),
            ("XREAD BLOCK 0 STREAMS COUNT 0", "BLOCK"),
            ("GET NX", ""),
            ("SET k", ""),
        ] {
            let mut words = command.split(' ');
            let name = words.next().unwrap();
            let arguments: Vec<_> = words.map(str::as_bytes).collect();
            assert_eq!(of(name, &arguments).join(" "), expected, "{command}");
        }
    }
}
