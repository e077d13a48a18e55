//! `record`: a command with a server of its own, and a summary of what it sent.
//!
//! - `reader`: the commands of the recording, one by one; `summary`: sums them up;
//! - `keys`: which of them have a TTL; `repeated`: N+1 access; `branches`: replies that a program must be ready for;
//! - `recording_file`, `json`, `budgets`: what comes in and goes out.

pub(crate) mod branches;
mod budgets;
mod json;
mod keys;
mod reader;
pub(crate) mod recording_file;
mod repeated;
pub(crate) mod summary;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use transient_fixtures::__cargo_transient::line;
use transient_fixtures::Error;
use transient_fixtures::tap::{Event, Recording};

use self::reader::{Command, Reader, Step, Transactions};
use self::recording_file::RecordingFile;
use self::summary::{Summary, Summing};
use crate::arguments::Record;
use crate::exec::{self, no_server};
use crate::shape::Vocabulary;
use crate::{Failure, program, report, resp, signals};

/// The exit code if the command has succeeded, and a budget is exceeded.
const OVER_BUDGET: u8 = 123;

/// How many shapes each list shows.
const SHOWN: usize = 10;

/// How long connections of processes that outlive the command are waited for.
const OUTLIVED: Duration = Duration::from_millis(200);

/// Runs the command, writes the summary, and returns the command's exit code.
pub(crate) fn run(arguments: &Record) -> Result<ExitCode, Failure> {
    let process = program::process(&arguments.exec.command);
    if exec::only_lists_tests(&arguments.exec.command) {
        return Err(program::replace_this_process(process));
    }
    let signals = signals::catch();
    let mut outputs = Outputs::create(arguments)?;
    let file = RecordingFile::create(arguments.recording.as_deref()).map_err(|error| not_recorded(&error))?;
    let server = exec::start("record", &arguments.exec)?;
    let tap = server.tap().map_err(|error| no_server(&error))?;
    tap.tap().record_to(file.path()).map_err(|error| not_recorded(&error))?;
    let start = exec::command(process, &arguments.exec, &server, Some(&tap), None)?;
    let began = Instant::now();
    let code = program::run(&arguments.exec.command[0], || start.start(), &signals)?;
    let elapsed = began.elapsed();
    let finished = tap.finish_recording(OUTLIVED);
    let malformed = tap.tap().malformed();
    drop(tap);
    server.end(code != 0);
    // A long run takes seconds to sum up.
    signals.release();
    let written = finished.map_err(|error| not_recorded(&error)).and_then(|()| {
        let summary = sum_up(&file, outputs.transcript.as_mut()).map_err(|error| not_recorded(&error))?;
        outputs.write(&summary, elapsed, &malformed, arguments)?;
        Ok(summary)
    });
    match written.and_then(|summary| if code == 0 { budgets::check(&arguments.budgets, &summary) } else { Ok(()) }) {
        // The command's own failure is the one to look at first.
        Err(failure) if code != 0 => Err(Failure { code, ..failure }),
        outcome => outcome.map(|()| ExitCode::from(code)),
    }
}

fn not_recorded(error: &dyn std::fmt::Display) -> Failure {
    no_server(&report::record::not_recorded(error))
}

/// Reads the recording twice: what its keys have for words, and then the commands.
pub(crate) fn sum_up(file: &RecordingFile, mut transcript: Option<&mut Output>) -> Result<Summary, Error> {
    let (recording, mut vocabulary) = (Recording::open(file.path())?, Vocabulary::default());
    let started = recording.started();
    for entry in recording {
        if let Event::Command { frame, .. } = entry?.event() {
            vocabulary.learn(&resp::words(frame));
        }
    }
    let (mut summing, mut transactions) = (Summing::new(&vocabulary, started), Transactions::default());
    for step in Reader::open(file.path())? {
        let step = step?;
        if let (Some(transcript), Step::Command(command)) = (&mut transcript, &step) {
            transcript.line(&transcript_line(command));
        }
        transactions.take(step, |step| summing.take(&step));
    }
    Ok(summing.finish())
}

fn transcript_line(command: &Command) -> String {
    let reply = command.reply.as_ref().map(|reply| {
        let mut bytes = Vec::new();
        reply.write(&mut bytes);
        bytes
    });
    line(command.connection, command.client.as_deref(), command.database, &command.words, reply.as_deref())
}

/// The files that are asked for. They are created before the command is started, so that a wrong path costs nothing.
struct Outputs {
    report: Option<Output>,
    json: Option<Output>,
    transcript: Option<Output>,
}

pub(crate) struct Output {
    path: PathBuf,
    file: BufWriter<File>,
    outcome: io::Result<()>,
}

impl Outputs {
    fn create(arguments: &Record) -> Result<Self, Failure> {
        let create = |path: &Option<PathBuf>| path.as_deref().map(Output::create).transpose();
        let (report, json) = (create(&arguments.report)?, create(&arguments.json)?);
        Ok(Self { report, json, transcript: create(&arguments.transcript)? })
    }

    fn write(
        &mut self,
        summary: &Summary,
        elapsed: Duration,
        malformed: &[String],
        arguments: &Record,
    ) -> Result<(), Failure> {
        let shown = if arguments.all { usize::MAX } else { SHOWN };
        let text = report::record::summary(summary, elapsed, malformed, shown);
        match &mut self.report {
            Some(report) => report.line(&text),
            // If nobody reads it, the exit code still tells.
            None => _ = writeln!(io::stderr(), "{text}"),
        }
        if let Some(json) = &mut self.json {
            json.line(&json::of(summary, elapsed).to_string());
        }
        [self.report.take(), self.json.take(), self.transcript.take()].into_iter().flatten().try_for_each(Output::close)
    }
}

impl Output {
    fn create(path: &Path) -> Result<Self, Failure> {
        let file = File::create(path).map_err(|error| not_written(path, &error))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file), outcome: Ok(()) })
    }

    fn line(&mut self, line: &str) {
        if self.outcome.is_ok() {
            self.outcome = writeln!(self.file, "{line}");
        }
    }

    fn close(mut self) -> Result<(), Failure> {
        self.outcome.and_then(|()| self.file.flush()).map_err(|error| not_written(&self.path, &error))
    }
}

fn not_written(path: &Path, error: &io::Error) -> Failure {
    no_server(&report::record::not_written(path, error))
}
