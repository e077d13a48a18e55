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
mod tests {
    use std::io::Write as _;
    use std::net::TcpListener;
    use std::time::{Duration, Instant};

    use super::{REPLY, Spare};
    use crate::sync::poll_until;
    use crate::tap::lane::End;
    use crate::tap::stream::Stream;

    #[test]
    fn a_close_after_the_reply_is_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        for is_closed in [false, true] {
            let client = mio::net::TcpStream::connect(listener.local_addr().expect("an address")).expect("connect");
            let (mut server, _) = listener.accept().expect("accept");
            let mut end = End::new(Stream::Tcp(client));
            end.is_writable = true;
            let mut spare = Spare::reset(end).expect("RESET is sent");
            server.write_all(REPLY).expect("reply");
            let _open = (!is_closed).then_some(server);
            let Stream::Tcp(socket) = &spare.server.stream else { panic!("not TCP") };
            let deadline = Instant::now() + Duration::from_secs(10);
            let arrived = || socket.peek(&mut [0; 64]).is_ok_and(|length| length == REPLY.len()).then_some(());
            poll_until(deadline, Duration::from_millis(1), arrived).expect("the reply arrives");
            assert_eq!((spare.read(&mut [0; 64]), spare.is_reset()), (!is_closed, true));
        }
    }
}
