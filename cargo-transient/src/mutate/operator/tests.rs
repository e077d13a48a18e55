use std::collections::BTreeSet;

use super::*;

fn words(command: &str) -> Vec<Word> {
    command.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

fn text(words: &[Word]) -> String {
    String::from_utf8(words.join(&b' ')).expect("text")
}

/// The commands that are sent for one, joined by `; `.
fn sent(operator: &str, command: &str) -> Option<String> {
    let mutation = Operator::named(operator).expect(operator).mutate(&words(command))?;
    let first = mutation.first.map(|first| text(&first) + "; ").unwrap_or_default();
    Some(first + &text(&mutation.forward))
}

/// Operator, command, and what is sent.
const SENT: &[(&str, &str, &str)] = &[
    ("ttl-drop", "set k v ex 10", "set k v"),
    ("ttl-drop", "SET k v NX PX 10 GET", "SET k v NX GET"),
    ("ttl-drop", "SET k ex EXAT 99 XX", "SET k ex XX"),
    ("ttl-drop", "SET EX PX PXAT 99", "SET EX PX"),
    ("ttl-drop", "SETEX k 10 v", "SET k v"),
    ("ttl-drop", "psetex k 10 v", "SET k v"),
    ("ttl-drop", "EXPIRE k 10 NX", "EXISTS k"),
    ("ttl-drop", "PEXPIREAT k 10", "EXISTS k"),
    ("ttl-drop", "GETEX k EX 10", "GET k"),
    ("ttl-drop", "HEXPIRE k 10 NX FIELDS 2 a b", "HMGET k a b"),
    ("ttl-drop", "HGETEX k EX 10 FIELDS 1 a", "HMGET k a"),
    ("ttl-drop", "HSETEX k FNX EX 10 FIELDS 1 a EX", "HSETEX k FNX FIELDS 1 a EX"),
    ("ttl-x60", "SET k v EX 10", "SET k v EX 600"),
    ("ttl-x60", "SET k v GET PX 10", "SET k v GET PX 600"),
    ("ttl-x60", "setex k 10 v", "setex k 600 v"),
    ("ttl-x60", "PEXPIRE k 10 XX", "PEXPIRE k 600 XX"),
    ("ttl-x60", "GETEX k PX 10", "GETEX k PX 600"),
    ("ttl-x60", "HPEXPIRE k 10 FIELDS 1 a", "HPEXPIRE k 600 FIELDS 1 a"),
    ("ttl-none", "EXPIRE k 10 GT", "PEXPIREAT k 1"),
    ("nx-drop", "SET k v nx ex 10", "EXISTS k; SET k v ex 10"),
    ("nx-drop", "SET k NX EX 10 NX", "EXISTS k; SET k NX EX 10"),
    ("nx-drop", "ZADD k NX CH 1 NX 2 b", "ZMSCORE k NX b; ZADD k CH 1 NX 2 b"),
    ("nx-drop", "EXPIRE k 10 NX", "PTTL k; EXPIRE k 10"),
    ("nx-drop", "SETNX k v", "EXISTS k; SET k v"),
    ("nx-drop", "HSETNX k f v", "HEXISTS k f; HSET k f v"),
    ("nx-drop", "MSETNX a 1 b 2", "EXISTS a b; MSET a 1 b 2"),
    ("nx-drop", "HSETEX k FNX FIELDS 2 a 1 b 2", "HMGET k a b; HSETEX k FIELDS 2 a 1 b 2"),
    ("xx-drop", "SET k v KEEPTTL XX", "EXISTS k; SET k v KEEPTTL"),
    ("xx-drop", "ZADD k xx gt 1 a", "ZMSCORE k a; ZADD k gt 1 a"),
    ("xx-drop", "PEXPIRE k 10 xx", "PTTL k; PEXPIRE k 10"),
    ("gt-drop", "ZADD k GT CH 1 a", "ZMSCORE k a; ZADD k CH 1 a"),
    ("gt-drop", "EXPIRE k 10 GT", "EXPIRE k 10"),
    ("lt-drop", "ZADD k LT 1 a", "ZMSCORE k a; ZADD k 1 a"),
    ("lt-drop", "EXPIREAT k 10 lt", "EXPIREAT k 10"),
    ("del-skip", "del a b", "EXISTS a b"),
    ("del-skip", "UNLINK a", "EXISTS a"),
    ("del-skip", "GETDEL a", "GET a"),
    ("del-skip", "HDEL k a b", "HMGET k a b"),
    ("del-skip", "HGETDEL k FIELDS 1 a", "HMGET k a"),
    ("del-skip", "ZREM k a b", "ZMSCORE k a b"),
    ("del-skip", "SREM k a b", "SMISMEMBER k a b"),
    ("del-skip", "LREM k -2 a", "LPOS k a"),
    ("del-skip", "ZREMRANGEBYSCORE k -inf (5", "ZCOUNT k -inf (5"),
    ("del-skip", "LTRIM k 0 9", "LLEN k"),
    ("del-skip", "XTRIM k MAXLEN 5", "XLEN k"),
    ("del-skip", "ZREMRANGEBYRANK k 0 1", "ZCARD k"),
    ("del-skip", "XACK k g 1-1 1-2", "EXISTS k"),
    ("del-skip", "XDEL k 1-1", "XLEN k"),
    ("del-skip", "PERSIST k", "PTTL k"),
    ("write-skip", "SET k v EX 10", "PING"),
    ("write-skip", "SET k v NX", "EXISTS k"),
    ("write-skip", "SET k v XX", "EXISTS k"),
    ("write-skip", "SET k v NX GET", "GET k"),
    ("write-skip", "SETEX k 10 v", "PING"),
    ("write-skip", "HSET k a 1 b 2", "HMGET k a b"),
    ("write-skip", "SADD k a b", "SMISMEMBER k a b"),
    ("write-skip", "ZADD k CH 1 a 2 b", "ZMSCORE k a b"),
    ("write-skip", "RPUSH k a b", "LLEN k"),
    ("write-skip", "INCR k", "GET k"),
    ("write-skip", "DECRBY k 5", "GET k"),
    ("write-skip", "HINCRBY k f 5", "HGET k f"),
    ("write-skip", "XADD k MAXLEN ~ 100 LIMIT 5 * f v", "XLEN k"),
    ("twice", "LPUSH k a", "LPUSH k a; LPUSH k a"),
    ("twice", "zincrby k 1 a", "zincrby k 1 a; zincrby k 1 a"),
    ("twice", "XADD k MAXLEN = 5 * f v", "XADD k MAXLEN = 5 * f v; XADD k MAXLEN = 5 * f v"),
    ("twice", "PUBLISH c m", "PUBLISH c m; PUBLISH c m"),
    ("publish-skip", "PUBLISH c m", "PUBSUB NUMSUB c"),
    ("watch-skip", "WATCH a b", "PING"),
    ("read-nil", "GET k", "GET k"),
    ("read-nil", "HMGET k a", "HMGET k a"),
    ("read-nil", "ZRANGE k 0 -1 WITHSCORES", "ZRANGE k 0 -1 WITHSCORES"),
    (
        "range-open",
        "ZRANGEBYSCORE k 1 2 LIMIT 0 5",
        "ZRANGEBYSCORE k 1 2 LIMIT 0 5; ZRANGEBYSCORE k -inf +inf LIMIT 0 5",
    ),
    ("range-open", "ZREVRANGEBYSCORE k 2 1", "ZREVRANGEBYSCORE k 2 1; ZREVRANGEBYSCORE k +inf -inf"),
    ("range-open", "ZCOUNT k 1 2", "ZCOUNT k 1 2; ZCOUNT k -inf +inf"),
    ("range-open", "ZRANGE k 1 2 BYSCORE", "ZRANGE k 1 2 BYSCORE; ZRANGE k -inf +inf BYSCORE"),
    ("range-open", "ZRANGE k 2 1 REV BYSCORE", "ZRANGE k 2 1 REV BYSCORE; ZRANGE k +inf -inf REV BYSCORE"),
    ("order-flip", "lpush k a b", "RPUSH k a b"),
    ("order-flip", "RPUSH k a", "LPUSH k a"),
    ("bound-drop", "XADD k MAXLEN ~ 5 LIMIT 9 * f v", "XLEN k; XADD k * f v"),
    ("bound-drop", "XADD k NOMKSTREAM MINID = 5 * MAXLEN v", "XADD k NOMKSTREAM * MAXLEN v"),
];

#[test]
fn commands_are_changed() {
    for (operator, command, expected) in SENT {
        assert_eq!(sent(operator, command).as_deref(), Some(*expected), "{operator}: {command}");
    }
    // The others depend on the time of day.
    let all: BTreeSet<_> = OPERATORS.iter().map(|operator| operator.name).filter(|name| *name != "score+1h").collect();
    assert_eq!(SENT.iter().map(|(operator, ..)| *operator).collect::<BTreeSet<_>>(), all);
}

#[test]
fn other_commands_are_left_alone() {
    for (operator, command) in [
        ("ttl-drop", "SET k EX"),
        ("ttl-drop", "SET k v KEEPTTL"),
        ("ttl-drop", "GETEX k PERSIST"),
        ("ttl-drop", "TTL k"),
        ("ttl-x60", "SET k v EX 0"),
        ("ttl-x60", "SET k v EX no"),
        ("ttl-x60", "EXPIRE k -1"),
        ("ttl-x60", "EXPIREAT k 5"),
        ("ttl-x60", "PEXPIRE k 9223372036854775807"),
        ("nx-drop", "SET k NX"),
        ("nx-drop", "ZADD k 1 NX"),
        ("write-skip", "SET k v IFEQ a"),
        ("write-skip", "ZADD k INCR 1 a"),
        ("write-skip", "INCRBY k no"),
        ("write-skip", "XADD k NOMKSTREAM * f v"),
        ("write-skip", "XADD k 5-1 f v"),
        ("twice", "XADD k 5-1 f v"),
        ("read-nil", "EXISTS k"),
        ("read-nil", "ZRANGESTORE a b 0 -1"),
        ("range-open", "ZRANGE k 0 1"),
        ("score+1h", "ZADD k 5 a"),
        ("bound-drop", "XADD k * MAXLEN 5"),
        ("ttl-drop", "SETEX k"),
    ] {
        assert_eq!(sent(operator, command), None, "{operator}: {command}");
    }
    let never = "FLUSHALL;FLUSHDB;SELECT 1;AUTH a;HELLO 3;CLIENT INFO;CONFIG SET a b;INFO;BLPOP a 0;BRPOP a 0;\
                 BLMOVE a b LEFT LEFT 0;SUBSCRIBE a;PSUBSCRIBE a;TTL k;PTTL k;EXISTS k;PING;MULTI;EXEC;DISCARD";
    for command in never.split(';') {
        let applied = OPERATORS.iter().filter(|operator| operator.mutate(&words(command.trim())).is_some());
        assert_eq!(applied.map(|operator| operator.name).collect::<Vec<_>>(), [""; 0], "{command}");
    }
}

#[test]
fn times_are_meant_as_the_command_has_them() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time");
    for (command, unit) in [("SET k v EXAT", 1), ("EXPIREAT k", 1), ("SET k v PXAT", 1000), ("PEXPIREAT k", 1000)] {
        let now = u64::try_from(now.as_millis()).expect("a number") * unit / 1000;
        let changed = sent("ttl-x60", &format!("{command} {}", now + 100 * unit)).expect(command);
        let time: u64 = changed.rsplit(' ').next().expect("a word").parse().expect("a number");
        let late = (now + 6000 * unit).abs_diff(time);
        assert!(late <= 60 * 60 * unit, "{changed}: {late} from an hour and 40 minutes");
    }
    for unit in [1, 1000] {
        let now = u64::try_from(now.as_millis()).expect("a number") * unit / 1000;
        let changed = sent("score+1h", &format!("ZADD k NX {now} a 5 b {} c", now - 100 * unit));
        let expected = format!("ZADD k NX {} a 5 b {} c", now + 3600 * unit, now + 3500 * unit);
        assert_eq!(changed, Some(expected));
    }
}
