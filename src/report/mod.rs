//! Every sentence that a user of this crate is shown.
//!
//! The text of an error is one or more whole sentences that can follow `Error: `: the first one begins in lower case,
//! the others with a capital, and the last one has no full stop. It states what is wrong, where, and what to do, once.
//! It does not repeat the error's source. Passwords never appear: URLs go through [`redact`].

#[cfg(feature = "snapshot")]
pub(crate) mod backup;
pub(crate) mod command;
pub(crate) mod container;
#[cfg(feature = "snapshot")]
pub(crate) mod data;
pub(crate) mod download;
pub(crate) mod failure;
#[cfg(feature = "tap")]
pub(crate) mod faults;
// It renders the sentences of all features and platforms.
#[cfg(all(
    test,
    unix,
    feature = "apalis",
    feature = "container",
    feature = "http",
    feature = "rq",
    feature = "sidekiq",
    feature = "snapshot",
    feature = "tap",
))]
mod golden;
#[cfg(feature = "jobs")]
pub(crate) mod jobs;
pub(crate) mod kept;
pub(crate) mod lease;
pub(crate) mod lint;
pub(crate) mod process;
#[cfg(feature = "tap")]
pub(crate) mod races;
pub(crate) mod running;
#[cfg(feature = "session")]
pub(crate) mod session;
pub(crate) mod settings;
#[cfg(feature = "snapshot")]
pub(crate) mod snapshot;
#[cfg(feature = "tap")]
pub(crate) mod tap;
pub(crate) mod travel;

use std::fmt::{Debug, Display};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

/// Prints to the test's output, which the harness shows when the test fails. `eprintln!` panics if standard error is
/// closed, which must not happen while another panic unwinds.
pub(crate) fn print(text: &str) {
    let _ = std::panic::catch_unwind(|| eprintln!("{text}"));
}

/// Prints to standard error at once. The harness does not capture it until the test ends.
pub(crate) fn shout(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// A URL without its password. In a malformed URL, everything that could be one is removed: the text before the last
/// `@`, and after a scheme without a host.
pub(crate) fn redact(url: &str) -> String {
    let shown = match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, server))) => format!("{scheme}://***@{server}"),
        (None, Some((_, server))) => format!("***@{server}"),
        (Some((scheme, rest)), None) if is_host(rest) => format!("{scheme}://{rest}"),
        // `redis://:secret`, `redis:/:secret`, `redis://user:secret`
        (Some((scheme, _)), None) => format!("{scheme}://***"),
        (None, None) => match url.split_once(":/") {
            Some((scheme, _)) => format!("{scheme}:***"),
            None => url.to_owned(),
        },
    };
    let secret = ["pass", "user", "auth", "token", "secret"];
    match shown.split_once('?') {
        Some((before, query)) if secret.iter().any(|name| query.to_lowercase().contains(name)) => {
            self::shown(&format!("{before}?***"))
        }
        _ => self::shown(&shown),
    }
}

/// Whether the text after a scheme begins like `host`, `host:port`, `[::1]:port` or a path, and not like
/// `user:password`.
fn is_host(rest: &str) -> bool {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !authority.ends_with(']') => (host, port),
        _ => (authority, ""),
    };
    port.bytes().all(|byte| byte.is_ascii_digit()) && (!host.is_empty() || authority.is_empty())
}

/// The longest foreign text that is shown, in characters.
const SHOWN: usize = 500;

/// Text of a file, the environment or a server, safe to print: on one line, cut, without control characters.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String =
        text.chars().take(SHOWN).map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown += &format!("… ({} bytes)", text.len());
    }
    shown
}

/// The prefix of a key, which shows its origin. The rest can be a session id, which is a secret.
pub(crate) fn shorten_key(key: &[u8]) -> String {
    let text = String::from_utf8_lossy(key).escape_debug().to_string();
    let prefix: String = match text.split_once(':') {
        Some((prefix, _)) => prefix.chars().take(30).chain([':']).collect(),
        None => text.chars().take(4).collect(),
    };
    format!("{prefix}…")
}

// Providers

/// Why a provider has no server, and what to do about it. Both are clauses without a capital and a full stop.
#[derive(Clone, Debug)]
pub(crate) struct Reason {
    pub(crate) why: String,
    pub(crate) remedy: String,
}

/// The line on a test's output that states which server it has, and why.
pub(crate) fn server_taken(server: &dyn Display, why: &str, test: &str) -> String {
    format!("transient-fixtures: {server}; {why} (for {test})")
}

pub(crate) fn warning(text: &str) -> String {
    format!("transient-fixtures: warning: {text}")
}

/// Why a provider was selected, and why the ones before it were not: the first sentence of each reason.
pub(crate) fn because(reasons: impl Iterator<Item = String>) -> String {
    let reasons: Vec<_> = reasons.map(|reason| first_sentence(&reason).to_owned()).collect();
    reasons.join("; ")
}

fn first_sentence(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default().trim_end_matches(':');
    let ends = line.match_indices(". ").map(|(at, _)| at);
    let mut ends = ends.filter(|at| line[at + 2..].starts_with(|letter: char| letter.is_ascii_uppercase()));
    ends.next().map_or(line, |end| &line[..end])
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

pub(crate) fn note(text: &str) -> String {
    format!("transient-fixtures: note: {text}")
}

pub(crate) const NO_WHOLE_CLOCK: &str = "it can't move the clocks of its servers, which redis.clock = whole needs";
pub(crate) const REMEDY_NO_WHOLE_CLOCK: &str =
    "set redis.clock = ageing (TRANSIENT_CLOCK), or let another provider start the server";

/// For each provider: its name, why it has no server, and what to do, which is empty where the reason says so.
pub(crate) fn no_server<'a>(unavailable: impl IntoIterator<Item = [&'a str; 3]>) -> String {
    let mut text = "found no Redis server. Tried these providers:".to_owned();
    for [provider, why, remedy] in unavailable {
        let why = why.replace('\n', "\n             ");
        text += &format!("\n  {provider:<10} {why}");
        if !remedy.is_empty() {
            text += &format!("\n             -> {remedy}");
        }
    }
    text + "\nFollow one of these hints, then try again"
}

pub(crate) fn found_before(report: &str) -> String {
    format!("{report}\nAnother process of this test run found this. The providers were not tried again")
}

pub(crate) fn no_random_bytes(error: &dyn Display) -> String {
    format!("transient-fixtures could not get random bytes from the operating system: {error}")
}

// Servers whose databases must not be cleared

pub(crate) mod refused {
    use super::Display;

    pub(crate) fn not_local(url: &str, place: &dyn Display) -> String {
        format!(
            "{url} ({place}) is on another machine, and tests clear databases. Nothing was changed. If it is a server for \
             tests, name it in the environment variable TRANSIENT_REDIS_URL"
        )
    }

    pub(crate) fn replica(url: &str) -> String {
        format!("{url} is a replica, but tests write. Nothing was changed. Use its primary, or another server")
    }

    pub(crate) fn loading(url: &str) -> String {
        format!("{url} is still loading its data. Nothing was changed. Run the tests again when it is ready")
    }

    pub(crate) fn mode(url: &str, mode: &str) -> String {
        format!(
            "{url} runs in {mode} mode, but tests need databases of their own. Nothing was changed. Use a standalone \
             server"
        )
    }

    pub(crate) fn no_such_database(url: &str, database: u32, error: &str) -> String {
        format!(
            "{url} has no database {database} ({error}). Nothing was changed. Give the server more databases (databases \
             16 in redis.conf), or use others with redis.databases"
        )
    }

    pub(crate) fn foreign_keys(url: &str, database: u32, count: u64, example: &str, too_many: bool) -> String {
        let keys = super::keys(count);
        let hint = if too_many { " An earlier run left more keys than can be recorded." } else { "" };
        format!(
            "{url}: database {database} holds {keys} that no earlier test run left (for example {example}).{hint} \
             Nothing was changed. To let the tests clear them, set TRANSIENT_ADOPT=1 once. Otherwise use another server \
             (TRANSIENT_REDIS_URL), or have one started (TRANSIENT_PROVIDER=process)"
        )
    }
}

// Leases

/// The source is the I/O error.
pub(crate) fn no_lock(path: &Path) -> String {
    format!(
        "could not lock {}, which keeps two tests from using one server at once. Set XDG_CACHE_HOME to a writable \
         directory",
        path.display()
    )
}

pub(crate) fn foreign_file(path: &Path) -> String {
    format!(
        "{} is a link or another user's file, left while others could write to its directory. Remove it",
        path.display()
    )
}

/// The source is the server's error.
pub(crate) fn server_lost(server: &dyn Display) -> String {
    format!("could not prepare {server} for a test. Check that it is still running, then run the test again")
}

/// The source is the I/O error.
pub(crate) fn no_answer(server: &dyn Display) -> String {
    format!("{server} does not answer. Check that it is still running")
}

/// The source is the server's error.
pub(crate) fn error_reply(server: &dyn Display) -> String {
    format!("a command failed on {server}")
}

/// The source is the server's error.
pub(crate) fn wrong_type(server: &dyn Display) -> String {
    format!(
        "a key on {server} does not have the type that the session or job format expects. Use the application's format, \
         or delete the key"
    )
}

/// Where the server of a failed or killed test will be. Printed before the test, because a killed test prints nothing.
pub(crate) fn will_keep(server: &dyn Display, cli: &str, end: &str) -> String {
    format!(
        "transient-fixtures: TRANSIENT_KEEP: {server} keeps running unless this test passes. Inspect it: {cli}  Stop it: \
         {end}"
    )
}

pub(crate) fn kept(test: &str, server: &dyn Display, cli: &str, end: &str) -> String {
    format!(
        "\n*** transient-fixtures: KEPT the server of {test}, which failed: {server} ***\n*** inspect it: {cli}\n*** stop \
         it:    {end}"
    )
}

pub(crate) fn not_kept(server: &dyn Display, cli: &str) -> String {
    format!(
        "transient-fixtures: TRANSIENT_KEEP: {server} was running before, and the next test clears its databases. Inspect it now: {cli}"
    )
}

fn keys(count: u64) -> String {
    if count == 1 { "1 key".to_owned() } else { format!("{count} keys") }
}

// The panic of a fixture, which ends the test

/// `error`: its `Debug` form shows the causes as well.
pub(crate) fn test_cannot_run(test: &str, error: &dyn Debug) -> String {
    format!("the test {test} can't run: {error:?}")
}

/// `error`: its `Debug` form shows the causes as well.
pub(crate) fn settings_unusable(error: &dyn Debug) -> String {
    format!("the test can't run: {error:?}")
}
