//! Every operator on a real server, in every way to send a command.

use super::*;

/// Operator; commands before; command; the program's reply; a read of what is different, and its reply; whether the
/// change has an effect.
const CASES: &str = "
ttl-drop | | SET k v EX 100 | +OK | TTL k | -1 | yes
ttl-drop | SET k 1 | SET k v EX 100 NX | nil | TTL k | -1 | no
ttl-drop | SET k 1 | SET k v GET EX 100 | 1 | TTL k | -1 | yes
ttl-drop | | SETEX k 100 v | +OK | TTL k | -1 | yes
ttl-drop | | PSETEX k 100000 v | +OK | TTL k | -1 | yes
ttl-drop | SET k v | EXPIRE k 100 | 1 | TTL k | -1 | yes
ttl-drop | | EXPIRE k 100 | 0 | TTL k | -2 | no
ttl-drop | SET k v | GETEX k EX 100 | v | TTL k | -1 | yes
ttl-x60 | | SET k v EX 100 | +OK | TTL k | 6000 | yes
ttl-x60 | | SET k v PX 100000 | +OK | TTL k | 6000 | yes
ttl-x60 | | SETEX k 100 v | +OK | TTL k | 6000 | yes
ttl-x60 | SET k v | EXPIRE k 100 | 1 | TTL k | 6000 | yes
ttl-x60 | SET k v | GETEX k EX 100 | v | TTL k | 6000 | yes
ttl-none | SET k v | EXPIRE k 100 | 1 | EXISTS k | 0 | yes
ttl-none | | PEXPIRE k 100 | 0 | EXISTS k | 0 | no
nx-drop | SET k 1 | SET k v NX | +OK | GET k | v | yes
nx-drop | | SET k v NX EX 10 | +OK | GET k | v | no
nx-drop | ZADD k 1 a | ZADD k NX 5 a | 0 | ZSCORE k a | 5 | yes
nx-drop | ZADD k 1 b | ZADD k NX 5 a | 1 | ZSCORE k a | 5 | no
nx-drop | SET k 1 | SETNX k v | 1 | GET k | v | yes
nx-drop | | SETNX k v | 1 | GET k | v | no
nx-drop | HSET k f 1 | HSETNX k f v | 1 | HGET k f | v | yes
nx-drop | SET a 1 | MSETNX a 2 b 3 | 1 | GET a | 2 | yes
xx-drop | | SET k v XX | +OK | GET k | v | yes
xx-drop | SET k 1 | SET k v XX | +OK | GET k | v | no
xx-drop | | ZADD k XX 5 a | 1 | ZSCORE k a | 5 | yes
gt-drop | ZADD k 5 a | ZADD k GT CH 1 a | 1 | ZSCORE k a | 1 | yes
lt-drop | ZADD k 1 a | ZADD k LT CH 5 a | 1 | ZSCORE k a | 5 | yes
del-skip | SET k v | DEL k | 1 | GET k | v | yes
del-skip | | DEL k | 0 | GET k | nil | no
del-skip | SET k v | UNLINK k other | 1 | GET k | v | yes
del-skip | SET k v | GETDEL k | v | GET k | v | yes
del-skip | HSET k a 1 b 2 | HDEL k a c b | 2 | HLEN k | 2 | yes
del-skip | HSET k a 1 | HDEL k b | 0 | HLEN k | 1 | no
del-skip | ZADD k 1 a 0 b | ZREM k a b c | 2 | ZCARD k | 2 | yes
del-skip | SADD k a b | SREM k a c | 1 | SCARD k | 2 | yes
del-skip | RPUSH k a b a | LREM k 1 a | 1 | LLEN k | 3 | yes
del-skip | RPUSH k a | LREM k 0 b | 0 | LLEN k | 1 | no
del-skip | ZADD k 1 a 2 b | ZREMRANGEBYSCORE k -inf (2 | 1 | ZCARD k | 2 | yes
del-skip | ZADD k 1 a 2 b | ZREMRANGEBYRANK k 0 0 | 0 | ZCARD k | 2 | yes
del-skip | RPUSH k a b c | LTRIM k 0 0 | +OK | LLEN k | 3 | yes
del-skip | XADD k 1-1 f v;XADD k 1-2 f v | XTRIM k MAXLEN 1 | 0 | XLEN k | 2 | yes
del-skip | XADD k 1-1 f v | XDEL k 1-1 | 1 | XLEN k | 1 | yes
del-skip | XADD k 1 f v;XGROUP CREATE k g 0;XREADGROUP GROUP g c STREAMS k > | XACK k g 1 | 1 | XACK k g 1 | 1 | yes
del-skip | SET k v EX 100 | PERSIST k | 1 | TTL k | 100 | yes
del-skip | SET k v | PERSIST k | 0 | TTL k | -1 | no
write-skip | SET k 1 | SET k v | +OK | GET k | 1 | yes
write-skip | | SET k v NX | +OK | GET k | nil | yes
write-skip | SET k 1 | SET k v NX | nil | GET k | 1 | no
write-skip | SET k 1 | SET k v XX | +OK | GET k | 1 | yes
write-skip | | SET k v XX | nil | GET k | nil | no
write-skip | SET k 1 | SET k v GET | 1 | GET k | 1 | yes
write-skip | | SETEX k 100 v | +OK | GET k | nil | yes
write-skip | | SETNX k v | 1 | GET k | nil | yes
write-skip | | MSET a 1 b 2 | +OK | GET a | nil | yes
write-skip | HSET k a 1 | HSET k a 2 b 3 | 1 | HGETALL k | [a 1] | yes
write-skip | SADD k a | SADD k a b c | 2 | SCARD k | 1 | yes
write-skip | SADD k a | SADD k a | 0 | SCARD k | 1 | no
write-skip | ZADD k 1 a | ZADD k 2 a 3 b | 1 | ZCARD k | 1 | yes
write-skip | RPUSH k a | RPUSH k b c | 3 | LLEN k | 1 | yes
write-skip | | LPUSH k a | 1 | EXISTS k | 0 | yes
write-skip | SET k 5 | INCR k | 6 | GET k | 5 | yes
write-skip | | INCR k | 1 | GET k | nil | yes
write-skip | SET k 5 | DECRBY k 3 | 2 | GET k | 5 | yes
write-skip | HSET k f 5 | HINCRBY k f -7 | -2 | HGET k f | 5 | yes
twice | RPUSH k a | RPUSH k b | 3 | LRANGE k 0 -1 | [a b b] | yes
twice | SET k 5 | INCRBY k 2 | 9 | GET k | 9 | yes
twice | | APPEND k ab | 4 | GET k | abab | yes
twice | | ZINCRBY k 2 a | 4 | ZSCORE k a | 4 | yes
twice | | PUBLISH c m | 0 | PING | +PONG | no
publish-skip | | PUBLISH c m | 0 | PING | +PONG | no
watch-skip | | WATCH k | +OK | PING | +PONG | yes
read-nil | SET k v | GET k | nil | GET k | v | yes
read-nil | | GET k | nil | GET k | nil | no
read-nil | SET k v | GETEX k EX 100 | nil | TTL k | 100 | yes
read-nil | HSET k f v | HGET k f | nil | HGET k f | v | yes
read-nil | RPUSH k a | LINDEX k 0 | nil | LLEN k | 1 | yes
read-nil | MSET a 1 b 2 | MGET a b c | [nil nil nil] | GET a | 1 | yes
read-nil | HSET k f v | HMGET k f g | [nil nil] | HLEN k | 1 | yes
read-nil | HSET k f v | HGETALL k | [] | HLEN k | 1 | yes
read-nil | RPUSH k a b | LRANGE k 0 -1 | [] | LLEN k | 2 | yes
read-nil | SADD k a | SMEMBERS k | [] | SCARD k | 1 | yes
read-nil | ZADD k 1 a | ZRANGE k 0 -1 WITHSCORES | [] | ZCARD k | 1 | yes
read-nil | | ZRANGEBYSCORE k 0 1 | [] | ZCARD k | 0 | no
range-open | ZADD k 1 a 9 b | ZRANGEBYSCORE k 0 5 | [a b] | ZCARD k | 2 | yes
range-open | ZADD k 1 a | ZRANGEBYSCORE k 0 5 | [a] | ZCARD k | 1 | no
range-open | ZADD k 1 a 9 b | ZREVRANGEBYSCORE k 5 0 | [b a] | ZCARD k | 2 | yes
range-open | ZADD k 1 a 9 b | ZCOUNT k 0 5 | 2 | ZCARD k | 2 | yes
range-open | ZADD k 1 a 9 b | ZRANGE k 0 5 BYSCORE | [a b] | ZCARD k | 2 | yes
range-open | ZADD k 1 a 9 b | ZRANGE k 5 0 BYSCORE REV | [b a] | ZCARD k | 2 | yes
order-flip | RPUSH k a | LPUSH k b | 2 | LRANGE k 0 -1 | [a b] | yes
order-flip | | LPUSH k b | 1 | LRANGE k 0 -1 | [b] | no
bound-drop | XADD k 1-1 f v | XADD k MAXLEN 1 1-2 f v | 1-2 | XLEN k | 2 | yes
bound-drop | | XADD k MAXLEN 1 1-2 f v | 1-2 | XLEN k | 1 | no
bound-drop | XADD k 1-1 f v | XADD k MINID 1-2 1-2 f v | 1-2 | XLEN k | 2 | yes
";

/// A way to send a command. Returns its reply as the program gets it.
type Send = fn(&mut Client, &[&str]) -> Reply;

fn plain(client: &mut Client, words: &[&str]) -> Reply {
    client.send(words);
    client.reply()
}

fn pipelined(client: &mut Client, words: &[&str]) -> Reply {
    let frames = [resp::command(&["ECHO", "before"]), resp::command(words), resp::command(&["ECHO", "after"])];
    client.stream.write_all(&frames.concat()).expect("send");
    let [before, reply, after] = [client.reply(), client.reply(), client.reply()];
    assert_eq!((text(&before), text(&after)), ("before".to_owned(), "after".to_owned()));
    reply
}

fn in_a_transaction(client: &mut Client, words: &[&str]) -> Reply {
    let (echo, exec) = (resp::command(&["ECHO", "between"]), resp::command(&["EXEC"]));
    let frames = [resp::command(&["MULTI"]), echo.clone(), resp::command(words), echo, exec].concat();
    client.stream.write_all(&frames).expect("send");
    let replies = [(); 4].map(|()| text(&client.reply()));
    assert_eq!(replies, ["+OK", "+QUEUED", "+QUEUED", "+QUEUED"]);
    let Reply::Elements(b'*', Some(elements)) = client.reply() else { panic!("no array") };
    let [before, reply, after] = elements.try_into().expect("three elements");
    assert_eq!((text(&before), text(&after)), ("between".to_owned(), "between".to_owned()));
    reply
}

fn scripted(client: &mut Client, words: &[&str]) -> Reply {
    plain(client, &[&["EVAL", "return redis.call(unpack(ARGV))", "0"], words].concat())
}

struct Case<'a> {
    line: &'a str,
    before: Vec<&'a str>,
    words: Vec<&'a str>,
    reply: &'a str,
    read: &'a str,
    read_reply: &'a str,
    is_effective: bool,
}

fn cases() -> Vec<(&'static str, Case<'static>)> {
    let lines = CASES.trim().lines();
    let cases = lines.map(|line| {
        let parts: Vec<_> = line.split('|').map(str::trim).collect();
        let [operator, before, command, reply, read, read_reply, effect] = parts[..] else { panic!("{line}") };
        let before = before.split(';').filter(|command| !command.is_empty()).collect();
        let words = command.split(' ').collect();
        (operator, Case { line, before, words, reply, read, read_reply, is_effective: effect == "yes" })
    });
    cases.collect()
}

/// Runs all cases in one way.
fn run(hello: &str, send: Send, is_in_scope: impl Fn(&str, &Case<'_>) -> bool) {
    let server = server();
    let mut direct = Client::new(server.port());
    let mut direct_in_kind = Client::new(server.port());
    direct_in_kind.call(hello);
    let mut ran = 0;
    for operator in OPERATORS {
        let (tap, counts) = mutant(&server, operator.name);
        let mut client = Client::new(tap.port());
        client.call(hello);
        for (name, case) in cases() {
            if name != operator.name || !is_in_scope(name, &case) {
                continue;
            }
            let prepare = |direct: &mut Client| {
                direct.call("FLUSHALL");
                for command in &case.before {
                    let reply = direct.call(command);
                    assert!(!reply.starts_with('-'), "{command}: {reply}");
                }
            };
            prepare(&mut direct);
            let usual = send(&mut direct_in_kind, &case.words);
            assert_ne!(kind(&usual), '-', "{}: {}", case.line, text(&usual));
            prepare(&mut direct);
            let reply = send(&mut client, &case.words);
            assert_eq!(text(&reply), case.reply, "{}", case.line);
            // A condition that was dropped can give OK for nil, and a read nil for a value.
            let is_nil = [&usual, &reply].into_iter().any(super::super::super::answer::is_nil);
            assert!(is_nil || kind(&usual) == kind(&reply), "{}: {usual:?} {reply:?}", case.line);
            let read = direct.call(case.read);
            let is_ttl = case.read.starts_with("TTL") && are_ttls(&read, case.read_reply);
            assert!(is_ttl || read == case.read_reply, "{}: {read}", case.line);
            assert_eq!(counted(&counts), (1, case.is_effective.into()), "{}", case.line);
            client.call("UNWATCH");
            counted(&counts);
            ran += 1;
        }
    }
    server.end(false);
    assert!(ran > 30, "{ran}");
}

fn all(_: &str, _: &Case<'_>) -> bool {
    true
}

#[test]
fn commands_alone() {
    run("HELLO 2", plain, all);
}

#[test]
fn commands_of_resp3() {
    run("HELLO 3", plain, all);
}

#[test]
fn commands_in_pipelines() {
    run("HELLO 3", pipelined, all);
}

#[test]
fn commands_in_transactions() {
    // WATCH is refused there.
    run("HELLO 2", in_a_transaction, |operator, _| operator != "watch-skip");
    run("HELLO 3", in_a_transaction, |operator, _| operator != "watch-skip");
}

#[test]
fn commands_in_scripts() {
    let is_in_scope = |operator: &str, case: &Case<'_>| {
        let is_by_this_program = case.line.contains("MAXLEN 1 1-2");
        operator != "watch-skip" && !is_by_this_program
    };
    run("HELLO 2", scripted, is_in_scope);
}

#[test]
fn scripts_in_transactions() {
    let scripted_in_a_transaction = |client: &mut Client, words: &[&str]| {
        in_a_transaction(client, &[&["EVAL", "return redis.call(unpack(ARGV))", "0"], words].concat())
    };
    run("HELLO 2", scripted_in_a_transaction, |operator, _| {
        matches!(operator, "ttl-drop" | "ttl-x60" | "nx-drop" | "write-skip")
    });
}
