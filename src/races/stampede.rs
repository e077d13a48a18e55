//! Many clients that miss a cache at once.

use std::sync::Arc;
use std::time::Duration;

use super::client::{Client, Returned, Run};
use super::clients::Clients;
use super::control_connection::ControlConnection;
use super::coordinator::{End, Place, Step};
use crate::error::Error;
use crate::report;
use crate::request::TestRequest;
use crate::tap::Decision;

/// The point that marks a call of the loader.
const LOAD: &str = "load";

/// How long the clients can take.
const WITHIN: Duration = Duration::from_secs(20);

/// The counts of a stampede.
///
/// ```
/// use redis::{Commands, RedisResult};
/// use transient_fixtures::{TestRequest, races, redis};
///
/// /// The code under test. A visitor who does not get the lock goes without the page.
/// fn page(client: &races::Client) -> RedisResult<Option<String>> {
///     let mut redis = redis::Client::open(client.redis_url())?.get_connection()?;
///     if let Some(page) = redis.get("page")? {
///         return Ok(Some(page));
///     }
///     if !redis.set_nx::<_, _, bool>("lock", 1)? {
///         return Ok(None);
///     }
///     client.point("load");
///     redis.set_ex::<_, _, ()>("page", "the page", 60)?;
///     Ok(Some("the page".to_owned()))
/// }
///
/// let test_request = TestRequest::clean();
/// races::stampede(&test_request, 10, page).at_most(1);
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "the number of loads is checked by `at_most`"]
pub struct Stampede {
    clients: usize,
    loads: usize,
}

impl Stampede {
    /// Returns how many clients passed the point `load`, each time that they did.
    #[must_use]
    pub fn loads(&self) -> usize {
        self.loads
    }

    /// Asserts that the loader ran at most this often.
    ///
    /// # Panics
    ///
    /// Panics if it ran more often.
    #[track_caller]
    pub fn at_most(self, loads: usize) {
        assert!(self.loads <= loads, "{}", report::races::stampede(self.clients, self.loads, loads));
    }
}

/// Runs this number of clients, and counts how often the point `load` is passed. [`Stampede`] has an example.
///
/// Each client is released until it has the reply to its first command, usually a GET that misses. When all have
/// theirs, they all go on, without further stops.
///
/// # Panics
///
/// Panics if a client panics or returns `Err`, the clients take longer than 20 seconds, or the server is gone.
#[track_caller]
pub fn stampede<T: Returned>(
    test_request: &TestRequest,
    clients: usize,
    run: impl Fn(&Client) -> T + Send + Sync + 'static,
) -> Stampede {
    let run: Run = Arc::new(move |client| run(client).into_parts());
    match loads(test_request, clients, &run) {
        Ok(loads) => Stampede { clients, loads },
        Err(failure) => panic!("{failure}"),
    }
}

fn loads(test_request: &TestRequest, clients: usize, run: &Run) -> Result<usize, String> {
    let names: Vec<_> = (1..=clients).map(|number| format!("client {number}")).collect();
    let mut control = ControlConnection::new(test_request).map_err(Error::in_full)?;
    let mut clients = Clients::start(&test_request.lease, names.iter().map(|name| (&**name, run.clone())).collect())?;
    let result = release(&clients, &mut control);
    // Also if the server is gone, or a client waits for something that does not come.
    clients.end();
    result?;
    let state = clients.coordinator.state();
    let failure = state.clients.iter().zip(&names).find_map(|(client, name)| match &client.end {
        Some(End::Panicked(failure) | End::Returned(_, Some(failure))) => {
            Some(report::races::client_failed(name, failure))
        }
        _ => None,
    });
    let load = report::races::point(LOAD);
    failure.map_or_else(|| Ok(state.steps.iter().filter(|step| step.line == load).count()), Err)
}

/// Lets all clients send their first command, and then go on to their ends.
fn release(clients: &Clients, control: &mut ControlConnection<'_>) -> Result<(), String> {
    let coordinator = &clients.coordinator;
    let stuck = || report::races::stampede_stuck(WITHIN);
    coordinator.begin();
    // First the starts, then the first commands.
    for is_start in [true, false] {
        for (client, tap) in clients.taps.iter().enumerate() {
            let stops = |place: &Place| matches!(place, Place::Start) == is_start && !matches!(place, Place::Point(_));
            let at = coordinator.state().clients[client].stops.iter().position(|stop| stops(&stop.place));
            let Some(at) = at else { continue };
            coordinator.release(client, at, Decision::Forward, Step::default());
            tap.wake();
        }
        coordinator.wait_idle(WITHIN).map_err(|_| stuck())?;
    }
    control.wait_executed().map_err(Error::in_full)?;
    coordinator.free(|| clients.wake());
    if coordinator.wait_ended(WITHIN).is_empty() { Ok(()) } else { Err(stuck()) }
}
