//! Leases on a shared server exclude each other in the server itself, across users, cache directories and machines.
//!
//! The connection that has a lease has a name that says so, and so has each that waits for one. Among these, the one with
//! the lowest id is next: a server numbers its clients in the order in which they connected. It calls itself the holder,
//! and is it if then no other one does. Of two that do so at once, each sees the other and waits again: a connection may
//! have had its number for a while before it had its name.

use std::thread;
use std::time::{Duration, Instant};

use redis::{Connection, pipe};

use super::file_lock::Patience;
use crate::error::{Error, Kind};
use crate::redis_io::{HOLDER, WAITER, lease_name};
use crate::report;

/// How often a waiting one asks.
const ASK_EVERY: Duration = Duration::from_millis(5);

/// A server with thousands of clients takes its time to list them: a waiting one asks for a tenth of the time at most.
const ASK_SHARE: u32 = 10;
const ASK_AT_LEAST_EVERY: Duration = Duration::from_millis(500);

/// How often a holder that connects again looks whether another one steps back.
const LOOKS: u32 = 20;

/// A waiting one that has asked nothing for so many seconds was stopped (Ctrl-Z), and is passed.
const STOPPED_AFTER: u64 = 5;

/// Waits until this connection's turn has come. `moved` is called whenever the holder changes.
///
/// # Errors
///
/// [`Error::is_busy`] when another lease is held for too long; [`Error::is_server`].
pub(super) fn wait_for_turn(
    control: &mut Connection,
    test: &str,
    url: &str,
    patience: &mut Patience<'_>,
    mut moved: impl FnMut() -> Result<(), Error>,
) -> Result<(), Error> {
    loop {
        let start = Instant::now();
        let (id, clients) = call_itself(WAITER, control, test, url)?;
        let clients = clients.lines().filter_map(Client::parse);
        let waits = |client: &Client<'_>| client.id < id && client.idle < STOPPED_AFTER;
        let is_before = |client: &Client<'_>| client.id != id && (client.is_holder || waits(client));
        let before = clients.filter(is_before).min_by_key(|client| (!client.is_holder, client.id));
        if let Some(before) = before {
            if patience.still_waits_for(&before.to_string(), before.id)? {
                moved()?;
            }
        } else {
            let (_, clients) = call_itself(HOLDER, control, test, url)?;
            if is_only_holder(id, &clients) {
                return Ok(());
            }
        }
        thread::sleep((start.elapsed() * ASK_SHARE).clamp(ASK_EVERY, ASK_AT_LEAST_EVERY));
    }
}

/// Whether this connection can replace the holder's own, which was closed: no other test has got in meanwhile.
///
/// # Errors
///
/// [`Error::is_server`].
pub(super) fn takes_place_again(control: &mut Connection, test: &str, url: &str) -> Result<bool, Error> {
    for _ in 0..LOOKS {
        let (id, clients) = call_itself(HOLDER, control, test, url)?;
        if is_only_holder(id, &clients) {
            return Ok(true);
        }
        // One that has called itself the holder at the same moment waits again when it sees this one.
        thread::sleep(ASK_EVERY);
    }
    Ok(false)
}

/// Takes a name, and returns its id and the list of all clients.
fn call_itself(prefix: &str, control: &mut Connection, test: &str, url: &str) -> Result<(u64, String), Error> {
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
    /// Process and test.
    name: &'list str,
}

impl<'list> Client<'list> {
    /// A line of CLIENT LIST: `id=7 addr=127.0.0.1:5 … name=… …`.
    fn parse(line: &'list str) -> Option<Self> {
        let field = |name: &str| line.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
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
