//! Mutual exclusion of leases in the shared server itself, across users, cache directories and machines.
//!
//! The connection of a lease, and each connection that waits for one, shows its role in its client name. The waiting
//! connection with the lowest client id is next: ids increase in the order of connection. It renames itself to the
//! holder, and is the holder if then no other connection has that name. If two connections do so at once, each sees the
//! other and waits again: a connection can have its id for a while before it has its name.

use std::thread;
use std::time::{Duration, Instant};

use redis::{Connection, pipe};

use super::file_lock::WaitLimit;
use crate::error::{Error, Kind};
use crate::redis_io::{HOLDER, WAITER, client_field, lease_name};
use crate::report;

/// How often a waiting connection asks.
const POLL_EVERY: Duration = Duration::from_millis(5);

/// A server with thousands of clients takes long to list them, so a waiting connection asks for at most a tenth of the
/// time.
const POLL_SHARE: u32 = 10;
const POLL_AT_LEAST_EVERY: Duration = Duration::from_millis(500);

/// How often a holder that reconnects checks whether another connection gives way.
const RECLAIM_ATTEMPTS: u32 = 20;

/// A waiting connection that has asked nothing for this many seconds is suspended (Ctrl-Z), and is skipped.
const SUSPENDED_AFTER: u64 = 5;

/// Waits until it is this connection's turn. `on_holder_change` is called whenever the holder changes.
///
/// # Errors
///
/// Returns an error that [`Error::is_busy`] if another test holds the server for too long, or that [`Error::is_server`]
/// if the server does not answer.
pub(super) fn wait_for_turn(
    control: &mut Connection,
    test: &str,
    url: &str,
    limit: &mut WaitLimit<'_>,
    mut on_holder_change: impl FnMut() -> Result<(), Error>,
) -> Result<(), Error> {
    loop {
        let start = Instant::now();
        let (id, clients) = set_name(WAITER, control, test, url)?;
        let clients = clients.lines().filter_map(Client::parse);
        let waits = |client: &Client<'_>| client.id < id && client.idle < SUSPENDED_AFTER;
        let is_before = |client: &Client<'_>| client.id != id && (client.is_holder || waits(client));
        let before = clients.filter(is_before).min_by_key(|client| (!client.is_holder, client.id));
        if let Some(before) = before {
            if limit.check(&before.to_string(), (None, before.id))? {
                on_holder_change()?;
            }
        } else {
            let (_, clients) = set_name(HOLDER, control, test, url)?;
            if is_only_holder(id, &clients) {
                return Ok(());
            }
        }
        thread::sleep((start.elapsed() * POLL_SHARE).clamp(POLL_EVERY, POLL_AT_LEAST_EVERY));
    }
}

/// Returns whether this connection can replace the holder's closed one, because no other test has had a turn since.
///
/// # Errors
///
/// Returns an error that [`Error::is_server`] if the server does not answer.
pub(super) fn reclaim_turn(control: &mut Connection, test: &str, url: &str) -> Result<bool, Error> {
    for _ in 0..RECLAIM_ATTEMPTS {
        let (id, clients) = set_name(HOLDER, control, test, url)?;
        if is_only_holder(id, &clients) {
            return Ok(true);
        }
        // Another connection that has renamed itself at the same moment waits again when it sees this one.
        thread::sleep(POLL_EVERY);
    }
    Ok(false)
}

/// Sets this connection's name, and returns its id and the list of all clients.
fn set_name(prefix: &str, control: &mut Connection, test: &str, url: &str) -> Result<(u64, String), Error> {
    let mut ask = pipe();
    ask.cmd("CLIENT").arg("SETNAME").arg(lease_name(prefix, test)).ignore();
    ask.cmd("CLIENT").arg("ID").cmd("CLIENT").arg("LIST");
    ask.query(control).map_err(|error| Error::with_source(Kind::Server, report::server_lost(&url), error))
}

fn is_only_holder(id: u64, clients: &str) -> bool {
    !clients.lines().filter_map(Client::parse).any(|client| client.is_holder && client.id != id)
}

/// A connection that has a lease or waits for one.
struct Client<'list> {
    id: u64,
    is_holder: bool,
    /// For how many seconds it has asked nothing.
    idle: u64,
    address: &'list str,
    /// Process id and test.
    name: &'list str,
}

impl<'list> Client<'list> {
    /// Parses a line of CLIENT LIST.
    fn parse(line: &'list str) -> Option<Self> {
        let field = |name: &str| client_field(line, name);
        let name = field("name")?;
        let (is_holder, name) = match name.strip_prefix(HOLDER) {
            Some(name) => (true, name),
            None => (false, name.strip_prefix(WAITER)?),
        };
        let number = |name: &str| field(name)?.parse().ok();
        Some(Self { id: number("id")?, is_holder, idle: number("idle")?, address: field("addr")?, name })
    }
}

impl std::fmt::Display for Client<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (process, test) = self.name.split_once(':').unwrap_or(("", self.name));
        formatter.write_str(&report::lease::holder_elsewhere(process, test, self.address))
    }
}
