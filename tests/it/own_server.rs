//! A server that a test starts for itself, to be the "running" one of its children.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use std::{env, thread};

use tempfile::TempDir;
use transient_fixtures::redis::{Client, Connection, RedisResult, cmd};

pub(crate) struct OwnServer {
    child: Child,
    pub(crate) port: u16,
    pub(crate) directory: TempDir,
}

impl OwnServer {
    pub(crate) fn start() -> Self {
        Self::with(TempDir::new().expect("a directory"), &[])
    }

    /// In that directory, with more arguments.
    pub(crate) fn with(directory: TempDir, arguments: &[&str]) -> Self {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        Self::on(port, directory, arguments)
    }

    /// On that port, as soon as it is free.
    pub(crate) fn on(port: u16, directory: TempDir, arguments: &[&str]) -> Self {
        let mut server = Self::launch(port, directory, arguments);
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let answer: RedisResult<redis::Value> =
                server.try_connection(0).and_then(|mut connection| cmd("PING").query(&mut connection));
            match answer {
                Ok(_) => return server,
                // It answers, though not with PONG.
                Err(error) if error.code().is_some() => return server,
                Err(error) => assert!(Instant::now() < deadline, "the test's own server does not answer: {error}"),
            }
            assert!(server.child.try_wait().expect("wait").is_none(), "the test's own server ended");
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn launch(port: u16, directory: TempDir, arguments: &[&str]) -> Self {
        let child = Command::new(binary())
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(directory.path())
            .arg("--unixsocket")
            .arg(directory.path().join("own.sock"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start the test's own server");
        Self { child, port, directory }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("own.sock")
    }

    pub(crate) fn connection(&self, database: u32) -> Connection {
        self.try_connection(database).expect("connect to the test's own server")
    }

    fn try_connection(&self, database: u32) -> RedisResult<Connection> {
        Client::open(format!("{}/{database}", self.url()))?.get_connection_with_timeout(Duration::from_secs(5))
    }

    /// Ends the server; its directory stays.
    pub(crate) fn stop(mut self) -> TempDir {
        self.end();
        std::mem::replace(&mut self.directory, TempDir::new().expect("a directory"))
    }

    fn end(&mut self) {
        // Our own child; where it has ended there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        self.end();
    }
}

/// A server binary: the machine's, else the downloaded one.
pub(crate) fn binary() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY
        .get_or_init(|| {
            let path = env::var_os("PATH").unwrap_or_default();
            env::split_paths(&path)
                .flat_map(|directory| ["redis-server", "valkey-server"].map(|name| directory.join(name)))
                .find(|path| path.is_file())
                .unwrap_or_else(downloaded)
        })
        .clone()
}

/// The downloaded server: it tells its path itself.
pub(crate) fn downloaded() -> PathBuf {
    let ended = crate::child::Child::test("download::says_its_path").env("TRANSIENT_PROVIDER", "download").run();
    ended.assert_passed();
    let line = ended.output.lines().find_map(|line| line.split_once("executable=")).expect("a path").1;
    PathBuf::from(line)
}

/// The rung that gives a server of our own on this machine.
pub(crate) fn own_rung() -> &'static str {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut names = env::split_paths(&path)
        .flat_map(|directory| ["redis-server", "valkey-server"].map(|name| directory.join(name)));
    if names.any(|path| path.is_file()) { "process" } else { "download" }
}
