//! A connection to the server that is reset, and kept for the next client of an exploration.
//!
//! Connecting takes longer than most commands, and most clients of an exploration connect again in each schedule.

use super::lane::End;

const RESET: &[u8] = b"*1\r\n$5\r\nRESET\r\n";

/// Servers before Redis 6.2 don't know RESET, and reply with an error.
const REPLY: &[u8] = b"+RESET\r\n";

pub(super) struct Spare {
    server: End,
    reply: Vec<u8>,
}

impl Spare {
    /// Resets a connection that waits for no reply. Returns `None` if it can't be kept.
    pub(super) fn reset(mut server: End) -> Option<Self> {
        let is_sent = server.write(RESET).is_ok_and(|length| length == RESET.len());
        is_sent.then(|| Self { server, reply: Vec::new() })
    }

    /// Notes that the server has sent something, and reads it. Returns false if the connection can't be kept.
    pub(super) fn read(&mut self, scratch: &mut [u8]) -> bool {
        self.server.is_readable = true;
        while self.server.is_readable {
            match self.server.read(scratch) {
                Ok(Some(0)) | Err(_) => return false,
                Ok(Some(length)) => {
                    self.reply.extend_from_slice(&scratch[..length]);
                    // A close can come with the same event, so read until nothing is left.
                    self.server.is_readable = true;
                }
                Ok(None) => {}
            }
        }
        REPLY.starts_with(&self.reply)
    }

    /// Returns true once it is like a new connection.
    pub(super) fn is_reset(&self) -> bool {
        self.reply == REPLY
    }

    pub(super) fn into_server(self) -> End {
        self.server
    }
}

#[cfg(test)]
mod tests;
