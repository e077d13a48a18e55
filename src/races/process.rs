//! Clients that are processes: their environment, their points and their end.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use super::client::Client;
use super::exploration::Exploration;
use crate::report;

/// How often a silent process is asked whether it has exited.
const EVERY: Duration = Duration::from_millis(20);
const EVERY_AFTER_OUTPUT: Duration = Duration::from_millis(1);

/// How long lines can come after its exit. A process that it has started can keep its output open.
const LATE_WITHIN: Duration = Duration::from_millis(200);

/// How many lines of its standard error are kept.
const KEPT: usize = 20;

const POINT: &str = "point: ";

impl Exploration<'_> {
    /// Adds a client that is a process, such as a program in another language. The command is run once in each
    /// schedule, so a schedule takes as long as the program needs to start.
    ///
    /// The program has the client's URLs in its environment: the session database in `REDIS_URL` and
    /// `TRANSIENT_REDIS_URL`, and the job database in `TRANSIENT_JOBS_URL`. Give it the URLs of the [`Client`] in the
    /// command if it takes them from elsewhere.
    ///
    /// It stops at a [point](Client::point) as follows: it prints the line `point: write the file` to its standard
    /// output, flushes it, and reads a line from its standard input. The line arrives when the point is released. All
    /// other lines are printed, and are the client's [value](super::Outcomes::value), a `String`.
    ///
    /// The schedule fails if the program can't be started or does not exit with status 0. A process that has not exited
    /// when the schedule has ended is killed. Processes that it has started are not: let a shell `exec` the program.
    ///
    /// ```
    /// use std::process::Command;
    /// use transient_fixtures::{TestRequest, races};
    ///
    /// let test_request = TestRequest::clean();
    /// let program = |_: &races::Client| {
    ///     let mut command = Command::new("/bin/sh");
    ///     command.args(["-c", "echo 'point: write the file'; read released; echo written"]);
    ///     command
    /// };
    /// let explored = races::explore(&test_request).process("a", program).process("b", program).check(|_, outcomes| {
    ///     assert_eq!(outcomes.value::<String>("a").unwrap(), "written\n");
    /// });
    /// assert_eq!(explored.schedules(), 6); // Each client has two steps: its start and its point.
    /// ```
    pub fn process(mut self, name: &str, command: impl Fn(&Client) -> Command + Send + Sync + 'static) -> Self {
        let run = move |client: &Client| match run(client, command(client)) {
            Ok(output) => (Some(Box::new(output) as _), None),
            Err(failure) => (None, Some(failure)),
        };
        self.clients.push((name.to_owned(), Arc::new(run)));
        self
    }
}

/// Killed and reaped, also when its thread is unwound at a point.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It can have exited already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

enum Line {
    Output(String),
    Error(String),
}

/// Runs the command until it exits. Returns its output.
fn run(client: &Client, mut command: Command) -> Result<String, String> {
    command
        .env("REDIS_URL", client.redis_url())
        .env("TRANSIENT_REDIS_URL", client.redis_url())
        .env("TRANSIENT_JOBS_URL", client.jobs_url())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command
        .spawn()
        .map_err(|error| report::races::not_started(&command.get_program().to_string_lossy(), &error))?;
    let mut process = Process(child);
    let (sender, lines) = mpsc::channel();
    let is_read = read(process.0.stdout.take(), Line::Output, sender.clone())
        .and_then(|()| read(process.0.stderr.take(), Line::Error, sender));
    is_read.and_then(|()| follow(client, &mut process.0, &lines)).unwrap_or_else(|error| Err(error.to_string()))
}

/// Sends the lines of a stream, on a thread of its own: the process can close one stream long before the other.
fn read(stream: Option<impl Read + Send + 'static>, line: fn(String) -> Line, sender: Sender<Line>) -> io::Result<()> {
    let Some(stream) = stream else { return Ok(()) };
    let lines = BufReader::new(stream).split(b'\n');
    thread::Builder::new().name("transient-fixtures output".to_owned()).spawn(move || {
        for bytes in lines.map_while(Result::ok) {
            let text = String::from_utf8_lossy(&bytes);
            if sender.send(line(text.trim_end_matches('\r').to_owned())).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

/// Stops at the points of the process until it exits, or the schedule has ended.
fn follow(client: &Client, child: &mut Child, lines: &Receiver<Line>) -> io::Result<Result<String, String>> {
    let mut stdin = child.stdin.take();
    let (mut output, mut errors) = (String::new(), VecDeque::new());
    let mut exited = None;
    loop {
        let received = lines.recv_timeout(if exited.is_some() { LATE_WITHIN } else { EVERY });
        if client.is_ending() {
            return Ok(Ok(output));
        }
        match received {
            Ok(Line::Output(line)) => {
                if let Some(point) = line.strip_prefix(POINT) {
                    client.point(point);
                    // The process can have closed it.
                    _ = stdin.as_mut().map(|stdin| stdin.write_all(b"\n"));
                } else {
                    report::print(&line);
                    output += &line;
                    output.push('\n');
                }
            }
            Ok(Line::Error(line)) => {
                errors.push_back(line);
                if errors.len() > KEPT {
                    errors.pop_front();
                }
            }
            // Its last lines can arrive after it is known to have exited.
            Err(RecvTimeoutError::Timeout) if exited.is_none() => exited = child.try_wait()?,
            Err(_) => {
                exited = exited.map_or_else(|| child.try_wait(), |status| Ok(Some(status)))?;
                let Some(status) = exited else {
                    thread::sleep(EVERY_AFTER_OUTPUT);
                    continue;
                };
                let errors: Vec<_> = errors.into();
                let failure = || report::races::exited(&status.to_string(), &errors);
                return Ok(if status.success() { Ok(output) } else { Err(failure()) });
            }
        }
    }
}
