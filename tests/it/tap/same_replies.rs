//! Random commands give the same replies with a tap and without one.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use proptest::prelude::*;
use rstest::rstest;
use transient_fixtures::{TestRequest, clean_redis, test_request};

const KEYS: [&str; 3] = ["a", "b", "c"];

/// Commands whose replies depend only on the data.
fn command() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let key = || prop::sample::select(&KEYS[..]).prop_map(|key| key.as_bytes().to_vec());
    let value = || prop_oneof![any::<Vec<u8>>(), Just(b"7".to_vec()), Just(b"\r\n$-1\r\n".to_vec())];
    let named = |name: &'static str| move |rest: Vec<Vec<u8>>| [vec![name.as_bytes().to_vec()], rest].concat();
    prop_oneof![
        (key(), value()).prop_map(|(key, value)| vec![key, value]).prop_map(named("SET")),
        key().prop_map(|key| vec![key]).prop_map(named("GET")),
        key().prop_map(|key| vec![key]).prop_map(named("INCR")),
        key().prop_map(|key| vec![key]).prop_map(named("DEL")),
        (key(), value()).prop_map(|(key, value)| vec![key, value]).prop_map(named("RPUSH")),
        key().prop_map(|key| vec![key, b"0".to_vec(), b"-1".to_vec()]).prop_map(named("LRANGE")),
        (key(), value(), value()).prop_map(|(key, field, value)| vec![key, field, value]).prop_map(named("HSET")),
        key().prop_map(|key| vec![key]).prop_map(named("HGETALL")),
        (key(), value()).prop_map(|(key, value)| vec![key, b"1.5".to_vec(), value]).prop_map(named("ZADD")),
        key()
            .prop_map(|key| vec![key, b"0".to_vec(), b"-1".to_vec(), b"WITHSCORES".to_vec()])
            .prop_map(named("ZRANGE")),
        (key(), key()).prop_map(|(one, other)| vec![one, other]).prop_map(named("MGET")),
        Just(vec![b"MULTI".to_vec()]),
        Just(vec![b"EXEC".to_vec()]),
        Just(vec![b"DISCARD".to_vec()]),
        Just(vec![b"HELLO".to_vec(), b"3".to_vec()]),
        Just(vec![b"HELLO".to_vec(), b"2".to_vec()]),
        Just(vec![b"NOSUCH".to_vec()]),
        key()
            .prop_map(|key| vec![
                b"return {1, false, {ok='x'}, redis.call('TYPE', KEYS[1])}".to_vec(),
                b"1".to_vec(),
                key
            ])
            .prop_map(named("EVAL")),
    ]
}

fn packed(command: &[Vec<u8>]) -> Vec<u8> {
    let mut packed = redis::Cmd::new();
    for word in command {
        packed.arg(word);
    }
    packed.get_packed_command()
}

/// Sends the commands in pieces of this size. Returns the bytes of all commands but AUTH, and of all replies.
fn converse(url: &str, commands: &[Vec<Vec<u8>>], piece: usize) -> (Vec<u8>, Vec<u8>) {
    let info = redis::Client::open(url).expect("a URL").get_connection_info().clone();
    let mut stream = TcpStream::connect(info.addr().to_string()).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    let (mut bytes, mut secrets) = (Vec::new(), 0);
    if let Some(password) = info.redis_settings().password() {
        let user = info.redis_settings().username().unwrap_or("default");
        bytes.extend(packed(&[b"AUTH".to_vec(), user.as_bytes().to_vec(), password.as_bytes().to_vec()]));
        secrets = bytes.len();
    }
    bytes.extend(packed(&[b"SELECT".to_vec(), b"14".to_vec()]));
    bytes.extend(packed(&[b"FLUSHDB".to_vec()]));
    for command in commands {
        bytes.extend(packed(command));
    }
    bytes.extend(packed(&[b"QUIT".to_vec()]));
    for piece in bytes.chunks(piece) {
        stream.write_all(piece).expect("write");
    }
    let mut replies = Vec::new();
    stream.read_to_end(&mut replies).expect("read");
    (bytes.split_off(secrets), replies)
}

/// Removes the connection's id from replies to HELLO, because it differs between connections.
fn without_ids(replies: &[u8]) -> Vec<u8> {
    let mut shown = Vec::new();
    let mut rest = replies;
    while let Some(at) = rest.windows(8).position(|bytes| bytes == b"$2\r\nid\r\n") {
        shown.extend_from_slice(&rest[..at]);
        let after = &rest[at + 8..];
        let end = after.iter().position(|byte| *byte == b'\n').map_or(after.len(), |end| end + 1);
        rest = &after[end..];
    }
    shown.extend_from_slice(rest);
    shown
}

#[rstest]
#[clean_redis]
fn random_commands_get_the_same_replies(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let file = tempfile::NamedTempFile::new().expect("a file");
    tap.record_to(file.path()).expect("a recording");
    let conversations = RefCell::new(Vec::new());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(60)
    });
    let histories = (prop::collection::vec(command(), 1..40), prop::sample::select(vec![1, 7, 64, 100_000]));
    runner
        .run(&histories, |(commands, piece)| {
            let (_, direct) = converse(test_request.redis_url(), &commands, 100_000);
            let before = tap.commands().len();
            let (sent, tapped) = converse(tap.redis_url(), &commands, piece);
            conversations.borrow_mut().push((sent, tapped.clone()));
            prop_assert_eq!(without_ids(&tapped), without_ids(&direct));
            // Every command is recorded with a reply.
            let seen = tap.commands();
            let of_them: Vec<_> = seen[before..].iter().filter(|command| command.name() != "AUTH").collect();
            prop_assert_eq!(of_them.len(), commands.len() + 3);
            prop_assert!(of_them.iter().all(|command| command.reply().is_some()));
            Ok(())
        })
        .expect("equal replies");
    tap.finish_recording().expect("a whole file");
    assert!(super::recording::conversations(file.path()) == conversations.into_inner(), "the file has other bytes");
}
