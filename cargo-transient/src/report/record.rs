//! What `record` prints.

use std::fmt::{Display, Write as _};
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::record::branches::Outcome;
use crate::record::summary::{Never, ShapeSummary, Summary};
use crate::shape::Shape;

/// The width of a terminal.
const WIDTH: usize = 80;

/// The columns before a shape: its count, and two spaces.
const INDENT: usize = 10;

pub(crate) fn not_recorded(cause: &dyn Display) -> String {
    format!(
        "the commands were not recorded, so there is no summary: {cause}. Without --recording FILE, the recording is in \
         the directory for temporary files (TMPDIR)"
    )
}

pub(crate) fn not_written(path: &Path, cause: &io::Error) -> String {
    format!("could not write {} ({cause}). Check that its directory exists and has space", path.display())
}

// Budgets

pub(crate) fn round_trips(seen: usize, most: usize) -> String {
    format!(
        "the command made {seen} round trips, and --round-trips allows {most}. Send commands that don't need each \
         other's replies in one pipeline"
    )
}

pub(crate) fn never(name: &str, count: usize, pattern: &str) -> String {
    format!("{name} was sent {}, which --never {pattern} forbids. --transcript shows where", times(count))
}

pub(crate) fn never_without_ttl(shape: &Shape, example: &[u8], shapes: usize) -> String {
    format!(
        "{shape} left the key {} without a TTL{}, which --never-without-ttl forbids. Set one with EX or EXPIRE",
        shown(example),
        and_others(shapes)
    )
}

pub(crate) fn never_n_plus_one(shape: &Shape, length: usize, shapes: usize) -> String {
    format!(
        "{shape} was sent {} in a row, each time waiting for the reply{}, which --never-n-plus-one forbids. {}",
        times(length),
        and_others(shapes),
        remedy(shape.name())
    )
}

fn and_others(shapes: usize) -> String {
    match shapes {
        0 | 1 => String::new(),
        2 => " (another shape did, too)".to_owned(),
        _ => format!(" ({} other shapes did, too)", shapes - 1),
    }
}

// The summary

/// At most this number of shapes is `shown` in each list.
pub(crate) fn summary(summary: &Summary, elapsed: Duration, malformed: &[String], shown: usize) -> String {
    let mut text = head(summary, elapsed);
    for message in malformed {
        let _ = write!(text, "\nnote: {message}");
    }
    if summary.commands == 0 {
        return text + NOTHING;
    }
    let shapes = summary.shapes.iter().map(|summary| row(summary.count, &summary.shape, &errors(summary)));
    section(&mut text, "Commands by shape", shapes, shown);
    let without_ttl = summary.without_ttl.iter().map(|(shape, found)| {
        let example = self::shown(&found.example);
        row(found.never + found.lost, shape, &without_ttl(&example, found.never, found.lost))
    });
    section(&mut text, "Keys left without a TTL, by the command that wrote them", without_ttl, shown);
    let repeated = summary.repeated.iter().map(|(shape, found)| {
        let what = format!("up to {} in a row. {}", found.longest, remedy(shape.name()));
        row(found.commands, shape, &what)
    });
    section(&mut text, "N+1 suspects: a round trip for each key", repeated, shown);
    let never_seen =
        summary.never_seen.iter().map(|never| row(never.count, &never.shape, &self::never_seen(&never.what)));
    section(&mut text, "Replies never seen: branches that no test takes", never_seen, shown);
    text
}

fn head(summary: &Summary, elapsed: Duration) -> String {
    let handshakes: usize = summary.handshakes.values().sum();
    let handshakes = match handshakes {
        0 => String::new(),
        1 => "; 1 more set up a connection".to_owned(),
        _ => format!("; {handshakes} more set up connections"),
    };
    format!(
        "record: {} of {}, {} on {}\n        {:.1} s; clients waited {:.1} s for replies{handshakes}",
        counted(summary.commands, "command"),
        counted(summary.shapes.len(), "shape"),
        counted(summary.round_trips, "round trip"),
        counted(summary.connections, "connection"),
        elapsed.as_secs_f64(),
        summary.waited.as_secs_f64(),
    )
}

const NOTHING: &str = "

No command arrived. Does the program connect to the address in REDIS_URL or
TRANSIENT_REDIS_URL? --var NAME sets another variable, and --var NAME={host} the
host alone. A program that starts a server of its own, also by `cargo transient
exec` as cargo's runner, or has an address in its code, is not seen here.";

fn section(text: &mut String, title: &str, rows: impl ExactSizeIterator<Item = String>, shown: usize) {
    let count = rows.len();
    if count == 0 {
        return;
    }
    let _ = write!(text, "\n\n{title}");
    rows.take(shown).for_each(|row| _ = write!(text, "\n{row}"));
    if count > shown {
        let _ = write!(text, "\n{:INDENT$}… and {} more: --all", "", count - shown);
    }
}

/// A count, a shape, and what there is to say about it: on a line of its own if it is too long.
fn row(count: usize, shape: &Shape, what: &str) -> String {
    let shape = cut(&shape.to_string(), WIDTH - INDENT);
    let line = format!("{count:>8}  {shape}");
    match what {
        "" => line,
        _ if line.chars().count() + 2 + what.chars().count() <= WIDTH => format!("{line}  {what}"),
        _ => format!("{line}\n{:>width$}{what}", "", width = INDENT + 2),
    }
}

fn errors(summary: &ShapeSummary) -> String {
    let errors: Vec<_> = summary.errors.iter().map(|(code, count)| format!("{count} {code}")).collect();
    if errors.is_empty() { String::new() } else { format!("(errors: {})", errors.join(", ")) }
}

fn without_ttl(example: &str, never: usize, lost: usize) -> String {
    match (never, lost) {
        (_, 0) => format!("such as {example}"),
        (0, _) => format!("such as {example}, which had one before"),
        _ => format!("such as {example}; {lost} had one before"),
    }
}

fn remedy(name: &str) -> String {
    match name {
        "GET" => "MGET or a pipeline is one round trip".to_owned(),
        "SET" => "MSET or a pipeline is one round trip".to_owned(),
        "DEL" | "UNLINK" | "EXISTS" | "TOUCH" => format!("{name} with all keys is one round trip"),
        _ => "A pipeline is one round trip".to_owned(),
    }
}

pub(crate) fn never_seen(what: &Never) -> String {
    let text = match what {
        Never::AnythingBut(answer) => return format!("never answered anything but {answer}"),
        Never::Outcome(outcome) => match outcome {
            Outcome::Found => "never found a value",
            Outcome::Missing => "never missed: there always was a value",
            Outcome::Accepted => "never accepted: its condition was never met",
            Outcome::Refused => "never refused: its condition was always met",
            Outcome::Removed => "never removed anything",
            Outcome::NothingToRemove => "never came too late: it always removed something",
            Outcome::True => "never true",
            Outcome::False => "never false",
            Outcome::Element => "never got an element",
            Outcome::NoElement => "never came back empty",
            Outcome::KeyThere => "never found the key",
            Outcome::KeyGone => "never found the key gone",
            Outcome::New => "never added anything new",
            Outcome::AlreadyThere => "never added what was there already",
            Outcome::Executed => "never executed: always aborted by a WATCH",
            Outcome::Aborted => "never aborted by a WATCH",
            Outcome::NoKey => "never found the key gone (-2)",
            Outcome::NoTtl => "never found a key without a TTL (-1)",
            Outcome::GroupThere => "never found the group there already (BUSYGROUP)",
            Outcome::Received => "never had a receiver",
            Outcome::ScriptUnknown => "never met a server without the script (NOSCRIPT)",
        },
    };
    text.to_owned()
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn times(count: usize) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// A key, whatever its bytes.
fn shown(key: &[u8]) -> String {
    cut(&String::from_utf8_lossy(key).escape_debug().to_string(), 40)
}

fn cut(text: &str, width: usize) -> String {
    match text.char_indices().nth(width) {
        Some(_) => text.chars().take(width - 1).chain(['…']).collect(),
        None => text.to_owned(),
    }
}

#[cfg(test)]
pub(super) mod golden {
    use super::*;
    use crate::record::summary::summed_up;

    pub(in crate::report) fn sentences() -> Vec<String> {
        let io = io::Error::new(io::ErrorKind::StorageFull, "No space left on device (os error 28)");
        let gets: Vec<_> = (0..20).map(|number| format!("GET price:{number}")).collect();
        let mut exchanges = Vec::from([
            ("SELECT 3", "+OK\r\n"),
            ("SET lock:mail a EX 60 NX", "+OK\r\n"),
            ("SET session:1 a EX 60", "+OK\r\n"),
            ("SET session:1 b", "+OK\r\n"),
            ("HSET cart:17 a 1", ":1\r\n"),
            ("HSET cart:18 a 1", ":1\r\n"),
            ("LPUSH cart:17 a", "-WRONGTYPE no\r\n"),
            ("EXPIRE cart:18 60", ":1\r\n"),
            ("DEL session:2", ":1\r\n"),
            ("WATCH stock", "+OK\r\n"),
            ("MULTI", "+OK\r\n"),
            ("DECR stock", "+QUEUED\r\n"),
            ("EXEC", "*1\r\n:1\r\n"),
            ("EVALSHA 0123456789abcdef 1 limit:1", ":1\r\n"),
            ("EVALSHA 0123456789abcdef 1 limit:1", ":1\r\n"),
        ]);
        exchanges.extend(gets.iter().map(|get| (get.as_str(), "$1\r\n1\r\n")));
        let full = summed_up(&exchanges);
        let nothing = summed_up(&[("PING", "+PONG\r\n")]);
        let [elapsed, short] = [3_210, 40].map(Duration::from_millis);
        let (without_ttl, repeated) = (&full.without_ttl[0], &full.repeated[0]);
        let mut outcomes = String::new();
        for outcome in Outcome::ALL {
            let _ = writeln!(outcomes, "{}", never_seen(&Never::Outcome(outcome)));
        }
        Vec::from([
            not_recorded(&"the disk is full"),
            not_written(Path::new("/shop/summary.json"), &io),
            round_trips(190, 100),
            never("KEYS", 1, "KEYS"),
            never("FLUSHDB", 3, "FLUSH*"),
            never_without_ttl(&without_ttl.0, &without_ttl.1.example, 1),
            never_without_ttl(&without_ttl.0, &without_ttl.1.example, 2),
            never_n_plus_one(&repeated.0, repeated.1.longest, 3),
            remedy("SET"),
            remedy("UNLINK"),
            remedy("HGETALL"),
            summary(&full, elapsed, &[], usize::MAX),
            summary(&full, elapsed, &["[3] sent bytes that are not the protocol".to_owned()], 1),
            summary(&nothing, short, &[], 10),
            outcomes,
        ])
    }
}
