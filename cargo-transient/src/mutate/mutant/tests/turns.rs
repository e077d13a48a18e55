//! Connections that take turns: the order of the recording is that of the server.

use std::thread;

use super::*;
use crate::exchange;

/// Forwards every command as it came.
struct Forwards;

impl Rewrite for Forwards {
    fn command(&mut self, _: u64, _: &[u8]) -> Option<Rewritten> {
        None
    }
}

#[test]
fn the_order_of_the_recording_is_that_of_the_server() {
    let server = server();
    let tap = server.rewriting_tap(Box::new(Forwards)).expect("a tap");
    tap.take_turns();
    let directory = tempfile::tempdir().expect("a directory");
    let recording = directory.path().join("recording");
    tap.tap().record_to(&recording).expect("a recording");
    let port = tap.port();
    let clients = (0..6).map(|client| {
        thread::spawn(move || {
            let mut redis = Client::new(port);
            for round in 0..100 {
                let length = if client % 2 == 0 { 1 } else { 1 + round % 7 };
                let mut frames = resp::command(&["INCR", "n"]).repeat(length);
                // A transaction, and a command that comes when the connection waits for another's.
                frames.extend([&["MULTI"][..], &["INCR", "n"], &["EXEC"]].map(resp::command).concat());
                redis.stream.write_all(&frames).expect("send");
                (0..length + 3).for_each(|_| _ = redis.reply());
            }
            redis.call("RPUSH done x");
        })
    });
    let clients: Vec<_> = clients.collect();
    // Blocks until each has ended, with a command of its own behind it.
    let mut waiter = Client::new(port);
    for _ in 0..6 {
        waiter.send(&["BLPOP", "done", "0"]);
        waiter.send(&["INCR", "n"]);
        assert_eq!(text(&waiter.reply()), "[done x]");
        waiter.reply();
    }
    for client in clients {
        client.join().expect("a client");
    }
    tap.tap().finish_recording().expect("a recording");
    drop(tap);
    let exchanges = exchange::read(&recording).expect("a recording");
    let mut expected = 0;
    for exchange in &exchanges {
        // The INCR of a transaction is executed at its EXEC.
        match (exchange.name().as_str(), exchange.executed_by) {
            ("INCR", None) => {
                expected += 1;
                assert_eq!(exchange.reply.as_ref().map(text), Some(expected.to_string()));
            }
            ("EXEC", _) => {
                expected += 1;
                assert_eq!(exchange.reply.as_ref().map(text), Some(format!("[{expected}]")));
            }
            _ => {}
        }
    }
    assert!(expected > 1500, "{expected}");
    server.end(false);
}

#[test]
fn a_client_that_is_gone_gives_its_turn_back() {
    let server = server();
    let tap = server.rewriting_tap(Box::new(Forwards)).expect("a tap");
    tap.take_turns();
    let mut clients: Vec<_> = (0..20).map(|_| Client::new(tap.port())).collect();
    for (at, client) in clients.iter_mut().enumerate() {
        client.call("PING");
        // Some replies never come, and others come when nobody reads them.
        client.send(if at % 2 == 0 { &["CLIENT", "REPLY", "OFF"] } else { &["BLPOP", "nothing", "0"] });
        client.send(&["INCR", "n"]);
    }
    drop(clients);
    let mut client = Client::new(tap.port());
    assert_eq!(client.call("PING"), "+PONG");
    assert_eq!(client.call("SUBSCRIBE c"), "[subscribe c 1]");
    assert_eq!(Client::new(tap.port()).call("PUBLISH c m"), "1");
    assert_eq!(text(&client.reply()), "[message c m]");
    drop(tap);
    server.end(false);
}
