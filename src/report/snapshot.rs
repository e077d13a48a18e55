//! What is said of snapshots.

use std::fmt::Display;
use std::path::Path;

pub(crate) const NO_DIFFERENCE: &str = "no difference";

pub(crate) const OPAQUE: &str = "that can't be read with commands of Redis itself";

pub(crate) const OPAQUE_DIFFERS: &str = "its DUMP differs";

pub(crate) const NOT_COMPARABLE: &str = "it can only be compared on the server that it is from, and not with a file";

pub(crate) fn bounded(lines: &[String], more: usize) -> String {
    match (lines, more) {
        ([], 0) => NO_DIFFERENCE.to_owned(),
        (lines, 0) => lines.join("\n"),
        (lines, more) => [lines.join("\n"), format!("and {more} more")].join("\n"),
    }
}

pub(crate) fn not_written(path: &Path, error: &dyn Display) -> String {
    format!("write the snapshot {}: {error}; name a file in a directory that can be written to", path.display())
}

pub(crate) fn not_read(path: &Path, error: &dyn Display) -> String {
    format!("read the snapshot {}: {error}; make it with Snapshot::save, or name another", path.display())
}

/// A `line` of 0 means that it is not known.
pub(crate) fn no_snapshot(path: &Path, line: usize, error: &dyn Display) -> String {
    let place = if line > 0 { format!(":{line}") } else { String::new() };
    format!("read the snapshot {}{place}: {error}; correct it, or make it again with Snapshot::save", path.display())
}

pub(crate) fn other_version(found: u32, known: u32) -> String {
    format!("it is of version {found} of the form, and known is {known}")
}

pub(crate) fn empty(database: u32, key: &str, kind: &str) -> String {
    format!("the {kind} {key} of database {database} is empty, which no server has")
}

pub(crate) fn twice(database: u32, key: &str) -> String {
    format!("the key {key} stands twice in database {database}")
}

pub(crate) fn unwritable(file: Option<&Path>, database: u32, key: &str, kind: &str) -> String {
    format!(
        "restore {}: the key {key} of database {database} is of the type {kind}, which can't be written with commands \
         of Redis itself. Nothing was changed. Write it in the test",
        name_of(file)
    )
}

pub(crate) fn other_database(file: Option<&Path>, database: u32, legal: [u32; 2]) -> String {
    let [sessions, jobs] = legal;
    format!(
        "restore {}: it has keys of database {database}, which is no test database. Nothing was changed. The test \
         databases are {sessions} and {jobs}: correct the file, or redis.databases",
        name_of(file)
    )
}

/// `key`: with its database; `None` if the error is not about a key.
pub(crate) fn not_restored(file: Option<&Path>, key: Option<&str>, words: &str, executed: Option<bool>) -> String {
    let (name, key) = (name_of(file), key.unwrap_or("the test databases"));
    if let Some(undone) = executed {
        let then = if undone { "the test databases were emptied again" } else { "other keys of it are there" };
        format!("restore {name}: {key}: {words}; {then}. Correct it")
    } else {
        let hint = if words.contains("HPEXPIRE") {
            "This server gives fields of hashes no timeouts: run the test on Redis 7.4, on Valkey 9, or newer"
        } else {
            "Correct it, or run the test on a server that knows the command"
        };
        format!("restore {name}: {key}: {words}; nothing was changed. {hint}")
    }
}

fn name_of(file: Option<&Path>) -> String {
    file.map_or_else(|| "the snapshot".to_owned(), |path| path.display().to_string())
}
