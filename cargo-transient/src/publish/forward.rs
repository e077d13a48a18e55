//! Forwards the connections at a published port to the server.

use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, ioctl_fionbio, read, write};
use rustix::net::{Shutdown, listen, shutdown};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use transient_fixtures::redis::ConnectionAddr;

use crate::report;

/// How many connections may wait to be accepted. Redis has 511.
const BACKLOG: i32 = 511;

/// A thread here copies bytes and calls nothing else.
const STACK: usize = 128 << 10;

/// What a connection holds in each direction.
const BUFFER: usize = 32 << 10;

/// The pause if there are no descriptors for a connection.
const RETRY_AFTER: Duration = Duration::from_millis(10);

/// Forwards until this process ends.
///
/// # Errors
///
/// Returns an error if no thread can be started.
pub(super) fn start(listener: TcpListener, server: &ConnectionAddr) -> Result<(), String> {
    // With fewer, a client may wait a second for its connection.
    let _ = listen(&listener, BACKLOG);
    let server = Arc::new(server.clone());
    let accept = move || {
        loop {
            let Ok((client, _)) = listener.accept() else {
                // The kernel keeps the connection for later.
                thread::sleep(RETRY_AFTER);
                continue;
            };
            let server = server.clone();
            // A connection that fails is closed, which is how its client learns of it.
            let _ = spawn(move || drop(connect(client, &server)));
        }
    };
    spawn(accept).map_err(|error| report::no_forward(&error))
}

fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().stack_size(STACK).spawn(work).map(drop)
}

fn connect(client: TcpStream, server: &ConnectionAddr) -> io::Result<()> {
    client.set_nodelay(true)?;
    let server: OwnedFd = match server {
        ConnectionAddr::Unix(path) => UnixStream::connect(path)?.into(),
        ConnectionAddr::Tcp(host, port) => {
            let server = TcpStream::connect((host.as_str(), *port))?;
            server.set_nodelay(true)?;
            server.into()
        }
        // A started server has no TLS.
        _ => return Err(ErrorKind::Unsupported.into()),
    };
    let client = client.into();
    ioctl_fionbio(&client, true)?;
    ioctl_fionbio(&server, true)?;
    Ok(exchange(&client, &server)?)
}

/// Copies in both directions until the server has closed, or one side is gone.
fn exchange(client: &OwnedFd, server: &OwnedFd) -> Result<(), Errno> {
    let (mut up, mut down) = (Direction::new(client, server), Direction::new(server, client));
    // A client may close only its own direction, and still wait for replies. A server closes both.
    while !down.is_done() {
        // A side without anything to wait for is left out, because its end would be reported again and again.
        let sides = [(client, up.reads() | down.writes()), (server, down.reads() | up.writes())];
        let sides = sides.into_iter().filter(|(_, events)| !events.is_empty());
        let mut waits: Vec<_> = sides.map(|(side, events)| PollFd::new(side, events)).collect();
        match poll(&mut waits, None) {
            Err(Errno::INTR) => {}
            polled => drop(polled?),
        }
        // The server may have closed after a last reply, which the client still gets.
        if up.copy().is_err() {
            up.stop();
        }
        down.copy()?;
    }
    Ok(())
}

/// One direction of a connection. The other one goes on while it is blocked: a client may send a long pipeline before
/// it reads a reply.
struct Direction<'side> {
    from: &'side OwnedFd,
    to: &'side OwnedFd,
    buffer: Vec<u8>,
    /// What was read and not yet written.
    pending: Range<usize>,
    has_ended: bool,
}

impl<'side> Direction<'side> {
    fn new(from: &'side OwnedFd, to: &'side OwnedFd) -> Self {
        Self { from, to, buffer: vec![0; BUFFER], pending: 0..0, has_ended: false }
    }

    fn is_done(&self) -> bool {
        self.has_ended && self.pending.is_empty()
    }

    /// Gives up what it could not write. The server closes when it gets no more.
    fn stop(&mut self) {
        (self.pending, self.has_ended) = (0..0, true);
        let _ = shutdown(self.to, Shutdown::Write);
    }

    /// What it waits for at its source.
    fn reads(&self) -> PollFlags {
        if self.pending.is_empty() && !self.has_ended { PollFlags::IN } else { PollFlags::empty() }
    }

    /// What it waits for at its target.
    fn writes(&self) -> PollFlags {
        if self.pending.is_empty() { PollFlags::empty() } else { PollFlags::OUT }
    }

    /// Copies what there is, a buffer at most.
    fn copy(&mut self) -> Result<(), Errno> {
        if self.is_done() {
            return Ok(());
        }
        if self.pending.is_empty() {
            match ready(read(self.from, &mut self.buffer))? {
                None => return Ok(()),
                Some(0) => {
                    self.has_ended = true;
                    return shutdown(self.to, Shutdown::Write);
                }
                Some(count) => self.pending = 0..count,
            }
        }
        let written = ready(write(self.to, &self.buffer[self.pending.clone()]))?;
        self.pending.start += written.unwrap_or_default();
        Ok(())
    }
}

/// `None` if it would have to wait.
fn ready(count: Result<usize, Errno>) -> Result<Option<usize>, Errno> {
    match count {
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        count => count.map(Some),
    }
}

/// Raises the limit of open files as far as that is allowed: a connection takes two.
pub(super) fn allow_more_connections() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // With the old limit, connections wait for each other.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
