//! Runs the command, with a tap in front of a server of its own.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use transient_fixtures::__cargo_transient::{CommandServer, Rewrite, Rewritten};

use super::clients::{Clients, CommandLines};
use super::group::{Group, Leader};
use super::mutant::{Counts, Mutant};
use super::printed::{Outputs, ReadBefore, Spoken};
use super::transcript;
use crate::arguments::Exec;
use crate::record::recording_file::RecordingFile;
use crate::{Failure, exec, program, report, resp};

/// How often it is looked whether a command has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// How long the rest of the output of a command may take after its end.
const REST_OF_OUTPUT: Duration = Duration::from_secs(1);

/// How long connections of processes that outlive the command are waited for.
const OUTLIVED: Duration = Duration::from_millis(200);

/// After which a run counts as hung.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) total: Duration,
    /// Without a command, and without output.
    pub(super) silence: Duration,
    /// How often the mutant may change a command: a loop that waits for what never comes.
    pub(super) applied: u64,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With this exit code.
    Exited(u8),
    Hung,
}

/// A run of the command.
pub(super) struct Ran {
    pub(super) end: End,
    pub(super) took: Duration,
    /// Of both its outputs.
    pub(super) output: Vec<Spoken>,
    /// What it sent. `None` if it ran with a mutant.
    pub(super) recording: Option<RecordingFile>,
    /// The command lines of its clients, by connection, where they are known.
    pub(super) clients: CommandLines,
}

impl Ran {
    pub(super) fn is_green(&self) -> bool {
        self.end == End::Exited(0)
    }
}

/// What runs are made of.
pub(super) struct Suite<'run> {
    pub(super) arguments: &'run Exec,
}

/// What a run did last.
#[derive(Default)]
pub(super) struct Activity {
    /// In milliseconds since 1970.
    last: AtomicU64,
}

impl Activity {
    pub(super) fn happens(&self) {
        self.last.store(u64::try_from(transcript::now().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn silence(&self) -> Duration {
        transcript::now().saturating_sub(Duration::from_millis(self.last.load(Ordering::Relaxed)))
    }
}

/// Watches the commands of a mutant.
struct Watched {
    mutant: Mutant,
    /// Connections whose commands are left alone.
    tools: HashSet<u64>,
    activity: Arc<Activity>,
}

impl Rewrite for Watched {
    fn command(&mut self, connection: u64, frame: &[u8]) -> Option<Rewritten> {
        self.activity.happens();
        let is_about_client = frame.windows(6).take(16).any(|word| word.eq_ignore_ascii_case(b"CLIENT"));
        if is_about_client && transcript::is_of_tool(&resp::words(frame)) {
            self.tools.insert(connection);
        }
        if self.tools.contains(&connection) {
            return None;
        }
        self.mutant.command(connection, frame)
    }

    fn closes(&mut self, connection: u64) {
        self.tools.remove(&connection);
        self.mutant.closes(connection);
    }
}

impl<'run> Suite<'run> {
    pub(super) fn new(arguments: &'run Exec) -> Self {
        Self { arguments }
    }

    /// The names of the variables that have the address.
    pub(super) fn variables(&self) -> Vec<&str> {
        self.arguments.variables.iter().map(|variable| variable.name.as_str()).collect()
    }

    /// Runs the command and records it.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no server, or the command can't be started.
    pub(super) fn record(&self) -> Result<Ran, Failure> {
        self.run(&self.arguments.command, None, None)
    }

    /// Runs a command with a mutant.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no server, or the command can't be started.
    pub(super) fn run_with(&self, command: &[OsString], mutant: Mutant, limits: Limits) -> Result<Ran, Failure> {
        self.run(command, Some(mutant), Some(limits))
    }

    fn run(&self, command: &[OsString], mutant: Option<Mutant>, limits: Option<Limits>) -> Result<Ran, Failure> {
        let server = exec::start("mutate", self.arguments)?;
        let ran = self.run_on(&server, command, mutant, limits);
        server.end(false);
        ran
    }

    fn run_on(
        &self,
        server: &CommandServer,
        command: &[OsString],
        mutant: Option<Mutant>,
        limits: Option<Limits>,
    ) -> Result<Ran, Failure> {
        let activity = Arc::new(Activity::default());
        activity.happens();
        let records = mutant.is_none();
        let counts = mutant.as_ref().map(Mutant::counts);
        let (mut clients, outputs) = (Arc::default(), Outputs::default());
        let tap = match mutant {
            Some(mutant) => {
                server.rewriting_tap(Box::new(Watched { mutant, tools: HashSet::new(), activity: activity.clone() }))
            }
            // Only nextest has a process for each test.
            None if command.iter().any(|word| word == "nextest") => {
                let watch = Clients::default();
                clients = watch.lines();
                server.rewriting_tap(Box::new(watch))
            }
            None => server.rewriting_tap(Box::new(ReadBefore { outputs: outputs.clone(), activity: activity.clone() })),
        };
        let tap = tap.map_err(|error| exec::no_server(&error))?;
        let recording =
            if records { Some(RecordingFile::create(None).map_err(|error| no_recording(&error))?) } else { None };
        if let Some(file) = &recording {
            tap.take_turns();
            tap.tap().record_to(file.path()).map_err(|error| no_recording(&error))?;
        }
        let not_started = |error: &io::Error| program::not_started(&command[0], error);
        let leader = Leader::start().map_err(|error| not_started(&error))?;
        let apart = |process: &mut Command| {
            leader.takes(process);
            process.stdout(Stdio::piped()).stderr(Stdio::piped());
        };
        let process = program::process(command);
        let start = exec::command(process, self.arguments, server, Some(&tap), Some(&apart))?;
        let began = Instant::now();
        let mut group = leader.leads(start.start().map_err(|error| not_started(&error))?);
        let (stdout, stderr) = (group.command().stdout.take(), group.command().stderr.take());
        let readers = stdout.zip(stderr).map(|(stdout, stderr)| outputs.listen(stdout, stderr, &activity));
        let end = wait(&mut group, began, limits, &activity, counts.as_deref()).map_err(|error| not_started(&error))?;
        let took = began.elapsed();
        match end {
            End::Exited(_) => group.end_rest(),
            End::Hung => drop(group),
        }
        let deadline = Instant::now() + REST_OF_OUTPUT;
        // A process that has left the group may have it open.
        while readers.iter().flatten().any(|reader| !reader.is_finished()) && Instant::now() < deadline {
            thread::sleep(LOOK_AGAIN);
        }
        if records {
            tap.finish_recording(OUTLIVED).map_err(|error| no_recording(&error))?;
        }
        let output = outputs.take();
        let clients = std::mem::take(&mut *Mutex::lock(&clients).unwrap_or_else(PoisonError::into_inner));
        Ok(Ran { end, took, output, recording, clients })
    }
}

fn no_recording(error: &dyn std::fmt::Display) -> Failure {
    Failure::of(&report::mutate::not_recorded(error))
}

fn wait(
    group: &mut Group,
    began: Instant,
    limits: Option<Limits>,
    activity: &Activity,
    counts: Option<&Counts>,
) -> io::Result<End> {
    loop {
        if let Some(status) = group.try_wait()? {
            return Ok(End::Exited(program::code(status)));
        }
        let is_hung = limits.is_some_and(|limits| {
            began.elapsed() > limits.total
                || activity.silence() > limits.silence
                || counts.is_some_and(|counts| counts.applied() > limits.applied)
        });
        if is_hung {
            return Ok(End::Hung);
        }
        thread::sleep(LOOK_AGAIN);
    }
}
