//! Text about taps.

use std::fmt::Display;
use std::path::Path;

/// How many characters of an argument or a reply a transcript shows.
const SHOWN: usize = 60;

/// How many arguments of a command a transcript shows.
const ARGUMENTS: usize = 8;

fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).escape_debug().to_string();
    let is_cut = text.chars().nth(SHOWN).is_some();
    let text: String = text.chars().take(SHOWN).chain(is_cut.then_some('…')).collect();
    if text.is_empty() || text.contains(' ') { format!("\"{text}\"") } else { text }
}

/// A line of a transcript. `omitted` is the number of arguments that were not kept. `reply` is the reply's first bytes
/// and its size.
pub(crate) fn command(
    connection: u64,
    client: Option<&str>,
    database: u32,
    name: &str,
    args: &[&[u8]],
    omitted: usize,
    reply: Option<(&[u8], u64)>,
) -> String {
    let client = client.map(|name| format!(" {}", shown(name.as_bytes()))).unwrap_or_default();
    let reply = reply.map_or_else(|| "(no reply)".to_owned(), |(head, size)| self::reply(head, size));
    format!("[{connection}{client}] {database} {} -> {reply}", arguments(name, args, omitted))
}

/// A command in one line.
pub(crate) fn arguments(name: &str, args: &[&[u8]], omitted: usize) -> String {
    let mut line = name.to_owned();
    for argument in args.iter().take(ARGUMENTS) {
        line += " ";
        line += &shown(argument);
    }
    let omitted = omitted + args.len().saturating_sub(ARGUMENTS);
    if omitted > 0 {
        line += &format!(" … ({omitted} more)");
    }
    line
}

/// A reply in one line.
pub(crate) fn reply(head: &[u8], size: u64) -> String {
    let (line, body) = match head.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&head[..end], &head[end + 1..]),
        None => (head, &[][..]),
    };
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match line.split_first() {
        Some((b'$' | b'*', b"-1") | (b'_', _)) => "nil".to_owned(),
        Some((b'$' | b'!' | b'=', length)) => {
            let length: usize = std::str::from_utf8(length).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0);
            let value = shown(&body[..length.min(body.len())]);
            if length > SHOWN { format!("{value} ({length} bytes)") } else { value }
        }
        Some((b'*' | b'~' | b'>' | b'%', b"0")) => "empty".to_owned(),
        Some((b'*' | b'~' | b'>' | b'%', count)) => {
            format!("{} elements ({size} bytes)", String::from_utf8_lossy(count))
        }
        Some((b'-', _)) => shown(line),
        Some((_, text)) => shown(text),
        None => String::new(),
    }
}

pub(crate) const DELAYED: &str = "delayed";
pub(crate) const CUT_BEFORE: &str = "connection cut before it reached the server";
pub(crate) const CUT_AFTER: &str = "executed, connection cut, reply lost";
pub(crate) const LATE: &str = "reply late";
pub(crate) const ERROR: &str = "error reply from the tap, not executed";
pub(crate) const PRETENDED: &str = "reply from the tap, not executed";
pub(crate) const NIL: &str = "executed, reply replaced by nil";
pub(crate) const HALF_REPLY: &str = "executed, half of the reply sent, connection cut";
pub(crate) const GARBAGE: &str = "executed, reply replaced by garbage";
pub(crate) const WITHOUT_EXPIRY: &str = "executed without its expiry";
pub(crate) const TWICE: &str = "executed twice";
pub(crate) const BEFORE: &str = "data changed before it";
pub(crate) const RESTARTED: &str = "server restarted before it, all connections cut, all data lost";

/// The fault at the end of a line of a transcript.
pub(crate) fn fault(fault: &str) -> String {
    format!("   <<< {fault}")
}

pub(crate) fn not_started() -> String {
    "could not start a tap. Check that the server still runs, and that a port on 127.0.0.1 can be opened".to_owned()
}

#[cfg(not(feature = "tap-tls"))]
pub(crate) fn no_tls(server: &dyn Display) -> String {
    format!("a tap can't read the TLS connection to {server}. Enable the feature `tap-tls` of transient-fixtures")
}

#[cfg(feature = "tap-tls")]
pub(crate) const NO_CRYPTO_PROVIDER: &str = "rustls has no crypto provider";

#[cfg(feature = "tap-tls")]
pub(crate) fn tls(server: &dyn Display) -> String {
    format!(
        "a tap could not set up TLS to {server}. Use the `redis` crate with rustls: its feature `tokio-rustls-comp`, \
         and the feature `ring` of `rustls`"
    )
}

pub(crate) fn rule_refused(error: &dyn Display) -> String {
    format!("a rule could not change the data of the server, so its fault is missing: {error}")
}

/// The error in [`rule_refused`].
pub(crate) const NOT_EXPIRED: &str = "a key with a TTL of 1 ms did not expire within 5 s";

pub(crate) fn restarts_shared() -> String {
    "a shared server can't be restarted, because other programs use it. Use a server of your own: \
     TRANSIENT_PROVIDER=process"
        .to_owned()
}

/// The client sees a closed connection.
#[cfg(feature = "tap-tls")]
pub(crate) fn tls_failed(error: &dyn Display) -> String {
    format!("the tap closed a connection, because TLS to the server failed: {error}")
}

#[cfg(unix)]
pub(crate) fn no_socket() -> String {
    "a tap could not open a Unix socket. Use its URL on 127.0.0.1".to_owned()
}

#[cfg(unix)]
pub(crate) fn no_socket_directory(why: &str) -> String {
    format!("a tap could not open a Unix socket ({why}). Use its URL on 127.0.0.1")
}

pub(crate) const TOO_DEEP: &str = "values are nested too deeply";

pub(crate) fn unexpected_type(byte: u8) -> String {
    format!("no value begins with '{}'", byte.escape_ascii())
}

pub(crate) fn unexpected_in_length(byte: u8) -> String {
    format!("'{}' is not part of a length", byte.escape_ascii())
}

pub(crate) fn invalid_length(kind: u8) -> String {
    format!("invalid length of a value that begins with '{}'", kind.escape_ascii())
}

/// `reason` is why they are not the protocol; `bytes` is the beginning of the frame.
pub(crate) fn malformed(connection: u64, from_client: bool, reason: &str, bytes: &[u8]) -> String {
    let side = if from_client { "client" } else { "server" };
    let bytes = &bytes[..bytes.len().min(SHOWN)];
    format!(
        "the tap closed connection {connection}, because its {side} sent bytes that are not the Redis protocol \
         ({reason}): \"{}\"",
        bytes.escape_ascii()
    )
}

pub(crate) fn count(least: Option<usize>, most: Option<usize>) -> String {
    match (least, most) {
        (None, None) => "any number of".to_owned(),
        (Some(least), None) => format!("at least {least}"),
        (None, Some(most)) => format!("at most {most}"),
        (Some(least), Some(most)) if least == most => most.to_string(),
        (Some(least), Some(most)) => format!("{least} to {most}"),
    }
}

pub(crate) fn unrecorded(count: u64) -> String {
    format!("the record is full: {count} commands are not in it")
}

pub(crate) fn round_trips(expected: &str, seen: usize) -> String {
    format!("expected {expected} round trips, found {seen}")
}

pub(crate) fn commands(name: &str, expected: &str, seen: usize) -> String {
    format!("expected {expected} × {name}, found {seen}")
}

pub(crate) fn never(name: &str, command: &dyn Display) -> String {
    format!("expected no {name}, found {command}")
}

pub(crate) fn without_ttl(command: &(impl Display + ?Sized)) -> String {
    format!("expected a TTL, found none in {command}")
}

pub(crate) fn drops_ttl(key: &[u8], command: &dyn Display) -> String {
    format!("the key {} lost its TTL: {command}", shown(key))
}

pub(crate) fn n_plus_one(shape: &str, count: usize) -> String {
    format!(
        "{shape} was sent {count} times, each in its own round trip. Use one command with several keys, or a pipeline"
    )
}

pub(crate) fn over_budget(broken: &[String], transcript: &dyn Display) -> String {
    format!("{}\nTranscript:\n{transcript}", broken.join("\n"))
}

pub(crate) fn no_read() -> String {
    "no command read a value".to_owned()
}

pub(crate) fn missed(command: &(impl Display + ?Sized)) -> String {
    format!("expected a cache hit, found a miss: {command}")
}

pub(crate) fn filled_after_hit(command: &(impl Display + ?Sized)) -> String {
    format!("expected a cache hit, but the value was written again after it was found: {command}")
}

pub(crate) fn not_missed(command: &(impl Display + ?Sized)) -> String {
    format!("expected a cache miss, found a hit: {command}")
}

pub(crate) fn not_filled(command: &(impl Display + ?Sized)) -> String {
    format!("expected a cache miss that fills the cache, but nothing was written after {command}")
}

pub(crate) fn not_seen(seconds: u64, transcript: &dyn Display) -> String {
    format!("the command did not go through the tap within {seconds} s\nTranscript:\n{transcript}")
}

pub(crate) fn not_subscribed(channel: &str, seconds: u64, transcript: &dyn Display) -> String {
    format!("no client subscribed to {channel:?} within {seconds} s\nTranscript:\n{transcript}")
}

pub(crate) fn recording_too_late() -> String {
    "a client had connected before the recording began. Call record_to before the code under test connects".to_owned()
}

pub(crate) fn already_recording() -> String {
    "a tap can have only one recording. Start another tap for a second one".to_owned()
}

pub(crate) fn recording_not_created(path: &Path) -> String {
    format!("could not create the recording {}. Check that its directory is writable", path.display())
}

/// `reason` is the I/O error.
pub(crate) fn recording_ended(path: &Path, reason: &dyn Display) -> String {
    format!(
        "the recording {} ended early ({reason}), and later commands are not in it. Check the free space on its disk",
        path.display()
    )
}

pub(crate) fn recording_unreadable(path: &Path) -> String {
    format!("could not read the recording {}. Check that the file exists and is readable", path.display())
}

/// `line` is the first one that a recording can't have.
pub(crate) fn not_a_recording(path: &Path, line: &str) -> String {
    format!(
        "{} is not a recording of this version: unexpected {}. Record it again",
        path.display(),
        shown(line.as_bytes())
    )
}
