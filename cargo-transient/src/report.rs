//! Every sentence that this program prints.

pub(crate) mod backup;
pub(crate) mod mutate;
pub(crate) mod record;

use std::fmt::Display;
use std::io;
use std::path::Path;

use transient_fixtures::Provider;

/// `text` is one or more whole sentences of which the first begins in lower case, as in the library.
pub(crate) fn error(text: &dyn Display) -> String {
    format!("cargo transient: {text}")
}

pub(crate) fn not_started(program: &dyn Display, cause: &io::Error) -> String {
    let remedy = if cause.kind() == io::ErrorKind::NotFound {
        "Check its spelling, and that its directory is on PATH. Shell syntax needs a shell: sh -c '…'"
    } else {
        "Check that it is a program for this machine, and that you may execute it"
    };
    error(&format!("could not start {program} ({cause}). {remedy}"))
}

// Published ports

pub(crate) fn machine_ports(ports: &[u16], why: &str) -> String {
    error(&format!(
        "no network of its own for the command ({why}), so it takes its turn at {} of this machine",
        list(ports)
    ))
}

pub(crate) fn waiting(port: u16) -> String {
    error(&format!("waiting for port {port}, which another command of cargo transient has"))
}

pub(crate) fn port_in_use(port: u16, cause: &io::Error) -> String {
    let remedy = if cause.kind() == io::ErrorKind::PermissionDenied {
        "Publish a port from 1024 on, or run this as root"
    } else {
        "End the program that listens there (a Redis of this machine?), or let the command read a variable, without \
         --publish"
    };
    format!("could not listen at port {port} of this machine ({cause}). {remedy}")
}

pub(crate) fn no_lock(path: &Path, cause: &io::Error) -> String {
    format!(
        "could not lock {}, by which commands take turns at a port ({cause}). Remove it if nobody uses it",
        path.display()
    )
}

pub(crate) fn no_forward(cause: &io::Error) -> String {
    format!("could not start a thread for a published port ({cause}). Raise the limit of processes")
}

pub(crate) fn published_running() -> String {
    "a running server can't be published: a command with a hard-coded address uses database 0 there, which is not a test \
     database. Leave out --provider running: then the command gets a server of its own"
        .to_owned()
}

/// A step to a network namespace, by the name of its system call, file or message.
#[cfg(target_os = "linux")]
pub(crate) fn failed(step: &str, cause: &io::Error) -> String {
    format!("{step}: {cause}")
}

#[cfg(any(test, target_os = "linux"))]
pub(crate) fn only_for_exec(cause: &io::Error) -> String {
    format!("this is a part of `cargo transient exec --publish`, which did not start it ({cause}). Use that")
}

#[cfg(any(test, all(unix, not(target_os = "linux"))))]
pub(crate) fn only_linux() -> String {
    "only Linux has them".to_owned()
}

fn list(ports: &[u16]) -> String {
    let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
    format!("port{} {}", if ports.len() == 1 { "" } else { "s" }, ports.join(" and "))
}

pub(crate) fn up(server: &dyn Display, url: &str) -> String {
    format!("{server}\n\nexport REDIS_URL='{url}'\nredis-cli -u '{url}'\n\nCtrl-C ends it.")
}

pub(crate) fn flushed(server: &dyn Display, [sessions, jobs]: [u32; 2]) -> String {
    format!("{server}: databases {sessions} and {jobs} are empty.")
}

// The keys of a database

pub(crate) fn not_shown(database: u32, cause: &dyn Display) -> String {
    format!(
        "could not read database {database} ({cause}). Name a running server with --url or TRANSIENT_REDIS_URL, with its \
         password"
    )
}

pub(crate) const NO_PREFIX: &str = "(without a prefix)";

/// `found` keys were scanned, or match if there is a pattern: all of them if `is_whole`.
pub(crate) fn database(
    address: &str,
    database: u32,
    all: u64,
    found: usize,
    is_whole: bool,
    has_pattern: bool,
) -> String {
    let found = match (has_pattern, is_whole) {
        (false, true) => String::new(),
        (false, false) => format!(", of which {found} were scanned; --json lists all"),
        (true, true) => format!(", of which {found} match"),
        (true, false) => format!(", of which at least {found} match; --json lists all that do"),
    };
    format!("{address}, database {database}: {}{found}", keys(all))
}

pub(crate) fn prefix(prefix: &str, count: usize, is_whole: bool) -> String {
    let least = if is_whole { "" } else { "at least " };
    format!("{prefix}  {least}{}", keys(u64::try_from(count).unwrap_or(u64::MAX)))
}

pub(crate) fn more(count: usize) -> String {
    format!("\n  … and {count} more")
}

fn keys(count: u64) -> String {
    if count == 1 { "1 key".to_owned() } else { format!("{count} keys") }
}

// The doctor

pub(crate) fn settings(file: Option<&Path>, notes: &[String]) -> String {
    let file = file.map_or_else(|| "no test.ini, so the defaults".to_owned(), |file| file.display().to_string());
    let notes = notes.iter().map(|note| format!("           note: {note}"));
    let lines: Vec<_> = [format!("settings   {file}")].into_iter().chain(notes).collect();
    lines.join("\n")
}

/// The line about its server, or why it has none, and what to do.
pub(crate) fn diagnosis(provider: Provider, outcome: &Result<String, [String; 2]>) -> String {
    let indented = |text: &str| text.replace('\n', "\n           ");
    // A width has no effect on a type with a `Display` of its own.
    let provider = provider.to_string();
    match outcome {
        Ok(server) => format!("{provider:<10} works: {}", indented(server)),
        Err([why, remedy]) if remedy.is_empty() => format!("{provider:<10} no: {}", indented(why)),
        Err([why, remedy]) => format!("{provider:<10} no: {}\n           -> {}", indented(why), indented(remedy)),
    }
}

pub(crate) fn verdict(tests: Option<Provider>, command: Option<Provider>) -> String {
    let none = |who| format!("No provider works for {who}. Follow a hint above.");
    let tests = match tests {
        Some(provider) => format!("Tests with transient-fixtures use the provider {provider}."),
        None => none("tests with transient-fixtures"),
    };
    let command = match command {
        Some(provider) => format!("cargo transient exec uses the provider {provider}."),
        None => none("cargo transient exec"),
    };
    format!("\n{tests}\n{command}")
}

// What is kept

pub(crate) fn kept(path: &Path, what: &str, free: usize, used: usize, bytes: u64) -> String {
    let used = if used > 0 { format!(", and {used} in use, which stay") } else { String::new() };
    let free = if free == 1 { "1 entry".to_owned() } else { format!("{free} entries") };
    format!("{}\n    {what}: {free}, {}{used}", path.display(), size(bytes))
}

pub(crate) fn cleaned(entries: usize, bytes: u64, is_dry: bool) -> String {
    match (entries, is_dry) {
        (0, _) => "There is nothing to remove.".to_owned(),
        (_, true) => format!("{} can be removed: cargo transient clean", size(bytes)),
        (_, false) => format!("{} removed.", size(bytes)),
    }
}

pub(crate) fn not_removed(path: &Path, cause: &io::Error) -> String {
    format!("could not remove what is in {} ({cause})", path.display())
}

/// In decimal units.
pub(crate) fn size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one digit is shown")]
    let bytes_as_float = bytes as f64;
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.1} kB", bytes_as_float / 1e3),
        _ => format!("{:.1} MB", bytes_as_float / 1e6),
    }
}

// Errors in arguments, which clap completes

pub(crate) fn no_variable_name() -> String {
    "it has no name before the =".to_owned()
}

pub(crate) fn lone_brace() -> String {
    "it has a lone brace. Write {{ or }} for one".to_owned()
}

pub(crate) fn unknown_fact(name: &str, known: &[&str]) -> String {
    let known: Vec<_> = known.iter().map(|name| format!("{{{name}}}")).collect();
    format!("{{{name}}} is unknown. There are {}; {{{{ and }}}} are braces", known.join(", "))
}

pub(crate) fn no_host(variable: &str, server: &dyn Display) -> String {
    format!(
        "the variable {variable} asks for a host or a port, but {server} has only a Unix socket. Use {{url}}, or leave \
         out the provider"
    )
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    /// `golden.txt` has every sentence, rendered with fixed values.
    #[test]
    fn sentences_are_golden() {
        let not_found = Error::new(ErrorKind::NotFound, "No such file or directory (os error 2)");
        let no_permission = Error::new(ErrorKind::PermissionDenied, "Permission denied (os error 13)");
        let sentences = [
            not_started(&"npn", &not_found),
            not_started(&"./build", &no_permission),
            machine_ports(&[6379], "unshare: Operation not permitted (os error 1)"),
            machine_ports(&[6379, 6380], "/proc/self/uid_map: Operation not permitted (os error 1)"),
            machine_ports(&[6379], &only_linux()),
            waiting(6379),
            error(&port_in_use(6379, &Error::new(ErrorKind::AddrInUse, "Address already in use (os error 98)"))),
            error(&port_in_use(79, &no_permission)),
            error(&no_lock(Path::new("/tmp/transient-fixtures-port-6379.lock"), &no_permission)),
            error(&no_forward(&Error::new(ErrorKind::WouldBlock, "Resource temporarily unavailable (os error 11)"))),
            error(&published_running()),
            error(&only_for_exec(&Error::new(ErrorKind::NotConnected, "Socket operation on non-socket (os error 88)"))),
            up(&"Redis 7.0.15 at 127.0.0.1:41023 (process)", "redis://default:secret@127.0.0.1:41023/0"),
            flushed(&"Redis 7.0.15 at 127.0.0.1:6379 (running)", [14, 15]),
            not_shown(14, &"Connection refused (os error 111)"),
            database("127.0.0.1:6379", 14, 1, 1, true, false),
            // The others have expired.
            database("127.0.0.1:6379", 14, 30, 2, true, false),
            database("127.0.0.1:6379", 14, 30, 2, true, true),
            database("127.0.0.1:6379", 14, 1_000_000, 120_000, false, false),
            database("127.0.0.1:6379", 14, 1_000_000, 40, false, true),
            NO_PREFIX.to_owned(),
            prefix("cart:", 2, true),
            prefix("cart:", 60_000, false),
            more(1),
            settings(None, &[]),
            settings(Some(Path::new("/shop/test.ini")), &["unknown key".to_owned()]),
            diagnosis(Provider::Process, &Ok("Redis 7.0.15 at 127.0.0.1:41023 (process); started it".to_owned())),
            diagnosis(Provider::Running, &Err(["nothing answers".to_owned(), "start it".to_owned()])),
            diagnosis(Provider::Running, &Err(["a replica. Use another".to_owned(), String::new()])),
            verdict(Some(Provider::Running), Some(Provider::Download)),
            verdict(None, None),
            kept(Path::new("/home/u/.cache/transient-fixtures/download"), "the server", 2, 0, 3_612_345),
            kept(Path::new("/home/u/.cache/transient-fixtures/running"), "locks", 0, 2, 0),
            cleaned(0, 0, false),
            cleaned(2, 3_612_345, true),
            cleaned(7, 4_120, false),
            not_removed(Path::new("/home/u/.cache/transient-fixtures/running"), &no_permission),
            no_variable_name(),
            lone_brace(),
            unknown_fact("prot", &["url", "port"]),
            no_host("REDIS_HOST", &"Redis 7.0.15 at /run/redis.sock (running)"),
        ];
        let sentences: Vec<_> =
            sentences.into_iter().chain(record::golden::sentences()).chain(mutate::golden::sentences()).collect();
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/golden.txt");
        let text = sentences.into_iter().chain(backup::all()).collect::<Vec<_>>().join("\n") + "\n";
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &text).expect("write");
        }
        let expected = std::fs::read_to_string(&golden).expect("the golden file");
        assert_eq!(text, expected, "UPDATE_GOLDEN=1 renews it");
    }
}
