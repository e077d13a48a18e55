//! The provider `container`: an image, started by a container engine through testcontainers.
//!
//! A container outlives the process that started it, and a killed process runs no code. So the container watches
//! itself: it ends, and the engine removes it, when no client has been connected for a while. Until then another
//! process can claim it ([`Slot`]).

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
use super::secret::Secrets;
use super::slot::{self, Slot, SlotRecord};
use super::unique_name::unique_name;
use super::{Owner, Server, Started, Unavailable, database_count};
use crate::settings::{Provider, Settings};
use crate::sync::poll_until;
use crate::{cache, random, report};

const SCRIPT: &str = include_str!("container.sh");

/// The timeout for pulling a missing image, starting it, and its first answer.
const READY_WITHIN: Duration = Duration::from_secs(15);

/// A server that is still running answers at once.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(2);

/// The engine takes a quarter of a second.
const REMOVED_WITHIN: Duration = Duration::from_secs(10);

/// How often a new container is asked whether it answers.
const ASK_EVERY: Duration = Duration::from_millis(5);

const PORT: u16 = 6379;

/// The container sets this key in database 0 before it ends, and then checks for connections a last time.
const ENDING: &str = "transient-fixtures:ending";

/// The key that tells the container to run without an owner.
const KEPT: &str = "transient-fixtures:kept";

/// Claims a container that another process has left, or starts one. An image that the engine already has is not pulled.
///
/// # Errors
///
/// Returns an error if no engine answers, the image can't be pulled or started, or the server does not answer in time.
pub(crate) fn start(settings: &Settings, within: Duration) -> Result<Started, Unavailable> {
    let sessions = settings.databases().sessions;
    let databases = database_count(settings);
    let image = settings.image();
    let kind = format!("{image} {databases} {} {:?}", settings.passwords(), env::var_os("DOCKER_HOST"));
    let slot = Slot::take("containers", &kind).map_err(|error| {
        unavailable(report::container::no_slot(&cache::directory(), &error), report::container::REMEDY_NO_SLOT)
    })?;
    // A container that will be kept is never shared.
    if let Some((server, control, record)) = claim(&slot, sessions).filter(|_| !settings.keep()) {
        let (password, earlier_password_changes) =
            (settings.passwords().then(random::hex), Some(record.password_changes));
        let container = Container { server: server.clone(), started: None, slot, record, keep: false };
        return Ok(Started { server, control, owner: Box::new(container), password, earlier_password_changes });
    }
    slot.clear();
    let within = within.min(READY_WITHIN);
    let deadline = Instant::now() + within;
    let name = unique_name();
    let secrets = Secrets::new(settings.passwords());
    let watch = CreateWatch::new(&name);
    // A container that is dropped here must be dropped inside the runtime.
    let (started, urls) = on_runtime(async {
        let started = tokio::time::timeout(within, request(&name, image, databases, &secrets).start()).await;
        let started = started
            .map_err(|_| not_started(image, report::container::too_slow(image, within)))?
            .map_err(|error| explain(image, &error))?;
        let urls = urls(&started).await.map_err(|error| explain(image, &error))?;
        Ok((started, urls))
    })??;
    watch.end();
    let started = RemoveOnDrop(Some(started));
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
    let record = SlotRecord::new(&server);
    let container = Container { server: server.clone(), started: Some(started), slot, record, keep: settings.keep() };
    container.publish();
    Ok(Started {
        server,
        control,
        owner: Box::new(container),
        password: secrets.password,
        earlier_password_changes: None,
    })
}

/// Returns the server of a slot, if it is still the one that was left there and is not ending.
fn claim(slot: &Slot, sessions: u32) -> Option<(Server, Connection, SlotRecord)> {
    let (server, mut control, record) = slot.claim(Provider::Container, sessions, CLAIM_TIMEOUT)?;
    // We are already connected: either we see the key, or the container sees our connection.
    let ending: bool = cmd("EXISTS").arg(ENDING).query(&mut control).ok()?;
    (!ending).then_some((server, control, record))
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
            // Publish the port for this machine only, if tests and engine both run on it.
            if !remote && !is_in_container() {
                let binding = PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: None };
                host.publish_all_ports = Some(false);
                host.port_bindings = Some(HashMap::from([(format!("{PORT}/tcp"), Some(vec![binding]))]));
            }
        })
}

/// Splits an image into name and tag: `redis:8` has a tag, `host:5000/redis` has none, and `redis@sha256:…` is split
/// like a tag.
fn name_and_tag(image: &str) -> (&str, &str) {
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (image, "latest"),
    }
}

/// A container that this process has started. Dropping it removes the container.
struct RemoveOnDrop(Option<ContainerAsync<GenericImage>>);

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        if let Some(container) = self.0.take() {
            // If the engine fails to remove it, the container ends by itself because no client is connected. The
            // removal is a separate task: after a timeout it is dropped inside the runtime.
            drop(on_runtime(async { tokio::time::timeout(REMOVED_WITHIN, tokio::spawn(container.rm())).await }));
        }
    }
}

/// The server of a container. Dropping it ends the container.
struct Container {
    server: Server,
    /// Known only to the process that has started it.
    started: Option<RemoveOnDrop>,
    slot: Slot,
    record: SlotRecord,
    keep: bool,
}

/// Returns the URLs at which the server may be reached: the engine's answer, and the host if the tests run in a
/// container.
async fn urls(container: &ContainerAsync<GenericImage>) -> Result<Vec<Url>, TestcontainersError> {
    let (host, port) = (container.get_host().await?.to_string(), container.get_host_port_ipv4(PORT).await?);
    // The engine binds to IPv4, and `localhost` can mean ::1.
    let host = if host == "localhost" { "127.0.0.1" } else { &host };
    let mut urls = vec![format!("redis://{host}:{port}")];
    if is_in_container() {
        urls.extend(default_gateway().map(|gateway| format!("redis://{gateway}:{port}")));
    }
    urls.iter().map(|url| Url::parse(url).map_err(TestcontainersError::other)).collect()
}

/// Returns whether the tests themselves run in a container, with the socket of their host's engine. The loopback
/// address of that host is then out of reach.
fn is_in_container() -> bool {
    ["/.dockerenv", "/run/.containerenv"].iter().any(|mark| Path::new(mark).exists())
}

/// Returns the host's address from inside a container, by the kernel's routing table.
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
    /// Writes the server to the slot for the next process. A container that will be kept is not shared.
    fn publish(&self) {
        if !self.keep {
            self.slot.store(&self.record);
        }
    }

    /// Sends one command on a new connection. The caller can do without the answer.
    fn tell(&self, command: &redis::Cmd) -> RedisResult<()> {
        command.exec(&mut self.server.connect(CLAIM_TIMEOUT)?)
    }
}

impl Owner for Container {
    fn leased(&mut self, leased: bool) {
        if self.keep {
            // In database 0, where a test that flushes all databases removes it: then the container ends as usual.
            let _ = self.tell(cmd(if leased { "SET" } else { "DEL" }).arg(KEPT).arg(leased.then_some("")));
        }
    }

    fn password_changes(&mut self, count: u64) {
        self.record.password_changes = count;
        self.publish();
    }

    fn is_shared(&self) -> bool {
        !self.keep
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.slot.clear();
        // If neither way works, the container ends by itself because our connection is closed.
        match self.started.take() {
            Some(started) => drop(started),
            None => drop(self.tell(cmd("SHUTDOWN").arg("NOSAVE"))),
        }
    }
}

/// Asks until the server answers. The engine's proxy accepts connections before the server does, and drops them.
fn first_answer(
    urls: &[Url],
    secret: &str,
    deadline: Instant,
) -> Result<(Url, Connection, InfoDict), Option<redis::RedisError>> {
    let mut last = None;
    let mut urls_in_turn = urls.iter().cycle();
    poll_until(deadline, ASK_EVERY, || {
        let url = urls_in_turn.next()?;
        let left = deadline.saturating_duration_since(Instant::now()).max(ASK_EVERY);
        // If there are several URLs, one may lead nowhere.
        let within = if urls.len() > 1 { left.min(CLAIM_TIMEOUT) } else { left };
        match slot::connect(url.as_str(), secret, within) {
            Ok((control, info)) => Some((url.clone(), control, info)),
            Err(error) => {
                last = Some(error);
                None
            }
        }
    })
    .ok_or(last)
}

/// Runs a future on our own runtime in a new thread, because the test's thread can be inside another runtime.
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

/// Returns podman's socket. testcontainers looks only for Docker's; podman's must be passed to it.
fn podman_socket() -> Option<PathBuf> {
    let user = env::var_os("XDG_RUNTIME_DIR").map(|directory| PathBuf::from(directory).join("podman/podman.sock"));
    user.into_iter().chain([PathBuf::from("/run/podman/podman.sock")]).find(|socket| socket.exists())
}

/// Returns an error with its chain of causes, which has the engine's own message.
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
