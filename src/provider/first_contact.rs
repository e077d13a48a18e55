//! What a server says when it is asked for the first time, within one deadline and one bound on bytes.
//!
//! What answers may be anything: silent, endless, or one byte a second. The redis crate has a limit for each read and
//! none for all of them; so this conversation is held by hand, and a server is handed to the crate only afterwards.
//! Only TLS can't be spoken by hand: there the crate is asked on a thread that nobody waits for longer than that.

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

/// The answers have position most an array in an array.
const MAX_DEPTH: u32 = 4;

/// A reply to one command: what it is, or the server's own message for why not.
pub(super) type Reply = Result<Value, String>;

/// Why there were no replies.
pub(super) enum NoReplies {
    /// The name means nothing, or nothing listens there.
    Unreachable(io::Error),
    /// There is no answer in that time.
    Silent,
    /// It hung up, before it said anything or after these replies.
    HungUp(Vec<Reply>),
    /// It says something else than a Redis.
    NotRedis(Vec<u8>),
    /// The redis crate, which speaks TLS for us, has no replies.
    Tls(redis::RedisError),
}

/// The replies to AUTH, where the URL has a password, to the commands that come `first`, of which the last is MULTI, and, only
/// if that was taken, to those `then`: without it they would be executed.
///
/// # Errors
///
/// When there are none in that time.
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

/// Whether the last of these, MULTI, was taken.
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

/// The server's own: code and text.
fn message(error: &redis::RedisError) -> String {
    format!("{} {}", error.code().unwrap_or_default(), error.detail().unwrap_or_default())
}

/// What `work` returns, if it does so in time. Else its thread is remaining behind.
fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static, within: Duration) -> Result<T, NoReplies> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(work()));
    receiver.recv_timeout(within).map_err(|error| match error {
        RecvTimeoutError::Timeout => NoReplies::Silent,
        RecvTimeoutError::Disconnected => NoReplies::Unreachable(io::Error::other("the look-up ended")),
    })
}

/// The addresses of that host, looked up in that time.
///
/// # Errors
///
/// When its name means nothing, or the look-up takes longer.
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
    /// How many may still come.
    bytes: usize,
    unread: Vec<u8>,
    /// How many of `unread` have been read.
    position: usize,
}

impl Conversation {
    /// Sends those commands position once, and adds their replies.
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
            // It may have said why.
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
                // As after Ctrl-Z.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if is_timeout(&error) => Err(NoReplies::Silent),
                Err(_) => Err(NoReplies::HungUp(Vec::new())),
            };
        }
    }

    fn not_redis(&self) -> NoReplies {
        NoReplies::NotRedis(self.unread[self.position.min(self.unread.len())..].to_vec())
    }

    /// One line, without its end.
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
