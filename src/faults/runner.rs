//! Runs a scenario with every fault at every boundary, each time on clean data.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use redis::Connection;

use super::case::{Case, Fault, Injection};
use super::run::{Run, Swept};
use super::sweep::{Chosen, Sweep};
use crate::affinity::OneCore;
use crate::error::Error;
use crate::lease::Database;
use crate::macro_support::message;
use crate::report;
use crate::report::faults::Pairs;
use crate::settings::REPLAY;
use crate::tap::{self, Command, Commands, Rule, Tap};

/// How long a run that timed out can take to end after its connections are closed.
const ENDS_WITHIN: Duration = Duration::from_secs(1);

/// The default delay of late replies. The redis crate's asynchronous connections time out after 500 ms.
const LATE: Duration = Duration::from_millis(600);

/// Progress is printed after this time.
const PROGRESS_AFTER: Duration = Duration::from_secs(2);

impl Sweep<'_> {
    pub(super) fn run(self) -> Result<Swept, String> {
        let _one_core = self.test_request.lease.server.process_id().and_then(OneCore::share);
        let first = self.clean_run()?;
        let second = self.clean_run()?;
        let difference = first.difference(&second);
        let faults = self.faults(&first);
        let replay = match std::env::var(REPLAY) {
            Ok(text) => Some(text.parse::<Case>().map_err(|()| report::faults::bad_replay(&text))?),
            Err(_) => None,
        };
        let runs_pairs = self.pairs && replay.is_none();
        let singles = replay.map_or_else(|| first.cases(&faults), |case| vec![case]);
        let mut done = Done::default();
        let runs = self.run_all(&singles, &mut done)?;
        let mut by_fault: BTreeMap<String, [usize; 2]> = BTreeMap::new();
        for (case, ran) in singles.iter().zip(&runs) {
            let faults = case.injections().map(|injection| injection.fault.at());
            let faults = faults.reduce(|first, second| report::faults::and_then(&first, &second));
            by_fault.entry(faults.unwrap_or_default()).or_default()[usize::from(ran.has_failed)] += 1;
        }
        let pairs = if !runs_pairs {
            Pairs::NotChosen
        } else if done.smallest.is_some() {
            Pairs::NotRun
        } else {
            let pairs = pairs(&singles, &runs, &faults);
            let failed = self.run_all(&pairs, &mut done)?.iter().filter(|ran| ran.has_failed).count();
            Pairs::Run([pairs.len() - failed, failed])
        };
        let swept = Swept { boundaries: first.boundaries.len(), points: first.points.len(), cases: done.count };
        let mut summary = report::faults::summary(
            swept.cases,
            swept.boundaries,
            swept.points,
            by_fault.iter().map(|(fault, counts)| (fault.as_str(), *counts)),
            pairs,
        );
        let unreached = (done.unreached > 0).then(|| report::faults::unreached(done.unreached));
        for note in difference.into_iter().chain(unreached) {
            summary = format!("{summary}\n{note}");
        }
        let Some(Failed { case, failure, commands, place }) = done.smallest else {
            report::print(&summary);
            return Ok(swept);
        };
        Err(report::faults::failed(&place, &failure, &commands, &summary, &case.to_string()))
    }

    /// Returns the faults to inject.
    fn faults(&self, clean: &Clean) -> Vec<Fault> {
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
        faults.collect()
    }

    /// Runs these cases, and returns what the pairs need of each run.
    fn run_all(&self, cases: &[Case], done: &mut Done) -> Result<Vec<Ran>, String> {
        let mut printed = Instant::now();
        let mut runs = Vec::with_capacity(cases.len());
        let all = done.count + cases.len();
        for case in cases {
            if printed.elapsed() > PROGRESS_AFTER {
                report::shout(&report::faults::progress(done.count, all));
                printed = Instant::now();
            }
            runs.push(self.case(case, done)?);
            done.count += 1;
        }
        Ok(runs)
    }

    fn clean_run(&self) -> Result<Clean, String> {
        let tap = self.begin()?;
        let run = Run::new(&tap, Vec::new());
        let mut count = 0;
        let (failure, commands) = self.scenario_and_then(tap, &run, |tap| count = tap.commands().len());
        if let Some(failure) = failure {
            return Err(report::faults::fails_without_faults(&failure, &commands));
        }
        // Commands of the second run are not boundaries.
        Ok(Clean::new(commands.into_iter().take(count), run.passed()))
    }

    fn case(&self, case: &Case, done: &mut Done) -> Result<Ran, String> {
        let mut tap = self.begin()?;
        // A scenario can close the connections of other clients.
        if case.injections().any(|injection| injection.fault.changes_data()) && !tap.control.is_open() {
            tap = tap::tap(&self.test_request.lease).map_err(Error::in_full)?;
        }
        let mut rules: Vec<Rule> = Vec::new();
        for Injection { boundary, fault } in case.injections() {
            // A rule does not count the commands that an older rule applies to.
            let on = || tap.on("*").at_boundary(boundary.saturating_sub(rules.len()));
            rules.push(match fault {
                Fault::CutBefore => on().cut_before(),
                Fault::CutAfter => on().cut_after(),
                Fault::Late(time) => on().late(*time),
                Fault::Error(error) => on().error(error),
                Fault::LosingData => on().lose_data(),
                Fault::Losing(pattern) => on().lose_keys(pattern),
                Fault::Expiring(pattern) => on().expire_keys(pattern),
                Fault::Restart => on().restart(),
                Fault::FailingPoint => continue,
            });
        }
        let points = case.injections().filter(|injection| injection.is_at_point()).map(|injection| injection.boundary);
        let run = Run::new(&tap, points.collect());
        let mut boundaries = Vec::new();
        let (failure, commands) = self.scenario_and_then(tap, &run, |tap| {
            tap.clear_rules();
            boundaries = tap.commands().into_iter().filter(Command::is_boundary).collect();
        });
        let points = run.passed();
        let is_reached =
            rules.iter().all(|rule| rule.fired() > 0) && run.points.fail.iter().all(|point| *point < points.len());
        done.unreached += usize::from(!is_reached);
        let ran = Ran { boundaries: boundaries.len(), points: points.len(), has_failed: failure.is_some() };
        if let Some(failure) = failure
            && done.smallest.as_ref().is_none_or(|smallest| case.is_before(&smallest.case))
        {
            let place = |Injection { boundary, fault }: &Injection| {
                let (at, of) = match fault {
                    Fault::FailingPoint => (points.get(*boundary).cloned(), points.len()),
                    _ => (boundaries.get(*boundary).map(Command::to_string), boundaries.len()),
                };
                report::faults::place(&fault.at(), boundary + 1, of, &at.unwrap_or_default())
            };
            let place = case.injections().map(place).reduce(|first, second| report::faults::and_then(&first, &second));
            done.smallest = Some(Failed { case: case.clone(), failure, commands, place: place.unwrap_or_default() });
        }
        Ok(ran)
    }

    /// Empties the databases, runs the seed and returns a tap without connections and rules.
    fn begin(&self) -> Result<Tap, String> {
        self.test_request.flush().map_err(Error::in_full)?;
        if let Some(seed) = &self.seed
            && let Some(failure) = seed(&mut self.connect()?)
        {
            return Err(report::faults::seed_failed(&failure));
        }
        let kept = self.tap.take();
        kept.map_or_else(|| tap::tap(&self.test_request.lease), Ok).map_err(Error::in_full)
    }

    fn connect(&self) -> Result<Connection, String> {
        self.test_request.lease.connect(Database::Sessions).map_err(Error::in_full)
    }

    /// Runs the scenario, ends the fault, runs the scenario again if requested, and runs the checks.
    fn scenario_and_then(&self, mut tap: Tap, run: &Run, end_fault: impl FnOnce(&Tap)) -> (Option<String>, Commands) {
        let mut failure = self.in_time(&tap, run);
        end_fault(&tap);
        if failure.is_none() && self.runs_again {
            let again = Run { points: Arc::default(), ..run.clone() };
            failure = self.in_time(&tap, &again).map(|failure| report::faults::again(&failure));
        }
        let commands = match tap.renew(&self.test_request.lease) {
            Ok(commands) => {
                self.tap.replace(Some(tap));
                commands
            }
            // It was stopped because the run timed out.
            Err(_) => tap.commands(),
        };
        if failure.is_none() && !self.then.is_empty() {
            failure = match self.connect() {
                Ok(mut redis) => self.then.iter().find_map(|then| caught(|| then(&mut redis))),
                Err(error) => Some(error),
            };
            failure = failure.map(|failure| report::faults::then(&failure));
        }
        (failure, commands)
    }

    /// Runs the scenario on its own thread, so that it can time out.
    fn in_time(&self, tap: &Tap, run: &Run) -> Option<String> {
        let (scenario, run) = (self.scenario.clone(), run.clone());
        let (sender, receiver) = mpsc::channel();
        let thread = thread::Builder::new().name("transient-fixtures scenario".to_owned());
        let thread = thread.spawn(move || {
            // The receiver is gone if the run timed out.
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

/// The boundaries, points and keys of a run without faults.
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

    /// Returns a case for each fault at each boundary.
    fn cases(&self, faults: &[Fault]) -> Vec<Case> {
        let injections = injections(self.boundaries.len(), self.points.len(), faults);
        injections.map(|first| Case { first, second: None }).collect()
    }

    /// Describes the first boundary at which another clean run differs.
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

/// The boundaries and points that a case has reached.
struct Ran {
    boundaries: usize,
    points: usize,
    has_failed: bool,
}

/// The cases that have run.
#[derive(Default)]
struct Done {
    count: usize,
    /// The failed case with the earliest boundary.
    smallest: Option<Failed>,
    /// The number of cases that did not reach their boundary.
    unreached: usize,
}

struct Failed {
    case: Case,
    failure: String,
    commands: Commands,
    place: String,
}

/// Returns each case of one fault with a second fault at each later boundary, and at each other point, of its run.
fn pairs(singles: &[Case], runs: &[Ran], faults: &[Fault]) -> Vec<Case> {
    let mut pairs: Vec<Case> = Vec::new();
    let mut points: HashSet<(Injection, Injection)> = HashSet::new();
    for (Case { first, .. }, ran) in singles.iter().zip(runs) {
        for second in injections(ran.boundaries, ran.points, faults) {
            let is_new = match (first.is_at_point(), second.is_at_point()) {
                (false, false) | (true, true) => second.boundary > first.boundary,
                // A point and a boundary have no order, and either can be first.
                (true, false) => points.insert((first.clone(), second.clone())),
                (false, true) => points.insert((second.clone(), first.clone())),
            };
            if is_new {
                pairs.push(Case { first: first.clone(), second: Some(second) });
            }
        }
    }
    pairs
}

/// Returns each fault at each boundary, and failures at each point.
fn injections(boundaries: usize, points: usize, faults: &[Fault]) -> impl Iterator<Item = Injection> {
    [(boundaries, false), (points, true)].into_iter().flat_map(move |(count, is_point)| {
        let faults = faults.iter().filter(move |fault| (**fault == Fault::FailingPoint) == is_point);
        (0..count)
            .flat_map(move |boundary| faults.clone().map(move |fault| Injection { boundary, fault: fault.clone() }))
    })
}

/// Returns the failure of the closure, or its panic message.
fn caught(run: impl FnOnce() -> Option<String>) -> Option<String> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| Some(message(&*panic).to_owned()))
}

/// Returns a glob pattern that matches only this key.
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
