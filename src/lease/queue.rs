//! Leases on a shared server exclude each other in the server itself, across users, cache directories and machines.
//!
//! The connection that has a lease, or waits for one, has a name that says so. Among these, the one with the lowest id
//! has the lease: a server numbers its clients in the order in which they connected.

use std::thread;
use std::time::Duration;

use redis::{Connection, pipe};

use super::file_lock::Patience;
use crate::error::{Error, Kind};
use crate::redis_io::{lease_name, lease_prefix};
use crate::report;

/// How often a waiting one asks.
const ASK_EVERY: Duration = Duration::from_millis(5);

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
    let mut ask = pipe();
    ask.cmd("CLIENT").arg("SETNAME").arg(lease_name(test)).ignore().cmd("CLIENT").arg("ID").cmd("CLIENT").arg("LIST");
    loop {
        let (id, clients): (u64, String) = ask
            .query(control)
            .map_err(|error| Error::with_source(Kind::Server, report::server_lost(&url, &error), error))?;
        let others = clients.lines().filter_map(Client::parse).filter(|client| client.id < id);
        let Some(holder) = others.min_by_key(|client| client.id) else { return Ok(()) };
        if patience.still_waits_for(&holder.to_string(), holder.id)? {
            moved()?;
        }
        thread::sleep(ASK_EVERY);
    }
}

/// A connection that has a lease or waits for one.
struct Client<'list> {
    id: u64,
    address: &'list str,
    /// Process and test.
    name: &'list str,
}

impl<'list> Client<'list> {
    /// A line of CLIENT LIST: `id=7 addr=127.0.0.1:5 … name=… …`.
    fn parse(line: &'list str) -> Option<Self> {
        let field = |name: &str| line.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        let name = field("name")?.strip_prefix(&lease_prefix())?;
        Some(Self { id: field("id")?.parse().ok()?, address: field("addr")?, name })
    }
}

impl std::fmt::Display for Client<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (process, test) = self.name.split_once(':').unwrap_or(("", self.name));
        formatter.write_str(&report::lease::holder_elsewhere(process, test, self.address))
    }
}
