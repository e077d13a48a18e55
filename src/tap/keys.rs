//! Finds the keys among a command's arguments.
//!
//! Taken from the key specifications of Redis 8 (`COMMAND DOCS`). This file lists every command that has several keys,
//! no keys, or a key that is not its first argument. All other commands have one key, their first argument.

/// Commands without keys.
const NONE: [&str; 52] = [
    "ACL",
    "ASKING",
    "AUTH",
    "BGREWRITEAOF",
    "BGSAVE",
    "CLIENT",
    "CLUSTER",
    "COMMAND",
    "CONFIG",
    "DBSIZE",
    "DEBUG",
    "DISCARD",
    "ECHO",
    "EXEC",
    "FAILOVER",
    "FLUSHALL",
    "FLUSHDB",
    "FUNCTION",
    "HELLO",
    "INFO",
    "KEYS",
    "LASTSAVE",
    "LATENCY",
    "LOLWUT",
    "MODULE",
    "MONITOR",
    "MULTI",
    "PING",
    "PSUBSCRIBE",
    "PSYNC",
    "PUBLISH",
    "PUBSUB",
    "PUNSUBSCRIBE",
    "QUIT",
    "RANDOMKEY",
    "READONLY",
    "READWRITE",
    "RESET",
    "ROLE",
    "SAVE",
    "SCAN",
    "SCRIPT",
    "SELECT",
    "SHUTDOWN",
    "SLOWLOG",
    "SUBSCRIBE",
    "SWAPDB",
    "SYNC",
    "TIME",
    "UNSUBSCRIBE",
    "UNWATCH",
    "WAIT",
];

/// Returns the keys among these arguments, which don't include the name.
#[must_use]
pub fn keys<'args>(name: &str, args: &[&'args [u8]]) -> Vec<&'args [u8]> {
    let every = |step: usize| args.iter().copied().step_by(step).collect();
    let up_to = |last: usize| args.iter().copied().take(last).collect();
    // A number of keys, followed by the keys.
    let counted = |at: usize| {
        let count = args.get(at).and_then(|count| std::str::from_utf8(count).ok()?.parse().ok()).unwrap_or(0);
        args.iter().copied().skip(at + 1).take(count).collect::<Vec<_>>()
    };
    match name.split(' ').next().unwrap_or_default() {
        "DEL" | "EXISTS" | "MGET" | "PFCOUNT" | "PFMERGE" | "SDIFF" | "SDIFFSTORE" | "SINTER" | "SINTERSTORE"
        | "SUNION" | "SUNIONSTORE" | "TOUCH" | "UNLINK" | "WATCH" => every(1),
        "MSET" | "MSETNX" => every(2),
        "BLPOP" | "BRPOP" | "BZPOPMAX" | "BZPOPMIN" => up_to(args.len().saturating_sub(1)),
        "BLMOVE" | "BRPOPLPUSH" | "COPY" | "GEOSEARCHSTORE" | "LCS" | "LMOVE" | "RENAME" | "RENAMENX" | "RPOPLPUSH"
        | "SMOVE" | "ZRANGESTORE" => up_to(2),
        "EVAL" | "EVALSHA" | "EVAL_RO" | "EVALSHA_RO" | "FCALL" | "FCALL_RO" | "BLMPOP" | "BZMPOP" => counted(1),
        "LMPOP" | "SINTERCARD" | "ZDIFF" | "ZINTER" | "ZINTERCARD" | "ZMPOP" | "ZUNION" => counted(0),
        "ZDIFFSTORE" | "ZINTERSTORE" | "ZUNIONSTORE" => args.first().copied().into_iter().chain(counted(1)).collect(),
        "BITOP" => args.iter().copied().skip(1).collect(),
        "XREAD" | "XREADGROUP" => {
            let streams = args.iter().position(|word| word.eq_ignore_ascii_case(b"STREAMS"));
            let rest = streams.map_or(&[][..], |at| &args[at + 1..]);
            rest[..rest.len() / 2].to_vec()
        }
        "MEMORY" if name != "MEMORY USAGE" => Vec::new(),
        word if NONE.contains(&word) => Vec::new(),
        _ => up_to(1),
    }
}

/// Replaces each part of the key after the first `:` with `*`, since any of them can be an id. The first part is
/// replaced if it has a digit or is longer than 20 bytes.
pub(super) fn pattern(key: &[u8]) -> String {
    let text = String::from_utf8_lossy(key);
    let mut parts = text.split(':');
    let first = parts.next().unwrap_or_default();
    let is_id = first.len() > 20 || first.bytes().any(|byte| byte.is_ascii_digit());
    let mut pattern = if is_id { "*".to_owned() } else { first.escape_debug().to_string() };
    for _ in parts {
        pattern += ":*";
    }
    pattern
}

/// Returns true if the text matches the pattern, in which `*` matches any text and `?` any byte.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut star) = ((0, 0), None);
    while at.1 < text.len() {
        match pattern.get(at.0) {
            Some(b'*') => {
                star = Some((at.0 + 1, at.1));
                at.0 += 1;
            }
            Some(letter) if *letter == b'?' || *letter == text[at.1] => at = (at.0 + 1, at.1 + 1),
            // Backtrack: the last star matches one byte more.
            _ => match &mut star {
                Some((after, taken)) => {
                    *taken += 1;
                    at = (*after, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[at.0..].iter().all(|letter| *letter == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_the_whole_text() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("GET", "GET", true),
            ("GET", "GETEX", false),
            ("*GET", "MGET", true),
            ("cart:*:items", "cart:asa:items", true),
            ("cart:*:items", "cart:asa:itemsets", false),
            ("a*b*c", "aXbXbXc", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    fn keys_of(command: &str) -> Vec<String> {
        let mut words = command.split(' ');
        let name = words.next().unwrap();
        let args: Vec<_> = words.map(str::as_bytes).collect();
        keys(name, &args).into_iter().map(|key| String::from_utf8(key.to_vec()).unwrap()).collect()
    }

    #[test]
    fn finds_the_keys_of_each_command() {
        for (command, expected) in [
            ("GET a", "a"),
            ("SET a 1 EX 5", "a"),
            ("MGET a b", "a b"),
            ("MSET a 1 b 2", "a b"),
            ("BLPOP a b 0", "a b"),
            ("RENAME a b", "a b"),
            ("EVAL return 2 a b x", "a b"),
            ("ZUNIONSTORE a 2 b c WEIGHTS 1 2", "a b c"),
            ("BITOP AND a b", "a b"),
            ("XREADGROUP GROUP g c COUNT 1 STREAMS a b > >", "a b"),
            ("PUBLISH channel message", ""),
            ("PING", ""),
        ] {
            assert_eq!(keys_of(command).join(" "), expected, "{command}");
        }
    }

    #[test]
    fn patterns_replace_ids() {
        for (key, expected) in
            [("price:17", "price:*"), ("cart:asa:items", "cart:*:*"), ("celery", "celery"), ("17", "*")]
        {
            assert_eq!(pattern(key.as_bytes()), expected);
        }
    }
}
