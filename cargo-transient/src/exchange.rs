//! The commands of a recording, each with its reply.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use transient_fixtures::Error;
use transient_fixtures::tap::{Event, Recording};

use crate::resp::{self, Reply};

/// A command and its reply.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    /// The number of the connection, counted from 1.
    pub(crate) connection: u64,
    /// When the command was forwarded, since the start of the recording.
    pub(crate) at: Duration,
    /// Its name and its arguments.
    pub(crate) words: Vec<Vec<u8>>,
    /// `None` if it has none: the connection was closed before, or the client asked for none.
    pub(crate) reply: Option<Reply>,
    /// When the reply was forwarded, and how many commands had been forwarded by then.
    pub(crate) replied: Option<(Duration, usize)>,
    /// The index of the EXEC that executed it. Its reply is then that of EXEC for it.
    pub(crate) executed_by: Option<usize>,
}

impl Exchange {
    /// The command's name in upper case, without its subcommand.
    pub(crate) fn name(&self) -> String {
        String::from_utf8_lossy(self.words.first().map_or(&[], Vec::as_slice)).to_uppercase()
    }
}

/// Reads a recording. The commands are in the order in which they were forwarded.
///
/// # Errors
///
/// Returns an error if the file can't be read.
pub(crate) fn read(recording: &Path) -> Result<Vec<Exchange>, Error> {
    let (mut exchanges, mut numbers) = (Vec::new(), HashMap::new());
    for entry in Recording::open(recording)? {
        let entry = entry?;
        match entry.event() {
            Event::Command { number, frame, .. } => {
                numbers.insert(*number, exchanges.len());
                exchanges.push(Exchange {
                    connection: entry.connection(),
                    at: entry.at(),
                    words: resp::words(frame),
                    reply: None,
                    replied: None,
                    executed_by: None,
                });
            }
            Event::Reply { command, frame, .. } => {
                let commands_before = exchanges.len();
                if let Some(exchange) = numbers.remove(command).and_then(|index| exchanges.get_mut(index)) {
                    exchange.reply = Reply::read(frame).map(|(reply, _)| reply);
                    exchange.replied = Some((entry.at(), commands_before));
                }
            }
            _ => {}
        }
    }
    take_apart(&mut exchanges);
    Ok(exchanges)
}

/// Gives each command of a transaction its element of EXEC's reply.
fn take_apart(exchanges: &mut [Exchange]) {
    let mut queued: HashMap<u64, Vec<usize>> = HashMap::new();
    for index in 0..exchanges.len() {
        let exchange = &exchanges[index];
        let (connection, name) = (exchange.connection, exchange.name());
        if matches!(&exchange.reply, Some(Reply::Line(b'+', text)) if text == b"QUEUED") {
            queued.entry(connection).or_default().push(index);
        } else if matches!(name.as_str(), "DISCARD" | "MULTI" | "RESET") {
            queued.remove(&connection);
        } else if name == "EXEC" {
            let (commands, exec) = (queued.remove(&connection).unwrap_or_default(), exchange.clone());
            let Some(Reply::Elements(b'*', Some(replies))) = exec.reply else { continue };
            for (command, reply) in commands.into_iter().zip(replies) {
                exchanges[command].reply = Some(reply);
                exchanges[command].executed_by = Some(index);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(command: &str, reply: &str) -> Exchange {
        Exchange {
            connection: 1,
            at: Duration::ZERO,
            words: resp::words(format!("{command}\r\n").as_bytes()),
            reply: Reply::read(reply.as_bytes()).map(|(reply, _)| reply),
            replied: None,
            executed_by: None,
        }
    }

    #[test]
    fn the_replies_of_transactions_are_those_of_exec() {
        let mut exchanges = [
            exchange("multi", "+OK\r\n"),
            exchange("SET a 1", "+QUEUED\r\n"),
            exchange("GET a", "+QUEUED\r\n"),
            exchange("EXEC", "*2\r\n+OK\r\n$1\r\n1\r\n"),
            exchange("GET a", "$-1\r\n"),
        ];
        take_apart(&mut exchanges);
        let found = exchanges.map(|exchange| (exchange.reply.expect("a reply"), exchange.executed_by));
        assert_eq!(found[1], (Reply::Line(b'+', b"OK".to_vec()), Some(3)));
        assert_eq!(found[2], (Reply::Bytes(b'$', Some(b"1".to_vec())), Some(3)));
        assert_eq!(found[4], (Reply::Bytes(b'$', None), None));
    }
}
