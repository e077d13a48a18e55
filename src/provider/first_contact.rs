//! The first conversation with an unknown server, within one deadline and one limit on bytes.
//!
//! Anything can be at an address: a peer that is silent, endless, or sends one byte a second. The redis crate has a
//! timeout for each read but none for the whole conversation. So this conversation is implemented here, and the crate
//! connects only afterwards. TLS is the exception: there the crate asks, on a thread that is abandoned at the deadline.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use redis::{Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, Value, cmd};
use url::Url;

/// An INFO has 8 kB.
const MAX_BYTES: usize = 1 << 20;

/// The replies contain at most an array in an array.
const MAX_DEPTH: u32 = 4;

/// A reply to one command, or the server's own error message.
pub(super) type Reply = Result<Value, String>;

/// Why there are no replies.
pub(super) enum NoReplies {
    /// The name does not resolve, or nothing listens at the address.
    Unreachable(io::Error),
    /// There was no answer in time.
    Silent,
    /// The peer closed the connection, before any reply or after these.
    HungUp(Vec<Reply>),
    /// The peer does not speak the Redis protocol. These are its bytes.
    NotRedis(Vec<u8>),
    /// The redis crate, which speaks TLS for us, has failed.
    Tls(redis::RedisError),
}

/// Returns the replies to AUTH, if the URL has a password, to `first`, whose last command is MULTI, and to `then`.
/// `then` is sent only if MULTI succeeded: otherwise the server would execute these commands.
///
/// # Errors
///
/// Returns an error if there are no replies in time.
pub(super) fn ask(
    url: &Url,
    first: &[Cmd],
    then: &[Cmd],
    within: Duration,
) -> Result<(Option<Reply>, Vec<Reply>), NoReplies> {
    let deadline = Instant::now() + within;
    let info = url.as_str().into_connection_info().map_err(NoReplies::Tls)?;
    let stream = match info.addr() {
        ConnectionAddr::Tcp(host, port) => Stream::Tcp(connect(host, *port, deadline)?),
        #[cfg(unix)]
        ConnectionAddr::Unix(path) => Stream::Unix(UnixStream::connect(path).map_err(NoReplies::Unreachable)?),
        _ => return ask_over_tls(info.clone(), first, then, within),
    };
    let mut conversation = Conversation { stream, deadline, bytes: MAX_BYTES, unread: Vec::new(), position: 0 };
    let auth = auth(&info);
    let mut replies = Vec::new();
    conversation.exchange(auth.iter().chain(first), &mut replies)?;
    if is_taken(&replies) {
        conversation.exchange(then.iter(), &mut replies)?;
    }
    let auth = auth.map(|_| replies.remove(0));
    Ok((auth, replies))
}

/// Returns whether the last of these commands, MULTI, succeeded.
fn is_taken(replies: &[Reply]) -> bool {
    matches!(replies.last(), Some(Ok(Value::SimpleString(ok))) if ok == "OK")
        || matches!(replies.last(), Some(Ok(Value::Okay)))
}

fn auth(info: &ConnectionInfo) -> Option<Cmd> {
    let settings = info.redis_settings();
    let password = settings.password()?;
    let mut auth = cmd("AUTH");
    if let Some(user) = settings.username() {
        auth.arg(user);
    }
    Some(auth.arg(password).take())
}

fn ask_over_tls(
    info: ConnectionInfo,
    first: &[Cmd],
    then: &[Cmd],
    within: Duration,
) -> Result<(Option<Reply>, Vec<Reply>), NoReplies> {
    let (first, then) = (first.to_vec(), then.to_vec());
    let ask = move || {
        let mut connection = Client::open(info)?.get_connection_with_timeout(within)?;
        connection.set_read_timeout(Some(within))?;
        let mut replies = Vec::new();
        for (number, command) in first.iter().chain(&then).enumerate() {
            if number == first.len() && !is_taken(&replies) {
                break;
            }
            replies.push(match command.query::<Value>(&mut connection) {
                Ok(value) => Ok(value),
                Err(error) if error.code().is_some() => Err(message(&error)),
                Err(error) => return Err(error),
            });
        }
        Ok(replies)
    };
    let replies: redis::RedisResult<Vec<Reply>> = on_a_thread(ask, within)?;
    replies.map(|replies| (None, replies)).map_err(NoReplies::Tls)
}

/// Returns the server's own message: code and text.
fn message(error: &redis::RedisError) -> String {
    format!("{} {}", error.code().unwrap_or_default(), error.detail().unwrap_or_default())
}

/// Runs `work` on a thread and returns its result. After a timeout, the thread is abandoned.
fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static, within: Duration) -> Result<T, NoReplies> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(work()));
    receiver.recv_timeout(within).map_err(|error| match error {
        RecvTimeoutError::Timeout => NoReplies::Silent,
        RecvTimeoutError::Disconnected => NoReplies::Unreachable(io::Error::other("the look-up ended")),
    })
}

/// Resolves the host within a timeout.
///
/// # Errors
///
/// Returns an error if the name does not resolve, or not in time.
pub(super) fn addresses(host: &str, port: u16, within: Duration) -> Result<Vec<SocketAddr>, NoReplies> {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    on_a_thread(move || (host.as_str(), port).to_socket_addrs().map(Iterator::collect), within)?
        .map_err(NoReplies::Unreachable)
}

fn connect(host: &str, port: u16, deadline: Instant) -> Result<TcpStream, NoReplies> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses(host, port, remaining(deadline)?)? {
        match TcpStream::connect_timeout(&address, remaining(deadline)?) {
            Ok(stream) => return Ok(stream),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(NoReplies::Silent),
            Err(error) => last = error,
        }
    }
    Err(NoReplies::Unreachable(last))
}

fn remaining(deadline: Instant) -> Result<Duration, NoReplies> {
    let remaining = deadline.saturating_duration_since(Instant::now());
    if remaining.is_zero() { Err(NoReplies::Silent) } else { Ok(remaining) }
}

enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

struct Conversation {
    stream: Stream,
    deadline: Instant,
    /// How many bytes may still arrive.
    bytes: usize,
    unread: Vec<u8>,
    /// How many bytes of `unread` have been read.
    position: usize,
}

impl Conversation {
    /// Sends all commands at once and appends their replies.
    fn exchange<'a>(
        &mut self,
        commands: impl Iterator<Item = &'a Cmd> + Clone,
        replies: &mut Vec<Reply>,
    ) -> Result<(), NoReplies> {
        let packed: Vec<u8> = commands.clone().flat_map(Cmd::get_packed_command).collect();
        self.write(&packed)?;
        for _ in commands {
            match self.reply(0) {
                Ok(reply) => replies.push(reply),
                Err(NoReplies::HungUp(_)) => return Err(NoReplies::HungUp(std::mem::take(replies))),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), NoReplies> {
        let limit = Some(remaining(self.deadline)?);
        let written = match &mut self.stream {
            Stream::Tcp(stream) => stream.set_write_timeout(limit).and_then(|()| stream.write_all(bytes)),
            #[cfg(unix)]
            Stream::Unix(stream) => stream.set_write_timeout(limit).and_then(|()| stream.write_all(bytes)),
        };
        match written {
            // The peer may have sent a reason before it closed the connection.
            Err(error) if is_timeout(&error) => Err(NoReplies::Silent),
            _ => Ok(()),
        }
    }

    fn fill(&mut self) -> Result<(), NoReplies> {
        let mut block = [0; 16 << 10];
        loop {
            let limit = Some(remaining(self.deadline)?);
            let read = match &mut self.stream {
                Stream::Tcp(stream) => stream.set_read_timeout(limit).and_then(|()| stream.read(&mut block)),
                #[cfg(unix)]
                Stream::Unix(stream) => stream.set_read_timeout(limit).and_then(|()| stream.read(&mut block)),
            };
            return match read {
                Ok(0) => Err(NoReplies::HungUp(Vec::new())),
                Ok(read) if read > self.bytes => Err(self.not_redis()),
                Ok(read) => {
                    self.bytes -= read;
                    self.unread.extend_from_slice(&block[..read]);
                    Ok(())
                }
                // After Ctrl-Z, for example.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if is_timeout(&error) => Err(NoReplies::Silent),
                Err(_) => Err(NoReplies::HungUp(Vec::new())),
            };
        }
    }

    fn not_redis(&self) -> NoReplies {
        NoReplies::NotRedis(self.unread[self.position.min(self.unread.len())..].to_vec())
    }

    /// Reads one line, without its line break.
    fn line(&mut self) -> Result<Vec<u8>, NoReplies> {
        let mut searched = self.position;
        loop {
            if let Some(end) = self.unread[searched..].windows(2).position(|pair| pair == b"\r\n") {
                let line = self.unread[self.position..searched + end].to_vec();
                self.position = searched + end + 2;
                return Ok(line);
            }
            searched = self.unread.len().saturating_sub(1).max(self.position);
            self.fill()?;
        }
    }

    fn reply(&mut self, depth: u32) -> Result<Reply, NoReplies> {
        while self.position >= self.unread.len() {
            self.fill()?;
        }
        if depth > MAX_DEPTH || !b"+-:$*".contains(&self.unread[self.position]) {
            return Err(self.not_redis());
        }
        let line = self.line()?;
        let text = String::from_utf8_lossy(&line[1..]).into_owned();
        let number = || text.parse::<i64>().map_err(|_| NoReplies::NotRedis(line.clone()));
        Ok(Ok(match line[0] {
            b'+' => Value::SimpleString(text),
            b'-' => return Ok(Err(text)),
            b':' => Value::Int(number()?),
            b'$' => match usize::try_from(number()?) {
                Ok(length) => Value::BulkString(self.bulk(length)?),
                Err(_) => Value::Nil,
            },
            _ => match usize::try_from(number()?) {
                Ok(length) => Value::Array(self.array(length, depth)?),
                Err(_) => Value::Nil,
            },
        }))
    }

    fn bulk(&mut self, length: usize) -> Result<Vec<u8>, NoReplies> {
        if length > self.bytes + self.unread.len() {
            return Err(self.not_redis());
        }
        while self.unread.len() < self.position + length + 2 {
            self.fill()?;
        }
        let bulk = self.unread[self.position..self.position + length].to_vec();
        self.position += length + 2;
        Ok(bulk)
    }

    fn array(&mut self, length: usize, depth: u32) -> Result<Vec<Value>, NoReplies> {
        let mut items = Vec::new();
        for _ in 0..length {
            items.push(self.reply(depth + 1)?.unwrap_or_else(|_| Value::Nil));
        }
        Ok(items)
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
