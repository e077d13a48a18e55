//! Many clients that miss a cache at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::client::{Client, ClientThread, Returned};
use super::control_connection::ControlConnection;
use super::coordinator::{Coordinator, End, Place, Step};
use super::hold::ClientHold;
use crate::report;
use crate::request::TestRequest;
use crate::sync::poll_until;
use crate::tap::{self, Control, Decision, Tap};

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
    match loads(test_request, clients, move |client| run(client).into_parts()) {
        Ok(loads) => Stampede { clients, loads },
        Err(failure) => panic!("{failure}"),
    }
}

fn loads(
    test_request: &TestRequest,
    clients: usize,
    run: impl Fn(&Client) -> (Option<Box<dyn std::any::Any + Send>>, Option<String>) + Send + Sync + 'static,
) -> Result<usize, String> {
    let text = |error: crate::Error| format!("{error:?}");
    let run: super::client::Run = Arc::new(run);
    let coordinator = Coordinator::new(clients);
    let mut control = ControlConnection::new(test_request).map_err(text)?;
    let tap_control = Control::of(&test_request.lease).map_err(text)?;
    let (mut taps, mut threads): (Vec<Tap>, Vec<ClientThread>) = (Vec::new(), Vec::new());
    for index in 0..clients {
        let hold = Arc::new(ClientHold { coordinator: coordinator.clone(), client: index });
        let tap = tap::tap_with(&test_request.lease, tap_control.clone(), Some(hold)).map_err(text)?;
        let client = Client::new(&format!("client {}", index + 1), index, &tap, &coordinator);
        taps.push(tap);
        threads.push(ClientThread::spawn(client, run.clone()).map_err(|error| error.to_string())?);
    }
    coordinator.begin();
    // First the starts, then the first commands.
    for is_start in [true, false] {
        for (client, tap) in taps.iter().enumerate() {
            let stops = |place: &Place| matches!(place, Place::Start) == is_start && !matches!(place, Place::Point(_));
            let at = coordinator.state().clients[client].stops.iter().position(|stop| stops(&stop.place));
            let Some(at) = at else { continue };
            coordinator.release(client, at, Decision::Forward, Step::default());
            tap.wake();
        }
        if coordinator.wait_idle(WITHIN).is_err() {
            end(&coordinator, &taps, threads);
            return Err(report::races::stampede_stuck(WITHIN));
        }
    }
    control.wait_executed().map_err(text)?;
    coordinator.free(|| taps.iter().for_each(Tap::wake));
    let every = Duration::from_millis(1);
    let ended = poll_until(Instant::now() + WITHIN, every, || {
        coordinator.state().clients.iter().all(|client| client.end.is_some()).then_some(())
    });
    let state = coordinator.state();
    let load = report::races::point(LOAD);
    let loads = state.steps.iter().filter(|step| step.line == load).count();
    let failure = state.clients.iter().enumerate().find_map(|(index, client)| match &client.end {
        Some(End::Panicked(failure) | End::Returned(_, Some(failure))) => {
            Some(report::races::client_failed(&format!("client {}", index + 1), failure))
        }
        _ => None,
    });
    drop(state);
    if ended.is_none() {
        end(&coordinator, &taps, threads);
        return Err(report::races::stampede_stuck(WITHIN));
    }
    failure.map_or(Ok(loads), Err)
}

/// Ends the clients that have not ended.
fn end(coordinator: &Coordinator, taps: &[Tap], mut threads: Vec<ClientThread>) {
    let running = coordinator.end(|| taps.iter().for_each(Tap::wake), Duration::from_secs(5));
    for index in running.into_iter().rev() {
        threads.swap_remove(index).abandon();
    }
}
