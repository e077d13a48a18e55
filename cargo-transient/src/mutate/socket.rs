//! A connection of the replay.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use transient_fixtures::__cargo_transient::CommandServer;

use crate::resp::{self, Reply};

/// How long a server may take to answer. A script that never ends takes longer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

pub(super) struct Socket {
    stream: TcpStream,
    /// What was read.
    input: Vec<u8>,
    /// How much of it was taken.
    taken: usize,
    pub(super) database: u32,
}

impl Socket {
    /// Connects, and logs in.
    ///
    /// # Errors
    ///
    /// Returns an error if the server does not answer, or refuses.
    pub(super) fn connect(server: &CommandServer, is_resp3: bool) -> io::Result<Self> {
        let host = server.host().ok_or(ErrorKind::Unsupported)?;
        let stream = TcpStream::connect((host, server.port()))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWERS_WITHIN))?;
        let mut socket = Self { stream, input: Vec::new(), taken: 0, database: 0 };
        if let Some(password) = server.password() {
            socket.ask(&["AUTH", password])?;
        }
        if is_resp3 {
            socket.ask(&["HELLO", "3"])?;
        }
        Ok(socket)
    }

    /// Sends bytes.
    ///
    /// # Errors
    ///
    /// Returns an error if the server is gone.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a command, and returns its reply.
    ///
    /// # Errors
    ///
    /// Returns an error if the server is gone, or answers with one.
    pub(super) fn ask(&mut self, words: &[&str]) -> io::Result<Reply> {
        self.send(&resp::command(words))?;
        let (reply, _) = self.read()?;
        match reply {
            Reply::Line(b'-', text) => Err(io::Error::other(String::from_utf8_lossy(&text).into_owned())),
            reply => Ok(reply),
        }
    }

    /// Returns the next reply, and its bytes.
    ///
    /// # Errors
    ///
    /// Returns an error if it does not come.
    pub(super) fn read(&mut self) -> io::Result<(Reply, Vec<u8>)> {
        loop {
            let input = &self.input[self.taken..];
            if let Some((reply, rest)) = Reply::read(input) {
                let bytes = input[..input.len() - rest.len()].to_vec();
                self.taken += bytes.len();
                return Ok((reply, bytes));
            }
            self.fill()?;
        }
    }

    /// As [`read`](Self::read). Returns `None` if it does not come in this time.
    ///
    /// # Errors
    ///
    /// Returns an error if the server is gone.
    pub(super) fn read_within(&mut self, time: Duration) -> io::Result<Option<Reply>> {
        self.stream.set_read_timeout(Some(time))?;
        let read = self.read();
        self.stream.set_read_timeout(Some(ANSWERS_WITHIN))?;
        match read {
            Ok((reply, _)) => Ok(Some(reply)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        self.input.drain(..std::mem::take(&mut self.taken));
        let (length, room) = (self.input.len(), self.input.len().max(64 * 1024));
        self.input.resize(length + room, 0);
        let read = loop {
            match self.stream.read(&mut self.input[length..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.input.truncate(length + *read.as_ref().unwrap_or(&0));
        match read? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}
