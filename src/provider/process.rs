//! The provider `process`: a server binary of this machine, started for the tests alone.

use std::ffi::OsString;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, io};

use redis::{Client, Connection, ConnectionAddr, InfoDict, IntoConnectionInfo, RedisConnectionInfo, RedisResult, cmd};
use url::Url;

use super::clock::{self, Clock};
use super::run::{self, ProcessPerTest};
use super::secret::{CONTROL_USER, Secrets};
use super::server::escaped_path;
use super::slot::{Slot, SlotRecord};
use super::supervisor::{ServerOwner, Supervisor};
use super::{Owner, Server, Started, Unavailable, database_count, suitability};
use crate::random;
use crate::report::{self, Reason};
use crate::settings::{Provider, Settings};
use crate::sync::poll_until;

/// The timeout from exec to the first answer. A healthy server takes about 7 ms.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// How often a new server is asked whether it answers. The kernel would round a socket timeout up to its ticks of 4 ms
/// or more.
const ASK_EVERY: Duration = Duration::from_micros(500);

/// Another process may take a free port before the server does. Then another port is tried.
const PORT_ATTEMPTS: u32 = 10;

/// With this port, a server has only its Unix socket.
const NO_PORT: u16 = 0;

/// How much a server may print before it answers, in bytes. A healthy one prints 2 kB.
const MAX_OUTPUT: u64 = 16 << 20;

/// The output of Redis or Valkey if its port is taken.
const PORT_TAKEN: [&str; 2] = ["Address already in use", "Failed listening on port"];

/// Returns the server binary of this machine: the one in the settings, or the first one on `PATH`.
///
/// # Errors
///
/// Returns an error if there is none.
pub(crate) fn find(settings: &Settings) -> Result<PathBuf, Unavailable> {
    if let Some(named) = settings.server_binary() {
        return if is_executable(named) {
            Ok(named.to_path_buf())
        } else {
            Err(unavailable(report::process::no_such_binary(named)))
        };
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let candidates = env::split_paths(&path)
        .flat_map(|directory| ["redis-server", "valkey-server"].map(|name| directory.join(name)));
    candidates
        .into_iter()
        .find(|candidate| is_executable(candidate))
        .ok_or_else(|| unavailable(report::process::not_on_path()))
}

/// How long a server that another process has left may take to answer.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(2);

/// Claims a server that another process of this run has left, or starts one: on a unix socket and a loopback port,
/// without persistence.
///
/// # Errors
///
/// Returns an error, with the end of its output, if the server ends, does not answer in time, or finds no free port.
pub(crate) fn start(
    binary: &Path,
    provider: Provider,
    settings: &Settings,
    within: Duration,
) -> Result<Started, Unavailable> {
    let Some((run, slot)) = slot(binary, settings) else {
        return start_on_free_port(binary, provider, settings, within, None);
    };
    let sessions = settings.databases().sessions;
    if let Some((server, control, record)) = slot.claim(provider, sessions, CLAIM_TIMEOUT) {
        let (password, earlier_password_changes) =
            (settings.passwords().then(random::hex), Some(record.password_changes));
        let owner = Box::new(RunServer { server: server.clone(), supervisor: None, slot, record });
        return Ok(Started { server, control, owner, password, earlier_password_changes });
    }
    slot.clear();
    start_on_free_port(binary, provider, settings, within, Some((run, slot)))
}

/// Checks that the server supports all commands of a lease: the binary may be a wrapper.
///
/// # Errors
///
/// Returns an error if it does not, or if it has ended.
pub(crate) fn check(binary: &Path, provider: Provider, started: &mut Started) -> Result<(), Unavailable> {
    let refused = match suitability::check_own(&mut started.control) {
        Ok(fits) => fits.err(),
        Err(error) => Some(error.to_string()),
    };
    match refused {
        None => Ok(()),
        Some(why) => Err(Unavailable::new(provider, report::process::unfit(binary, &why))),
    }
}

/// Returns the slot of this process, if the processes of this run share servers. A server that is kept, or whose clock
/// can be moved, is never shared.
fn slot(binary: &Path, settings: &Settings) -> Option<(ProcessPerTest, Slot)> {
    let run = run::process_per_test().filter(|_| !settings.keep() && !settings.whole_clock())?;
    // With the runner, since the server ends with it: a child of a test inherits the run's id.
    let kind = format!(
        "{} {} {} {:?} {} {} {}",
        run.id,
        run.runner,
        binary.display(),
        settings.databases(),
        database_count(settings),
        settings.passwords(),
        settings.only_socket()
    );
    // Without a slot this process does not share its server: slower, not wrong.
    let slot = Slot::take("servers", &kind).ok()?;
    Some((run, slot))
}

fn start_on_free_port(
    binary: &Path,
    provider: Provider,
    settings: &Settings,
    within: Duration,
    mut slot: Option<(ProcessPerTest, Slot)>,
) -> Result<Started, Unavailable> {
    let within = within.min(if settings.whole_clock() { clock::READY_WITHIN } else { READY_WITHIN });
    let mut tail = String::new();
    for _ in 0..PORT_ATTEMPTS {
        let port = if settings.only_socket() {
            NO_PORT
        } else {
            free_port().map_err(|error| unavailable(report::process::no_port(&error)))?
        };
        match start_on(port, binary, provider, settings, within, &mut slot) {
            Ok(server) => return Ok(server),
            Err(StartError::PortTaken(output)) => tail = output,
            Err(StartError::Other(reason)) => return Err(unavailable(reason)),
        }
    }
    Err(unavailable(report::process::no_free_port(binary, PORT_ATTEMPTS, &tail)))
}

/// A server that the processes of one run share. Dropping it ends the server.
struct RunServer {
    server: Server,
    /// Known only to the process that has started it.
    supervisor: Option<Supervisor>,
    slot: Slot,
    record: SlotRecord,
}

impl Owner for RunServer {
    fn leased(&mut self, _: bool) {}

    fn password_changes(&mut self, count: u64) {
        self.record.password_changes = count;
        self.slot.store(&self.record);
    }

    fn is_shared(&self) -> bool {
        true
    }
}

impl Drop for RunServer {
    fn drop(&mut self) {
        self.slot.clear();
        if self.supervisor.is_none() {
            // The supervisor notices that the server has ended. If the server does not answer, it ends with the run.
            let shutdown = |mut control: Connection| cmd("SHUTDOWN").arg("NOSAVE").exec(&mut control);
            let _ = self.server.connect(CLAIM_TIMEOUT).and_then(shutdown);
        }
    }
}

enum StartError {
    PortTaken(String),
    Other(Reason),
}

impl StartError {
    fn with_faketime_hint(self) -> Self {
        match self {
            Self::Other(reason) => Self::Other(report::process::under_faketime(&reason)),
            port_taken @ Self::PortTaken(_) => port_taken,
        }
    }
}

fn start_on(
    port: u16,
    binary: &Path,
    provider: Provider,
    settings: &Settings,
    within: Duration,
    slot: &mut Option<(ProcessPerTest, Slot)>,
) -> Result<Started, StartError> {
    let sessions = settings.databases().sessions;
    let databases = database_count(settings);
    let secrets = Secrets::new(settings.passwords());
    let configuration = secrets.configuration();
    let started = if settings.whole_clock() {
        let library = clock::library().ok_or_else(|| StartError::Other(report::process::no_faketime()))?;
        Supervisor::start(
            Path::new("/usr/bin/env"),
            settings.keep(),
            ServerOwner::Process,
            Some((clock::FILE, clock::INITIAL)),
            &configuration,
            |directory| {
                let mut command = clock::command(library, directory);
                command.push(binary.into());
                command.extend(arguments(directory, port, databases));
                command
            },
        )
    } else {
        let owner = slot
            .as_ref()
            .map_or(ServerOwner::Process, |(run, slot)| ServerOwner::Runner { process: run.runner, slot: slot.path() });
        Supervisor::start(binary, settings.keep(), owner, None, &configuration, |directory| {
            arguments(directory, port, databases)
        })
    };
    let mut supervisor = started.map_err(StartError::Other)?;
    let (control, info) = first_answer(&mut supervisor, binary, &secrets.control, within)
        .map_err(|error| if settings.whole_clock() { error.with_faketime_hint() } else { error })?;
    let url = match port {
        NO_PORT => format!("unix://{}", escaped_path(&socket(supervisor.directory()))),
        _ => format!("redis://127.0.0.1:{port}"),
    };
    let url = Url::parse(&url).map_err(|error| StartError::Other(report::process::other(binary, &error)))?;
    let clock = settings.whole_clock().then(|| Clock::of(supervisor.directory()));
    let server = Server::new(provider, url, &info, sessions, Some(secrets.control))
        .map_err(|error| StartError::Other(report::process::other(binary, &error)))?
        .with_clock(clock);
    #[cfg(feature = "tap")]
    let server = server.with_socket(socket(supervisor.directory()));
    let owner: Box<dyn Owner> = match slot.take() {
        Some((_, slot)) => {
            let record = SlotRecord::new(&server);
            slot.store(&record);
            Box::new(RunServer { server: server.clone(), supervisor: Some(supervisor), slot, record })
        }
        None => Box::new(supervisor),
    };
    Ok(Started { server, control, owner, password: secrets.password, earlier_password_changes: None })
}

fn arguments(directory: &Path, port: u16, databases: u32) -> Vec<OsString> {
    let (port, databases) = (port.to_string(), databases.to_string());
    let mut arguments: Vec<OsString> = [
        ["--port", &port],
        ["--bind", "127.0.0.1"],
        ["--databases", &databases],
        ["--save", ""],
        ["--appendonly", "no"],
        ["--daemonize", "no"],
    ]
    .iter()
    .flatten()
    .map(OsString::from)
    .collect();
    arguments.extend(["--dir".into(), directory.into(), "--unixsocket".into(), socket(directory).into()]);
    // The rest of the configuration is secret, so it comes by standard input.
    arguments.push("-".into());
    arguments
}

fn socket(directory: &Path) -> PathBuf {
    directory.join("redis.sock")
}

/// Waits for the first answer on the unix socket, which only our server has: another server could have taken the port.
/// The server opens its port first, so an answer on the socket means that it has the port, too.
fn first_answer(
    supervisor: &mut Supervisor,
    binary: &Path,
    control: &str,
    within: Duration,
) -> Result<(Connection, InfoDict), StartError> {
    let address = ConnectionAddr::Unix(socket(supervisor.directory()));
    let user = RedisConnectionInfo::default().set_username(CONTROL_USER).set_password(control);
    let client = address
        .into_connection_info()
        .and_then(|address| Client::open(address.set_redis_settings(user)))
        .map_err(|error| StartError::Other(report::process::other(binary, &error)))?;
    let deadline = Instant::now() + within;
    let connect = || -> RedisResult<(Connection, InfoDict)> {
        let left = || deadline.saturating_duration_since(Instant::now()).max(ASK_EVERY);
        let mut connection = client.get_connection_with_timeout(left())?;
        connection.set_read_timeout(Some(left()))?;
        // The section `server` has everything that we need. An unoptimised build takes half a millisecond to parse a
        // full INFO.
        let info = cmd("INFO").arg("server").query(&mut connection)?;
        Ok((connection, info))
    };
    let answer = poll_until(deadline, ASK_EVERY, || match connect() {
        Ok(answer) => Some(Ok(answer)),
        Err(_) => why_not_starting(supervisor, binary).map(Err),
    });
    answer.unwrap_or_else(|| {
        Err(StartError::Other(report::process::never_ready(binary, within, &supervisor.output_tail())))
    })
}

/// Returns why the server will never answer, if that is certain.
fn why_not_starting(supervisor: &mut Supervisor, binary: &Path) -> Option<StartError> {
    if supervisor.output_size() > MAX_OUTPUT {
        return Some(StartError::Other(report::process::floods(binary, &supervisor.output_tail())));
    }
    if !supervisor.has_ended() {
        return None;
    }
    let tail = supervisor.output_tail();
    Some(if PORT_TAKEN.iter().any(|words| tail.contains(words)) {
        StartError::PortTaken(tail)
    } else if let Some(version) = old_version(binary) {
        StartError::Other(report::process::too_old(binary, &version))
    } else {
        StartError::Other(report::process::ended(binary, &tail))
    })
}

/// Returns the version of a server binary if it is too old for a lease. Such a server ends at an unknown line of its
/// configuration.
fn old_version(binary: &Path) -> Option<String> {
    let output = Command::new(binary).arg("--version").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split_whitespace().find_map(|word| word.strip_prefix("v="))?;
    suitability::is_too_old(version).then(|| version.to_owned())
}

/// Returns a port that was free a moment ago.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;

    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn unavailable(reason: Reason) -> Unavailable {
    Unavailable::new(Provider::Process, reason)
}
