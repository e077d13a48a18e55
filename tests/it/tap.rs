//! Taps forward and record commands, and check budgets.

mod recording;
mod rules;
mod same_replies;
#[cfg(unix)]
mod socket;
mod wire;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use redis::{Client, Commands, Connection, cmd, pipe};
use rstest::rstest;
use transient_fixtures::tap::{Reply, Tap};
use transient_fixtures::{TestRequest, clean_redis, get_jobs_redis, get_redis, test_request};

use crate::panics::panic_of;

fn connect(tap: &Tap) -> Connection {
    Client::open(tap.redis_url()).expect("a URL").get_connection().expect("connect")
}

#[rstest]
#[clean_redis]
fn records_commands_in_order(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let mut redis = connect(&tap);
    redis.set::<_, _, ()>("foo", "ÅÄÖ").expect("SET");
    assert_eq!(redis.get::<_, String>("foo").expect("GET"), "ÅÄÖ");
    redis.get::<_, Option<String>>("bar").expect("GET");
    assert!(redis.lpush::<_, _, u32>("foo", "x").is_err());

    let commands = tap.commands().without_handshakes();
    let seen: Vec<_> = commands.iter().map(|command| (command.name(), command.reply().unwrap().clone())).collect();
    let wrong_type = Reply::Error("WRONGTYPE".to_owned());
    assert_eq!(seen, [("SET", Reply::Ok), ("GET", Reply::Value), ("GET", Reply::Nil), ("LPUSH", wrong_type)]);
    assert!(commands.iter().all(|command| command.database() == 14 && command.connection() == 1));
    assert_eq!(commands[0].arg(1).as_deref(), Some("ÅÄÖ"));
    assert_eq!(commands[0].size(), "*3\r\n$3\r\nSET\r\n$3\r\nfoo\r\n$6\r\nÅÄÖ\r\n".len() as u64);
    assert_eq!(commands.round_trips(), 4);
    assert_eq!(get_redis(&test_request).unwrap().get::<_, String>("foo").unwrap(), "ÅÄÖ");
}

#[rstest]
#[clean_redis]
fn keeps_passwords_out_of_the_record(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let mut redis = connect(&tap);
    let _ = cmd("AUTH").arg("asa").arg("hunter2").exec(&mut redis);
    let transcript = tap.commands().to_string();
    assert!(!transcript.contains("hunter2"), "{transcript}");
    if let Some((_, rest)) = test_request.redis_url().split_once("://:") {
        let password = rest.split('@').next().unwrap();
        assert!(!transcript.contains(password), "{transcript}");
    }
}

#[rstest]
#[clean_redis]
fn filters_narrow_the_record(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let mut redis = connect(&tap);
    cmd("CLIENT").arg("SETNAME").arg("shop").exec(&mut redis).expect("SETNAME");
    redis.set::<_, _, ()>("price:1", 1).expect("SET");
    tap.mark("cached");
    redis.get::<_, u32>("price:1").expect("GET");
    cmd("SELECT").arg(15).exec(&mut redis).expect("SELECT");
    redis.get::<_, Option<u32>>("price:2").expect("GET");

    assert_eq!(tap.commands().with_key("price:*").len(), 3);
    assert_eq!(tap.commands().with_key("price:1").named("get").len(), 1);
    assert_eq!(tap.commands().since("cached").without_handshakes().len(), 2);
    assert_eq!(tap.commands().since("never").len(), 0);
    assert_eq!(tap.commands().in_database(15).named("GET").len(), 1);
    assert_eq!(tap.commands().from_client("shop").with_key("*").len(), 3);
    let shapes = tap.commands().replies_by_shape();
    assert_eq!(shapes["GET price:*"].len(), 2, "{shapes:?}");
}

#[rstest]
#[clean_redis]
fn a_pipeline_and_a_transaction_are_one_round_trip(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let mut redis = connect(&tap);
    pipe().set("a", 1).set("b", 2).get("a").exec(&mut redis).expect("a pipeline");
    pipe().atomic().incr("a", 1).incr("b", 1).exec(&mut redis).expect("a transaction");
    let commands = tap.commands().without_handshakes();
    assert_eq!(commands.round_trips(), 2);
    let queued: Vec<_> = commands.iter().filter(|command| command.is_in_transaction()).collect();
    assert_eq!(queued.len(), 2);
    assert!(queued.iter().all(|command| command.reply() == Some(&Reply::Queued)));
}

#[rstest]
#[clean_redis]
fn concurrent_commands_overlap(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let client = Client::open(tap.jobs_url()).expect("a URL");
    let worker = thread::spawn(move || client.get_connection()?.blpop::<_, (String, String)>("mail", 0.0));
    let waiting = tap.wait_for(|command| command.is("BLPOP"));
    assert_eq!(waiting.reply(), None);
    connect(&tap).set::<_, _, ()>("a", 1).expect("SET");
    get_jobs_redis(&test_request).unwrap().rpush::<_, _, ()>("mail", "a job").expect("RPUSH");
    worker.join().unwrap().expect("a job");
    connect(&tap).set::<_, _, ()>("b", 1).expect("SET");
    let commands = tap.commands();
    let find = |name: &str, key: &str| commands.clone().named(name).with_key(key)[0].clone();
    let blocked = find("BLPOP", "mail");
    assert_eq!(blocked.reply(), Some(&Reply::Elements));
    assert!(blocked.overlaps(&find("SET", "a")) && !blocked.overlaps(&find("SET", "b")));
}

/// Subscribes to `news` and `weather`, and returns the first message.
fn subscriber(tap: &Tap) -> JoinHandle<String> {
    let client = Client::open(tap.redis_url()).expect("a URL");
    thread::spawn(move || {
        let mut redis = client.get_connection().expect("connect");
        let mut messages = redis.as_pubsub();
        messages.subscribe(&["news", "weather"]).expect("SUBSCRIBE");
        messages.get_message().expect("a message").get_payload::<String>().expect("text")
    })
}

#[rstest]
#[clean_redis]
fn a_test_waits_for_a_subscription(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let subscriber = subscriber(&tap);
    tap.wait_subscribed("news");
    assert_eq!(connect(&tap).publish::<_, _, u32>("news", "ÅÄÖ").expect("PUBLISH"), 1);
    assert_eq!(subscriber.join().expect("the subscriber"), "ÅÄÖ");
}

#[rstest]
#[clean_redis]
fn a_budget_names_each_limit_that_was_exceeded(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let mut redis = connect(&tap);
    redis.set_ex::<_, _, ()>("price:1", 1, 60).expect("SETEX");
    redis.set::<_, _, ()>("price:1", 2).expect("SET");
    for article in 1..=3 {
        redis.get::<_, Option<u32>>(format!("price:{article}")).expect("GET");
    }
    tap.budget().round_trips(5).round_trips(..=5).commands("GET", 3).commands("SET*", 1..).never("KEYS").check();
    for (budget, names) in [
        (tap.budget().round_trips(..=2), ["2", "5"]),
        (tap.budget().commands("GET", 1), ["GET", "3"]),
        (tap.budget().never("SET"), ["SET", "price:1"]),
        (tap.budget().never_without_ttl("SET"), ["SET", "price:1 2"]),
        (tap.budget().never_dropping_a_ttl(), ["SET", "price:1 2"]),
        (tap.budget().never_n_plus_one(), ["GET price:*", "3"]),
    ] {
        let panic = panic_of(|| budget.check());
        let (first, transcript) = panic.split_once('\n').expect("a transcript");
        assert!(names.iter().all(|name| first.contains(name)), "{panic}");
        assert!(transcript.contains("GET price:3 -> nil"), "{panic}");
    }
    tap.budget().never_without_ttl("SETEX").check();
}

#[rstest]
#[clean_redis]
fn a_ttl_can_come_in_the_same_transaction(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let mut redis = connect(&tap);
    pipe().atomic().set("a", 1).expire("a", 60).exec(&mut redis).expect("a transaction");
    tap.budget().never_without_ttl("SET").check();
    redis.set::<_, _, ()>("b", 1).expect("SET");
    redis.expire::<_, ()>("b", 60).expect("EXPIRE");
    panic_of(|| tap.budget().never_without_ttl("SET").check());
}

/// Reads a price through the cache.
fn price(redis: &mut Connection, ttl: Option<u64>) -> u32 {
    if let Some(price) = redis.get("price:1").expect("GET") {
        return price;
    }
    match ttl {
        Some(ttl) => redis.set_ex::<_, _, ()>("price:1", 7, ttl).expect("SETEX"),
        None => redis.set::<_, _, ()>("price:1", 7).expect("SET"),
    }
    7
}

#[rstest]
#[clean_redis]
fn hits_and_misses_are_judged_on_the_wire(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let mut redis = connect(&tap);
    panic_of(|| _ = tap.assert_hit(|| price(&mut redis, Some(60))));
    test_request.flush().expect("flush");
    assert_eq!(tap.assert_miss(|| price(&mut redis, Some(60))), 7);
    assert_eq!(tap.assert_hit(|| price(&mut redis, Some(60))), 7);
    panic_of(|| _ = tap.assert_miss(|| price(&mut redis, Some(60))));

    // A miss must fill the cache, with a TTL.
    test_request.flush().expect("flush");
    panic_of(|| _ = tap.assert_miss(|| price(&mut redis, None)));
    panic_of(|| tap.assert_miss(|| redis.get::<_, Option<u32>>("price:2").map(drop).expect("GET")));
    // A hit must not write the value again.
    panic_of(|| {
        tap.assert_hit(|| {
            redis.get::<_, u32>("price:1").expect("GET");
            redis.set_ex::<_, _, ()>("price:1", 7, 60).expect("SETEX");
        });
    });
    panic_of(|| tap.assert_hit(|| ()));
}

#[rstest]
#[clean_redis]
fn malformed_bytes_close_only_their_connection(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let mut redis = connect(&tap);
    let address = tap.redis_url().rsplit('@').next().unwrap().trim_start_matches("redis://");
    let mut stranger = TcpStream::connect(address.trim_end_matches("/14")).expect("connect");
    stranger.write_all(b"*1\r\n:1\r\n").expect("write");
    assert_eq!(stranger.read(&mut [0; 64]).unwrap_or_default(), 0);
    let malformed = tap.malformed();
    assert!(malformed.len() == 1 && malformed[0].contains(r"*1\r\n:1\r\n"), "{malformed:?}");
    redis.set::<_, _, ()>("a", 1).expect("SET");
}

#[rstest]
#[clean_redis]
fn large_values_pass(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let mut redis = connect(&tap);
    let value: Vec<u8> = (0..8 * 1024 * 1024_u32).map(|number| number.to_le_bytes()[1]).collect();
    redis.set::<_, _, ()>("a", &value).expect("SET");
    assert_eq!(redis.get::<_, Vec<u8>>("a").expect("GET"), value);
    let commands = tap.commands().without_handshakes();
    assert!(commands[0].size() > value.len() as u64 && commands[1].reply_size().unwrap() > value.len() as u64);
}

#[rstest]
#[clean_redis]
fn commands_can_be_split_anywhere(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let redis = connect(&tap);
    // The handshake is over. Send the rest byte by byte.
    redis.set_write_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    let address = tap.redis_url().rsplit(['@', '/']).nth(1).unwrap();
    let address = address.rsplit('@').next().unwrap();
    let mut stream = TcpStream::connect(address).expect("connect");
    stream.set_nodelay(true).expect("nodelay");
    for byte in b"PING\r\n*2\r\n$4\r\nECHO\r\n$3\r\na\r\n\r\n" {
        stream.write_all(&[*byte]).expect("write");
    }
    let echo = tap.wait_for(|command| command.is("ECHO"));
    assert_eq!(echo.args(), [b"a\r\n"]);
}

#[test]
fn a_tap_ends_with_its_test() {
    let url;
    {
        let test_request = TestRequest::isolated();
        let tap = test_request.tap().expect("a tap");
        url = tap.redis_url().to_owned();
        let leaked = connect(&tap);
        std::mem::forget((tap, leaked));
    }
    assert!(Client::open(url).unwrap().get_connection().is_err());
}
