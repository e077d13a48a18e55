//! `mutate`: mutation testing on the wire. Commands are sent changed, to see whether a test notices.
//!
//! - `baseline`: the clean runs of the `suite`, each a `group` of processes with a tap; `outcomes`, `clients`
//!   and `senders`: which tests there are, and what they send;
//! - `operator`: the ways to change a command; `rule`: how one is written down; `options`: the options of a command;
//!   `answer`: what the program gets; `mutant`: an operator at work in a tap, also in `transaction`s
//!   and `script`s; `plan`: which mutants there are;
//! - `replays`: what a `replay` of the `transcript` with a mutant shows, on a server where time passes at once;
//!   `compare` and `clean`: which replies are the same;
//! - `reruns`: the suite with a mutant, or the `selected` tests of it;
//! - `findings`: the promises that no test holds the program to, but for those that the user `accept`s.

mod accept;
mod answer;
mod baseline;
pub(crate) mod budget;
mod clean;
mod clients;
mod compare;
mod findings;
mod group;
mod longer;
mod mutant;
pub(crate) mod operator;
mod options;
mod outcomes;
mod plan;
mod printed;
mod replay;
mod replays;
mod reruns;
mod rule;
mod script;
mod selected;
mod senders;
mod socket;
mod suite;
mod times;
mod transaction;
mod transcript;

use std::fs;
use std::process::ExitCode;

use self::baseline::Baseline;
use self::budget::Time;
use self::findings::Trial;
use self::plan::Selection;
use self::replays::{Replayed, Replays};
use self::suite::Suite;
use crate::arguments::{Mutate, SuiteRuns};
use crate::{Failure, output, report, signals};

/// Some promises are untested.
const UNTESTED: u8 = 1;

/// The exit code of a wrong command line.
const WRONG_USE: u8 = 2;

/// The time was over before all mutants were replayed, as `timeout` has it.
const TIME_OVER: u8 = 124;

/// The exit code if there is no server, or the command can't be started.
const NOT_RUN: u8 = 4;

/// Runs the suite without mutants, replays its commands with each, and runs it again where that does not tell.
pub(crate) fn run(arguments: &Mutate) -> Result<ExitCode, Failure> {
    try_run(arguments).map_err(|failure| {
        output::end_progress();
        let is_own = [WRONG_USE, baseline::NO_BASELINE].contains(&failure.code);
        Failure { code: if is_own { failure.code } else { NOT_RUN }, ..failure }
    })
}

fn try_run(arguments: &Mutate) -> Result<ExitCode, Failure> {
    let _signals = signals::catch();
    let time = Time::starts(arguments.time);
    let mut accepted = arguments.accept.as_deref().map(accept::read).transpose()?.unwrap_or_default();
    let suite = Suite::new(&arguments.exec);

    output::progress(&report::mutate::recording(&arguments.exec.command));
    let baseline = Baseline::record(&suite, arguments.jobs, arguments.allow_flaky, &time)?;
    let selection = Selection::new(&arguments.only, &arguments.skip, &arguments.shapes, arguments.mutants);
    let candidates = plan::candidates(&baseline, &selection);
    output::progress(&report::mutate::replaying(candidates.len(), baseline.transcript.exchanges.len()));
    let Replays { trials, incomparable } = replays::all(&baseline, &arguments.exec, candidates, arguments.jobs, &time)?;
    let is_incomplete = trials.iter().any(|(_, replayed)| replayed.is_none());
    let mut trials: Vec<_> = trials.into_iter().map(|(candidate, replayed)| Trial::of(candidate, replayed)).collect();

    let again: Vec<_> = trials
        .iter()
        .enumerate()
        .filter(|(_, trial)| is_run_again(trial, arguments.suite))
        .map(|(number, trial)| (number, trial.candidate.clone(), !trial.is_undecided()))
        .collect();
    if !again.is_empty() && !is_incomplete {
        output::progress(&report::mutate::rerunning(again.len()));
        let time = time.of_runs(arguments.suite == SuiteRuns::All);
        for (number, rerun) in reruns::all(&suite, &baseline, again, arguments.jobs, &time)? {
            trials[number].rerun = rerun;
        }
    }
    output::end_progress();

    let report = findings::report(&baseline, &trials, &mut accepted, incomparable, time.taken());
    output::print(&report.text);
    if let Some(path) = &arguments.json {
        fs::write(path, report.json.to_string() + "\n")
            .map_err(|error| Failure::of(&report::mutate::not_written(path, &error)))?;
    }
    Ok(match (is_incomplete, report.unaccepted) {
        (true, _) => TIME_OVER.into(),
        (false, 0) => ExitCode::SUCCESS,
        (false, _) => UNTESTED.into(),
    })
}

/// Whether the suite is run with a mutant. With `all`, also where the replay is certain: the two must agree.
fn is_run_again(trial: &Trial, suite: SuiteRuns) -> bool {
    match suite {
        SuiteRuns::Never => false,
        SuiteRuns::Auto => trial.is_undecided() && trial.is_worth_a_run(),
        SuiteRuns::All => trial.is_undecided() || matches!(trial.replayed, Some(Replayed::Same)),
    }
}
