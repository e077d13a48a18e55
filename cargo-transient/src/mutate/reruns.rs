//! The mutants for which the suite is run.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsString;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::baseline::{Baseline, join};
use super::budget::Time;
use super::outcomes::Outcomes;
use super::plan::{Candidate, Scope};
use super::replays::NO_EFFECT_TELLS;
use super::selected;
use super::suite::{End, Limits, Ran, Suite};
use crate::Failure;

/// How often the runs with a mutant may apply it, for each time in a clean one, and at least.
const LOOPS: u64 = 20;
const LOOPS_AT_LEAST: u64 = 500;

/// The suite may take three times as long as it does, and this.
const LATER: Duration = Duration::from_secs(5);

/// How the suite has ended with a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rerun {
    /// A test failed.
    Failed,
    /// It did not end.
    Hung,
    /// It passed: this many tests, if that is known, that send the changed command.
    Passed(Option<usize>),
    /// The mutant changed nothing that has an effect.
    NotReached,
}

/// Runs the suite for each of these mutants, until the time is over; first for those of which the replay is certain.
/// `None` where it was not run.
///
/// # Errors
///
/// Returns an error if there is no server, or the command can't be started.
pub(super) fn all(
    suite: &Suite<'_>,
    baseline: &Baseline,
    candidates: Vec<(usize, Candidate, bool)>,
    jobs: usize,
    time: &Time,
) -> Result<Vec<(usize, Option<Rerun>)>, Failure> {
    let mut candidates = candidates;
    candidates.sort_by_key(|(_, candidate, is_certain)| {
        let tests = senders(baseline, candidate).len();
        let is_family = matches!(candidate.scope, Scope::Family(_));
        (!is_certain, candidate.rank(), is_family, tests, std::cmp::Reverse(candidate.targets.len()))
    });
    let queue: Mutex<VecDeque<_>> = Mutex::new(candidates.into());
    let reruns = Mutex::new(Vec::new());
    let work = || -> Result<(), Failure> {
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some((number, candidate, _)) = next else { return Ok(()) };
            let rerun = if time.is_over() { None } else { Some(rerun(suite, baseline, &candidate)?) };
            reruns.lock().unwrap_or_else(PoisonError::into_inner).push((number, rerun));
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(join)
    })?;
    Ok(reruns.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// The tests that send the commands that a mutant changes. Empty if they are not known.
pub(super) fn senders<'baseline>(baseline: &'baseline Baseline, candidate: &Candidate) -> BTreeSet<&'baseline str> {
    let senders = candidate.targets.iter().map(|index| &baseline.senders[*index]);
    let mut names = BTreeSet::new();
    for senders in senders {
        if senders.is_empty() {
            return BTreeSet::new();
        }
        names.extend(senders.iter().map(String::as_str));
    }
    names
}

fn rerun(suite: &Suite<'_>, baseline: &Baseline, candidate: &Candidate) -> Result<Rerun, Failure> {
    let tests = senders(baseline, candidate);
    let names: Vec<_> = tests.iter().copied().collect();
    let command: Option<Vec<OsString>> = if names.is_empty() {
        None
    } else {
        selected::command(&suite.arguments.command, baseline.outcomes.runner, &names)
    };
    let mut count = command.as_ref().map(|_| names.len()).or(baseline.outcomes.total);
    let limits = Limits {
        total: baseline.took * 3 + LATER,
        silence: (baseline.silence * 3).max(LATER),
        applied: (candidate.targets.len() as u64 * LOOPS).max(LOOPS_AT_LEAST),
    };
    let mutant = candidate.mutant(&baseline.vocabulary);
    let mut counts = mutant.counts();
    let whole = suite.arguments.command.as_slice();
    let mut ran = suite.run_with(command.as_deref().unwrap_or(whole), mutant, limits)?;
    if command.is_some() && ran.is_green() && !has_run(&ran, &names) {
        // The selection did not work.
        count = baseline.outcomes.total;
        let mutant = candidate.mutant(&baseline.vocabulary);
        counts = mutant.counts();
        ran = suite.run_with(whole, mutant, limits)?;
    }
    Ok(match ran.end {
        End::Hung => Rerun::Hung,
        _ if baseline.is_noticed_by(&ran) => Rerun::Failed,
        _ if counts.effective() == 0 && candidate.operator.name != NO_EFFECT_TELLS => Rerun::NotReached,
        End::Exited(_) => Rerun::Passed(count),
    })
}

/// Whether all of these tests have run. Their outcome can be lost among their output.
fn has_run(ran: &Ran, names: &[&str]) -> bool {
    let outcomes = Outcomes::of(&ran.output);
    names.iter().all(|name| outcomes.announced.iter().any(|(_, announced)| announced == name))
}
