//! Every sentence that a test author can be shown, each ending with what to do.
//!
//! Errors are fragments that can follow "failed to". Secrets never appear: URLs go through [`redact`].

#[cfg(feature = "snapshot")]
pub(crate) mod data;
pub(crate) mod download;
pub(crate) mod failure;
#[cfg(feature = "tap")]
pub(crate) mod faults;
// What is not built is not rendered.
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
pub(crate) mod lease;
pub(crate) mod lint;
pub(crate) mod process;
pub(crate) mod running;
#[cfg(feature = "session")]
pub(crate) mod session;
pub(crate) mod settings;
#[cfg(feature = "snapshot")]
pub(crate) mod snapshot;
#[cfg(feature = "tap")]
pub(crate) mod tap;
pub(crate) mod travel;

use std::fmt::Display;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

/// Prints to the test's output, which the harness shows when the test fails. Where nobody listens any more, `eprintln!`
/// panics, which must not happen while another panic unwinds.
pub(crate) fn print(text: &str) {
    let _ = std::panic::catch_unwind(|| eprintln!("{text}"));
}

/// Prints past the harness, which would keep it to itself until the test ends: for what must be known before.
pub(crate) fn shout(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// A URL without its password, and without what could be one in something that is no URL: all that stands before the
/// last `@`, and behind a scheme that has no host.
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

/// Whether that begins like `host`, `host:port`, `[::1]:port` or a path, and not like `user:password`.
fn is_host(rest: &str) -> bool {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !authority.ends_with(']') => (host, port),
        _ => (authority, ""),
    };
    port.bytes().all(|byte| byte.is_ascii_digit()) && (!host.is_empty() || authority.is_empty())
}

/// How much of somebody else's text is shown, in characters.
const SHOWN: usize = 500;

/// Text of a file, the environment or a server as it may be shown: in one piece, cut, without control characters.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String =
        text.chars().take(SHOWN).map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown += &format!("… ({} bytes)", text.len());
    }
    shown
}

/// What a key starts with, which says whose it is. The rest may be a visitor's session id.
pub(crate) fn shorten_key(key: &[u8]) -> String {
    let text = String::from_utf8_lossy(key).escape_debug().to_string();
    let prefix: String = match text.split_once(':') {
        Some((prefix, _)) => prefix.chars().take(30).chain([':']).collect(),
        None => text.chars().take(4).collect(),
    };
    format!("{prefix}…")
}

// Providers

/// The line on a test's output that says which server it has, and why.
pub(crate) fn server_taken(server: &dyn Display, why: &str, test: &str) -> String {
    format!("transient-fixtures: {server}; {why} (for {test})")
}

pub(crate) fn warning(text: &str) -> String {
    format!("transient-fixtures: warning: {text}")
}

/// Why a provider was taken: what it found, and what those before it had not.
pub(crate) fn because(reasons: impl Iterator<Item = String>) -> String {
    let lines: Vec<_> = reasons.map(|reason| reason.lines().next().unwrap_or_default().to_owned()).collect();
    lines.join("; ")
}

pub(crate) fn note(text: &str) -> String {
    format!("transient-fixtures: note: {text}")
}

pub(crate) const NO_WHOLE_CLOCK: &str = "its servers' clocks can't be moved, which redis.clock = whole asks for";
pub(crate) const REMEDY_NO_WHOLE_CLOCK: &str =
    "set redis.clock = ageing (TRANSIENT_CLOCK), or let another provider start the server";

/// Of each provider: its name, why it has no server, and what to do.
pub(crate) fn no_server<'a>(unavailable: impl IntoIterator<Item = [&'a str; 3]>) -> String {
    let mut text = "find a Redis for the tests. Tried:".to_owned();
    for [provider, why, remedy] in unavailable {
        let why = why.replace('\n', "\n             ");
        text += &format!("\n  {provider:<10} {why}\n             -> {remedy}");
    }
    text + "\nDo one of these, and run the tests again."
}

pub(crate) fn same_verdict(report: &str) -> String {
    format!("{report}\n(Found out by the first test of this run.)")
}

#[cfg(not(feature = "container"))]
pub(crate) mod container {
    pub(crate) const NOT_BUILT_IN: &str = "not built in: the feature `container` of transient-fixtures is off";
    pub(crate) const REMEDY_NOT_BUILT_IN: &str = "add the feature `container` to the dev-dependency";

    pub(crate) fn started(image: &str) -> String {
        format!("started the image {image}")
    }
}

#[cfg(feature = "container")]
pub(crate) mod container {
    use super::{Duration, Path};

    pub(crate) const REMEDY: &str = "start a container engine (Docker or podman), or set DOCKER_HOST";

    pub(crate) fn started(image: &str) -> String {
        format!("started the image {image}")
    }

    pub(crate) fn no_engine(error: &str) -> String {
        format!("no container engine answers ({error})")
    }

    pub(crate) fn remedy_podman(socket: &Path) -> String {
        format!("podman's socket is there: export DOCKER_HOST=unix://{}", socket.display())
    }

    pub(crate) fn not_started(image: &str, error: &str) -> String {
        format!("the engine can't start {image} ({error})")
    }

    pub(crate) fn no_slot(directory: &Path, error: &std::io::Error) -> String {
        format!("can't write to {} ({error}), where containers are shared; set XDG_CACHE_HOME", directory.display())
    }

    pub(crate) fn too_slow(image: &str, deadline: Duration) -> String {
        format!("{image} was not there and answering within {} s", deadline.as_secs())
    }

    pub(crate) fn remedy_image(image: &str) -> String {
        format!("get the image first: docker pull {image}; or name another in TRANSIENT_IMAGE")
    }
}

pub(crate) fn no_random_bytes(error: &dyn Display) -> String {
    format!("transient-fixtures needs random bytes for passwords, and the operating system gives none: {error}")
}

// What may be flushed

pub(crate) mod refused {
    use super::Display;

    pub(crate) fn not_local(url: &str, place: &dyn Display) -> String {
        format!(
            "use {url} ({place}): it is on another machine, and a test clears databases. Nothing was touched. If it is \
             a server for tests, name it in the environment: TRANSIENT_REDIS_URL={url}"
        )
    }

    pub(crate) fn replica(url: &str) -> String {
        format!(
            "use {url}: it is a replica, and a test writes. Nothing was touched. Name its master, or another server"
        )
    }

    pub(crate) fn loading(url: &str) -> String {
        format!("use {url}: it is still loading its data. Nothing was touched. Run the tests when it is ready")
    }

    pub(crate) fn mode(url: &str, mode: &str) -> String {
        format!(
            "use {url}: it runs in {mode} mode, where databases are not ours to clear. Nothing was touched. Name a \
             standalone server"
        )
    }

    pub(crate) fn no_such_database(url: &str, database: u32, error: &str) -> String {
        format!(
            "use {url}: it has no database {database} ({error}). Nothing was touched. Give the server more databases \
             (databases 16 in redis.conf), or name others in redis.databases"
        )
    }

    pub(crate) fn foreign_keys(url: &str, database: u32, count: u64, example: &str, too_many: bool) -> String {
        let keys = super::keys(count);
        let hint = if too_many { " An earlier run left more keys than are remembered." } else { "" };
        format!(
            "use {url}: its database {database} holds {keys} that no earlier run of these tests is known to have left \
             (for instance {example}).{hint} Nothing was touched. If they may be cleared, set TRANSIENT_ADOPT=1 once; \
             else name another server in TRANSIENT_REDIS_URL, or have one started: TRANSIENT_PROVIDER=process"
        )
    }
}

// Leases

pub(crate) fn no_lock(path: &Path, error: &io::Error) -> String {
    format!(
        "lock {} ({error}), which keeps two tests from using one server; set XDG_CACHE_HOME to a writable directory",
        path.display()
    )
}

pub(crate) fn server_lost(server: &dyn Display, error: &dyn Display) -> String {
    format!("prepare {server} for this test: {error}; is it still running? Run the test again")
}

pub(crate) fn no_answer(server: &dyn Display, error: &dyn Display) -> String {
    format!("use {server}: {error}; is it still running, and the key of the type that the framework uses?")
}

/// Where a failed or killed test's server will be. Said before the test, since a killed one says nothing.
pub(crate) fn will_keep(server: &dyn Display, cli: &str, end: &str) -> String {
    format!("transient-fixtures: TRANSIENT_KEEP: unless this test passes, {server} stays. Look: {cli}  End it: {end}")
}

pub(crate) fn kept(test: &str, server: &dyn Display, cli: &str, end: &str) -> String {
    format!(
        "\n*** transient-fixtures: KEPT the server of {test}, which failed: {server} ***\n*** look:   {cli}\n*** end it: \
         {end}"
    )
}

pub(crate) fn not_kept(server: &dyn Display, cli: &str) -> String {
    format!(
        "transient-fixtures: TRANSIENT_KEEP: {server} is not ours to keep, and the next test clears its databases. Look \
         now: {cli}"
    )
}

fn keys(count: u64) -> String {
    if count == 1 { "1 key".to_owned() } else { format!("{count} keys") }
}

// The panic of a fixture, which ends the test

pub(crate) fn test_cannot_run(test: &str, error: &dyn Display) -> String {
    format!("the test {test} can't run: transient-fixtures failed to {error}")
}

pub(crate) fn settings_unusable(error: &dyn Display) -> String {
    format!("the test can't run: transient-fixtures failed to {error}")
}
