//! The sentences of `mutate`.

use std::ffi::OsString;
use std::fmt::Display;
use std::io;
use std::path::Path;
use std::time::Duration;

/// How sure a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Certainty {
    /// No later reply differs, so that no test can notice.
    Certain,
    /// A reply differs, but this many tests pass, if that is known.
    Passed(Option<usize>),
}

/// A promise that is not tested.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) shape: String,
    /// The name of the command.
    pub(crate) command: String,
    pub(crate) operator: &'static str,
    /// The patterns of its keys.
    pub(crate) keys: Vec<String>,
    /// How many commands were changed.
    pub(crate) uses: usize,
    pub(crate) certainty: Certainty,
    /// What differs.
    pub(crate) difference: Option<Other>,
    pub(crate) sent_by: Vec<String>,
}

/// A reply that is another one with a mutant.
#[derive(Clone, Debug)]
pub(crate) struct Other {
    /// The shape of its command.
    pub(crate) shape: String,
    /// The recorded one, and the other.
    pub(crate) replies: [String; 2],
}

/// What was tried.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    pub(crate) tests: Option<usize>,
    pub(crate) tests_on_redis: Option<usize>,
    pub(crate) commands: usize,
    pub(crate) shapes: usize,
    pub(crate) mutants: usize,
    pub(crate) noticed: usize,
    pub(crate) unnoticed: usize,
    pub(crate) undecided: usize,
    pub(crate) findings: usize,
    pub(crate) accepted: usize,
    pub(crate) incomparable: usize,
    pub(crate) took: Duration,
    /// Shapes, and what they were never answered.
    pub(crate) never_seen: Vec<(String, String)>,
    pub(crate) flaky: Vec<String>,
    /// Entries of the accepted findings that fit none: shape and operator.
    pub(crate) unused: Vec<(String, String)>,
    /// Mutants that the suite notices though their replay does not differ: shape and operator.
    pub(crate) contradictions: Vec<(String, String)>,
}

/// How many names of tests or keys a finding lists.
const NAMES: usize = 5;

/// How many replies that were never seen are listed.
const NEVER: usize = 10;

/// The texts of an operator: what no test notices, what was done, and how to close it.
fn texts(operator: &str) -> [&'static str; 3] {
    match operator {
        "ttl-drop" => [
            "nothing notices if it never expires",
            "was sent without its expiry",
            "let its time pass, and expect it to be gone; or assert its TTL",
        ],
        "ttl-x60" => [
            "nothing notices if it lives 60 times as long",
            "was sent with 60 times its time",
            "let just its time pass, and expect it to be gone; or assert its TTL",
        ],
        "ttl-none" => [
            "nothing notices if it expires at once",
            "was sent with a time in the past",
            "read it after this command, and expect it to be there",
        ],
        "nx-drop" => [
            "nothing notices if it overwrites what is there",
            "was sent without its condition",
            "send it twice, and expect the second one to be refused and the first value to stay",
        ],
        "xx-drop" => [
            "nothing notices if it creates what is not there",
            "was sent without its condition",
            "send it where nothing is, and expect that nothing is created",
        ],
        "gt-drop" | "lt-drop" => [
            "nothing notices if it moves a value the wrong way",
            "was sent without its condition",
            "send a value that must be refused, and expect the old one to stay",
        ],
        "del-skip" => [
            "nothing looks afterwards",
            "was not sent, and answered as if it had been",
            "afterwards, use what was removed once more and expect nothing; or #[clean_redis] and snapshot()?.is_empty()",
        ],
        "write-skip" => [
            "nothing looks at what it writes",
            "was not sent, and answered as if it had been",
            "afterwards, read what was written and expect it",
        ],
        "twice" => {
            ["nothing notices if it happens twice", "was sent twice", "afterwards, expect the exact number or length"]
        }
        "publish-skip" => [
            "no test receives the message",
            "was not sent, and answered with the number of subscribers",
            "subscribe in a test, and expect the message",
        ],
        "watch-skip" => [
            "no test changes the key before EXEC",
            "was not sent",
            "change the key between WATCH and EXEC, and expect the transaction to be refused",
        ],
        "read-nil" => [
            "nothing notices if it never finds anything",
            "was answered with nothing, where there was something",
            "store a value that only Redis can have, and expect it; or count the queries of the database behind it",
        ],
        "range-open" => [
            "nothing notices if the window is wrong",
            "was sent for all scores",
            "add a member outside of the range, and expect that it does not count",
        ],
        "score+1h" => [
            "nothing notices if it is due an hour later",
            "was sent with scores an hour later",
            "expect the exact score, or that it is due in time",
        ],
        "order-flip" => [
            "nothing notices the end of the list",
            "was sent for the other end of the list",
            "add two different elements, and expect them in order",
        ],
        "bound-drop" => [
            "nothing notices if it grows without a bound",
            "was sent without its bound",
            "add more than the bound allows, and expect the length",
        ],
        _ => ["nothing notices if it is changed", "was changed", "assert its effect"],
    }
}

/// What no test notices.
pub(crate) fn claim(finding: &Finding) -> String {
    texts(finding.operator)[0].to_owned()
}

/// How to test it.
pub(crate) fn to_close(finding: &Finding) -> String {
    texts(finding.operator)[2].to_owned()
}

/// The whole report.
pub(crate) fn report(summary: &Summary, findings: &[Finding]) -> String {
    let mut parts = vec![headline(summary)];
    parts.extend(findings.iter().enumerate().map(|(index, finding)| entry(index + 1, finding)));
    if !summary.never_seen.is_empty() {
        parts.push(never_seen(&summary.never_seen));
    }
    let notes = notes(summary);
    if !notes.is_empty() {
        parts.push(notes.join("\n"));
    }
    parts.join("\n\n")
}

fn headline(summary: &Summary) -> String {
    let tests = match (summary.tests_on_redis, summary.tests) {
        (Some(on_redis), Some(all)) if on_redis < all => format!("{on_redis} of {} on Redis, ", count(all, "test")),
        (Some(on_redis), _) => format!("{} on Redis, ", count(on_redis, "test")),
        (None, Some(all)) => format!("{}, ", count(all, "test")),
        (None, None) => String::new(),
    };
    let undecided = if summary.undecided > 0 { format!(", {} undecided", summary.undecided) } else { String::new() };
    format!(
        "mutate: {tests}{}, {}, {}: {} noticed{undecided}, {} not = {} untested{} ({})",
        count(summary.commands, "command"),
        count(summary.shapes, "shape"),
        count(summary.mutants, "mutant"),
        summary.noticed,
        summary.unnoticed,
        count(summary.findings, "promise"),
        if summary.accepted > 0 { format!(" and {} accepted", summary.accepted) } else { String::new() },
        seconds(summary.took),
    )
}

fn entry(number: usize, finding: &Finding) -> String {
    let [claim, done, to_close] = texts(finding.operator);
    let certainty = match finding.certainty {
        Certainty::Certain => "certain, by replay".to_owned(),
        Certainty::Passed(None) => "the suite passes".to_owned(),
        Certainty::Passed(Some(1)) => "its test passes".to_owned(),
        Certainty::Passed(Some(tests)) => format!("its {tests} tests pass"),
    };
    let title = format!("{number:<2} {}: {claim}", finding.shape);
    let evidence = match (&finding.certainty, &finding.difference) {
        (Certainty::Passed(_), Some(Other { shape, replies: [recorded, replayed] })) => {
            format!("{shape} replied {replayed} instead of {recorded}, and no test failed")
        }
        (Certainty::Passed(_), None) => "no test failed".to_owned(),
        (Certainty::Certain, _) => "no later reply in the whole suite differed".to_owned(),
    };
    let mut lines = vec![
        format!("{title:<88} {certainty}"),
        format!("   {} {done} ({}); {evidence}.", finding.command, count(finding.uses, "time")),
    ];
    if finding.keys.len() > 1 {
        lines.push(format!("   keys      {}", listed(&finding.keys)));
    }
    if !finding.sent_by.is_empty() {
        lines.push(format!("   sent by   {}", listed(&finding.sent_by)));
    }
    lines.push(format!("   to close  {to_close}"));
    lines.push(format!(
        "   to accept {{\"shape\": {:?}, \"operator\": {:?}, \"reason\": \"…\"}}",
        finding.shape, finding.operator
    ));
    lines.join("\n")
}

fn never_seen(never_seen: &[(String, String)]) -> String {
    let mut lines = vec!["Replies never seen, by commands that no mutant can tell more about:".to_owned()];
    lines.extend(never_seen.iter().take(NEVER).map(|(shape, what)| format!("   {shape}: {what}")));
    if never_seen.len() > NEVER {
        lines.push(format!("   … and {} more: cargo transient record --all", never_seen.len() - NEVER));
    }
    lines.join("\n")
}

fn notes(summary: &Summary) -> Vec<String> {
    let mut notes = Vec::new();
    if summary.undecided > 0 {
        notes.push(format!(
            "{}: a later reply differs, and the suite was not run to see whether a test looks at it. More --time, or --suite all",
            count(summary.undecided, "undecided mutant")
        ));
    }
    for (shape, operator) in &summary.contradictions {
        notes.push(format!(
            "{operator} on {shape}: the suite fails though no reply differs. Something else reads the server, or the suite is flaky"
        ));
    }
    if summary.incomparable > 0 {
        notes.push(format!(
            "{} to the same commands without a change, and left out",
            match summary.incomparable {
                1 => "1 reply was different".to_owned(),
                many => format!("{many} replies were different"),
            }
        ));
    }
    if !summary.flaky.is_empty() {
        notes.push(format!("Left out, because they fail only sometimes: {}", summary.flaky.join(", ")));
    }
    for (shape, operator) in &summary.unused {
        notes.push(format!("Accepted, but not found any more: {operator} on {shape}"));
    }
    notes
}

fn listed(names: &[String]) -> String {
    let shown: Vec<_> = names.iter().take(NAMES).map(String::as_str).collect();
    let more = names.len().saturating_sub(NAMES);
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

fn seconds(time: Duration) -> String {
    if time < Duration::from_secs(10) {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} s", time.as_secs())
    }
}

// Progress

pub(crate) fn recording(command: &[OsString]) -> String {
    let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
    format!("recording clean runs of {}", words.join(" "))
}

pub(crate) fn replaying(mutants: usize, commands: usize) -> String {
    format!("replaying {} with {}", count(commands, "command"), count(mutants, "mutant"))
}

pub(crate) fn rerunning(mutants: usize) -> String {
    format!("running the suite with {}", count(mutants, "mutant"))
}

// Errors

pub(crate) fn no_commands(variables: &[&str]) -> String {
    format!(
        "no command arrived at the server. Does the suite take its address from {}? Name the variable with --var. A \
         suite that starts a server of its own can't be mutated",
        variables.join(" or ")
    )
}

pub(crate) fn red(code: u8, failed: &[&str], output: &[&str]) -> String {
    let which = if failed.is_empty() {
        format!("it ended with exit code {code}, and the end of its output is\n\n{}", indented(output))
    } else {
        format!("{} failed: {}", count(failed.len(), "test"), failed.join(", "))
    };
    format!("the suite must pass without a mutant, but {which}")
}

pub(crate) fn flaky(failed: usize, runs: usize, tests: &[&str], is_unnamed: bool, output: &[&str]) -> String {
    let which = if tests.is_empty() {
        format!("; the end of the output is\n\n{}", indented(output))
    } else {
        format!(": {}", tests.join(", "))
    };
    let remedy = if is_unnamed {
        "\n\nA run has failed without naming a test, so --allow-flaky can't leave any out"
    } else {
        "\n\nMake it reliable, or leave these tests out of every verdict with --allow-flaky. If runs disturb each other, use -j 1"
    };
    format!("the suite fails only sometimes, in {failed} of {runs} runs without a mutant{which}{remedy}")
}

fn indented(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

pub(crate) fn not_recorded(cause: &dyn Display) -> String {
    format!("could not record the suite: {cause}. The recording is in the directory for temporary files (TMPDIR)")
}

pub(crate) fn not_written(path: &Path, cause: &io::Error) -> String {
    format!("could not write the report to {} ({cause})", path.display())
}

pub(crate) fn not_replayed(cause: &dyn Display) -> String {
    format!("could not replay the recorded commands without a mutant ({cause}). Please report this, with the commands")
}

pub(crate) fn not_accepted(path: &Path, cause: &dyn Display) -> String {
    format!(
        "could not read the accepted findings in {} ({cause}). It is JSON: {{\"accept\": [{{\"shape\": \"DEL cart:<id>\", \
         \"operator\": \"del-skip\", \"reason\": \"why\"}}]}}",
        path.display()
    )
}

pub(crate) const NO_ENTRIES: &str = "it has no list \"accept\"";

pub(crate) fn incomplete_entry(entry: &str) -> String {
    format!("{entry} has no shape, operator or reason")
}

pub(crate) fn no_time() -> String {
    "it is not a time such as 90s, 5m or 1h".to_owned()
}

pub(crate) fn unknown_operator(name: &str, known: &[&str]) -> String {
    format!("{name} is unknown. There are {}", known.join(", "))
}

#[cfg(test)]
pub(crate) mod golden {
    use super::*;

    fn finding(operator: &'static str, certainty: Certainty) -> Finding {
        Finding {
            shape: "DEL session:<id>".to_owned(),
            command: "DEL".to_owned(),
            operator,
            keys: vec!["session:<id>".to_owned()],
            uses: 1,
            certainty,
            difference: None,
            sent_by: vec!["logs_out".to_owned(), "gets_a_new_id".to_owned()],
        }
    }

    const OPERATORS: [&str; 17] = [
        "ttl-drop",
        "ttl-x60",
        "ttl-none",
        "nx-drop",
        "xx-drop",
        "gt-drop",
        "lt-drop",
        "del-skip",
        "write-skip",
        "twice",
        "publish-skip",
        "watch-skip",
        "read-nil",
        "range-open",
        "score+1h",
        "order-flip",
        "bound-drop",
    ];

    pub(crate) fn sentences() -> Vec<String> {
        let summary = Summary {
            tests: Some(193),
            tests_on_redis: Some(11),
            commands: 283,
            shapes: 5,
            mutants: 20,
            noticed: 13,
            unnoticed: 7,
            findings: 4,
            took: Duration::from_secs(21),
            ..Summary::default()
        };
        let seen = Finding {
            shape: "SET EX".to_owned(),
            command: "SET".to_owned(),
            keys: ["a", "b", "c", "d", "e", "f"].map(str::to_owned).to_vec(),
            uses: 12,
            difference: Some(Other {
                shape: "GET price:<id>".to_owned(),
                replies: ["12900".to_owned(), "nil".to_owned()],
            }),
            sent_by: Vec::new(),
            ..finding("write-skip", Certainty::Passed(Some(2)))
        };
        let with_all = Summary {
            tests_on_redis: None,
            undecided: 1,
            accepted: 2,
            incomparable: 3,
            flaky: vec!["pays".to_owned()],
            unused: vec![("SET cart:<id>".to_owned(), "write-skip".to_owned())],
            contradictions: vec![("GET a".to_owned(), "read-nil".to_owned())],
            never_seen: vec![
                ("SET lock:<id> NX".to_owned(), "never refused: its condition was always met".to_owned());
                11
            ],
            took: Duration::from_millis(2_345),
            ..summary.clone()
        };
        let other = |tests: Option<usize>| finding("twice", Certainty::Passed(tests));
        let mut sentences = vec![
            report(&summary, &[finding("del-skip", Certainty::Certain), seen]),
            report(&with_all, &[other(None), other(Some(1))]),
            report(&Summary { tests: None, commands: 1, incomparable: 1, undecided: 2, ..with_all }, &[]),
        ];
        sentences.extend(OPERATORS.map(|operator| entry(1, &finding(operator, Certainty::Certain))));
        let command = [OsString::from("cargo"), OsString::from("test")];
        let full = io::Error::new(io::ErrorKind::StorageFull, "No space left on device (os error 28)");
        sentences.extend([
            recording(&command),
            replaying(20, 283),
            rerunning(1),
            no_commands(&["REDIS_URL", "TRANSIENT_REDIS_URL"]),
            red(2, &[], &["Traceback", "KeyError"]),
            red(101, &["cart::adds", "pays"], &[]),
            flaky(1, 3, &["pays"], false, &[]),
            flaky(2, 3, &[], true, &["Killed"]),
            not_recorded(&full),
            not_written(Path::new("report.json"), &full),
            not_replayed(&full),
            not_accepted(Path::new("accepted.json"), &NO_ENTRIES),
            not_accepted(Path::new("accepted.json"), &incomplete_entry("{}")),
            no_time(),
            unknown_operator("ttl-dorp", &["ttl-drop", "twice"]),
        ]);
        sentences
    }
}
