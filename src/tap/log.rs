//! Everything that a tap has recorded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::record::{Command, Replied, Reply};

/// How many bytes a tap keeps in all. Later commands are forwarded and counted, but not recorded.
const ALL_BYTES: usize = 64 * 1024 * 1024;

/// Everything that a tap has recorded.
#[derive(Default)]
pub(super) struct Log {
    pub(super) commands: Vec<Command>,
    /// Names of marks, each with the index of the first command after it.
    pub(super) marks: Vec<(String, usize)>,
    /// Channels and patterns, each with its number of subscriptions that the server has confirmed.
    pub(super) subscribed: BTreeMap<Vec<u8>, u64>,
    /// A message for each connection that was closed because it sent bytes that are not the protocol.
    pub(super) malformed: Vec<String>,
    /// Commands that were forwarded after the record was full.
    pub(super) unrecorded: u64,
    bytes: usize,
}

impl Log {
    /// Records a command unless the record is full.
    pub(super) fn push(&mut self, command: Command) -> Option<usize> {
        // Two reference counts, a name and the rest of the struct.
        const OVERHEAD: usize = size_of::<Command>() + 64;
        if self.bytes > ALL_BYTES {
            self.unrecorded += 1;
            return None;
        }
        self.bytes += command.head.len() + OVERHEAD;
        self.commands.push(command);
        Some(self.commands.len() - 1)
    }

    pub(super) fn unsubscribe(&mut self, channel: &[u8]) {
        if let Some(count) = self.subscribed.get_mut(channel) {
            *count -= 1;
            if *count == 0 {
                self.subscribed.remove(channel);
            }
        }
    }

    pub(super) fn reply(&mut self, index: usize, kind: Reply, head: Arc<[u8]>, size: u64, at: Instant) {
        let commands_before = self.commands.len();
        self.bytes += head.len() + 16;
        self.commands[index].reply = Some(Replied { kind, head, size, at, commands_before });
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::REQUEST_BYTES;
    use super::*;

    #[test]
    fn commands_after_the_bound_are_counted() {
        let mut log = Log::default();
        let head: Arc<[u8]> = vec![b'x'; REQUEST_BYTES].into();
        let command = |index| Command {
            index,
            connection: 1,
            client_name: None,
            database: 14,
            name: "SET".into(),
            head: head.clone(),
            size: 0,
            at: Instant::now(),
            transaction: None,
            begins_round_trip: true,
            fault: None,
            reply: None,
        };
        let mut recorded = 0;
        while log.push(command(recorded)).is_some() {
            recorded += 1;
            // So the loop ends.
            assert!(recorded <= ALL_BYTES / REQUEST_BYTES);
        }
        assert!(recorded * 2 * REQUEST_BYTES > ALL_BYTES, "{recorded}");
        assert_eq!((log.push(command(recorded)), log.unrecorded), (None, 2));
        assert_eq!(log.commands.len(), recorded);
    }
}
