//! Which replies answer which commands.

use super::*;

fn send(protocol: &mut Protocol, log: &mut Log, line: &str) {
    protocol.command(format!("{line}\r\n").as_bytes(), 1, log);
}

/// Returns the index of the command that this frame replies to.
fn answer(protocol: &mut Protocol, log: &mut Log, frame: &str) -> Option<usize> {
    let before: Vec<_> = log.commands.iter().map(|command| command.reply.is_some()).collect();
    let is_reply = protocol.answer(frame.as_bytes(), 1, log);
    let replied = log.commands.iter().zip(before).position(|(command, before)| command.reply.is_some() && !before);
    assert_eq!(replied.is_some(), is_reply);
    replied
}

#[test]
fn replies_answer_commands_in_order() {
    let (mut protocol, mut log) = (Protocol::new(1), Log::default());
    for line in ["SELECT 14", "GET a", "SELECT 99", "GET b"] {
        send(&mut protocol, &mut log, line);
    }
    for reply in ["+OK\r\n", "$-1\r\n", "-ERR DB index\r\n", "$1\r\nb\r\n"] {
        assert!(answer(&mut protocol, &mut log, reply).is_some());
    }
    assert!(protocol.waiting.is_empty());
    let replies: Vec<_> = log.commands.iter().map(|command| command.reply().unwrap().clone()).collect();
    assert_eq!(replies, [Reply::Ok, Reply::Nil, Reply::Error("ERR".to_owned()), Reply::Value]);
    let databases: Vec<_> = log.commands.iter().map(Command::database).collect();
    assert_eq!(databases[..3], [0, 14, 14]);
    send(&mut protocol, &mut log, "GET c");
    assert_eq!(log.commands[4].database(), 14);
    assert_eq!(log.commands.iter().filter(|command| command.begins_round_trip()).count(), 1);
}

#[test]
fn messages_are_not_replies() {
    for array in ['*', '>'] {
        let (mut protocol, mut log) = (Protocol::new(1), Log::default());
        send(&mut protocol, &mut log, "SUBSCRIBE a b");
        send(&mut protocol, &mut log, "PING");
        let confirmed = |name: &str| format!("{array}3\r\n$9\r\nsubscribe\r\n$1\r\n{name}\r\n:1\r\n");
        assert_eq!(answer(&mut protocol, &mut log, &confirmed("a")), None);
        let message = format!("{array}3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n");
        assert_eq!(answer(&mut protocol, &mut log, &message), None);
        assert_eq!(answer(&mut protocol, &mut log, &confirmed("b")), Some(0));
        let pong = if array == '*' { "*2\r\n$4\r\npong\r\n$0\r\n\r\n" } else { "+PONG\r\n" };
        assert_eq!(answer(&mut protocol, &mut log, pong), Some(1));
        assert_eq!(log.subscribed, [(b"a".to_vec(), 1), (b"b".to_vec(), 1)].into());
    }
}

#[test]
fn a_closed_connection_is_subscribed_to_nothing() {
    let (mut protocol, mut log) = (Protocol::new(1), Log::default());
    for _ in 0..2 {
        send(&mut protocol, &mut log, "SUBSCRIBE a");
        answer(&mut protocol, &mut log, "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    }
    send(&mut protocol, &mut log, "PSUBSCRIBE a");
    answer(&mut protocol, &mut log, "*3\r\n$10\r\npsubscribe\r\n$1\r\na\r\n:2\r\n");
    send(&mut protocol, &mut log, "UNSUBSCRIBE a");
    answer(&mut protocol, &mut log, "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:1\r\n");
    assert_eq!(log.subscribed, [(b"a".to_vec(), 1)].into());
    protocol.end(&mut log);
    assert!(log.subscribed.is_empty());
}

/// A list can begin with the word.
#[test]
fn arrays_are_messages_only_while_subscribed_in_resp2() {
    let (mut protocol, mut log) = (Protocol::new(1), Log::default());
    let array = "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n";
    for (line, reply) in [
        ("SUBSCRIBE a", "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"),
        ("UNSUBSCRIBE", "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n"),
        ("LRANGE list 0 -1", array),
        ("HELLO 3", "%0\r\n"),
        ("SUBSCRIBE a", ">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"),
        ("LRANGE list 0 -1", array),
    ] {
        send(&mut protocol, &mut log, line);
        assert!(answer(&mut protocol, &mut log, reply).is_some(), "{line}");
    }
}

#[test]
fn reset_holds_from_its_reply_on() {
    let (mut protocol, mut log) = (Protocol::new(1), Log::default());
    for line in ["SELECT 14", "MONITOR", "RESET", "GET a"] {
        send(&mut protocol, &mut log, line);
    }
    assert_eq!(log.commands[3].database(), 0);
    for (reply, is_push) in [
        ("+OK\r\n", false),
        ("+OK\r\n", false),
        ("+1.5 [0 x] \"GET\"\r\n", true),
        ("+RESET\r\n", false),
        ("$-1\r\n", false),
    ] {
        assert_eq!(answer(&mut protocol, &mut log, reply).is_none(), is_push, "{reply}");
    }
    assert_eq!(log.commands[3].reply(), Some(&Reply::Nil));
}

#[test]
fn skipped_replies_are_not_expected() {
    let (mut protocol, mut log) = (Protocol::new(1), Log::default());
    for line in ["CLIENT REPLY SKIP", "SET a 1", "GET a", "CLIENT REPLY OFF", "SET a 2", "CLIENT REPLY ON", "GET b"] {
        send(&mut protocol, &mut log, line);
    }
    for (reply, index) in [("$1\r\n1\r\n", 2), ("+OK\r\n", 5), ("$-1\r\n", 6)] {
        assert_eq!(answer(&mut protocol, &mut log, reply), Some(index));
    }
}

#[test]
fn transactions_are_one_round_trip() {
    let (mut protocol, mut log) = (Protocol::new(1), Log::default());
    for (line, reply) in
        [("MULTI", "+OK\r\n"), ("GET a", "+QUEUED\r\n"), ("EXEC", "*1\r\n$1\r\n1\r\n"), ("GET b", "$-1\r\n")]
    {
        send(&mut protocol, &mut log, line);
        answer(&mut protocol, &mut log, reply);
    }
    let names: Vec<_> = log.commands.iter().filter(|command| command.begins_round_trip()).map(Command::name).collect();
    assert_eq!(names, ["EXEC", "GET"]);
    assert!(log.commands[1].is_in_transaction() && log.commands[1].is_in_transaction_with(&log.commands[2]));
    assert!(!log.commands[3].is_in_transaction());
}

#[test]
fn passwords_are_not_recorded() {
    let (mut protocol, mut log) = (Protocol::new(1), Log::default());
    for line in ["AUTH asa hunter2", "HELLO 3 AUTH asa hunter2 SETNAME shop", "CONFIG SET requirepass hunter2"] {
        send(&mut protocol, &mut log, line);
    }
    for command in &log.commands {
        assert!(!command.head.windows(7).any(|bytes| bytes == b"hunter2"), "{:?}", command.head);
    }
    assert_eq!(log.commands[1].client_name(), Some("shop"));
}
