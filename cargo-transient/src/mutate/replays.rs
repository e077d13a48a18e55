//! The mutants that need no run of the suite: their transcript is replayed.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use transient_fixtures::__cargo_transient::{Access, CommandServer, ServerOptions};

use super::baseline::{Baseline, join};
use super::budget::Time;
use super::clean::Clean;
use super::plan::Candidate;
use super::replay::{Difference, Replay};
use crate::arguments::{Exec, ServerArguments};
use crate::{Failure, exec, report};

/// An operator that has no effect if nothing was ever outside of a range, and that is the gap.
pub(super) const NO_EFFECT_TELLS: &str = "range-open";

/// What a mutant's replay has shown.
#[derive(Clone, Debug)]
pub(super) enum Replayed {
    /// Its changes had no effect.
    NotReached,
    /// All replies were the recorded ones.
    Same,
    /// So were all that can be compared; others are for the same keys.
    Hidden,
    /// This one was not.
    Differs(Difference),
    /// The server did not answer any more.
    Broken,
}

/// What was found out without running the suite again.
pub(super) struct Replays {
    /// `None` if there was no time.
    pub(super) trials: Vec<(Candidate, Option<Replayed>)>,
    /// How many replies can't be compared.
    pub(super) incomparable: usize,
}

/// Replays the transcript with each mutant, and with those of single key patterns where the whole shape is seen.
///
/// # Errors
///
/// Returns an error if there is no server, or a clean replay fails.
pub(super) fn all(
    baseline: &Baseline,
    arguments: &Exec,
    candidates: Vec<Candidate>,
    jobs: usize,
    time: &Time,
) -> Result<Replays, Failure> {
    let incomparable = AtomicUsize::new(0);
    let queue: Mutex<VecDeque<_>> = Mutex::new(candidates.into_iter().enumerate().collect());
    let trials = Mutex::new(Vec::new());
    let work = || -> Result<(), Failure> {
        let mut bench = Bench::start(baseline, arguments)?;
        incomparable.fetch_max(bench.clean.incomparable(), Ordering::Relaxed);
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some((number, candidate)) = next else { return Ok(()) };
            let replayed = if time.is_over() { None } else { Some(bench.replay(&candidate)?) };
            if matches!(replayed, Some(Replayed::Differs(_) | Replayed::Broken)) {
                let families = candidate.families(baseline).into_iter().map(|family| (number, family));
                queue.lock().unwrap_or_else(PoisonError::into_inner).extend(families);
            }
            trials.lock().unwrap_or_else(PoisonError::into_inner).push((number, candidate, replayed));
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(join)
    })?;
    let mut trials = trials.into_inner().unwrap_or_else(PoisonError::into_inner);
    // Families after their shape.
    trials.sort_by_key(|(number, candidate, _)| (*number, matches!(candidate.scope, super::plan::Scope::Family(_))));
    let trials = trials.into_iter().map(|(_, candidate, replayed)| (candidate, replayed)).collect();
    Ok(Replays { trials, incomparable: incomparable.into_inner() })
}

/// Starts a server for replays, which have no use for a published port.
fn start(arguments: &Exec) -> Result<CommandServer, Failure> {
    let ServerArguments { database, .. } = arguments.server;
    let options = ServerOptions { provider: arguments.server.provider(), database, access: Access::Password };
    CommandServer::start("cargo transient mutate", &options).map_err(|error| exec::no_server(&error))
}

fn broken(error: &io::Error) -> Failure {
    Failure::of(&report::mutate::not_replayed(error))
}

/// A server for replays, which is replaced when it stops answering.
struct Bench<'run> {
    baseline: &'run Baseline,
    arguments: &'run Exec,
    server: Option<CommandServer>,
    clean: Clean,
}

impl<'run> Bench<'run> {
    fn start(baseline: &'run Baseline, arguments: &'run Exec) -> Result<Self, Failure> {
        let server = start(arguments)?;
        let clean = clean(&server, baseline).map_err(|error| broken(&error))?;
        Ok(Self { baseline, arguments, server: Some(server), clean })
    }

    fn replay(&mut self, candidate: &Candidate) -> Result<Replayed, Failure> {
        let Some(server) = &self.server else {
            *self = Self::start(self.baseline, self.arguments)?;
            return self.replay(candidate);
        };
        let transcript = &self.baseline.transcript;
        let mut mutant = candidate.mutant(&self.baseline.vocabulary);
        let counts = mutant.counts();
        let played = Replay::new(server)
            .and_then(|mut replay| replay.play(transcript, Some((&mut mutant, &candidate.targets)), Some(&self.clean)));
        let Ok(differences) = played else {
            if let Some(server) = self.server.take() {
                server.end(false);
            }
            return Ok(Replayed::Broken);
        };
        Ok(match differences.into_iter().next() {
            Some(difference) => Replayed::Differs(difference),
            None if counts.effective() == 0 && candidate.operator.name != NO_EFFECT_TELLS => Replayed::NotReached,
            None if self.clean.hides(transcript, &candidate.targets) => Replayed::Hidden,
            None => Replayed::Same,
        })
    }
}

/// What clean replays on a server show: which replies can be compared, and with what.
fn clean(server: &CommandServer, baseline: &Baseline) -> io::Result<Clean> {
    let mut replay = Replay::new(server)?;
    // Some replies depend on the server, such as the order of a SCAN, and are the same in its next replay.
    let first = replay.play(&baseline.transcript, None, None)?;
    let mut clean = Clean::new(baseline.transcript.entries.len(), first);
    let second = replay.play(&baseline.transcript, None, Some(&clean))?;
    clean.leave_out(second);
    // Others depend on the time.
    let third = replay.play(&baseline.transcript, None, Some(&clean))?;
    clean.leave_out(third);
    Ok(clean)
}

impl Drop for Bench<'_> {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.end(false);
        }
    }
}
