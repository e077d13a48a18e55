//! Every sentence that a test author can be shown, each ending with what to do.
//!
//! Errors are fragments that can follow "failed to". Secrets never appear: URLs go through [`redact`].

#[cfg(feature = "snapshot")]
pub(crate) mod data;
pub(crate) mod download;
pub(crate) mod failure;
#[cfg(feature = "jobs")]
pub(crate) mod jobs;
pub(crate) mod lease;
pub(crate) mod lint;
pub(crate) mod process;
pub(crate) mod running;
#[cfg(feature = "session")]
pub(crate) mod session;
#[cfg(feature = "snapshot")]
pub(crate) mod snapshot;
pub(crate) mod travel;

use std::fmt::Display;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use url::Url;

/// Prints to the test's output, which the harness shows when the test fails. Where nobody listens any more, `eprintln!`
/// panics, which must not happen while another panic unwinds.
pub(crate) fn print(text: &str) {
    let _ = std::panic::catch_unwind(|| eprintln!("{text}"));
}

/// Prints past the harness, which would keep it to itself until the test ends: for what must be known before.
pub(crate) fn shout(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// A URL without its password.
pub(crate) fn redact(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut parsed) if !parsed.cannot_be_a_base() => {
            if parsed.password().is_some() && parsed.set_password(Some("***")).is_err() {
                return "(a URL with a password)".to_owned();
            }
            let secret_parameter = parsed.query_pairs().any(|(name, _)| name.starts_with("pass"));
            if secret_parameter {
                parsed.set_query(Some("***"));
            }
            parsed.to_string()
        }
        // Not a URL, but somebody may have meant one with a password.
        _ => match url.rsplit_once('@') {
            Some((_, server)) => format!("***@{server}"),
            None => url.to_owned(),
        },
    }
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

// Settings

pub(crate) fn bad_value(place: &dyn Display, key: &str, text: &str, legal: &str) -> String {
    format!("read the settings: {place}: {key} = {text:?} is not {legal}; correct it")
}

pub(crate) fn not_unicode(variable: &str) -> String {
    format!("read the settings: {variable} in the environment is not UTF-8; correct it")
}

pub(crate) fn unreadable_ini(path: &Path, error: &io::Error) -> String {
    format!("read {}: {error}; make it a readable UTF-8 file, or name another in TRANSIENT_TEST_INI", path.display())
}

pub(crate) fn not_ini(path: &Path, what: &str) -> String {
    format!("read {}: {what}; correct the line", path.display())
}

pub(crate) fn key_before_section(path: &Path, line: usize, text: &str) -> String {
    format!("read {}:{line}: {text:?} stands before any section; put a line [app:main] above it", path.display())
}

pub(crate) fn key_twice(path: &Path, first: usize, second: usize, section: &str, key: &str) -> String {
    format!(
        "read {}:{second}: {key} is given a second time in [{section}] (first in line {first}); remove one of the two",
        path.display()
    )
}

pub(crate) fn section_twice(path: &Path, first: usize, second: usize, section: &str) -> String {
    format!(
        "read {}:{second}: [{section}] begins a second time (first in line {first}); put its keys under the first one",
        path.display()
    )
}

pub(crate) fn no_delimiter(path: &Path, line: usize, text: &str) -> String {
    format!(
        "read {}:{line}: the line that begins with {text:?} is neither a section nor a key with a value; write key = value, or indent it where it \
         goes on from the line above",
        path.display()
    )
}

pub(crate) fn no_such_test_ini(path: &Path) -> String {
    format!("read {}, which TRANSIENT_TEST_INI names: there is no such file; correct or unset it", path.display())
}

pub(crate) fn no_such_include(path: &Path, line: usize, included: &Path) -> String {
    format!(
        "read {}:{line}: include_ini_files names {}, and there is no such file; correct or remove the name",
        path.display(),
        included.display()
    )
}

pub(crate) fn include_circle(path: &Path) -> String {
    format!("read {}: it is included by a file that it includes; remove one of the two includes", path.display())
}

pub(crate) fn url_and_other_provider(provider: impl Display) -> String {
    format!(
        "read the settings: TRANSIENT_REDIS_URL names a running server, but TRANSIENT_PROVIDER={provider} asks for \
         another one; unset one of the two"
    )
}

pub(crate) fn broker_elsewhere(place: &dyn Display, key: &str, broker: &str, sessions: &str) -> String {
    format!(
        "read the settings: {place}: {key} names the server {broker}, but redis.sessions.url names {sessions}; a \
         test has its sessions and its jobs on one server, in two databases, so name the same server in both"
    )
}

pub(crate) fn unknown_key(place: &dyn Display, key: &str, nearest: &str) -> String {
    format!("{place}: {key} is no setting of transient-fixtures and has no effect; the nearest is {nearest}")
}

pub(crate) fn unknown_variable(name: &str, nearest: &str) -> String {
    format!("the environment: {name} is no variable of transient-fixtures and has no effect; the nearest is {nearest}")
}

pub(crate) fn skipped_include(path: &Path, line: usize, name: &str) -> String {
    format!("{}:{line}: {name} was not included; only files can be", path.display())
}

// The ladder

/// The line on a test's output that says which server it has, and why.
pub(crate) fn server_taken(server: &dyn Display, why: &str, test: &str) -> String {
    format!("transient-fixtures: {server}; {why} (for {test})")
}

pub(crate) fn warning(text: &str) -> String {
    format!("transient-fixtures: warning: {text}")
}

/// Why the ladder stopped at a rung: what it found, and what the rungs above it had not.
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
