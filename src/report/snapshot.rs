//! Text about snapshots.

use std::fmt::Display;
use std::path::Path;

pub(crate) const NO_DIFFERENCE: &str = "no difference";

pub(crate) const OPAQUE: &str = "(not readable with core Redis commands)";

pub(crate) const OPAQUE_DIFFERS: &str = "its DUMP payload differs";

pub(crate) const NOT_COMPARABLE: &str = "only comparable with snapshots from the same server, not with a file";

pub(crate) fn bounded(lines: &[String], more: usize) -> String {
    match (lines, more) {
        ([], 0) => NO_DIFFERENCE.to_owned(),
        (lines, 0) => lines.join("\n"),
        (lines, more) => [lines.join("\n"), format!("and {more} more")].join("\n"),
    }
}

/// The source is the I/O error.
pub(crate) fn not_written(path: &Path) -> String {
    format!("could not write the snapshot {}. Choose a path in a writable directory", path.display())
}

/// The source is the I/O error.
pub(crate) fn not_read(path: &Path) -> String {
    format!("could not read the snapshot {}. Create it with Snapshot::save", path.display())
}

/// The source describes the problem, without the place. A `line` of 0 means that the place is unknown.
pub(crate) fn no_snapshot(path: &Path, line: usize, column: usize) -> String {
    let path = path.display();
    if line == 0 {
        return format!("{path}: not a valid snapshot. Create it again with Snapshot::save");
    }
    format!("{path}:{line}:{column}: not a valid snapshot. Fix the line, or create the file again with Snapshot::save")
}

/// A parse error of JSON without its place, which [`no_snapshot`] states.
pub(crate) fn without_place(error: &dyn Display) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what).to_owned()
}

pub(crate) fn other_version(found: u32, known: u32) -> String {
    format!("unsupported format version {found} (this release reads {known})")
}

pub(crate) fn empty(database: u32, key: &str, kind: &str) -> String {
    format!("the {kind} {key} in database {database} is empty, which Redis does not allow")
}

pub(crate) fn twice(database: u32, key: &str) -> String {
    format!("duplicate key {key} in database {database}")
}

pub(crate) fn unwritable(file: Option<&Path>, database: u32, key: &str, kind: &str) -> String {
    format!(
        "could not restore {}: the key {key} in database {database} has the type {kind}, which core Redis commands can't \
         write. Nothing was changed. Create the key in the test instead",
        name_of(file)
    )
}

pub(crate) fn other_database(file: Option<&Path>, database: u32, legal: [u32; 2]) -> String {
    let [sessions, jobs] = legal;
    format!(
        "could not restore {}: it has keys in database {database}, but the test databases are {sessions} and {jobs}. \
         Nothing was changed. Change the number in the snapshot, or redis.databases",
        name_of(file)
    )
}

/// `key`: with its database; `None` if the error is not about a key. `executed`: whether the test databases were
/// emptied afterwards; `None` if nothing was executed.
pub(crate) fn not_restored(
    file: Option<&Path>,
    key: Option<(u32, &str)>,
    words: &str,
    executed: Option<bool>,
) -> String {
    let name = name_of(file);
    let place = key.map_or(name.clone(), |(number, key)| format!("the key {key} in database {number} from {name}"));
    let then = match executed {
        Some(true) => "The test databases were emptied again",
        Some(false) => "Other keys were restored and remain",
        None if words.contains("HPEXPIRE") => {
            "Nothing was changed. This server has no TTLs on hash fields: use Redis 7.4, Valkey 9, or newer"
        }
        None => "Nothing was changed. Use a server and a user that allow the command",
    };
    format!("could not restore {place}: {words}. {then}")
}

fn name_of(file: Option<&Path>) -> String {
    file.map_or_else(|| "the snapshot".to_owned(), |path| path.display().to_string())
}
