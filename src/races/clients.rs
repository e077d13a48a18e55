//! The clients of an exploration or a stampede: their taps and their threads.

use std::sync::Arc;
use std::time::Duration;

use super::client::{Client, ClientThread, Run};
use super::coordinator::Coordinator;
use super::hold::ClientHold;
use crate::error::Error;
use crate::lease::Lease;
use crate::tap::{self, Control, Tap};

/// How long a client can take to end after its connections are closed.
pub(super) const ENDS_WITHIN: Duration = Duration::from_secs(5);

pub(super) struct Clients {
    pub(super) coordinator: Arc<Coordinator>,
    pub(super) taps: Vec<Tap>,
    threads: Vec<ClientThread>,
}

impl Clients {
    /// Starts a tap and a thread for each of these names and closures.
    pub(super) fn start(lease: &Lease, clients: Vec<(&str, Run)>) -> Result<Self, String> {
        let coordinator = Coordinator::new(clients.len());
        let control = Control::of(lease).map_err(Error::in_full)?;
        let (mut taps, mut threads) = (Vec::new(), Vec::new());
        for (index, (name, run)) in clients.into_iter().enumerate() {
            let hold = Arc::new(ClientHold { coordinator: coordinator.clone(), client: index });
            let tap = tap::tap_with(lease, control.clone(), Some(hold)).map_err(Error::in_full)?;
            let client = Client::new(name, index, &tap, &coordinator);
            taps.push(tap);
            threads.push(ClientThread::spawn(client, run).map_err(|error| error.to_string())?);
        }
        Ok(Self { coordinator, taps, threads })
    }

    pub(super) fn wake(&self) {
        self.taps.iter().for_each(Tap::wake);
    }

    /// Closes all connections, and waits until the clients have ended. Returns the first that has not.
    pub(super) fn end(&mut self) -> Option<usize> {
        let running = self.coordinator.end(|| self.wake(), ENDS_WITHIN);
        for index in running.iter().rev() {
            self.threads.swap_remove(*index).abandon();
        }
        running.first().copied()
    }
}
