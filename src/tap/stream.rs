//! Non-blocking TCP and Unix sockets, and TLS.

use std::io::{self, Read, Write};
use std::net::{self, Shutdown, SocketAddr, ToSocketAddrs};
#[cfg(unix)]
use std::path::PathBuf;

use mio::event::Source;
use mio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use redis::ConnectionAddr;

#[cfg(feature = "tap-tls")]
use super::tls::{TlsStream, Trust};
use crate::error::{Error, Kind};
use crate::lease::{Database, Lease};
use crate::report;

/// The address of a server.
#[derive(Clone, Debug)]
pub(super) enum Address {
    Tcp(SocketAddr),
    #[cfg(unix)]
    Unix(PathBuf),
    #[cfg(feature = "tap-tls")]
    Tls(SocketAddr, Trust),
}

impl Address {
    /// Resolves the address of this lease's server.
    ///
    /// # Errors
    ///
    /// Returns an error if the server does not listen, or TLS can't be set up.
    pub(super) fn of(lease: &Lease) -> Result<Self, Error> {
        #[cfg(unix)]
        if let Some(socket) = lease.server.socket() {
            return Ok(Self::Unix(socket.to_owned()));
        }
        let resolved = |host: &str, port| resolve(host, port).map_err(not_started);
        match lease.endpoint(Database::Sessions).address() {
            ConnectionAddr::Tcp(host, port) => resolved(host, *port).map(Self::Tcp),
            #[cfg(unix)]
            ConnectionAddr::Unix(path) => Ok(Self::Unix(path.clone())),
            #[cfg(feature = "tap-tls")]
            ConnectionAddr::TcpTls { host, port, insecure, .. } => {
                let not_set_up = |error| Error::with_source(Kind::Server, report::tap::tls(&lease.server), error);
                Ok(Self::Tls(resolved(host, *port)?, Trust::new(host, *insecure).map_err(not_set_up)?))
            }
            #[cfg(not(feature = "tap-tls"))]
            ConnectionAddr::TcpTls { .. } => Err(Error::new(Kind::Server, report::tap::no_tls(&lease.server))),
            _ => Err(not_started(io::ErrorKind::Unsupported.into())),
        }
    }

    /// Begins to connect. The first read or write can also return the error.
    pub(super) fn connect(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(address) => TcpStream::connect(*address).map(Stream::Tcp),
            // Connects blocking: a non-blocking connect fails if the backlog is full.
            #[cfg(unix)]
            Self::Unix(path) => {
                let stream = std::os::unix::net::UnixStream::connect(path)?;
                stream.set_nonblocking(true)?;
                Ok(Stream::Unix(UnixStream::from_std(stream)))
            }
            #[cfg(feature = "tap-tls")]
            Self::Tls(address, trust) => {
                TcpStream::connect(*address).and_then(|socket| trust.stream(socket)).map(Box::new).map(Stream::Tls)
            }
        }
    }
}

/// Returns the first address of the host that accepts a connection.
fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    let mut failure = None;
    for address in (host.trim_matches(['[', ']']), port).to_socket_addrs()? {
        match net::TcpStream::connect(address) {
            Ok(_) => return Ok(address),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
}

pub(super) fn not_started(error: io::Error) -> Error {
    Error::with_source(Kind::Server, report::tap::not_started(), error)
}

/// Where clients connect.
pub(super) enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

impl Listener {
    pub(super) fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => listener.accept().map(|(stream, _)| Stream::Tcp(stream)),
            #[cfg(unix)]
            Self::Unix(listener) => listener.accept().map(|(stream, _)| Stream::Unix(stream)),
        }
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => listener.register(registry, token, Interest::READABLE),
            #[cfg(unix)]
            Self::Unix(listener) => listener.register(registry, token, Interest::READABLE),
        }
    }
}

pub(super) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
    #[cfg(feature = "tap-tls")]
    Tls(Box<TlsStream>),
}

impl Stream {
    /// Returns the port of the other side, if it is at one.
    pub(super) fn peer_port(&self) -> Option<u16> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok().map(|address| address.port()),
            #[cfg(unix)]
            Self::Unix(_) => None,
            #[cfg(feature = "tap-tls")]
            Self::Tls(_) => None,
        }
    }

    /// Disables Nagle's algorithm.
    pub(super) fn set_nodelay(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_nodelay(true),
            #[cfg(unix)]
            Self::Unix(_) => Ok(()),
            #[cfg(feature = "tap-tls")]
            Self::Tls(stream) => stream.socket.set_nodelay(true),
        }
    }

    /// Sends bytes that TLS has kept, and continues its handshake. Returns true if the handshake is complete.
    pub(super) fn proceed(&mut self) -> io::Result<bool> {
        match self {
            #[cfg(feature = "tap-tls")]
            Self::Tls(stream) => stream.proceed(),
            _ => Ok(true),
        }
    }

    /// Returns whether a short read has drained the socket, so that the next bytes cause a new event.
    pub(super) fn is_drained_by_a_short_read(&self) -> bool {
        match self {
            // A read returns the bytes of one record at most.
            #[cfg(feature = "tap-tls")]
            Self::Tls(_) => false,
            _ => !cfg!(windows),
        }
    }

    pub(super) fn shutdown(&mut self, how: Shutdown) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(how),
            #[cfg(unix)]
            Self::Unix(stream) => stream.shutdown(how),
            #[cfg(feature = "tap-tls")]
            Self::Tls(stream) => stream.shutdown(how),
        }
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let interests = Interest::READABLE | Interest::WRITABLE;
        match self {
            Self::Tcp(stream) => stream.register(registry, token, interests),
            #[cfg(unix)]
            Self::Unix(stream) => stream.register(registry, token, interests),
            #[cfg(feature = "tap-tls")]
            Self::Tls(stream) => stream.socket.register(registry, token, interests),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            #[cfg(unix)]
            Self::Unix(stream) => stream.read(buffer),
            #[cfg(feature = "tap-tls")]
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            #[cfg(unix)]
            Self::Unix(stream) => stream.write(bytes),
            #[cfg(feature = "tap-tls")]
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
