//! Which data a step uses, and whether it writes.

/// The commands that only read their keys.
const READS: [&str; 57] = [
    "BITCOUNT",
    "BITPOS",
    "DUMP",
    "EXISTS",
    "EXPIRETIME",
    "GEODIST",
    "GEOHASH",
    "GEOPOS",
    "GEOSEARCH",
    "GET",
    "GETBIT",
    "GETRANGE",
    "HEXISTS",
    "HGET",
    "HGETALL",
    "HKEYS",
    "HLEN",
    "HMGET",
    "HSTRLEN",
    "HVALS",
    "LCS",
    "LINDEX",
    "LLEN",
    "LPOS",
    "LRANGE",
    "MGET",
    "PEXPIRETIME",
    "PTTL",
    "SCARD",
    "SDIFF",
    "SINTER",
    "SISMEMBER",
    "SMEMBERS",
    "SMISMEMBER",
    "STRLEN",
    "SUBSTR",
    "SUNION",
    "TTL",
    "TYPE",
    "XINFO STREAM",
    "XLEN",
    "XPENDING",
    "XRANGE",
    "XREVRANGE",
    "ZCARD",
    "ZCOUNT",
    "ZDIFF",
    "ZINTER",
    "ZLEXCOUNT",
    "ZMSCORE",
    "ZRANGE",
    "ZRANGEBYLEX",
    "ZRANGEBYSCORE",
    "ZRANK",
    "ZREVRANGE",
    "ZSCORE",
    "ZUNION",
];

/// Commands that write nothing if they reply with 0 or nil.
const NO_CHANGE: [&str; 20] = [
    "DEL",
    "EXPIRE",
    "GETDEL",
    "HDEL",
    "HSETNX",
    "LPOP",
    "LREM",
    "MSETNX",
    "PERSIST",
    "PEXPIRE",
    "RENAMENX",
    "RPOP",
    "RPOPLPUSH",
    "SADD",
    "SET",
    "SETNX",
    "SMOVE",
    "SREM",
    "UNLINK",
    "ZREM",
];

/// Commands that write nothing and have no keys that they read.
const NEUTRAL: [&str; 8] = ["DBSIZE", "ECHO", "KEYS", "RANDOMKEY", "SCAN", "TIME", "UNWATCH", "WATCH"];

/// The data that a step uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Footprint {
    /// It depends on everything: scripts, points, time and faults, and commands whose keys are unknown.
    Everything,
    /// It uses nothing that is shared.
    Nothing,
    /// These keys of these databases. If `false`, it only reads them.
    Keys(Vec<(u32, Vec<u8>)>, bool),
}

impl Footprint {
    pub(super) fn of_command(name: &str, keys: &[(u32, Vec<u8>)], blocks: bool) -> Self {
        let is_script = name.starts_with("EVAL") || name.starts_with("FCALL") || name.starts_with("SCRIPT");
        if keys.is_empty() || is_script || blocks {
            return Self::Everything;
        }
        Self::Keys(keys.to_vec(), name == "EXEC" || name == "WATCH" || !READS.contains(&name))
    }

    /// Returns true if the order of the two steps makes no difference.
    pub(super) fn is_independent(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Nothing, _) | (_, Self::Nothing) => true,
            (Self::Keys(keys, writes), Self::Keys(others, other_writes)) => {
                (!writes && !other_writes) || keys.iter().all(|key| !others.contains(key))
            }
            _ => false,
        }
    }
}

/// Returns whether a command with this reply has written; `None` if only the server's counter of changes can tell.
pub(super) fn has_written(name: &str, reply: &[u8]) -> Option<bool> {
    let is_nothing =
        matches!(reply, [b':', b'0', ..] | [b'_', ..]) || reply.starts_with(b"$-1") || reply.starts_with(b"*-1");
    if READS.contains(&name) || NEUTRAL.contains(&name) || matches!(reply.first(), Some(b'-' | b'!')) {
        return Some(false);
    }
    if is_nothing && (NO_CHANGE.contains(&name) || name == "EXEC") {
        return Some(false);
    }
    if name == "EXEC" || name.starts_with("EVAL") || name.starts_with("FCALL") { None } else { Some(true) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_decide_about_independence() {
        let of = |name: &str, keys: &[&str]| {
            let keys: Vec<_> = keys.iter().map(|key| (14, key.as_bytes().to_vec())).collect();
            Footprint::of_command(name, &keys, false)
        };
        let (read, write, other) = (of("GET", &["a"]), of("SET", &["a"]), of("SET", &["b"]));
        assert!(read.is_independent(&read) && read.is_independent(&other) && write.is_independent(&other));
        assert!(!read.is_independent(&write) && !write.is_independent(&write));
        assert!(!of("EVAL", &["a"]).is_independent(&other) && !of("PUBLISH", &[]).is_independent(&other));
        assert!(Footprint::Nothing.is_independent(&Footprint::Everything));
    }

    #[test]
    fn replies_tell_whether_something_was_written() {
        for (name, reply, expected) in [
            ("GET", "$1\r\na\r\n", Some(false)),
            ("SET", "$-1\r\n", Some(false)),
            ("SET", "+OK\r\n", Some(true)),
            ("HSET", ":0\r\n", Some(true)),
            ("SADD", ":0\r\n", Some(false)),
            ("EXEC", "*-1\r\n", Some(false)),
            ("EVALSHA", ":0\r\n", None),
            ("INCR", "-WRONGTYPE\r\n", Some(false)),
        ] {
            assert_eq!(has_written(name, reply.as_bytes()), expected, "{name} {reply}");
        }
    }
}
