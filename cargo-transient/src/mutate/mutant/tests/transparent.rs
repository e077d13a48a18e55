//! Random commands through a tap whose rewrite changes nothing.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;

use super::*;

/// Replaces every command by itself, sends another one before some, and returns every reply as it is.
#[derive(Default)]
struct ChangesNothing {
    commands: usize,
    /// The connections in a transaction. Another command would be executed there too.
    in_transactions: BTreeSet<u64>,
}

impl Rewrite for ChangesNothing {
    fn command(&mut self, connection: u64, frame: &[u8]) -> Option<Rewritten> {
        self.commands += 1;
        let is_in_transaction = self.in_transactions.contains(&connection);
        match resp::words(frame)[0].as_slice() {
            b"MULTI" => _ = self.in_transactions.insert(connection),
            b"EXEC" | b"DISCARD" => _ = self.in_transactions.remove(&connection),
            _ => {}
        }
        let same = |reply: &[u8]| reply.to_vec();
        match self.commands % 4 {
            0 => None,
            1 => Some(Rewritten { reply: Some(Box::new(same)), ..Rewritten::default() }),
            3 if !is_in_transaction => Some(Rewritten {
                forward: Some([b"*2\r\n$6\r\nCLIENT\r\n$2\r\nID\r\n", frame].concat()),
                first: Some(Box::new(|reply| assert_eq!(reply[0], b':', "{}", reply.escape_ascii()))),
                reply: Some(Box::new(same)),
            }),
            _ => Some(Rewritten { forward: Some(frame.to_vec()), ..Rewritten::default() }),
        }
    }
}

/// Random numbers from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % u64::try_from(bound).expect("a bound")).expect("a number")
    }
}

/// Commands with the same replies at any time. `{}` is the number of the client.
const COMMANDS: &[&str] = &[
    "SET a{} b",
    "GET a{}",
    "GET a{}",
    "INCR n{}",
    "LPUSH l{} x y",
    "LRANGE l{} 0 -1",
    "HSET h{} f v",
    "HGETALL h{}",
    "NONSENSE a",
    "GET",
    "LPUSH a{} x",
    "PING",
    "ECHO hello",
    "ZADD z{} 1.5 m",
    "ZRANGE z{} 0 -1 WITHSCORES",
    "SMEMBERS s{}",
    "SADD s{} m",
    "SELECT 1",
    "SELECT 0",
    "EXISTS a{}",
    "TYPE l{}",
    "STRLEN big{}",
    "APPEND big{} 0123456789",
    "SETRANGE big{} 70000 x",
    "GET big{}",
    "UNLINK l{} z{}",
    "EVAL return{KEYS[1],redis.call('GET',KEYS[1])} 1 a{}",
    "EVAL return{redis.call('INCR',KEYS[1]),ARGV[1]} 1 n{} x",
    "EVAL return{ok='FINE'} 0",
    "EVALSHA 0123456789012345678901234567890123456789 0",
];

/// Returns the bytes of random commands, in and out of transactions.
fn stream(random: &mut Random, client: usize, hello: &str) -> Vec<u8> {
    let mut lines = vec![hello.to_owned()];
    for _ in 0..400 {
        let pick = |random: &mut Random| COMMANDS[random.below(COMMANDS.len())].replace("{}", &client.to_string());
        if random.below(10) == 0 {
            lines.push("MULTI".to_owned());
            (0..random.below(5)).for_each(|_| lines.push(pick(random)));
            lines.push(if random.below(4) == 0 { "DISCARD" } else { "EXEC" }.to_owned());
        } else if random.below(20) == 0 {
            // It does not block.
            lines.push(format!("RPUSH b{client} x"));
            lines.push(format!("BLPOP b{client} 0"));
        } else {
            lines.push(pick(random));
        }
    }
    let frames = lines.iter().flat_map(|line| resp::command(&line.split(' ').collect::<Vec<_>>()));
    frames.chain(resp::command(&["ECHO", "the end"])).collect()
}

/// Sends bytes in random pieces, and returns all that comes back after the first reply, which can have an id.
fn replies(port: u16, bytes: &[u8], mut random: Random) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let mut reader = stream.try_clone().expect("a clone");
    let bytes = bytes.to_vec();
    let writer = thread::spawn(move || {
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((1 + random.below(2000)).min(rest.len()));
            stream.write_all(piece).expect("send");
            rest = after;
        }
    });
    let (mut replies, mut piece) = (Vec::new(), [0; 4096]);
    while !replies.ends_with(b"$7\r\nthe end\r\n") {
        let length = reader.read(&mut piece).expect("replies");
        assert!(length > 0, "closed after {} bytes", replies.len());
        replies.extend_from_slice(&piece[..length]);
    }
    writer.join().expect("a writer");
    Reply::read(&replies).expect("a reply").1.to_vec()
}

/// Compares the replies through taps with those of the server itself.
fn compare(seeds: std::ops::Range<u64>, rewrite: impl Fn() -> Box<dyn Rewrite>) {
    let server = server();
    let mut direct = Client::new(server.port());
    for seed in seeds {
        let mut random = Random(seed);
        let hello = if seed % 3 == 0 { "HELLO 3" } else { "CLIENT SETNAME hello" };
        let streams = [0, 1, 2].map(|client| stream(&mut random, client, hello));
        let port = server.port();
        direct.call("FLUSHALL");
        let usual = streams.each_ref().map(|bytes| replies(port, bytes, Random(seed)));
        direct.call("FLUSHALL");
        let tap = server.rewriting_tap(rewrite()).expect("a tap");
        if seed % 2 == 1 {
            tap.take_turns();
        }
        let port = tap.port();
        let clients = streams.map(|bytes| thread::spawn(move || replies(port, &bytes, Random(seed))));
        for (client, usual) in clients.into_iter().zip(usual) {
            let given = client.join().expect("a client");
            let same = given.iter().zip(&usual).take_while(|(one, other)| one == other).count();
            let around = |bytes: &[u8]| bytes[same.saturating_sub(80)..].iter().take(160).copied().collect::<Vec<_>>();
            assert!(
                given == usual,
                "seed {seed}, at {same}: {} instead of {}",
                around(&given).escape_ascii(),
                around(&usual).escape_ascii()
            );
        }
    }
    server.end(false);
}

#[test]
fn replies_are_equal_through_a_rewrite_that_changes_nothing() {
    compare(0..8, || Box::new(ChangesNothing::default()));
}

#[test]
fn replies_are_equal_through_a_mutant_that_selects_nothing() {
    let operator = Operator::named("read-nil").expect("an operator");
    compare(8..12, || Box::new(Mutant::new(operator, Box::new(|_| false))));
}

#[test]
fn replies_are_equal_through_a_mutant_whose_commands_do_not_come() {
    // The scripts are changed, and no command in them.
    let operator = Operator::named("publish-skip").expect("an operator");
    compare(12..16, || Box::new(Mutant::new(operator, Box::new(|_| true))));
}
