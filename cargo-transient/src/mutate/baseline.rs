//! The clean runs: what the suite does without a mutant.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::budget::Time;
use super::outcomes::Outcomes;
use super::script;
use super::suite::{End, Ran, Suite};
use super::transcript::Transcript;
use crate::record::recording_file::RecordingFile;
use crate::record::summary::NeverSeen;
use crate::shape::{Shape, Vocabulary};
use crate::{Failure, record, report};

/// The exit code if the suite can't be mutated: it is red, flaky, or sends no commands.
pub(super) const NO_BASELINE: u8 = 3;

/// A third run is made if it takes at most this part of the time that is left.
const THIRD_RUN: u32 = 10;

/// What the suite does without a mutant.
pub(super) struct Baseline {
    pub(super) transcript: Transcript,
    pub(super) vocabulary: Arc<Vocabulary>,
    /// The scripts that it loads, by their hashes.
    pub(super) scripts: HashMap<String, String>,
    /// The shape of each command.
    pub(super) shapes: Vec<Shape>,
    pub(super) outcomes: Outcomes,
    /// How long the suite takes.
    pub(super) took: Duration,
    /// The longest time without a command and without output.
    pub(super) silence: Duration,
    /// Tests that fail only sometimes.
    pub(super) flaky: BTreeSet<String>,
    /// The tests that sent each command, where they are known.
    pub(super) senders: Vec<Vec<String>>,
    /// Shapes, and what they were never answered.
    pub(super) never_seen: Vec<(String, String)>,
}

impl Baseline {
    /// Runs the suite two or three times, and `jobs` times at once.
    ///
    /// # Errors
    ///
    /// Returns an error if the suite fails, or sends no commands.
    pub(super) fn record(suite: &Suite<'_>, jobs: usize, allow_flaky: bool, time: &Time) -> Result<Self, Failure> {
        let mut runs = vec![suite.record()?];
        if is_silent(&runs[0])? {
            refuse_red(&runs, false)?;
            return Err(refused(&report::mutate::no_commands(&suite.variables())));
        }
        runs.push(suite.record()?);
        if time.left().is_none_or(|left| runs[1].took < left / THIRD_RUN) && jobs < 2 {
            runs.push(suite.record()?);
        }
        if jobs > 1 {
            let at_once = thread::scope(|scope| {
                let threads: Vec<_> = (0..jobs).map(|_| scope.spawn(|| suite.record())).collect();
                threads.into_iter().map(join).collect::<Result<Vec<_>, _>>()
            })?;
            runs.extend(at_once);
        }
        let flaky = refuse_red(&runs, allow_flaky)?;
        let used = runs.iter().position(Ran::is_green).unwrap_or_default();
        let other = (0..2).find(|index| *index != used).unwrap_or_default();
        let took = runs[1].took;
        let transcript = read(&runs[used])?;
        let vocabulary = Arc::new(vocabulary(&transcript).common_with(vocabulary(&read(&runs[other])?)));
        let shapes: Vec<_> =
            transcript.exchanges.iter().map(|exchange| Shape::of(&exchange.words, &vocabulary)).collect();
        let run = runs.swap_remove(used);
        let outcomes = Outcomes::of(&run.output);
        let senders = super::senders::of(&transcript, &run, &outcomes, &suite.arguments.command);
        let silence = silence(&transcript, &run);
        let never_seen = never_seen(&run, &transcript, &shapes)?;
        let scripts = script::known(transcript.exchanges.iter().map(|exchange| exchange.words.as_slice()));
        Ok(Self { transcript, vocabulary, scripts, shapes, outcomes, took, silence, flaky, senders, never_seen })
    }

    /// The tests that send commands, if they are known.
    pub(super) fn tests_on_redis(&self) -> Option<usize> {
        let tests: BTreeSet<_> = self.senders.iter().flatten().collect();
        (!tests.is_empty()).then_some(tests.len())
    }

    /// Whether a run has failed as no clean one does.
    pub(super) fn is_noticed_by(&self, ran: &Ran) -> bool {
        if ran.end == End::Exited(0) {
            return false;
        }
        let outcomes = Outcomes::of(&ran.output);
        let failed = outcomes.failed();
        ran.end == End::Hung || failed.is_empty() || failed.iter().any(|name| !self.flaky.contains(*name))
    }
}

/// A thread that has panicked passes its panic on.
pub(super) fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn refused(text: &str) -> Failure {
    Failure { text: report::error(&text), code: NO_BASELINE }
}

/// Whether no command arrived, besides those that set up connections.
fn is_silent(ran: &Ran) -> Result<bool, Failure> {
    let transcript = read(ran)?;
    let is_command = |name: &str| !transient_fixtures::__cargo_transient::is_handshake(name);
    Ok(!transcript.exchanges.iter().any(|exchange| is_command(&exchange.name())))
}

fn read(ran: &Ran) -> Result<Transcript, Failure> {
    let path = ran.recording.as_ref().map_or(Path::new(""), RecordingFile::path);
    Transcript::read(path).map_err(|error| Failure::of(&error))
}

fn vocabulary(transcript: &Transcript) -> Vocabulary {
    Vocabulary::of(transcript.exchanges.iter().map(|exchange| exchange.words.as_slice()))
}

/// Returns the tests that fail only sometimes, which must be allowed.
fn refuse_red(runs: &[Ran], allow_flaky: bool) -> Result<BTreeSet<String>, Failure> {
    let red: Vec<_> = runs.iter().filter(|ran| !ran.is_green()).collect();
    let Some(first) = red.first() else { return Ok(BTreeSet::new()) };
    let mut failures: BTreeMap<String, usize> = BTreeMap::new();
    let mut has_unknown = false;
    for ran in &red {
        let outcomes = Outcomes::of(&ran.output);
        has_unknown |= outcomes.failed().is_empty();
        for name in outcomes.failed() {
            *failures.entry(name.to_owned()).or_default() += 1;
        }
    }
    let End::Exited(code) = first.end else { return Ok(BTreeSet::new()) };
    let always: Vec<_> =
        failures.iter().filter(|(_, count)| **count == runs.len()).map(|(name, _)| name.as_str()).collect();
    if red.len() == runs.len() && (has_unknown || !always.is_empty()) {
        return Err(refused(&report::mutate::red(code, &always, &last_lines(first))));
    }
    let sometimes: Vec<_> = failures.keys().map(String::as_str).collect();
    if !allow_flaky || has_unknown {
        return Err(refused(&report::mutate::flaky(
            red.len(),
            runs.len(),
            &sometimes,
            has_unknown && allow_flaky,
            &last_lines(first),
        )));
    }
    Ok(failures.into_keys().collect())
}

/// The end of the output.
fn last_lines(ran: &Ran) -> Vec<&str> {
    let from = ran.output.len().saturating_sub(20);
    ran.output[from..].iter().map(|(_, line)| line.as_str()).collect()
}

/// What no command of a shape was answered, if the program sends it.
fn never_seen(ran: &Ran, transcript: &Transcript, shapes: &[Shape]) -> Result<Vec<(String, String)>, Failure> {
    let Some(file) = &ran.recording else { return Ok(Vec::new()) };
    let summary = record::sum_up(file, None).map_err(|error| Failure::of(&error))?;
    let of_program = shapes.iter().zip(&transcript.entries).filter(|(_, entry)| !entry.is_ours);
    let of_program: BTreeSet<_> = of_program.map(|(shape, _)| shape.skeleton()).collect();
    let never_seen = summary.never_seen.iter().filter(|never| of_program.contains(&never.shape.skeleton()));
    let text = |never: &NeverSeen| (never.shape.to_string(), report::record::never_seen(&never.what));
    Ok(never_seen.map(text).collect())
}

/// The longest time without a command and without output.
fn silence(transcript: &Transcript, ran: &Ran) -> Duration {
    let commands = (0..transcript.exchanges.len()).map(|index| transcript.time_of(index));
    let mut times: Vec<_> = commands.chain(ran.output.iter().map(|(at, _)| *at)).collect();
    times.sort_unstable();
    let (Some(first), Some(last)) = (times.first(), times.last()) else { return ran.took };
    // What comes before the first and after the last sign of life.
    let rest = ran.took.saturating_sub(last.saturating_sub(*first));
    times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max().unwrap_or_default().max(rest)
}
