//! Text about sweeps.
//!
//! The text of a fault precedes the number of its command or point: `3 of 7`.

use std::fmt::Display;
use std::time::Duration;

pub(crate) const CUT_BEFORE: &str = "connection cut before command";
pub(crate) const CUT_AFTER: &str = "reply lost after command";
pub(crate) const LOSING_DATA: &str = "all data lost before command";
pub(crate) const RESTART: &str = "server restarted before command";
pub(crate) const FAILING_POINT: &str = "failure at point";

pub(crate) fn late(time: Duration) -> String {
    format!("reply {} ms late for command", time.as_millis())
}

pub(crate) fn error(error: &str) -> String {
    format!("error {:?} in reply to command", error.split(' ').next().unwrap_or_default())
}

pub(crate) fn losing(pattern: &str) -> String {
    format!("{pattern} lost before command")
}

pub(crate) fn expiring(pattern: &str) -> String {
    format!("{pattern} expired before command")
}

pub(crate) fn point_failed(name: &str) -> String {
    format!("the sweep made the point {name:?} fail")
}

/// `reply lost after command 3 of 7, …`
pub(crate) fn place(fault: &str, number: usize, of: usize, boundary: &str) -> String {
    format!("{fault} {number} of {of}, {boundary}")
}

/// Two places of a pair.
pub(crate) fn and_then(first: &str, second: &str) -> String {
    format!("{first}; then {second}")
}

/// The result of the pairs of faults.
#[derive(Clone, Copy)]
pub(crate) enum Pairs {
    NotChosen,
    /// The numbers of pairs that passed and failed.
    Run([usize; 2]),
    NotRun,
}

/// The numbers of cases that passed and failed, by fault.
pub(crate) fn summary<'a>(
    cases: usize,
    boundaries: usize,
    points: usize,
    by_fault: impl Iterator<Item = (&'a str, [usize; 2])>,
    pairs: Pairs,
) -> String {
    let counted = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    let mut places = counted(boundaries, "command");
    if points > 0 {
        places += &format!(" and {}", counted(points, "point"));
    }
    let mut lines = vec![format!("transient-fixtures: swept {} at {places}:", counted(cases, "case"))];
    for (fault, [passed, failed]) in by_fault {
        lines.push(format!("  {passed} passed, {failed} failed: {fault} N"));
    }
    match pairs {
        Pairs::NotChosen => {}
        Pairs::Run([passed, failed]) => lines.push(format!("  {passed} passed, {failed} failed: pairs of faults")),
        Pairs::NotRun => lines.push("  Pairs of faults were not run, because single faults fail.".to_owned()),
    }
    lines.join("\n")
}

pub(crate) fn not_deterministic(number: usize, one: Option<&str>, other: Option<&str>) -> String {
    let shown = |shape: Option<&str>| shape.unwrap_or("no command").to_owned();
    format!(
        "The scenario is not deterministic: command {number} was {} in one clean run and {} in another.",
        shown(one),
        shown(other)
    )
}

pub(crate) fn unreached(count: usize) -> String {
    format!("{count} of the cases did not reach their boundary: the scenario is not deterministic.")
}

pub(crate) fn progress(done: usize, all: usize) -> String {
    format!("transient-fixtures: {done} of {all} cases swept")
}

pub(crate) fn failed(place: &str, failure: &str, transcript: &dyn Display, summary: &str, replay: &str) -> String {
    format!(
        "the scenario fails with this fault: {place}\n{failure}\nTranscript:\n{transcript}{summary}\n\
         Run this case alone: TRANSIENT_REPLAY='{replay}'"
    )
}

pub(crate) fn fails_without_faults(failure: &str, transcript: &dyn Display) -> String {
    format!("the scenario fails without a fault, so there is nothing to sweep\n{failure}\nTranscript:\n{transcript}")
}

pub(crate) fn seed_failed(failure: &str) -> String {
    format!("the seed of the sweep failed: {failure}")
}

pub(crate) fn again(failure: &str) -> String {
    format!("the second run, without the fault, failed: {failure}")
}

pub(crate) fn then(failure: &str) -> String {
    format!("the check after the run failed: {failure}")
}

pub(crate) fn too_slow(within: Duration) -> String {
    format!("the run did not end within {} s", within.as_secs_f64())
}

pub(crate) fn bad_replay(text: &str) -> String {
    format!("invalid value {text:?} for TRANSIENT_REPLAY: expected a case such as 3/cut-after")
}
