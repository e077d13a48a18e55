//! What is not one reply to one command: monitors, invalidations, messages, scripts, and commands that block.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use redis::{Client, Commands, Script, cmd};
use rstest::rstest;
use transient_fixtures::tap::{Reply, Tap};
use transient_fixtures::{TestRequest, clean_redis, get_redis, test_request};

/// A client that sends lines and reads bytes.
struct Raw(BufReader<TcpStream>);

impl Raw {
    /// Logged in, and in database 14.
    fn connect(url: &str) -> Self {
        let info = Client::open(url).expect("a URL").get_connection_info().clone();
        let stream = TcpStream::connect(info.addr().to_string()).expect("connect");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        stream.set_nodelay(true).expect("nodelay");
        let mut raw = Self(BufReader::new(stream));
        if let Some(password) = info.redis_settings().password() {
            let user = info.redis_settings().username().unwrap_or("default");
            raw.ask(&format!("AUTH {user} {password}"), "+OK\r\n");
        }
        raw.ask("SELECT 14", "+OK\r\n");
        raw
    }

    fn send(&mut self, line: &str) {
        self.0.get_mut().write_all(format!("{line}\r\n").as_bytes()).expect("write");
    }

    /// Reads that many bytes.
    fn expect(&mut self, expected: &str) {
        let mut found = vec![0; expected.len()];
        self.0.read_exact(&mut found).unwrap_or_else(|error| panic!("{error}: {}", found.escape_ascii()));
        assert_eq!(String::from_utf8_lossy(&found), expected);
    }

    fn ask(&mut self, line: &str, expected: &str) {
        self.send(line);
        self.expect(expected);
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line");
        line
    }

    /// Switches to RESP3. The greeting differs between servers: some list modules.
    fn hello_3(&mut self) {
        self.send("HELLO 3");
        self.send("ECHO greeted");
        while self.line() != "greeted\r\n" {}
    }
}

/// The reply to the last command with this name. It is recorded before the client gets it.
fn replied(tap: &Tap, name: &str) -> Option<Reply> {
    tap.commands().named(name).last().and_then(|command| command.reply().cloned())
}

#[rstest]
#[clean_redis]
fn lines_of_a_monitor_answer_nothing(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let mut monitor = Raw::connect(tap.redis_url());
    monitor.ask("MONITOR", "+OK\r\n");
    get_redis(&test_request).expect("connect").set::<_, _, ()>("a", "+OK\r\n").expect("SET");
    while !monitor.line().contains(r#""SET" "a" "+OK\r\n""#) {}
    // RESET is read in between, and ends it.
    monitor.send("RESET");
    while monitor.line() != "+RESET\r\n" {}
    assert_eq!((replied(&tap, "MONITOR"), replied(&tap, "RESET")), (Some(Reply::Ok), Some(Reply::Ok)));
    assert!(tap.malformed().is_empty());
}

#[rstest]
#[clean_redis]
fn invalidations_are_pushed_in_resp3(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let mut direct = get_redis(&test_request).expect("connect");
    direct.set::<_, _, ()>("a", "1").expect("SET");
    let mut client = Raw::connect(tap.redis_url());
    client.hello_3();
    client.ask("CLIENT TRACKING ON", "+OK\r\n");
    client.ask("GET a", "$1\r\n1\r\n");
    direct.set::<_, _, ()>("a", "2").expect("SET");
    client.expect(">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n");
    client.ask("GET a", "$1\r\n2\r\n");
    cmd("FLUSHDB").exec(&mut direct).expect("FLUSHDB");
    client.expect(">2\r\n$10\r\ninvalidate\r\n_\r\n");
    client.ask("GET a", "_\r\n");
    let replies: Vec<_> = tap.commands().named("GET").iter().map(|command| command.reply().cloned()).collect();
    assert_eq!(replies[..2], [Some(Reply::Value), Some(Reply::Value)]);
    assert_eq!(replied(&tap, "GET"), Some(Reply::Nil));
}

#[rstest]
#[clean_redis]
fn invalidations_are_messages_in_resp2(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let mut listener = Raw::connect(tap.redis_url());
    listener.send("CLIENT ID");
    let id = listener.line()[1..].trim().to_owned();
    listener.ask("SUBSCRIBE __redis__:invalidate", "*3\r\n$9\r\nsubscribe\r\n$20\r\n__redis__:invalidate\r\n:1\r\n");
    let mut client = Raw::connect(tap.redis_url());
    client.ask(&format!("CLIENT TRACKING ON REDIRECT {id}"), "+OK\r\n");
    client.ask("GET a", "$-1\r\n");
    get_redis(&test_request).expect("connect").set::<_, _, ()>("a", 1).expect("SET");
    listener.expect("*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$1\r\na\r\n");
    listener.ask("PING", "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
    assert_eq!(replied(&tap, "PING"), Some(Reply::Elements));
}

#[rstest]
#[clean_redis]
fn sharded_messages_pass(test_request: TestRequest) {
    if !test_request.server().is_at_least(7, 0) {
        return;
    }
    let tap = test_request.tap().expect("a tap");
    let mut client = Raw::connect(tap.redis_url());
    client.ask("SSUBSCRIBE news", "*3\r\n$10\r\nssubscribe\r\n$4\r\nnews\r\n:1\r\n");
    tap.wait_subscribed("news");
    let mut direct = get_redis(&test_request).expect("connect");
    assert_eq!(cmd("SPUBLISH").arg("news").arg("x").query::<u32>(&mut direct).expect("SPUBLISH"), 1);
    client.expect("*3\r\n$8\r\nsmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n");
    client.ask("SUNSUBSCRIBE", "*3\r\n$12\r\nsunsubscribe\r\n$4\r\nnews\r\n:0\r\n");
    // An array again is a reply.
    direct.rpush::<_, _, ()>("list", &["message", "a", "b"]).expect("RPUSH");
    client.ask("LRANGE list 0 -1", "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n");
    assert_eq!(replied(&tap, "LRANGE"), Some(Reply::Elements));
}

/// A subscription that was lost with its connection is not taken for one that was made again.
#[rstest]
#[clean_redis]
fn a_subscription_ends_with_its_connection(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let confirmation = "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n";
    let mut client = Raw::connect(tap.redis_url());
    client.ask("SUBSCRIBE news", confirmation);
    tap.wait_subscribed("news");
    tap.on("SUBSCRIBE").times(1).cut_after();
    let mut cut = Raw::connect(tap.redis_url());
    cut.send("SUBSCRIBE news");
    assert_eq!(cut.0.read(&mut [0; 64]).unwrap_or_default(), 0);
    drop(client);

    let tap_ref = &tap;
    thread::scope(|scope| {
        let again = scope.spawn(move || {
            thread::sleep(Duration::from_millis(100));
            let mut client = Raw::connect(tap_ref.redis_url());
            client.ask("SUBSCRIBE news", confirmation);
            client
        });
        thread::sleep(Duration::from_millis(50));
        tap.wait_subscribed("news");
        let publish = || get_redis(&test_request).expect("connect").publish::<_, _, u32>("news", "x");
        assert_eq!(publish().expect("PUBLISH"), 1);
        again.join().expect("a subscriber").expect("*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n");
    });
}

#[rstest]
#[clean_redis]
fn scripts_are_loaded_and_called(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let mut redis = Client::open(tap.redis_url()).expect("a URL").get_connection().expect("connect");
    // A running server still has the scripts of earlier runs.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_nanos();
    let script = format!("-- {} {now}\nreturn {{KEYS[1], ARGV[1], redis.call('INCR', KEYS[1])}}", std::process::id());
    let script = Script::new(&script);
    for count in 1..=2 {
        let found: (String, String, u32) = script.key("a").arg("å").invoke(&mut redis).expect("EVALSHA");
        assert_eq!(found, ("a".to_owned(), "å".to_owned(), count));
    }
    let commands = tap.commands().without_handshakes();
    let seen: Vec<_> = commands.iter().map(|command| (command.name(), command.reply().cloned())).collect();
    let missing = ("EVALSHA", Some(Reply::Error("NOSCRIPT".to_owned())));
    let called = ("EVALSHA", Some(Reply::Elements));
    assert_eq!(seen, [missing, ("SCRIPT LOAD", Some(Reply::Value)), called.clone(), called]);
    assert_eq!(commands.with_key("a").len(), 3);
}

#[rstest]
#[clean_redis]
fn commands_behind_one_that_blocks_have_their_own_replies(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let mut client = Raw::connect(tap.redis_url());
    client.send("BLMOVE from to LEFT RIGHT 0\r\nSET a 1\r\nBRPOP never 0.01\r\nXREAD BLOCK 10 STREAMS s $\r\nGET a");
    tap.wait_for(|command| command.is("BLMOVE"));
    let mut direct = get_redis(&test_request).expect("connect");
    assert_eq!(direct.get::<_, Option<u32>>("a").expect("GET"), None);
    direct.rpush::<_, _, ()>("from", "job").expect("RPUSH");
    client.expect("$3\r\njob\r\n+OK\r\n*-1\r\n*-1\r\n$1\r\n1\r\n");
    assert_eq!(replied(&tap, "GET"), Some(Reply::Value));
    let commands = tap.commands().without_handshakes();
    let replies: Vec<_> = commands.iter().map(|command| command.reply().unwrap().clone()).collect();
    assert_eq!(replies, [Reply::Value, Reply::Ok, Reply::Nil, Reply::Nil, Reply::Value]);

    // One that is woken by another client, and one whose client goes away.
    client.send("CLIENT ID");
    let id = client.line()[1..].trim().to_owned();
    client.send("BLPOP never 0");
    let is_blocked = |command: &transient_fixtures::tap::Command| command.is("BLPOP");
    tap.wait_for(is_blocked);
    while cmd("CLIENT").arg("UNBLOCK").arg(&id).query::<u32>(&mut direct).expect("UNBLOCK") == 0 {}
    client.expect("*-1\r\n");
    client.send("BLPOP gone 0");
    tap.wait_for(|command| is_blocked(command) && command.keys() == [b"gone"]);
    drop(client);
    let deadline = Instant::now() + Duration::from_secs(5);
    while direct.rpush::<_, _, u32>("gone", "job").is_ok() && direct.llen::<_, u32>("gone").expect("LLEN") == 0 {
        assert!(Instant::now() < deadline, "the server was not told that the client is gone");
    }
}
