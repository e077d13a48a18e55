//! A server that a test starts, to be the running server of its children.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use std::{env, thread};

use tempfile::TempDir;
use transient_fixtures::redis::{Client, Connection, InfoDict, RedisResult, cmd};

pub(crate) struct OwnServer {
    child: Child,
    pub(crate) port: u16,
    pub(crate) directory: TempDir,
}

impl OwnServer {
    pub(crate) fn start() -> Self {
        Self::with(TempDir::new().expect("a directory"), &[])
    }

    /// In this directory, with more arguments.
    pub(crate) fn with(mut directory: TempDir, arguments: &[&str]) -> Self {
        // Another process can take the port in between. If so, another port is tried.
        for _ in 0..10 {
            let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
            let port = listener.local_addr().expect("an address").port();
            drop(listener);
            match Self::try_on(port, directory, arguments) {
                Ok(server) => return server,
                Err(server) => directory = server.stop(),
            }
        }
        panic!("the test's own server ended ten times");
    }

    /// On this port, as soon as it is free.
    pub(crate) fn on(port: u16, directory: TempDir, arguments: &[&str]) -> Self {
        Self::try_on(port, directory, arguments).ok().expect("the test's own server ended")
    }

    /// A sentinel. It writes its findings into its configuration.
    pub(crate) fn sentinel(directory: TempDir, config: &std::path::Path) -> Self {
        let config = config.to_str().expect("UTF-8");
        Self::with(directory, &[config, "--sentinel"])
    }

    /// The server's exit status, if it exited at once.
    fn try_on(port: u16, directory: TempDir, arguments: &[&str]) -> Result<Self, Self> {
        let mut server = Self::launch(port, directory, arguments);
        let deadline = Instant::now() + Duration::from_secs(100);
        loop {
            if server.child.try_wait().expect("wait").is_some() {
                return Err(server);
            }
            // Asked over its Unix socket, which only this server has. Its port can belong to another server by now.
            let answer: RedisResult<redis::Value> = Client::open(format!("unix://{}", server.socket().display()))
                .and_then(|client| client.get_connection_with_timeout(Duration::from_secs(5)))
                .and_then(|mut connection| cmd("PING").query(&mut connection));
            match answer {
                Ok(_) => return Ok(server),
                // It replies, though not with PONG.
                Err(error) if error.code().is_some() => return Ok(server),
                Err(error) => assert!(Instant::now() < deadline, "the started server is silent: {error}"),
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn launch(port: u16, directory: TempDir, arguments: &[&str]) -> Self {
        // A configuration file must be the first argument.
        let (config, arguments) =
            arguments.split_at(usize::from(arguments.first().is_some_and(|first| first.starts_with('/'))));
        let child = Command::new(binary())
            .args(config)
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

    pub(crate) fn run_id(&self) -> String {
        let info: InfoDict = cmd("INFO").arg("server").query(&mut self.connection(0)).expect("INFO");
        info.get("run_id").expect("a run_id")
    }

    /// Ends the server. Its directory stays.
    pub(crate) fn stop(mut self) -> TempDir {
        self.end();
        std::mem::replace(&mut self.directory, TempDir::new().expect("a directory"))
    }

    fn end(&mut self) {
        // Our own child. If it has exited, there is no process to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        self.end();
    }
}

/// A server binary: the one that is set, the machine's, or the downloaded one.
pub(crate) fn binary() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY
        .get_or_init(|| {
            let path = env::var_os("PATH").unwrap_or_default();
            let mut on_path = env::split_paths(&path)
                .flat_map(|directory| ["redis-server", "valkey-server"].map(|name| directory.join(name)));
            env::var_os("TRANSIENT_SERVER_BINARY")
                .map(PathBuf::from)
                .or_else(|| on_path.find(|path| path.is_file()))
                .unwrap_or_else(downloaded)
        })
        .clone()
}

/// The downloaded server, which reports its path.
pub(crate) fn downloaded() -> PathBuf {
    let ended = crate::child::Child::test("download::prints_its_path").env("TRANSIENT_PROVIDER", "download").run();
    ended.assert_passed();
    let line = ended.output.lines().find_map(|line| line.split_once("executable=")).expect("a path").1;
    PathBuf::from(line)
}

/// The provider that starts servers on this machine.
pub(crate) fn own_provider() -> &'static str {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut names = env::split_paths(&path)
        .flat_map(|directory| ["redis-server", "valkey-server"].map(|name| directory.join(name)));
    if names.any(|path| path.is_file()) { "process" } else { "download" }
}
