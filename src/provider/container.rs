//! The provider `container`: an image, started by a container engine through testcontainers.
//!
//! A container outlives the process that started it, and no code of ours may run when that process ends. So the
//! container looks after itself: it ends, and the engine removes it, when nobody has been connected for a while. Until
//! then another process may claim it ([`Slot`]).

use std::collections::HashMap;
use std::future::Future;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use once_cell::sync::OnceCell;
use redis::{Connection, InfoDict, RedisResult, cmd};
use testcontainers::bollard::models::PortBinding;
use testcontainers::core::IntoContainerPort;
use testcontainers::core::error::ClientError;
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, GenericImage, ImageExt, TestcontainersError};
use tokio::runtime::{Builder, Runtime};
use url::Url;

use super::create_watch::CreateWatch;
use super::secret::{Secrets, random_hex};
use super::slot::{self, Left, Slot};
use super::unique_name::unique_name;
use super::{Owner, Server, Started, Unavailable};
use crate::cache;
use crate::report;
use crate::settings::{Provider, Settings};

const SCRIPT: &str = include_str!("container.sh");

/// Pulling the image if it is not there, starting it, and its first answer.
const READY_WITHIN: Duration = Duration::from_secs(15);

/// A server that is there answers at once.
const CLAIMED_WITHIN: Duration = Duration::from_secs(2);

/// The engine takes a quarter of a second.
const REMOVED_WITHIN: Duration = Duration::from_secs(10);

const PORT: u16 = 6379;

/// What the container leaves in database 0 when it is about to end, before it looks for connections a last time.
const ENDING: &str = "transient-fixtures:ending";

/// Tells the container to stay without an owner.
const KEPT: &str = "transient-fixtures:kept";

/// A container that another process has left, else a new one that answers `within` that time. An image that is on the
/// engine already is not pulled.
///
/// # Errors
///
/// When no engine answers, the image can't be had or started, or does not answer in time.
pub(crate) fn start(settings: &Settings, within: Duration) -> Result<Started, Unavailable> {
    let [sessions, jobs] = settings.databases().numbers();
    let databases = 16.max(sessions + 1).max(jobs + 1);
    let image = settings.image();
    let kind = format!("{image} {databases} {} {:?}", settings.passwords(), env::var_os("DOCKER_HOST"));
    let slot = Slot::take("containers", &kind).map_err(|error| {
        unavailable(report::container::no_slot(&cache::directory(), &error), report::container::REMEDY_NO_SLOT)
    })?;
    // What is to be kept is never shared.
    if let Some((server, control, left)) = claim(&slot, sessions).filter(|_| !settings.keep()) {
        let (password, left_with) = (settings.passwords().then(random_hex), Some(left.password_changes));
        let container = Container { server: server.clone(), started: None, slot, left, keep: false };
        return Ok(Started { server, control, owner: Box::new(container), password, left_with });
    }
    slot.put(None);
    let within = within.min(READY_WITHIN);
    let deadline = Instant::now() + within;
    let name = unique_name();
    let secrets = Secrets::new(settings.passwords());
    let watch = CreateWatch::new(&name);
    // A container that is dropped here must be so inside of the runtime.
    let (started, urls) = on_runtime(async {
        let started = tokio::time::timeout(within, request(&name, image, databases, &secrets).start()).await;
        let started = started
            .map_err(|_| not_started(image, report::container::too_slow(image, within)))?
            .map_err(|error| explain(image, &error))?;
        let urls = urls(&started).await.map_err(|error| explain(image, &error))?;
        Ok((started, urls))
    })??;
    watch.end();
    let started = Removed(Some(started));
    let (url, control, info) = first_answer(&urls, &secrets.control, deadline).map_err(|error| {
        not_started(
            image,
            error.map_or_else(
                || report::container::too_slow(image, within),
                |error| report::container::not_started(image, &error.to_string()),
            ),
        )
    })?;
    let server = Server::new(Provider::Container, url, &info, sessions, Some(secrets.control))
        .map_err(|error| not_started(image, report::container::not_started(image, &error.to_string())))?;
    let left = Left::new(&server);
    let container = Container { server: server.clone(), started: Some(started), slot, left, keep: settings.keep() };
    container.leave();
    Ok(Started { server, control, owner: Box::new(container), password: secrets.password, left_with: None })
}

/// The server of a slot, if it is still the one that was left there, and is not ending.
fn claim(slot: &Slot, sessions: u32) -> Option<(Server, Connection, Left)> {
    let (server, mut control, left) = slot.claim(Provider::Container, sessions, CLAIMED_WITHIN)?;
    // We are connected already: one of us sees the other.
    let ending: bool = cmd("EXISTS").arg(ENDING).query(&mut control).ok()?;
    (!ending).then_some((server, control, left))
}

fn request(
    name: &str,
    image: &str,
    databases: u32,
    secrets: &Secrets,
) -> testcontainers::ContainerRequest<GenericImage> {
    let (image, tag) = name_and_tag(image);
    let remote = env::var("DOCKER_HOST").is_ok_and(|host| !host.starts_with("unix:") && !host.starts_with("npipe:"));
    GenericImage::new(image, tag)
        .with_entrypoint("sh")
        .with_exposed_port(PORT.tcp())
        .with_env_var("SERVER_CONFIGURATION", secrets.configuration())
        .with_env_var("REDISCLI_AUTH", &secrets.control)
        .with_cmd(["-c", SCRIPT, "transient-fixtures", &databases.to_string()])
        .with_container_name(name)
        .with_label("transient-fixtures.owner", std::process::id().to_string())
        .with_startup_timeout(READY_WITHIN)
        .with_host_config_modifier(move |host| {
            host.auto_remove = Some(true);
            // For this machine only, where the tests and the engine are on it.
            if !remote && !is_in_container() {
                let binding = PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: None };
                host.publish_all_ports = Some(false);
                host.port_bindings = Some(HashMap::from([(format!("{PORT}/tcp"), Some(vec![binding]))]));
            }
        })
}

/// `redis:8` is name and tag, `host:5000/redis` is all name, `redis@sha256:…` is split like a tag.
fn name_and_tag(image: &str) -> (&str, &str) {
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (image, "latest"),
    }
}

/// A container that this process has started. Dropping it ends the container.
struct Removed(Option<ContainerAsync<GenericImage>>);

impl Drop for Removed {
    fn drop(&mut self) {
        if let Some(container) = self.0.take() {
            // Where the engine does not do it the container ends by itself, since nobody is connected.
            // Its own task: one that is given up is dropped where there is no limit.
            drop(on_runtime(async { tokio::time::timeout(REMOVED_WITHIN, tokio::spawn(container.rm())).await }));
        }
    }
}

/// Dropping it ends the container.
struct Container {
    server: Server,
    /// Known only to the process that has started it.
    started: Option<Removed>,
    slot: Slot,
    left: Left,
    keep: bool,
}

/// Where the server may be reached: by what the engine says, or by the host of the container that the tests run in.
async fn urls(container: &ContainerAsync<GenericImage>) -> Result<Vec<Url>, TestcontainersError> {
    let (host, port) = (container.get_host().await?.to_string(), container.get_host_port_ipv4(PORT).await?);
    // The engine binds to IPv4, and `localhost` may mean ::1.
    let host = if host == "localhost" { "127.0.0.1" } else { &host };
    let mut urls = vec![format!("redis://{host}:{port}")];
    if is_in_container() {
        urls.extend(default_gateway().map(|gateway| format!("redis://{gateway}:{port}")));
    }
    urls.iter().map(|url| Url::parse(url).map_err(TestcontainersError::other)).collect()
}

/// Whether the tests run in a container themselves, with the socket of the engine of their host: then the loopback
/// address of that host is not theirs.
fn is_in_container() -> bool {
    ["/.dockerenv", "/run/.containerenv"].iter().any(|mark| Path::new(mark).exists())
}

/// The host of the container that the tests run in, as the kernel's table of routes has it.
fn default_gateway() -> Option<Ipv4Addr> {
    let table = fs::read_to_string("/proc/net/route").ok()?;
    let gateway = table.lines().find_map(|line| match *line.split_whitespace().collect::<Vec<_>>() {
        [_, "00000000", gateway, ..] => Some(gateway.to_owned()),
        _ => None,
    })?;
    let bytes = u32::from_str_radix(&gateway, 16).ok()?.to_le_bytes();
    Some(Ipv4Addr::from(bytes)).filter(|gateway| !gateway.is_unspecified())
}

impl Container {
    /// Tells the next process where the server is. One that is to be kept is not shared.
    fn leave(&self) {
        if !self.keep {
            self.slot.put(Some(&self.left));
        }
    }

    /// One command on a connection of its own. Whoever asks can do without the answer.
    fn tell(&self, command: &redis::Cmd) -> RedisResult<()> {
        command.exec(&mut self.server.connect(CLAIMED_WITHIN)?)
    }
}

impl Owner for Container {
    fn leased(&mut self, leased: bool) {
        if self.keep {
            // In database 0, where a test that flushes everything takes it away: then the container ends as usual.
            let _ = self.tell(cmd(if leased { "SET" } else { "DEL" }).arg(KEPT).arg(leased.then_some("")));
        }
    }

    fn password_changes(&mut self, count: u64) {
        self.left.password_changes = count;
        self.leave();
    }

    fn is_shared(&self) -> bool {
        !self.keep
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.slot.put(None);
        // Where neither way works the container ends by itself, since our connection is closed.
        match self.started.take() {
            Some(started) => drop(started),
            None => drop(self.tell(cmd("SHUTDOWN").arg("NOSAVE"))),
        }
    }
}

/// The engine's proxy accepts connections before the server does, and drops them: so again until it answers.
fn first_answer(
    urls: &[Url],
    secret: &str,
    deadline: Instant,
) -> Result<(Url, Connection, InfoDict), Option<redis::RedisError>> {
    let mut last = None;
    for url in urls.iter().cycle() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        // Where there are several, one may lead nowhere.
        let within = if urls.len() > 1 { left.min(CLAIMED_WITHIN) } else { left };
        match slot::connect(url.as_str(), secret, within) {
            Ok((control, info)) => return Ok((url.clone(), control, info)),
            Err(error) => last = Some(error),
        }
        thread::sleep(Duration::from_millis(5));
    }
    Err(last)
}

/// Runs on a runtime of our own, from a thread of its own: the test's thread may be inside another runtime.
fn on_runtime<T: Send>(future: impl Future<Output = T> + Send) -> Result<T, Unavailable> {
    static RUNTIME: OnceCell<Runtime> = OnceCell::new();
    let runtime = RUNTIME
        .get_or_try_init(|| Builder::new_multi_thread().worker_threads(1).enable_all().build())
        .map_err(|error| unavailable(report::container::no_engine(&error.to_string()), report::container::REMEDY))?;
    Ok(thread::scope(|scope| {
        let run = scope.spawn(|| runtime.block_on(future));
        run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }))
}

fn explain(image: &str, error: &TestcontainersError) -> Unavailable {
    let text = chain(error);
    match error {
        TestcontainersError::Client(ClientError::PullImage { .. }) => {
            unavailable(report::container::not_started(image, &text), report::container::remedy_image(image))
        }
        TestcontainersError::Client(ClientError::Init(_) | ClientError::Configuration(_)) => no_engine(&text),
        _ if text.contains("Connect") || text.contains("connect") || text.contains("ocket") => no_engine(&text),
        _ => not_started(image, report::container::not_started(image, &text)),
    }
}

fn no_engine(error: &str) -> Unavailable {
    match podman_socket() {
        Some(socket) if env::var_os("DOCKER_HOST").is_none() => {
            unavailable(report::container::no_engine(error), report::container::remedy_podman(&socket))
        }
        _ => unavailable(report::container::no_engine(error), report::container::REMEDY),
    }
}

/// testcontainers looks for Docker's sockets only; podman's must be named to it.
fn podman_socket() -> Option<PathBuf> {
    let user = env::var_os("XDG_RUNTIME_DIR").map(|directory| PathBuf::from(directory).join("podman/podman.sock"));
    user.into_iter().chain([PathBuf::from("/run/podman/podman.sock")]).find(|socket| socket.exists())
}

/// An error with what is behind it, which is where the engine's own words are.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text += &format!(": {cause_text}");
        }
        source = cause.source();
    }
    text
}

fn not_started(image: &str, why: String) -> Unavailable {
    unavailable(why, report::container::remedy_image(image))
}

fn unavailable(why: String, remedy: impl Into<String>) -> Unavailable {
    Unavailable { provider: Provider::Container.to_string(), why, remedy: remedy.into() }
}
