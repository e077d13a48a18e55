//! The sweep: every boundary of a scenario, with every fault, on clean data.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use redis::Connection;

use super::case::{Case, Fault};
use super::run::{Outcome, Run};
use crate::error::Error;
use crate::lease::Database;
use crate::report;
use crate::request::TestRequest;
use crate::tap::{Command, Commands, Tap};

/// How long one run of the scenario may take.
const RUN_WITHIN: Duration = Duration::from_secs(10);

/// How much longer a run may take to end when its connections are closed.
const ENDS_WITHIN: Duration = Duration::from_secs(1);

/// How late a late reply is: the redis crate's asynchronous connections give up after 500 ms.
const LATE: Duration = Duration::from_millis(600);

/// Progress is printed from then on.
const PROGRESS_AFTER: Duration = Duration::from_secs(2);

/// The variable that names the one case to run.
const REPLAY: &str = "TRANSIENT_REPLAY";

type Scenario = Arc<dyn Fn(&Run) -> Option<String> + Send + Sync>;
type Step<'a> = Box<dyn Fn(&mut Connection) -> Option<String> + 'a>;

/// A sweep that is being prepared; [`check`](Self::check) runs it.
///
/// The scenario runs once without faults. Each of its commands is a *boundary*, except those that set a connection up,
/// and except those within a transaction, which is one boundary. Then it runs again for every boundary with every
/// fault, each time on empty databases and the [seed](Self::seed). It fails by panicking or by returning `Err`.
///
/// Without a choice, the faults are: the connection is cut before the command; it is cut after the command, so that the
/// reply is lost; the reply is 600 ms late; all data is lost before the command; each key that the scenario uses is
/// lost before the command.
///
/// ```
/// use redis::Commands;
/// use transient_fixtures::{TestRequest, faults, redis};
///
/// /// The code under test: it serves a page from the cache, and works without the cache as well.
/// fn page(redis_url: &str) -> String {
///     let cache = redis::Client::open(redis_url).and_then(|client| client.get_connection());
///     let Ok(mut cache) = cache else { return "the page".to_owned() };
///     if let Ok(page) = cache.get("page") {
///         return page;
///     }
///     let _: redis::RedisResult<()> = cache.set_ex("page", "the page", 60);
///     "the page".to_owned()
/// }
///
/// let test_request = TestRequest::clean();
/// let swept = faults::sweep(&test_request, |run| assert_eq!(page(run.redis_url()), "the page"))
///     .cutting()
///     .losing_data()
///     .again()
///     .check();
/// assert_eq!(swept.cases(), 2 * 3); // GET and SETEX; cut before, cut after, data lost.
/// ```
#[must_use = "a sweep runs in check()"]
pub struct Sweep<'a> {
    test_request: &'a TestRequest,
    scenario: Scenario,
    seed: Option<Step<'a>>,
    then: Vec<Step<'a>>,
    runs_again: bool,
    chosen: Vec<Chosen>,
    within: Duration,
}

/// A fault, or one for each key.
#[derive(Clone, Debug)]
enum Chosen {
    Fault(Fault),
    EachKey,
}

/// What a sweep that passed has tried.
#[derive(Clone, Copy, Debug)]
pub struct Swept {
    boundaries: usize,
    points: usize,
    cases: usize,
}

impl Swept {
    /// How many commands of the scenario are boundaries.
    #[must_use]
    pub fn boundaries(&self) -> usize {
        self.boundaries
    }

    /// How many points it has.
    #[must_use]
    pub fn points(&self) -> usize {
        self.points
    }

    /// How many cases were run: one for each boundary and fault.
    #[must_use]
    pub fn cases(&self) -> usize {
        self.cases
    }
}

/// Prepares a sweep over every boundary of this scenario. [`Sweep`] has an example.
pub fn sweep<T: Outcome>(
    test_request: &TestRequest,
    scenario: impl Fn(&Run) -> T + Send + Sync + 'static,
) -> Sweep<'_> {
    Sweep::new(test_request, Arc::new(move |run| scenario(run).failure()))
}

/// As [`sweep`], with an asynchronous scenario. Each run has a tokio runtime of its own on one thread.
#[cfg(feature = "tokio")]
pub fn sweep_async<T: Outcome, F: Future<Output = T>>(
    test_request: &TestRequest,
    scenario: impl Fn(Run) -> F + Send + Sync + 'static,
) -> Sweep<'_> {
    let scenario = move |run: &Run| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => runtime.block_on(scenario(run.clone())).failure(),
            Err(error) => Some(error.to_string()),
        }
    };
    Sweep::new(test_request, Arc::new(scenario))
}

impl<'a> Sweep<'a> {
    fn new(test_request: &'a TestRequest, scenario: Scenario) -> Self {
        Self {
            test_request,
            scenario,
            seed: None,
            then: Vec::new(),
            runs_again: false,
            chosen: Vec::new(),
            within: RUN_WITHIN,
        }
    }

    /// Puts data into the session database before each run.
    pub fn seed<T: Outcome>(mut self, seed: impl Fn(&mut Connection) -> T + 'a) -> Self {
        self.seed = Some(Box::new(move |redis| seed(redis).failure()));
        self
    }

    /// Looks at the session database after each run, past the tap. It fails as the scenario does.
    pub fn then<T: Outcome>(mut self, then: impl Fn(&mut Connection) -> T + 'a) -> Self {
        self.then.push(Box::new(move |redis| then(redis).failure()));
        self
    }

    /// Runs the scenario a second time after the one with the fault, without faults: many faults only show in the next
    /// request.
    pub fn again(mut self) -> Self {
        self.runs_again = true;
        self
    }

    /// Cuts the connection before each command, and after it.
    pub fn cutting(self) -> Self {
        self.with(Chosen::Fault(Fault::CutBefore)).with(Chosen::Fault(Fault::CutAfter))
    }

    /// Sends each reply so much later, on a connection that the client may use again.
    pub fn late(self, time: Duration) -> Self {
        self.with(Chosen::Fault(Fault::Late(time)))
    }

    /// Replies to each command with that error, and does not execute it: `LOADING …`, `READONLY …`, `OOM …`.
    pub fn replying(self, error: &str) -> Self {
        self.with(Chosen::Fault(Fault::Error(error.to_owned())))
    }

    /// Loses all data before each command.
    pub fn losing_data(self) -> Self {
        self.with(Chosen::Fault(Fault::LosingData))
    }

    /// Loses all keys that match this glob-style pattern of Redis before each command, as if they had expired or had
    /// been evicted.
    pub fn losing(self, pattern: &str) -> Self {
        self.with(Chosen::Fault(Fault::Losing(pattern.to_owned())))
    }

    /// Loses each key that the scenario uses before each command.
    pub fn losing_each_key(self) -> Self {
        self.with(Chosen::EachKey)
    }

    /// Fails each [point](Run::point).
    pub fn failing_points(self) -> Self {
        self.with(Chosen::Fault(Fault::FailingPoint))
    }

    /// Bounds the time of each run; without this, 10 seconds. Then its connections are closed, and the case has failed.
    pub fn within(mut self, time: Duration) -> Self {
        self.within = time;
        self
    }

    fn with(mut self, chosen: Chosen) -> Self {
        self.chosen.push(chosen);
        self
    }

    /// Runs the sweep.
    ///
    /// With `TRANSIENT_REPLAY` set, as a failure says it, only that case is run.
    ///
    /// # Panics
    ///
    /// If a case fails, after all of them have run: with the smallest failing case, its transcript, how many passed and
    /// failed by fault, and how to run that case alone. Also if the scenario fails without a fault, or the server is
    /// gone.
    #[track_caller]
    #[expect(clippy::must_use_candidate, reason = "a sweep that passed needs no further check")]
    pub fn check(self) -> Swept {
        match self.run() {
            Ok(swept) => swept,
            Err(failure) => panic!("{failure}"),
        }
    }

    fn run(self) -> Result<Swept, String> {
        let first = self.clean_run()?;
        let second = self.clean_run()?;
        let difference = first.difference(&second);
        let cases = match std::env::var(REPLAY) {
            Ok(replay) => vec![replay.parse().map_err(|()| report::faults::bad_replay(&replay))?],
            Err(_) => self.cases(&first),
        };
        let (start, mut printed) = (Instant::now(), Instant::now());
        let mut by_fault: BTreeMap<String, [usize; 2]> = BTreeMap::new();
        let (mut smallest, mut unreached): (Option<(&Case, Ran)>, usize) = (None, 0);
        for (number, case) in cases.iter().enumerate() {
            if start.elapsed() > PROGRESS_AFTER && printed.elapsed() > PROGRESS_AFTER {
                report::shout(&report::faults::progress(number, cases.len()));
                printed = Instant::now();
            }
            let ran = self.case(case)?;
            unreached += usize::from(!ran.is_reached);
            let counts = by_fault.entry(case.fault.shown()).or_default();
            counts[usize::from(ran.failure.is_some())] += 1;
            let is_smaller = smallest.as_ref().is_none_or(|(other, _)| case.boundary < other.boundary);
            if ran.failure.is_some() && is_smaller {
                smallest = Some((case, ran));
            }
        }
        let swept = Swept { boundaries: first.boundaries.len(), points: first.points.len(), cases: cases.len() };
        let mut summary = report::faults::summary(
            swept.cases,
            swept.boundaries,
            swept.points,
            by_fault.iter().map(|(f, c)| (f.as_str(), *c)),
        );
        let unreached = (unreached > 0).then(|| report::faults::unreached(unreached));
        for note in difference.into_iter().chain(unreached) {
            summary = format!("{summary}\n{note}");
        }
        let Some((case, ran)) = smallest else {
            report::print(&summary);
            return Ok(swept);
        };
        let boundary = match case.fault {
            Fault::FailingPoint => first.points.get(case.boundary).cloned(),
            _ => first.boundaries.get(case.boundary).map(Command::to_string),
        };
        let of = if case.fault == Fault::FailingPoint { first.points.len() } else { first.boundaries.len() };
        let place = report::faults::place(&case.fault.shown(), case.boundary + 1, of, &boundary.unwrap_or_default());
        let failure = ran.failure.unwrap_or_default();
        Err(report::faults::failed(&place, &failure, &ran.commands, &summary, &case.to_string()))
    }

    /// One case for each boundary and fault.
    fn cases(&self, clean: &Clean) -> Vec<Case> {
        let each_key = clean.keys.iter().map(|key| Fault::Losing(escape(key)));
        let defaults = [
            Chosen::Fault(Fault::CutBefore),
            Chosen::Fault(Fault::CutAfter),
            Chosen::Fault(Fault::Late(LATE)),
            Chosen::Fault(Fault::LosingData),
            Chosen::EachKey,
        ];
        let chosen = if self.chosen.is_empty() { &defaults[..] } else { &self.chosen };
        let faults = chosen.iter().flat_map(|chosen| match chosen {
            Chosen::Fault(fault) => vec![fault.clone()],
            Chosen::EachKey => each_key.clone().collect(),
        });
        let faults: Vec<_> = faults.collect();
        let mut cases = Vec::new();
        for (boundaries, is_point) in [(clean.boundaries.len(), false), (clean.points.len(), true)] {
            let faults = faults.iter().filter(|fault| (**fault == Fault::FailingPoint) == is_point);
            for boundary in 0..boundaries {
                cases.extend(faults.clone().map(|fault| Case { boundary, fault: fault.clone() }));
            }
        }
        cases
    }

    fn clean_run(&self) -> Result<Clean, String> {
        let tap = self.begin()?;
        let run = Run::new(&tap, None);
        let mut count = 0;
        let (failure, commands) = self.scenario_and_then(tap, &run, |tap| count = tap.commands().len());
        if let Some(failure) = failure {
            return Err(report::faults::fails_without_faults(&failure, &commands));
        }
        // Those of a second run are no boundaries.
        Ok(Clean::new(commands.into_iter().take(count), run.passed()))
    }

    fn case(&self, case: &Case) -> Result<Ran, String> {
        let tap = self.begin()?;
        let on = || tap.on("*").at_boundary(case.boundary);
        let rule = match &case.fault {
            Fault::CutBefore => Some(on().cut_before()),
            Fault::CutAfter => Some(on().cut_after()),
            Fault::Late(time) => Some(on().late(*time)),
            Fault::Error(error) => Some(on().error(error)),
            Fault::LosingData => Some(on().lose_data()),
            Fault::Losing(pattern) => Some(on().lose_keys(pattern)),
            Fault::FailingPoint => None,
        };
        let run = Run::new(&tap, rule.is_none().then_some(case.boundary));
        let (failure, commands) = self.scenario_and_then(tap, &run, Tap::clear_rules);
        let is_reached = match rule {
            Some(rule) => rule.fired() > 0,
            None => run.passed().len() > case.boundary,
        };
        Ok(Ran { failure, commands, is_reached })
    }

    /// Clean data with the seed, and a new tap.
    fn begin(&self) -> Result<Tap, String> {
        self.test_request.flush().map_err(|error| text(&error))?;
        if let Some(seed) = &self.seed
            && let Some(failure) = seed(&mut self.connect()?)
        {
            return Err(report::faults::seed_failed(&failure));
        }
        self.test_request.tap().map_err(|error| text(&error))
    }

    fn connect(&self) -> Result<Connection, String> {
        self.test_request.lease.connect(Database::Sessions).map_err(|error| text(&error))
    }

    /// The scenario; what ends the fault; the scenario again, if so; and a look at what is left.
    fn scenario_and_then(&self, tap: Tap, run: &Run, end_fault: impl FnOnce(&Tap)) -> (Option<String>, Commands) {
        let mut failure = self.in_time(&tap, run);
        end_fault(&tap);
        if failure.is_none() && self.runs_again {
            let again = Run { points: Arc::default(), ..run.clone() };
            failure = self.in_time(&tap, &again).map(|failure| report::faults::again(&failure));
        }
        let commands = tap.commands();
        drop(tap);
        if failure.is_none() && !self.then.is_empty() {
            failure = match self.connect() {
                Ok(mut redis) => self.then.iter().find_map(|then| caught(|| then(&mut redis))),
                Err(error) => Some(error),
            };
            failure = failure.map(|failure| report::faults::then(&failure));
        }
        (failure, commands)
    }

    /// Runs the scenario on a thread of its own, so that it can be given up.
    fn in_time(&self, tap: &Tap, run: &Run) -> Option<String> {
        let (scenario, run) = (self.scenario.clone(), run.clone());
        let (sender, receiver) = mpsc::channel();
        let thread = thread::Builder::new().name("transient-fixtures scenario".to_owned());
        let thread = thread.spawn(move || {
            // Nobody listens to a run that was given up.
            let _ = sender.send(caught(|| scenario(&run)));
        });
        let thread = match thread {
            Ok(thread) => thread,
            Err(error) => return Some(error.to_string()),
        };
        let Ok(failure) = receiver.recv_timeout(self.within) else {
            tap.stop();
            let _ = receiver.recv_timeout(ENDS_WITHIN);
            return Some(report::faults::too_slow(self.within));
        };
        let _ = thread.join();
        failure
    }
}

/// What the scenario does without faults.
struct Clean {
    boundaries: Vec<Command>,
    points: Vec<String>,
    keys: BTreeSet<Vec<u8>>,
}

impl Clean {
    fn new(commands: impl Iterator<Item = Command>, points: Vec<String>) -> Self {
        let commands: Vec<_> = commands.collect();
        let keys = commands.iter().flat_map(|command| command.keys().into_iter().map(<[u8]>::to_vec)).collect();
        let boundaries = commands.into_iter().filter(Command::is_boundary).collect();
        Self { boundaries, points, keys }
    }

    /// Where another clean run was different.
    fn difference(&self, other: &Self) -> Option<String> {
        let shapes = |clean: &Self| clean.boundaries.iter().map(Command::shape).collect::<Vec<_>>();
        let (one, other) = (shapes(self), shapes(other));
        let at = (0..one.len().max(other.len())).find(|&at| one.get(at) != other.get(at))?;
        Some(report::faults::not_deterministic(
            at + 1,
            one.get(at).map(String::as_str),
            other.get(at).map(String::as_str),
        ))
    }
}

/// What became of a case.
struct Ran {
    failure: Option<String>,
    commands: Commands,
    is_reached: bool,
}

/// The error with its causes.
fn text(error: &Error) -> String {
    format!("{error:?}")
}

/// The failure or the panic of what is run.
fn caught(run: impl FnOnce() -> Option<String>) -> Option<String> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| Some(message(&*panic)))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or_default().to_owned()
}

/// A key as a pattern that matches nothing else.
fn escape(key: &[u8]) -> String {
    let mut pattern = String::new();
    for letter in String::from_utf8_lossy(key).chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '\\' | '^') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}
