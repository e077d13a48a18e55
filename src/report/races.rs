//! Text about explorations.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

/// The widest column of a diagram.
const WIDEST: usize = 100;

/// The longest command in a diagram.
const LONGEST: usize = 60;

pub(crate) const START: &str = "starts";
pub(crate) const TIMEOUT: &str = "its blocking command times out";
pub(crate) const DIES: &str = "dies";

pub(crate) fn point(name: &str) -> String {
    format!("point: {name}")
}

pub(crate) fn after(name: &str) -> String {
    format!("after: {name}")
}

pub(crate) fn expires(key: &str) -> String {
    format!("{key} expires")
}

/// `+3 s`, as `Client::after` names it.
pub(crate) fn travels(time: Duration) -> String {
    format!("+{} s", time.as_secs_f64())
}

fn cut(text: &str, longest: usize) -> String {
    let is_cut = text.chars().nth(longest).is_some();
    if is_cut { text.chars().take(longest - 1).chain(['…']).collect() } else { text.to_owned() }
}

/// The commands that EXEC executes.
pub(crate) fn transaction(commands: &[String]) -> String {
    let commands: Vec<_> = commands.iter().map(|command| cut(command, (LONGEST / commands.len()).max(16))).collect();
    format!("EXEC [{}]", commands.join("; "))
}

/// A step with its reply and the fault that struck it.
pub(crate) fn step(line: &str, reply: Option<&str>, fault: Option<&str>) -> String {
    let reply = reply.map(|reply| format!(" -> {reply}")).unwrap_or_default();
    let fault = fault.map(|fault| format!(" <<< {fault}")).unwrap_or_default();
    format!("{}{reply}{fault}", cut(line, LONGEST + 10))
}

/// A column for each client, and a numbered row for each step. Steps of time, which no client takes, are in the first
/// column.
pub(crate) fn diagram(clients: &[&str], rows: &[(Option<usize>, String)]) -> String {
    let shown = |text: &str| cut(text, WIDEST);
    let time = |text: &str| format!("-- {text} --");
    let widths: Vec<_> = clients
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let own = rows.iter().filter(|(client, _)| *client == Some(index));
            own.map(|(_, text)| shown(text).chars().count()).max().unwrap_or(0).max(name.chars().count())
        })
        .collect();
    let number = rows.len().to_string().len();
    let mut lines = vec![format!("{:number$}", "")];
    for (name, width) in clients.iter().zip(&widths) {
        lines[0] += &format!("  {name:width$}");
    }
    for (at, (client, text)) in rows.iter().enumerate() {
        let mut line = format!("{:>number$}", at + 1);
        match client {
            None => line += &format!("  {}", time(text)),
            Some(client) => {
                for width in widths.iter().take(*client) {
                    line += &format!("  {:width$}", "");
                }
                line += &format!("  {}", shown(text));
            }
        }
        lines.push(line);
    }
    let lines: Vec<_> = lines.iter().map(|line| line.trim_end()).collect();
    lines.join("\n")
}

fn counted(count: usize) -> String {
    format!("{count} schedule{}", if count == 1 { "" } else { "s" })
}

/// `schedule 14 of 35`. `number` is missing if the schedule was found while the search went on with another order.
pub(crate) fn place(number: Option<usize>, schedules: usize, is_complete: bool, failed: usize) -> String {
    let of = if is_complete { schedules.to_string() } else { format!("more than {schedules}") };
    match number {
        Some(number) => format!("schedule {number} of {of} ({failed} failed)"),
        None => format!("a schedule with fewer context switches than the first of {failed} that failed, of {of}"),
    }
}

/// `file` has the schedule as JSON.
pub(crate) fn failed(place: &str, failure: &str, diagram: &str, replay: &str, file: Option<&Path>) -> String {
    let file = file.map(|file| format!("\nThe schedule as JSON: {}", file.display())).unwrap_or_default();
    format!(
        "the clients fail in this order: {place}\n{failure}\n{diagram}\nRun this schedule alone: \
         TRANSIENT_REPLAY='{replay}'{file}"
    )
}

pub(crate) fn schedule_not_written(path: &Path, error: &impl Display) -> String {
    format!("could not write the failing schedule to {}: {error}. Check TRANSIENT_SCHEDULES", path.display())
}

pub(crate) fn check_failed(failure: &str) -> String {
    format!("the check failed: {failure}")
}

pub(crate) fn client_failed(client: &str, failure: &str) -> String {
    format!("client {client:?} failed: {failure}")
}

/// Within [`client_failed`].
pub(crate) fn not_started(program: &str, error: &impl Display) -> String {
    format!("{program} could not be started: {error}")
}

/// Within [`client_failed`]. `errors` are the last lines of its standard error.
pub(crate) fn exited(status: &str, errors: &[String]) -> String {
    let mut lines = vec![format!("its process ended with {status}")];
    if !errors.is_empty() {
        lines[0] += ". Its last lines on standard error:";
    }
    lines.extend(errors.iter().map(|line| format!("  {line}")));
    lines.join("\n")
}

pub(crate) fn seed_failed(failure: &str) -> String {
    format!("the seed of the exploration failed: {failure}")
}

/// Each client that waits, with the step that it waits in.
pub(crate) fn deadlock(waiting: &[(String, String)]) -> String {
    let waiting: Vec<_> = waiting.iter().map(|(client, step)| format!("  {client}: {step}")).collect();
    format!("deadlock: each client that has not ended waits, and no step can wake it:\n{}", waiting.join("\n"))
}

pub(crate) fn spins(clients: &[String], commands: &[String]) -> String {
    format!(
        "only clients that repeat the same commands are left ({}), and nothing changes: {}",
        clients.join(", "),
        commands.join(", ")
    )
}

pub(crate) fn stalled(client: &str, last: &str, after: Duration) -> String {
    format!("client {client:?} did nothing for {} s after this step: {last}", after.as_secs_f64())
}

pub(crate) fn too_long(within: Duration) -> String {
    format!("the schedule did not end within {} s", within.as_secs_f64())
}

/// The exploration can't go on.
pub(crate) fn broken(report: &str, diagram: &str) -> String {
    format!("{report}\nThe steps before it:\n{diagram}")
}

/// `before` and `now` are the possible steps in two schedules that began with the same steps.
pub(crate) fn differs(step: usize, before: &str, now: &str) -> String {
    format!(
        "the clients are not deterministic, so their orders can't be explored. The possible steps at step {step} were \
         [{before}] in one schedule and [{now}] in another that began with the same steps. Take time, random choices \
         and threads out of the code that decides which commands are sent"
    )
}

pub(crate) fn impossible(step: usize, label: &str) -> String {
    format!(
        "step {step} of TRANSIENT_REPLAY, {label:?}, is not possible in this exploration. Use the value that this test \
         printed"
    )
}

pub(crate) fn gave_up(client: &str, command: &str) -> String {
    format!(
        "client {client:?} ended while its command was held: {command}. Turn off the timeouts of its connections, such as \
         AsyncConnectionConfig::set_response_timeout(None), and join its threads"
    )
}

pub(crate) fn stuck(client: &str, within: Duration) -> String {
    format!(
        "client {client:?} did not end within {} s after its connections were closed. Let its code end on errors",
        within.as_secs_f64()
    )
}

pub(crate) fn incomplete(schedules: usize, most: usize, within: Duration) -> String {
    format!(
        "none of {} failed, but there are more: an exploration stops after {most} schedules or {} s. Take steps or \
         clients away, or choose which part is run: only_redis_is_shared, preemptions, max_schedules, within or random",
        counted(schedules),
        within.as_secs()
    )
}

pub(crate) fn summary(schedules: usize, abandoned: usize, is_complete: bool, preemptions: Option<usize>) -> String {
    let mut text = format!("transient-fixtures: explored {}", counted(schedules));
    if abandoned > 0 {
        text += &format!(" and abandoned {abandoned} that were equivalent to one of them");
    }
    text += match (is_complete, preemptions) {
        (true, None) => ": every order of the steps",
        (true, Some(_)) => ": every order within the bound of preemptions",
        (false, _) => ": other orders were not run",
    };
    match preemptions {
        Some(preemptions) => format!("{text} ({preemptions})"),
        None => text,
    }
}

pub(crate) fn progress(schedules: usize) -> String {
    format!("transient-fixtures: {} explored", counted(schedules))
}

pub(crate) fn bad_replay(text: &str) -> String {
    format!("invalid value {text:?} for TRANSIENT_REPLAY: expected a schedule such as reader*3,writer*2,reader")
}

pub(crate) fn no_client(name: &str) -> String {
    format!("the exploration has no client {name:?}")
}

pub(crate) fn same_name(name: &str) -> String {
    format!("two clients of the exploration have the name {name:?}. Give each its own")
}

pub(crate) fn other_type(client: &str, name: &str) -> String {
    format!("the value of client {client:?} is not a {name}")
}

pub(crate) fn stampede(clients: usize, loads: usize, most: usize) -> String {
    format!("{clients} clients missed at once, and the loader ran {loads} times: more than {most}")
}

pub(crate) fn stampede_stuck(within: Duration) -> String {
    format!("the clients of the stampede did not end within {} s. Let its code end on errors", within.as_secs())
}
