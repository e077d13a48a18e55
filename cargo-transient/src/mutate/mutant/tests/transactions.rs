//! Transactions, several connections, errors and messages.

use super::*;

#[test]
fn transactions_end_in_every_way() {
    let server = server();
    let mut direct = Client::new(server.port());
    let (tap, counts) = mutant(&server, "nx-drop");
    let mut client = Client::new(tap.port());
    // Two commands are queued for each of these.
    direct.call("SET k 1");
    for (command, reply) in [
        ("MULTI", "+OK"),
        ("SET k 2 NX", "+QUEUED"),
        ("GET k", "+QUEUED"),
        ("SETNX k 3", "+QUEUED"),
        ("EXEC", "[+OK 2 1]"),
        ("GET k", "3"),
        // Discarded.
        ("MULTI", "+OK"),
        ("SET k 4 NX", "+QUEUED"),
        ("DISCARD", "+OK"),
        ("MULTI", "+OK"),
        ("GET k", "+QUEUED"),
        ("EXEC", "[3]"),
        // Not executed, because the key was changed.
        ("WATCH k", "+OK"),
        ("SET k 5", "+OK"),
        ("MULTI", "+OK"),
        ("SET k 6 NX", "+QUEUED"),
        ("EXEC", "nil"),
        ("GET k", "5"),
        // An error of one command.
        ("MULTI", "+OK"),
        ("LPUSH k a", "+QUEUED"),
        ("SET k 7 NX", "+QUEUED"),
        ("EXEC", "[-WRONGTYPE Operation against a key holding the wrong kind of value +OK]"),
        ("GET k", "7"),
        ("MULTI", "+OK"),
        ("SET k 8 NX", "+QUEUED"),
        ("RESET", "+RESET"),
        ("SET k 9 NX", "+OK"),
        ("GET k", "9"),
        ("DEL k", "1"),
    ] {
        let got = client.call(command);
        assert_eq!(got, reply, "{command}");
    }
    assert_eq!(counted(&counts), (7, 4));
    // A transaction within one, which some servers abort.
    let nested = ["MULTI", "PING", "MULTI", "SETNX k 1", "EXEC", "GET k"];
    let usual = nested.map(|command| direct.call(command));
    direct.call("DEL k");
    assert_eq!(nested.map(|command| client.call(command)), usual);
    direct.call("DEL k");
    // Aborted by a command that was refused.
    client.call("MULTI");
    client.call("SET k 8 NX");
    assert!(client.call("NONSENSE").starts_with("-ERR"));
    assert!(client.call("EXEC").starts_with("-EXECABORT"));
    assert!(client.call("EXEC").starts_with("-ERR EXEC"));
    assert_eq!(client.call("SET k 1 NX"), "+OK");
    drop(tap);
    server.end(false);
}

#[test]
fn errors_are_passed_on() {
    let server = server();
    let mut direct = Client::new(server.port());
    direct.call("RPUSH list a");
    direct.call("SET text a");
    for (operator, command) in [
        ("write-skip", "HSET list a 1"),
        ("write-skip", "INCR text"),
        ("write-skip", "INCR list"),
        ("del-skip", "HDEL list a"),
        ("twice", "INCR text"),
        ("read-nil", "GET list"),
        ("read-nil", "HGETALL text"),
        ("range-open", "ZCOUNT list 0 1"),
        ("ttl-drop", "GETEX list EX 5"),
    ] {
        let (tap, counts) = mutant(&server, operator);
        let mut client = Client::new(tap.port());
        let usual = direct.call(command);
        assert!(usual.starts_with('-'), "{command}: {usual}");
        assert_eq!(client.call(command), usual, "{command}");
        let of_script = client.call_words(
            &[&["EVAL", "return redis.pcall(unpack(ARGV))", "0"], &*command.split(' ').collect::<Vec<_>>()].concat(),
        );
        assert_eq!(of_script.split(' ').next(), usual.split(' ').next(), "{command}");
        assert_eq!(counted(&counts).1, 0, "{command}");
    }
    server.end(false);
}

#[test]
fn connections_have_states_of_their_own() {
    let server = server();
    let (tap, counts) = mutant(&server, "read-nil");
    let mut direct = Client::new(server.port());
    direct.call("SET k v");
    let [mut one, mut two] = [(); 2].map(|()| Client::new(tap.port()));
    assert!(one.call("HELLO 3").starts_with("[server"));
    one.call("MULTI");
    two.send(&["GET", "k"]);
    assert_eq!(two.reply(), Reply::Bytes(b'$', None));
    assert_eq!(one.call("GET k"), "+QUEUED");
    one.send(&["EXEC"]);
    assert_eq!(one.reply(), Reply::Elements(b'*', Some(vec![Reply::Line(b'_', Vec::new())])));
    one.call("HELLO 2");
    one.send(&["GET", "k"]);
    assert_eq!(one.reply(), Reply::Bytes(b'$', None));
    // No reply, and the next one is that of the next command.
    one.send(&["CLIENT", "REPLY", "SKIP"]);
    one.send(&["GET", "k"]);
    assert_eq!(one.call("ECHO a"), "a");
    drop(two);
    assert_eq!(counted(&counts), (4, 3));
    // An inline command; one in quotes is left alone.
    one.stream.write_all(b"get k\r\nget \"k\"\r\n").expect("send");
    assert_eq!([one.reply(), one.reply()].map(|reply| text(&reply)), ["nil", "v"]);
    drop(tap);
    server.end(false);
}

#[test]
fn long_values_are_changed_too() {
    let server = server();
    let mut direct = Client::new(server.port());
    let long = "x".repeat(3_000_000);
    for (operator, is_stored) in [("ttl-drop", true), ("write-skip", false), ("read-nil", true)] {
        let (tap, counts) = mutant(&server, operator);
        let mut client = Client::new(tap.port());
        direct.call("DEL k");
        assert_eq!(client.call_words(&["SET", "k", &long, "EX", "100"]), "+OK");
        assert_eq!(direct.call("STRLEN k"), if is_stored { "3000000" } else { "0" });
        assert_eq!(client.call("GET k").len(), if operator == "ttl-drop" { long.len() } else { "nil".len() });
        assert_eq!(counted(&counts), (1, 1));
    }
    server.end(false);
}

#[test]
fn messages_pass_between_replies() {
    let server = server();
    let mut publisher = Client::new(server.port());
    for hello in ["HELLO 2", "HELLO 3"] {
        for (operator, number, messages) in [("twice", "1", 2), ("publish-skip", "1", 0)] {
            let (tap, counts) = mutant(&server, operator);
            let [mut subscriber, mut client] = [(); 2].map(|()| Client::new(tap.port()));
            subscriber.call(hello);
            assert_eq!(subscriber.call("SUBSCRIBE c"), "[subscribe c 1]");
            assert_eq!(client.call("PUBLISH c m"), number, "{operator}");
            assert_eq!(counted(&counts), (1, 1), "{operator}");
            publisher.call("PUBLISH c end");
            for _ in 0..messages {
                assert_eq!(text(&subscriber.reply()), "[message c m]", "{operator}");
            }
            assert_eq!(text(&subscriber.reply()), "[message c end]", "{operator}");
        }
    }
    // A reply that is changed, while messages come.
    let (tap, _) = mutant(&server, "read-nil");
    let mut client = Client::new(tap.port());
    client.call("HELLO 3");
    client.call("SET k v");
    assert_eq!(client.call("SUBSCRIBE c"), "[subscribe c 1]");
    for _ in 0..100 {
        publisher.call("PUBLISH c m");
        client.send(&["GET", "k"]);
        let replies = [text(&client.reply()), text(&client.reply())];
        assert!(replies.contains(&"nil".to_owned()) && replies.contains(&"[message c m]".to_owned()), "{replies:?}");
    }
    drop(tap);
    server.end(false);
}

#[test]
fn a_skipped_watch_does_not_stop_exec() {
    let server = server();
    let mut direct = Client::new(server.port());
    let (tap, _) = mutant(&server, "watch-skip");
    let mut client = Client::new(tap.port());
    assert_eq!(client.call("WATCH k"), "+OK");
    direct.call("SET k v");
    client.call("MULTI");
    client.call("GET k");
    assert_eq!(client.call("EXEC"), "[v]");
    drop(tap);
    server.end(false);
}

#[test]
fn entries_get_made_up_ids() {
    let server = server();
    let mut direct = Client::new(server.port());
    let (tap, counts) = mutant(&server, "write-skip");
    let mut client = Client::new(tap.port());
    let ids = ["XADD k * f v", "XADD k * f v"].map(|command| client.call(command));
    assert!(ids.iter().all(|id| id.len() >= 15 && id.contains('-')) && ids[0] < ids[1], "{ids:?}");
    assert!(client.call("XADD k 5-* f v").starts_with("5-"));
    assert_eq!(direct.call("EXISTS k"), "0");
    assert_eq!(counted(&counts), (3, 3));
    let (tap, _) = mutant(&server, "twice");
    let id = Client::new(tap.port()).call("XADD k * f v");
    assert_eq!(direct.call("XLEN k"), "2");
    assert!(direct.call("XREVRANGE k + - COUNT 1").contains(&id), "the second id");
    server.end(false);
}

#[test]
fn a_tap_has_the_url_of_a_program() {
    for access in [Access::NoPassword, Access::Password, Access::Forwarded] {
        let server = server_with(access);
        let (tap, counts) = mutant(&server, "read-nil");
        let client = transient_fixtures::redis::Client::open(tap.url()).expect("a URL");
        let mut redis = client.get_connection().expect("a connection");
        let pipeline =
            transient_fixtures::redis::pipe().set("k", "v").get("k").query::<(String, Option<String>)>(&mut redis);
        assert_eq!(pipeline.expect("replies"), ("OK".to_owned(), None), "{access:?}");
        assert_eq!((tap.host(), tap.url().contains('@')), (Some("127.0.0.1"), access == Access::Password));
        assert_eq!(counted(&counts), (1, 1), "{access:?}");
        drop(tap);
        server.end(false);
    }
}

#[test]
fn the_recording_has_what_the_program_sent_and_got() {
    let server = server();
    let (tap, _) = mutant(&server, "nx-drop");
    let directory = tempfile::tempdir().expect("a directory");
    let recording = directory.path().join("recording");
    tap.tap().record_to(&recording).expect("a recording");
    let mut client = Client::new(tap.port());
    let long = "x".repeat(200_000);
    let commands = ["SET k 1", "SETNX k 2", "MULTI", "SETNX k 3", "EXEC", "SETNX k LONG", "GET k"];
    let commands = commands.map(|command| command.replace("LONG", &long));
    let got = commands.each_ref().map(|command| client.call(command));
    let hash = client.call_words(&["SCRIPT", "LOAD", "return redis.call('SETNX', 'k', '4')"]);
    let of_script = client.call_words(&["EVALSHA", &hash, "0"]);
    tap.tap().finish_recording().expect("a recording");
    let exchanges = crate::exchange::read(&recording).expect("a recording");
    let sent = exchanges.iter().map(|exchange| String::from_utf8_lossy(&exchange.words.join(&b' ')).into_owned());
    assert!(sent.take(commands.len()).eq(commands));
    let replies: Vec<_> = exchanges.iter().filter_map(|exchange| exchange.reply.as_ref()).map(text).collect();
    // The recording has the reply of EXEC for the command that it executed.
    let mut expected = got.to_vec();
    expected[3] = "1".to_owned();
    assert_eq!(replies[..expected.len()], expected);
    assert_eq!(replies[expected.len()..], [hash.clone(), of_script.clone()]);
    assert_eq!((expected[4].as_str(), of_script.as_str()), ("[1]", "1"));
    assert_eq!(exchanges.last().map(|exchange| exchange.words[1].clone()), Some(hash.into_bytes()));
    drop(tap);
    server.end(false);
}

#[test]
fn only_selected_commands_are_changed() {
    let server = server();
    let selects = |words: &[Word]| words.get(1).is_some_and(|key| key.starts_with(b"price:"));
    let mutant = Mutant::new(Operator::named("read-nil").expect("an operator"), Box::new(selects));
    let counts = mutant.counts();
    let tap = server.rewriting_tap(Box::new(mutant)).expect("a tap");
    let mut client = Client::new(tap.port());
    client.call("MSET price:1 a other b");
    assert_eq!([client.call("GET price:1"), client.call("GET other")], ["nil", "b"]);
    assert_eq!((counts.applied(), counts.effective()), (1, 1));
    drop(tap);
    server.end(false);
}

#[test]
fn hash_fields_keep_their_ttls_where_the_server_has_them() {
    let server = server();
    let mut direct = Client::new(server.port());
    direct.call("HSET k a 1 b 2");
    if direct.call("HTTL k FIELDS 1 a").starts_with('-') {
        // Redis before 7.4, and Valkey before 9. The change is an error there as well.
        let (tap, _) = mutant(&server, "ttl-x60");
        assert!(Client::new(tap.port()).call("HEXPIRE k 100 FIELDS 1 a").starts_with('-'));
    } else {
        for (operator, ttls) in [("ttl-drop", "[-1 -1 -2]"), ("ttl-x60", "[6000 -1 -2]")] {
            let (tap, counts) = mutant(&server, operator);
            let mut client = Client::new(tap.port());
            assert_eq!(client.call("HEXPIRE k 100 FIELDS 2 a c"), "[1 -2]", "{operator}");
            assert!(are_ttls(&direct.call("HTTL k FIELDS 3 a b c"), ttls), "{operator}");
            assert_eq!(counted(&counts), (1, 1), "{operator}");
        }
    }
    // Redis before 8.0, and Valkey before 9, do not know it.
    if !direct.call("HSETEX k FXX EX 100 FIELDS 1 a 5").starts_with('-') {
        for (operator, command, reply, read) in [
            ("ttl-drop", "HSETEX k EX 100 FIELDS 1 a 6", "1", "-1"),
            ("ttl-x60", "HSETEX k EX 100 FIELDS 1 a 7", "1", "6000"),
            ("ttl-drop", "HGETEX k EX 100 FIELDS 1 a", "[7]", "6000"),
            ("xx-drop", "HSETEX k FXX EX 100 FIELDS 2 a 8 new 9", "1", "100"),
            ("nx-drop", "HSETEX k FNX EX 200 FIELDS 1 a 8", "1", "200"),
        ] {
            let (tap, counts) = mutant(&server, operator);
            assert_eq!(Client::new(tap.port()).call(command), reply, "{operator}: {command}");
            assert!(are_ttls(&direct.call("HTTL k FIELDS 1 a"), read), "{operator}: {command}");
            assert_eq!(counted(&counts), (1, 1), "{operator}: {command}");
        }
    }
    server.end(false);
}
