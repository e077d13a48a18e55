//! Frames, whole and split at any byte.

use super::*;

/// Finds the ends of frames in bytes that arrive one by one, and checks that they are the same for all bytes at once.
fn ends(side: Side, bytes: &[u8]) -> Result<Vec<usize>, Malformed> {
    let mut framer = Framer::new(side);
    let (mut ends, mut start) = (Vec::new(), 0);
    while start < bytes.len() {
        match framer.end_of_frame(&bytes[start..])? {
            Some(length) => start += length,
            None => break,
        }
        ends.push(start);
    }
    let mut framer = Framer::new(side);
    let mut found = Vec::new();
    for (at, byte) in bytes.iter().enumerate() {
        if let Some(length) = framer.end_of_frame(&[*byte]).expect("as at once") {
            assert_eq!(length, 1);
            found.push(at + 1);
        }
    }
    assert_eq!(found, ends, "{}", bytes.escape_ascii());
    Ok(ends)
}

#[test]
fn each_reply_is_one_frame() {
    for reply in [
        "+OK\r\n",
        "+\n\r\n",
        "+a\nb\rc\r\n",
        "-\r\r\n",
        "-ERR no\r\n",
        ":-7\r\n",
        "$3\r\nfoo\r\n",
        "$0\r\n\r\n",
        "$-1\r\n",
        "*-1\r\n",
        "*0\r\n",
        "*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
        "_\r\n",
        "#t\r\n",
        ",-inf\r\n",
        "(3492890328409238509324850943850943825024385\r\n",
        "!5\r\nERR x\r\n",
        "=7\r\ntxt:foo\r\n",
        "%2\r\n+a\r\n:1\r\n+b\r\n*0\r\n",
        "%0\r\n",
        "~1\r\n+a\r\n",
        ">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n",
        "|1\r\n+ttl\r\n:3600\r\n$1\r\nv\r\n",
        "|0\r\n$1\r\nv\r\n",
        "|1\r\n+a\r\n|1\r\n+b\r\n:1\r\n:2\r\n:3\r\n",
        "*2\r\n|1\r\n+ttl\r\n:1\r\n:5\r\n:6\r\n",
        "$?\r\n;4\r\nHell\r\n;1\r\no\r\n;0\r\n",
        "*?\r\n:1\r\n*?\r\n:2\r\n.\r\n.\r\n",
        "%?\r\n+a\r\n:1\r\n.\r\n",
        "*1\r\n%1\r\n$?\r\n;1\r\nk\r\n;0\r\n*-1\r\n",
    ] {
        assert_eq!(ends(Side::Server, reply.as_bytes()), Ok(vec![reply.len()]), "{reply:?}");
        let twice = [reply, reply].concat();
        assert_eq!(ends(Side::Server, twice.as_bytes()), Ok(vec![reply.len(), twice.len()]), "{reply:?}");
    }
}

#[test]
fn commands_are_arrays_or_lines() {
    let commands = ["*1\r\n$4\r\nPING\r\n", "PING\r\n", "SET a \"b c\"\n", "*2\r\n$3\r\nGET\r\n$0\r\n\r\n"];
    let mut expected = Vec::new();
    for command in commands {
        expected.push(expected.last().unwrap_or(&0) + command.len());
    }
    assert_eq!(ends(Side::Client, commands.concat().as_bytes()), Ok(expected));
}

#[test]
fn the_server_ignores_empty_commands() {
    for (command, is_empty) in
        [("*0\r\n", true), ("*-1\r\n", true), ("\r\n", true), ("\n", true), ("  \r\n", true), ("PING\r\n", false)]
    {
        let mut framer = Framer::new(Side::Client);
        assert_eq!(framer.end_of_frame(command.as_bytes()), Ok(Some(command.len())), "{command:?}");
        assert_eq!(framer.was_empty(), is_empty, "{command:?}");
    }
    let mut framer = Framer::new(Side::Client);
    assert_eq!(framer.end_of_frame(b"*1\r\n$4\r\nPING\r\n"), Ok(Some(14)));
    assert!(!framer.was_empty());
}

#[test]
fn rejects_bytes_that_are_not_the_protocol() {
    for (side, bytes, expected) in [
        (Side::Server, "HTTP/1.1 200 OK\r\n", Malformed::Type(b'H')),
        (Side::Server, "*1\r\n.\r\n", Malformed::Type(b'.')),
        (Side::Server, ";1\r\na\r\n", Malformed::Type(b';')),
        (Side::Server, "$?\r\n:1\r\n", Malformed::Type(b':')),
        (Side::Server, "$x\r\n", Malformed::Length(b'x')),
        (Side::Server, "$\r\n", Malformed::Length(b'\r')),
        (Side::Server, "$1\na\r\n", Malformed::Length(b'\n')),
        (Side::Server, "$1\r2\r\n", Malformed::Length(b'2')),
        (Side::Client, "*1\n$4\nPING\n", Malformed::Length(b'\n')),
        (Side::Server, "$--1\r\n", Malformed::Length(b'-')),
        (Side::Server, "$-2\r\n", Malformed::LengthOf(b'$')),
        (Side::Server, "%-1\r\n", Malformed::LengthOf(b'%')),
        (Side::Server, "!?\r\n", Malformed::LengthOf(b'!')),
        (Side::Server, "$123456789012345678901\r\n", Malformed::Length(b'1')),
        (Side::Server, "*9223372036854775807\r\n", Malformed::LengthOf(b'*')),
        (Side::Client, "*1\r\n:1\r\n", Malformed::Type(b':')),
        (Side::Client, "*1\r\n$-1\r\n", Malformed::LengthOf(b'$')),
        (Side::Client, "*?\r\n", Malformed::LengthOf(b'*')),
    ] {
        assert_eq!(ends_at_once(side, bytes.as_bytes()), Err(expected), "{bytes:?}");
    }
    let deep = "*1\r\n".repeat(MAX_DEPTH + 1);
    assert_eq!(ends_at_once(Side::Server, deep.as_bytes()), Err(Malformed::Depth));
}

fn ends_at_once(side: Side, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    Framer::new(side).end_of_frame(bytes)
}

/// Lengths are hostile, and so is the nesting: nothing is kept but the counts of open aggregates.
#[test]
fn keeps_no_more_than_the_open_counts() {
    for bytes in ["*1000000000\r\n", "*1\r\n", "|1\r\n", "%1000\r\n", "*?\r\n", "$9223372036854775807\r\n", "+", "\n"] {
        for side in [Side::Client, Side::Server] {
            let mut framer = Framer::new(side);
            for _ in 0..10_000 {
                if framer.end_of_frame(bytes.as_bytes()).is_err() {
                    break;
                }
            }
            assert!(framer.open.capacity() <= MAX_DEPTH, "{side:?} {bytes:?}");
        }
    }
}
