//! The rung `container`: an image, started by a container engine through testcontainers.
//!
//! A container outlives the process that started it, and no code of ours may run when that process ends. So the
//! container looks after itself: it ends, and the engine removes it, when nobody has been connected for a while. Until
//! then another process may claim it ([`Slot`]).

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{env, thread};

use once_cell::sync::OnceCell;
use redis::{Client, Connection, InfoDict, RedisResult, cmd};
use testcontainers::bollard::models::PortBinding;
use testcontainers::core::IntoContainerPort;
use testcontainers::core::error::ClientError;
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, GenericImage, ImageExt, TestcontainersError};
use tokio::runtime::{Builder, Runtime};
use url::Url;

use super::client_name;
use super::slot::Slot;
use super::stopped::again_if_stopped;
use super::unique_name::unique_name;
use super::unstarted::Unstarted;
use super::{Owner, Server, Throwaway, cache};
use crate::report::{self, Fallen};
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
pub(crate) fn start(settings: &Settings, within: Duration) -> Result<Throwaway, Fallen> {
    let (sessions, jobs) = settings.databases();
    let databases = 16.max(sessions + 1).max(jobs + 1);
    let image = settings.image();
    let kind = (image, databases, env::var_os("DOCKER_HOST"));
    let slot = loop {
        let slot = Slot::take(&kind)
            .map_err(|error| not_started(image, report::container::no_slot(&cache::directory(), &error)))?;
        match connect(&slot, sessions).filter(|_| !settings.keep()) {
            // What is to be kept is never shared.
            None => break slot,
            Some((server, control)) => {
                let container = Container { server: server.clone(), started: None, slot, keep: false };
                let mut server = Throwaway::new(server, control, container);
                // The last process may have been killed in the middle of a test.
                if server.check().unwrap_or(false) {
                    return Ok(server);
                }
            }
        }
    };
    slot.put(None);
    let within = within.min(READY_WITHIN);
    let deadline = Instant::now() + within;
    let name = unique_name();
    let unstarted = Unstarted::watch(&name);
    // A container that is dropped here must be so inside of the runtime.
    let (started, url) = on_runtime(async {
        let started = tokio::time::timeout(within, request(&name, image, databases).start()).await;
        let started = started
            .map_err(|_| not_started(image, report::container::too_slow(image, within)))?
            .map_err(|error| explain(image, &error))?;
        let url = url(&started).await.map_err(|error| explain(image, &error))?;
        Ok((started, url))
    })??;
    unstarted.end_watch();
    let started = Started(Some(started));
    let (control, info) = first_answer(&url, deadline).map_err(|error| {
        not_started(
            image,
            error.map_or_else(
                || report::container::too_slow(image, within),
                |error| report::container::not_started(image, &error.to_string()),
            ),
        )
    })?;
    let server = Server::new(Provider::Container, url.clone(), &info, sessions);
    if !settings.keep() {
        slot.put(Some((url.as_str(), server.run_id())));
    }
    let container = Container { server: server.clone(), started: Some(started), slot, keep: settings.keep() };
    Ok(Throwaway::new(server, control, container))
}

/// The server of a slot, if it is still the one that was left there, and is not ending.
fn connect(slot: &Slot, sessions: u32) -> Option<(Server, Connection)> {
    let (url, run_id) = slot.server()?;
    let url = Url::parse(&url).ok()?;
    let (mut control, info) = answer(&Client::open(url.as_str()).ok()?, CLAIMED_WITHIN).ok()?;
    let server = Server::new(Provider::Container, url.clone(), &info, sessions);
    if server.run_id() != run_id {
        return None;
    }
    // We are connected already: one of us sees the other.
    let ending: bool = cmd("EXISTS").arg(ENDING).query(&mut control).ok()?;
    (!ending).then_some((server, control))
}

fn request(name: &str, image: &str, databases: u32) -> testcontainers::ContainerRequest<GenericImage> {
    let (image, tag) = name_and_tag(image);
    let remote = env::var("DOCKER_HOST").is_ok_and(|host| !host.starts_with("unix:") && !host.starts_with("npipe:"));
    GenericImage::new(image, tag)
        .with_entrypoint("sh")
        .with_exposed_port(PORT.tcp())
        .with_cmd(["-c", SCRIPT, "transient-fixtures", &databases.to_string()])
        .with_container_name(name)
        .with_label("transient-fixtures.owner", std::process::id().to_string())
        .with_startup_timeout(READY_WITHIN)
        .with_host_config_modifier(move |host| {
            host.auto_remove = Some(true);
            // A server without a password is for this machine only, where the engine is on it.
            if !remote {
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
struct Started(Option<ContainerAsync<GenericImage>>);

impl Drop for Started {
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
    started: Option<Started>,
    slot: Slot,
    keep: bool,
}

async fn url(container: &ContainerAsync<GenericImage>) -> Result<Url, TestcontainersError> {
    let (host, port) = (container.get_host().await?.to_string(), container.get_host_port_ipv4(PORT).await?);
    // The engine binds to IPv4, and `localhost` may mean ::1.
    let host = if host == "localhost" { "127.0.0.1" } else { &host };
    Url::parse(&format!("redis://{host}:{port}")).map_err(TestcontainersError::other)
}

impl Container {
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
fn first_answer(url: &Url, deadline: Instant) -> Result<(Connection, InfoDict), Option<redis::RedisError>> {
    let client = Client::open(url.as_str())?;
    let mut last = None;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(last);
        }
        match answer(&client, left) {
            Ok(answer) => return Ok(answer),
            Err(error) => last = Some(error),
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn answer(client: &Client, within: Duration) -> RedisResult<(Connection, InfoDict)> {
    again_if_stopped(|| {
        let mut connection = client.get_connection_with_timeout(within)?;
        connection.set_read_timeout(Some(within))?;
        let () = cmd("CLIENT").arg("SETNAME").arg(client_name("idle")).query(&mut connection)?;
        let info = cmd("INFO").query(&mut connection)?;
        Ok((connection, info))
    })
}

/// Runs on a runtime of our own, from a thread of its own: the test's thread may be inside another runtime.
fn on_runtime<T: Send>(future: impl Future<Output = T> + Send) -> Result<T, Fallen> {
    static RUNTIME: OnceCell<Runtime> = OnceCell::new();
    let runtime = RUNTIME
        .get_or_try_init(|| Builder::new_multi_thread().worker_threads(1).enable_all().build())
        .map_err(|error| fallen(report::container::no_engine(&error.to_string()), report::container::REMEDY))?;
    Ok(thread::scope(|scope| {
        let run = scope.spawn(|| runtime.block_on(future));
        run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }))
}

fn explain(image: &str, error: &TestcontainersError) -> Fallen {
    let text = chain(error);
    match error {
        TestcontainersError::Client(ClientError::PullImage { .. }) => {
            fallen(report::container::not_started(image, &text), report::container::remedy_image(image))
        }
        TestcontainersError::Client(ClientError::Init(_) | ClientError::Configuration(_)) => no_engine(&text),
        _ if text.contains("Connect") || text.contains("connect") || text.contains("ocket") => no_engine(&text),
        _ => not_started(image, report::container::not_started(image, &text)),
    }
}

fn no_engine(error: &str) -> Fallen {
    match podman_socket() {
        Some(socket) if env::var_os("DOCKER_HOST").is_none() => {
            fallen(report::container::no_engine(error), report::container::remedy_podman(&socket))
        }
        _ => fallen(report::container::no_engine(error), report::container::REMEDY),
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

fn not_started(image: &str, why: String) -> Fallen {
    fallen(why, report::container::remedy_image(image))
}

fn fallen(why: String, remedy: impl Into<String>) -> Fallen {
    Fallen { rung: Provider::Container.to_string(), why, remedy: remedy.into() }
}
