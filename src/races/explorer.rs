//! Runs schedules, one after the other, and reports the failing one with the fewest context switches.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::clients::{Clients, ENDS_WITHIN};
use super::control_connection::ControlConnection;
use super::coordinator::{End, Step};
use super::exploration::{Check, Exploration, Seed};
use super::failed_schedule::FailedSchedule;
use super::outcomes::{Explored, Outcome, Outcomes};
use super::plan::{Plan, SCHEDULES, WITHIN};
use super::replay;
use super::schedule::{Halted, Schedule};
use super::silent_panics::catch_silently;
use super::space::{Chooser, Random, Space};
use crate::affinity::OneCore;
use crate::error::Error;
use crate::report;
use crate::settings::REPLAY;

/// How long the search for a failing schedule with fewer context switches takes.
const SHRINKS_WITHIN: Duration = Duration::from_secs(3);

/// Progress is printed after this time.
const PROGRESS_AFTER: Duration = Duration::from_secs(10);

/// A schedule that failed.
pub(super) struct Failure {
    /// Its number, if the whole space was being explored.
    pub(super) number: Option<usize>,
    pub(super) message: String,
    pub(super) steps: Vec<Step>,
    labels: Vec<String>,
    switches: usize,
}

enum Ran {
    Passed,
    Failed(Failure),
    Equivalent,
    /// It must be run again, from its node with this number on.
    Again(usize),
}

/// The parts that all schedules of an exploration share.
struct Explorer<'a> {
    plan: Plan,
    clients: Clients,
    control: ControlConnection<'a>,
    seed: Option<Seed<'a>>,
    check: Check<'a>,
    begins_after: BTreeMap<usize, String>,
    /// Whether the next schedule repeats the last one's beginning.
    is_again: bool,
}

/// The numbers of an exploration.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) schedules: usize,
    abandoned: usize,
    pub(super) is_complete: bool,
    pub(super) failed: usize,
}

impl<'a> Exploration<'a> {
    pub(super) fn run(mut self, check: Check<'a>) -> Result<Explored, String> {
        let _one_core = self.test_request.lease.server.process_id().and_then(OneCore::share);
        let plan = self.plan()?;
        let mut explorer = Explorer::new(&self, plan, check)?;
        explorer.seed = self.seed.take();
        let names: Vec<_> = explorer.plan.clients.iter().map(|client| client.name.clone()).collect();
        let columns: Vec<_> = names.iter().map(String::as_str).collect();
        let mut chooser = match (std::env::var(REPLAY), self.random) {
            (Ok(text), _) => Chooser::Replay(replay::read(&text).ok_or_else(|| report::races::bad_replay(&text))?, 0),
            (Err(_), Some((seed, schedules))) => Chooser::Random(Random::new(seed, schedules)),
            (Err(_), None) => Chooser::Space(self.space(self.preemptions)),
        };
        let (mut counts, found) = self.explore(&mut explorer, &mut chooser)?;
        let Some(mut failure) = found else {
            let is_whole = counts.is_complete && matches!(chooser, Chooser::Space(_));
            counts.is_complete = is_whole;
            let summary = report::races::summary(counts.schedules, counts.abandoned, is_whole, self.preemptions);
            let is_chosen = self.max_schedules.is_some() || self.within.is_some();
            if !is_whole && !is_chosen && matches!(chooser, Chooser::Space(_)) {
                return Err(report::races::incomplete(counts.schedules, SCHEDULES, WITHIN));
            }
            report::print(&summary);
            let Counts { schedules, abandoned, is_complete, .. } = counts;
            return Ok(Explored { schedules, abandoned, is_complete });
        };
        if !counts.is_complete && matches!(chooser, Chooser::Space(_)) {
            failure = self.shrink(&mut explorer, failure);
        }
        let rows: Vec<_> = failure.steps.iter().map(row).collect();
        let diagram = report::races::diagram(&columns, &rows);
        let place = report::races::place(failure.number, counts.schedules, counts.is_complete, counts.failed);
        let replay = replay::written(&failure.labels);
        let file = FailedSchedule { failure: &failure, counts: &counts, clients: &columns, replay: &replay };
        let file = file.write(&self.test_request.lease.test);
        Err(report::races::failed(&place, &failure.message, &diagram, &replay, file.as_deref()))
    }

    fn space(&self, preemptions: Option<usize>) -> Space {
        Space::new(self.is_reduced, preemptions)
    }

    /// Runs schedules until there are no more, or a bound is reached. Returns the failing one with the fewest switches.
    fn explore(&self, explorer: &mut Explorer<'_>, chooser: &mut Chooser) -> Result<(Counts, Option<Failure>), String> {
        let most = self.max_schedules.unwrap_or(if self.random.is_some() { usize::MAX } else { SCHEDULES });
        let within = self.within.unwrap_or(WITHIN);
        let (start, mut printed) = (Instant::now(), Instant::now());
        let mut counts = Counts::default();
        let mut best: Option<(Instant, Failure)> = None;
        loop {
            let is_late = best.as_ref().is_some_and(|(found, _)| found.elapsed() > SHRINKS_WITHIN);
            if counts.schedules >= most || start.elapsed() > within || is_late {
                return Ok((counts, best.map(|(_, failure)| failure)));
            }
            if printed.elapsed() > PROGRESS_AFTER {
                report::shout(&report::races::progress(counts.schedules));
                printed = Instant::now();
            }
            match explorer.schedule(chooser)? {
                Ran::Again(depth) => {
                    chooser.again(depth);
                    continue;
                }
                Ran::Equivalent => counts.abandoned += 1,
                Ran::Passed => counts.schedules += 1,
                Ran::Failed(mut failure) => {
                    counts.schedules += 1;
                    counts.failed += 1;
                    failure.number = Some(counts.schedules);
                    let found = best.as_ref().map_or_else(Instant::now, |(found, _)| *found);
                    if best.as_ref().is_none_or(|(_, other)| failure.switches < other.switches) {
                        best = Some((found, failure));
                    }
                }
            }
            if !chooser.advance() {
                counts.is_complete = true;
                return Ok((counts, best.map(|(_, failure)| failure)));
            }
        }
    }

    /// Looks for a failing schedule with fewer context switches.
    fn shrink(&self, explorer: &mut Explorer<'_>, mut failure: Failure) -> Failure {
        let start = Instant::now();
        for preemptions in 0..failure.switches {
            let mut chooser = Chooser::Space(self.space(Some(preemptions)));
            loop {
                if start.elapsed() > SHRINKS_WITHIN {
                    return failure;
                }
                match explorer.schedule(&mut chooser) {
                    Ok(Ran::Failed(smaller)) if smaller.switches < failure.switches => {
                        failure = smaller;
                        break;
                    }
                    Ok(Ran::Again(depth)) => {
                        chooser.again(depth);
                        continue;
                    }
                    Ok(_) => {}
                    Err(_) => return failure,
                }
                if !chooser.advance() {
                    break;
                }
            }
            if failure.switches <= preemptions {
                break;
            }
        }
        failure
    }
}

impl<'a> Explorer<'a> {
    fn new(exploration: &Exploration<'a>, plan: Plan, check: Check<'a>) -> Result<Self, String> {
        let control = ControlConnection::new(exploration.test_request).map_err(Error::in_full)?;
        let clients = plan.clients.iter().map(|client| (&*client.name, client.run.clone()));
        let clients = Clients::start(&exploration.test_request.lease, clients.collect())?;
        Ok(Self { plan, clients, control, seed: None, check, begins_after: BTreeMap::new(), is_again: false })
    }

    /// Runs one schedule on clean data, and its check.
    fn schedule(&mut self, chooser: &mut Chooser) -> Result<Ran, String> {
        self.control.clean().map_err(Error::in_full)?;
        if let Some(seed) = &self.seed {
            let failure = catch_silently(|| seed(&mut self.control.redis)).unwrap_or_else(|(panic, _)| Some(panic));
            if let Some(failure) = failure {
                return Err(report::races::seed_failed(&failure));
            }
            self.control.select().map_err(Error::in_full)?;
        }
        self.clients.coordinator.begin();
        let mut schedule = Schedule::new(&self.plan, &self.clients, &mut self.begins_after);
        schedule.is_again = self.is_again;
        let result = schedule.run(&mut self.control, chooser);
        self.is_again = matches!(result, Err(Halted::Again(1..)));
        let (labels, expired, faulted) = (schedule.labels, schedule.expired, schedule.faulted);
        let mut state = self.clients.coordinator.state();
        let steps = std::mem::take(&mut state.steps);
        // The connections of a dead client are closed with those of the others.
        let has_ended = state.clients.iter().all(|client| client.end.is_some() && !client.is_dead);
        let clients = state.clients.iter_mut().zip(&self.plan.clients).map(|(client, planned)| Outcome {
            name: planned.name.clone(),
            // A dead client has no end.
            end: if client.is_dead { None } else { client.end.take() },
            is_dead: client.is_dead,
        });
        let outcomes = Outcomes { clients: clients.collect(), expired };
        for (client, outcome) in state.clients.iter_mut().zip(&outcomes.clients) {
            if outcome.end.is_some() {
                client.end = Some(End::Unwound);
            }
        }
        drop(state);
        let failure = match result {
            Ok(()) => client_failure(&outcomes, &faulted).or_else(|| self.check(&outcomes)),
            Err(Halted::Failed(failure)) => Some(failure),
            Err(halted) => {
                self.end(has_ended)?;
                return match halted {
                    Halted::Again(depth) => Ok(Ran::Again(depth)),
                    Halted::Broken(report) => Err(self.broken(&report, &steps)),
                    Halted::Equivalent | Halted::Failed(_) => Ok(Ran::Equivalent),
                };
            }
        };
        let ended = self.end(has_ended);
        let Some(message) = failure else { return ended.map(|()| Ran::Passed) };
        if let Err(stuck) = ended {
            return Err(self.broken(&format!("{message}\n{stuck}"), &steps));
        }
        let order: Vec<_> = steps.iter().filter_map(|step| step.client).collect();
        let switches = order.windows(2).filter(|pair| pair[0] != pair[1]).count();
        Ok(Ran::Failed(Failure { number: None, message, steps, labels, switches }))
    }

    /// Returns the report of a schedule after which the exploration can't go on.
    fn broken(&self, report: &str, steps: &[Step]) -> String {
        let columns: Vec<_> = self.plan.clients.iter().map(|client| client.name.as_str()).collect();
        let rows: Vec<_> = steps.iter().map(row).collect();
        report::races::broken(report, &report::races::diagram(&columns, &rows))
    }

    fn check(&mut self, outcomes: &Outcomes) -> Option<String> {
        let check = &self.check;
        let redis = &mut self.control.redis;
        let failure = catch_silently(|| check(redis, outcomes)).unwrap_or_else(|(panic, _)| Some(panic));
        failure.map(|failure| report::races::check_failed(&failure))
    }

    /// Ends the clients that have not ended.
    fn end(&mut self, has_ended: bool) -> Result<(), String> {
        if has_ended {
            return Ok(());
        }
        if let Some(stuck) = self.clients.end() {
            return Err(report::races::stuck(&self.plan.clients[stuck].name, ENDS_WITHIN));
        }
        Ok(())
    }
}

/// A client that panicked, or failed without a fault.
fn client_failure(outcomes: &Outcomes, faulted: &[usize]) -> Option<String> {
    outcomes.clients.iter().enumerate().find_map(|(index, client)| match &client.end {
        Some(End::Panicked(panic)) => Some(report::races::client_failed(&client.name, panic)),
        Some(End::Returned(_, Some(error))) if !faulted.contains(&index) => {
            Some(report::races::client_failed(&client.name, error))
        }
        _ => None,
    })
}

fn row(step: &Step) -> (Option<usize>, String) {
    let reply = step.reply.as_ref().map(|(head, size)| report::tap::reply(head, *size));
    (step.client, report::races::step(&step.line, reply.as_deref(), step.note))
}
