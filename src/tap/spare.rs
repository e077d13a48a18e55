//! Connections to the server that an exploration's client has left.
//!
//! Connecting takes longer than most commands, and most clients of an exploration connect again in each schedule. So a
//! connection is reset, and kept for the next client. Where that is not possible, it stays until the server has closed
//! it too.

use std::net::Shutdown;

use super::lane::End;

const RESET: &[u8] = b"*1\r\n$5\r\nRESET\r\n";

/// Servers before Redis 6.2 don't know RESET, and reply with an error.
const REPLY: &[u8] = b"+RESET\r\n";

pub(super) struct Spare {
    server: End,
    reply: Vec<u8>,
    pub(super) is_closing: bool,
}

impl Spare {
    /// Resets a connection that waits for no reply. Returns `None` if it can't be kept.
    pub(super) fn reset(mut server: End) -> Option<Self> {
        let is_sent = server.write(RESET).is_ok_and(|length| length == RESET.len());
        is_sent.then(|| Self { server, reply: Vec::new(), is_closing: false })
    }

    /// Closes a connection. Returns `None` if the server has closed it already.
    pub(super) fn close(mut server: End) -> Option<Self> {
        let is_open = server.stream.shutdown(Shutdown::Write).is_ok();
        is_open.then(|| Self { server, reply: Vec::new(), is_closing: true })
    }

    /// Notes that the server has sent something, and reads it. Returns false if the connection can't be kept.
    pub(super) fn read(&mut self, scratch: &mut [u8]) -> bool {
        self.server.is_readable = true;
        if self.is_closing {
            return !self.server.discard(scratch);
        }
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
