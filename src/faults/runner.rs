//! Runs a scenario with every fault at every boundary, each time on clean data.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use redis::Connection;

use super::case::{Case, Fault};
use super::run::{Run, Swept};
use super::sweep::{Chosen, Sweep};
use crate::error::Error;
use crate::lease::Database;
use crate::macro_support::message;
use crate::report;
use crate::settings::REPLAY;
use crate::tap::{self, Command, Commands, Control, Tap};

/// How long a run that timed out can take to end after its connections are closed.
const ENDS_WITHIN: Duration = Duration::from_secs(1);

/// The default delay of late replies. The redis crate's asynchronous connections time out after 500 ms.
const LATE: Duration = Duration::from_millis(600);

/// Progress is printed after this time.
const PROGRESS_AFTER: Duration = Duration::from_secs(2);

impl Sweep<'_> {
    pub(super) fn run(self) -> Result<Swept, String> {
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
            let counts = by_fault.entry(case.fault.at()).or_default();
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
            by_fault.iter().map(|(fault, counts)| (fault.as_str(), *counts)),
        );
        let unreached = (unreached > 0).then(|| report::faults::unreached(unreached));
        for note in difference.into_iter().chain(unreached) {
            summary = format!("{summary}\n{note}");
        }
        let Some((case, ran)) = smallest else {
            report::print(&summary);
            return Ok(swept);
        };
        let (boundary, of) = match case.fault {
            Fault::FailingPoint => (first.points.get(case.boundary).cloned(), first.points.len()),
            _ => (first.boundaries.get(case.boundary).map(Command::to_string), first.boundaries.len()),
        };
        let place = report::faults::place(&case.fault.at(), case.boundary + 1, of, &boundary.unwrap_or_default());
        let failure = ran.failure.unwrap_or_default();
        Err(report::faults::failed(&place, &failure, &ran.commands, &summary, &case.to_string()))
    }

    /// Returns a case for each fault at each boundary.
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
        // Commands of the second run are not boundaries.
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

    /// Empties the databases, runs the seed and starts a tap.
    fn begin(&self) -> Result<Tap, String> {
        self.test_request.flush().map_err(|error| text(&error))?;
        if let Some(seed) = &self.seed
            && let Some(failure) = seed(&mut self.connect()?)
        {
            return Err(report::faults::seed_failed(&failure));
        }
        let mut kept = self.control.borrow_mut();
        let control = match kept.take().filter(|control| control.is_open()) {
            Some(control) => control,
            None => Control::of(&self.test_request.lease).map_err(|error| text(&error))?,
        };
        tap::tap_with(&self.test_request.lease, kept.insert(control).clone(), None).map_err(|error| text(&error))
    }

    fn connect(&self) -> Result<Connection, String> {
        self.test_request.lease.connect(Database::Sessions).map_err(|error| text(&error))
    }

    /// Runs the scenario, ends the fault, runs the scenario again if requested, and runs the checks.
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

/// The result of a case.
struct Ran {
    failure: Option<String>,
    commands: Commands,
    is_reached: bool,
}

/// Returns the error with its causes.
fn text(error: &Error) -> String {
    format!("{error:?}")
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
