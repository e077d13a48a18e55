use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use transient_fixtures::__cargo_transient::{Access, CommandServer, CommandTap, ServerOptions};

use super::*;
use crate::mutate::operator::OPERATORS;

mod cases;
mod lua;
mod transactions;
mod transparent;
mod turns;

/// A connection of a program.
struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    fn new(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        Self { stream, unread: Vec::new() }
    }

    fn send(&mut self, words: &[&str]) {
        self.stream.write_all(&resp::command(words)).expect("send");
    }

    fn reply(&mut self) -> Reply {
        loop {
            if let Some((reply, rest)) = Reply::read(&self.unread) {
                self.unread = rest.to_vec();
                return reply;
            }
            let mut bytes = [0; 4096];
            let length = self.stream.read(&mut bytes).expect("a reply");
            assert!(length > 0, "closed after {:?}", self.unread.escape_ascii().to_string());
            self.unread.extend_from_slice(&bytes[..length]);
        }
    }

    /// Sends a command whose words have no spaces.
    fn call(&mut self, command: &str) -> String {
        self.call_words(&command.split(' ').collect::<Vec<_>>())
    }

    fn call_words(&mut self, words: &[&str]) -> String {
        self.send(words);
        text(&self.reply())
    }
}

/// A reply for the tables of these tests.
fn text(reply: &Reply) -> String {
    match reply {
        _ if super::super::answer::is_nil(reply) => "nil".to_owned(),
        Reply::Line(b':' | b',', number) => String::from_utf8_lossy(number).into_owned(),
        Reply::Line(kind, line) => format!("{}{}", *kind as char, String::from_utf8_lossy(line)),
        Reply::Bytes(_, bytes) => String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned(),
        Reply::Elements(_, elements) => {
            format!("[{}]", elements.iter().flatten().map(text).collect::<Vec<_>>().join(" "))
        }
    }
}

/// The type of a reply; the nils of both protocols are of the types that can be nil.
fn kind(reply: &Reply) -> char {
    match reply {
        Reply::Line(kind, _) | Reply::Bytes(kind, _) | Reply::Elements(kind, _) => *kind as char,
    }
}

/// Whether these are the same replies, or TTLs of which a slow machine has taken some seconds.
fn are_ttls(reply: &str, expected: &str) -> bool {
    let numbers = |text: &str| -> Vec<i64> {
        text.trim_matches(['[', ']']).split(' ').map(|number| number.parse().expect("a number")).collect()
    };
    let (found, expected) = (numbers(reply), numbers(expected));
    let is_close = |(found, expected): (&i64, &i64)| {
        found == expected || (*expected > 50 && (expected - 50..=*expected).contains(found))
    };
    found.len() == expected.len() && found.iter().zip(&expected).all(is_close)
}

fn server() -> CommandServer {
    server_with(Access::NoPassword)
}

fn server_with(access: Access) -> CommandServer {
    let options = ServerOptions { provider: None, database: None, access };
    CommandServer::start("mutants", &options).expect("a server")
}

fn mutant(server: &CommandServer, operator: &str) -> (CommandTap, Arc<Counts>) {
    let mutant = Mutant::new(Operator::named(operator).expect(operator), Box::new(|_| true));
    let counts = mutant.counts();
    (server.rewriting_tap(Box::new(mutant)).expect("a tap"), counts)
}

/// How many commands were changed, and with an effect, since this was called last.
fn counted(counts: &Counts) -> (u64, u64) {
    (counts.applied.swap(0, Ordering::Relaxed), counts.effective.swap(0, Ordering::Relaxed))
}
