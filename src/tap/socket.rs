//! A Unix socket for the clients of a tap.

use std::io;
use std::path::{Path, PathBuf};

use mio::net::UnixListener;

use super::shared::Shared;
use super::stream::Listener;
use super::{Running, Tap};
use crate::error::{Error, Kind};
use crate::provider::PrivateDirectory;
use crate::report;
use crate::sync::lock;

/// A tap's socket. Dropping it removes its directory.
pub(super) struct Socket {
    path: PathBuf,
    _directory: PrivateDirectory,
}

impl Socket {
    fn open(shared: &Shared) -> Result<Self, Error> {
        let directory = PrivateDirectory::new()
            .map_err(|reason| Error::new(Kind::Server, report::tap::no_socket_directory(&reason.why)))?;
        let path = directory.path().join("tap.sock");
        let listening = UnixListener::bind(&path).and_then(|listener| shared.listen(Listener::Unix(listener)));
        let not_open = |error: io::Error| Error::with_source(Kind::Server, report::tap::no_socket(), error);
        listening.map_err(not_open)?;
        Ok(Self { path, _directory: directory })
    }
}

impl Running {
    fn socket(&self) -> Result<PathBuf, Error> {
        let mut socket = lock(&self.socket);
        if let Some(socket) = &*socket {
            return Ok(socket.path.clone());
        }
        let open = socket.insert(Socket::open(&self.shared)?);
        Ok(open.path.clone())
    }
}

/// A Unix socket for clients. Only on Unix.
impl Tap {
    /// Returns the path of a Unix socket on which the tap accepts clients as well. The first call opens it.
    ///
    /// It is in a directory that only this user can enter, and that is removed when the tap ends. The URLs contain the
    /// lease's password: [`redis_unix_url`](Self::redis_unix_url) for clients that understand it, else
    /// [`redis_url`](Self::redis_url).
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use std::os::unix::net::UnixStream;
    /// # use transient_fixtures::TestRequest;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut stream = UnixStream::connect(tap.socket()?)?;
    /// stream.write_all(b"ECHO hello\r\nQUIT\r\n")?;
    /// let mut replies = String::new();
    /// stream.read_to_string(&mut replies)?;
    /// assert_eq!(tap.commands().len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that [`is_server`](Error::is_server) if the socket can't be opened, or the tap has ended with
    /// its test.
    pub fn socket(&self) -> Result<PathBuf, Error> {
        self.running.socket()
    }

    /// Returns the URL of the session database (14 by default) through the tap's [`socket`](Self::socket), as the
    /// redis crate reads it: `redis+unix:///…?db=14&pass=…`.
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.redis_unix_url()?)?.get_connection()?;
    /// redis.set::<_, _, ()>("price:1", 12_900)?;
    /// assert_eq!(tap.commands().named("SET").len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`socket`](Self::socket).
    pub fn redis_unix_url(&self) -> Result<String, Error> {
        Ok(self.unix_url(&self.socket()?, 0))
    }

    /// Returns the URL of the job database (15 by default) through the tap's [`socket`](Self::socket).
    ///
    /// ```
    /// # use redis::Commands;
    /// # use transient_fixtures::{TestRequest, redis};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let test_request = TestRequest::clean();
    /// let tap = test_request.tap()?;
    /// let mut redis = redis::Client::open(tap.jobs_unix_url()?)?.get_connection()?;
    /// redis.rpush::<_, _, ()>("mail", "a job")?;
    /// assert_eq!(tap.commands().in_database(15).named("RPUSH").len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`socket`](Self::socket).
    pub fn jobs_unix_url(&self) -> Result<String, Error> {
        Ok(self.unix_url(&self.socket()?, 1))
    }

    fn unix_url(&self, socket: &Path, index: usize) -> String {
        self.server.url_at_socket(socket, self.databases[index])
    }
}
