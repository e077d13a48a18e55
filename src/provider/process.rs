//! The provider `process`: a server binary of this machine, started privately.

use std::ffi::OsString;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use redis::{Client, Connection, ConnectionAddr, InfoDict, IntoConnectionInfo, RedisConnectionInfo, cmd};
use url::Url;

use super::clock::{self, Clock};
use super::keeper::{Keeper, ServerOwner};
use super::run::{self, ProcessPerTest};
use super::secret::{CONTROL_USER, Secrets, random_hex};
use super::slot::{Left, Slot};
use super::{Owner, Server, Started, Unavailable, suitability};
use crate::report::{self, Reason};
use crate::settings::{Provider, Settings};

/// From exec to the first answer. A healthy server takes about 7 ms.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// How often it is asked meanwhile. (A timeout on a socket would be rounded up to the kernel's ticks, 4 ms and more.)
const EVERY: Duration = Duration::from_micros(500);

/// Between asking for a free port and the server taking it, another process may: then another port is tried.
const PORT_ATTEMPTS: u32 = 10;

/// What a server may print before it answers, in bytes. A healthy one prints 2 kB.
const MOST_OUTPUT: u64 = 16 << 20;

/// What a Redis or Valkey prints when its port is taken.
const PORT_TAKEN: [&str; 2] = ["Address already in use", "Failed listening on port"];

/// The server binary of this machine: the one that the settings name, else the first on `PATH`.
///
/// # Errors
///
/// When there is none.
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
const CLAIMED_WITHIN: Duration = Duration::from_secs(2);

/// A server that another process of this run has left, else a new one: on a unix socket and a loopback port, without
/// persistence, when it answers.
///
/// # Errors
///
/// When it ends at once, never answers, or finds no free port; with the end of what it printed.
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
    if let Some((server, control, left)) = slot.claim(provider, sessions, CLAIMED_WITHIN) {
        let (password, left_with) = (settings.passwords().then(random_hex), Some(left.password_changes));
        let owner = Box::new(OfTheRun { server: server.clone(), keeper: None, slot, left });
        return Ok(Started { server, control, owner, password, left_with });
    }
    slot.put(None);
    start_on_free_port(binary, provider, settings, within, Some((run, slot)))
}

/// Whether the server has what a lease needs: what is called one may be a wrapper around it.
///
/// # Errors
///
/// When it has not, or has ended.
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

/// The slot that this process has, where the processes of one run share servers. What is to be kept is never shared, nor
/// is a clock that is moved.
fn slot(binary: &Path, settings: &Settings) -> Option<(ProcessPerTest, Slot)> {
    let run = run::process_per_test().filter(|_| !settings.keep() && !settings.whole_clock())?;
    let kind = format!("{} {} {:?} {}", run.id, binary.display(), settings.databases(), settings.passwords());
    // Without a slot the server is this process's alone: slower, not wrong.
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
        let port = free_port().map_err(|error| unavailable(report::process::no_port(&error)))?;
        match start_on(port, binary, provider, settings, within, &mut slot) {
            Ok(server) => return Ok(server),
            Err(Failure::PortTaken(output)) => tail = output,
            Err(Failure::Other(reason)) => return Err(unavailable(reason)),
        }
    }
    Err(unavailable(report::process::no_free_port(binary, PORT_ATTEMPTS, &tail)))
}

/// A server that the processes of one run share. Dropping it ends the server.
struct OfTheRun {
    server: Server,
    /// Known only to the process that has started it.
    keeper: Option<Keeper>,
    slot: Slot,
    left: Left,
}

impl Owner for OfTheRun {
    fn leased(&mut self, _: bool) {}

    fn password_changes(&mut self, count: u64) {
        self.left.password_changes = count;
        self.slot.put(Some(&self.left));
    }

    fn is_shared(&self) -> bool {
        true
    }
}

impl Drop for OfTheRun {
    fn drop(&mut self) {
        self.slot.put(None);
        if self.keeper.is_none() {
            // Its keeper sees that it has ended. Where it does not answer, it ends with the run.
            let shutdown = |mut control: Connection| cmd("SHUTDOWN").arg("NOSAVE").exec(&mut control);
            let _ = self.server.connect(CLAIMED_WITHIN).and_then(shutdown);
        }
    }
}

enum Failure {
    PortTaken(String),
    Other(Reason),
}

impl Failure {
    fn under_faketime(self) -> Self {
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
) -> Result<Started, Failure> {
    let [sessions, jobs] = settings.databases().numbers();
    let databases = 16.max(sessions + 1).max(jobs + 1);
    let secrets = Secrets::new(settings.passwords());
    let configuration = secrets.configuration();
    let started = if settings.whole_clock() {
        let library = clock::library().ok_or_else(|| Failure::Other(report::process::no_faketime()))?;
        Keeper::start(
            Path::new("/usr/bin/env"),
            settings.keep(),
            ServerOwner::Process,
            Some((clock::FILE, clock::AT_THE_START)),
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
        Keeper::start(binary, settings.keep(), owner, None, &configuration, |directory| {
            arguments(directory, port, databases)
        })
    };
    let mut keeper = started.map_err(Failure::Other)?;
    let (control, info) = first_answer(&mut keeper, binary, &secrets.control, within)
        .map_err(|failure| if settings.whole_clock() { failure.under_faketime() } else { failure })?;
    let url = Url::parse(&format!("redis://127.0.0.1:{port}"))
        .map_err(|error| Failure::Other(report::process::other(binary, &error)))?;
    let clock = settings.whole_clock().then(|| Clock::of(keeper.directory()));
    let server = Server::new(provider, url, &info, sessions, Some(secrets.control))
        .map_err(|error| Failure::Other(report::process::other(binary, &error)))?
        .with_clock(clock);
    let owner: Box<dyn Owner> = match slot.take() {
        Some((_, slot)) => {
            let left = Left::new(&server);
            slot.put(Some(&left));
            Box::new(OfTheRun { server: server.clone(), keeper: Some(keeper), slot, left })
        }
        None => Box::new(keeper),
    };
    Ok(Started { server, control, owner, password: secrets.password, left_with: None })
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
    // The rest of its configuration, which nobody is to see, comes by standard input.
    arguments.push("-".into());
    arguments
}

fn socket(directory: &Path) -> PathBuf {
    directory.join("redis.sock")
}

/// Over the unix socket, which is nobody else's: the port could have been taken by a stranger's server. The server
/// opens its port first, so an answer on the socket means that the port is its own as well.
fn first_answer(
    keeper: &mut Keeper,
    binary: &Path,
    control: &str,
    within: Duration,
) -> Result<(Connection, InfoDict), Failure> {
    let address = ConnectionAddr::Unix(socket(keeper.directory()));
    let user = RedisConnectionInfo::default().set_username(CONTROL_USER).set_password(control);
    let client = address
        .into_connection_info()
        .and_then(|address| Client::open(address.set_redis_settings(user)))
        .map_err(|error| Failure::Other(report::process::other(binary, &error)))?;
    let deadline = Instant::now() + within;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Failure::Other(report::process::never_ready(binary, within, &keeper.output_tail())));
        }
        if let Ok(mut connection) = client.get_connection_with_timeout(left) {
            let left = deadline.saturating_duration_since(Instant::now()).max(EVERY);
            connection
                .set_read_timeout(Some(left))
                .map_err(|error| Failure::Other(report::process::other(binary, &error)))?;
            // All that is to be known of a server of our own; the whole takes an unoptimised build half a millisecond.
            if let Ok(info) = cmd("INFO").arg("server").query(&mut connection) {
                return Ok((connection, info));
            }
        }
        if keeper.output_size() > MOST_OUTPUT {
            return Err(Failure::Other(report::process::floods(binary, &keeper.output_tail())));
        }
        if keeper.has_ended() {
            let tail = keeper.output_tail();
            return Err(if PORT_TAKEN.iter().any(|words| tail.contains(words)) {
                Failure::PortTaken(tail)
            } else if let Some(version) = old_version(binary) {
                Failure::Other(report::process::too_old(binary, &version))
            } else {
                Failure::Other(report::process::ended(binary, &tail))
            });
        }
        thread::sleep(EVERY);
    }
}

/// The version of a server binary, if a lease needs a newer one: it has ended at a line of its configuration.
fn old_version(binary: &Path) -> Option<String> {
    let output = Command::new(binary).arg("--version").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split_whitespace().find_map(|word| word.strip_prefix("v="))?;
    suitability::is_too_old(version).then(|| version.to_owned())
}

/// A port that was free a moment ago.
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
