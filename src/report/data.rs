//! What is said of data fixtures.

use std::fmt::Display;
use std::path::{Path, PathBuf};

/// How much of a line is shown, in characters.
const SHOWN: usize = 80;

/// A line that the server did not take.
pub(crate) struct Failed<'line> {
    pub(crate) path: &'line Path,
    pub(crate) line: usize,
    pub(crate) text: &'line [u8],
    /// The server's own.
    pub(crate) words: &'line str,
}

impl Failed<'_> {
    fn place(&self) -> String {
        let text = String::from_utf8_lossy(self.text);
        let shown = match text.char_indices().nth(SHOWN) {
            Some((cut, _)) => format!("{}… ({} bytes)", &text[..cut], self.text.len()),
            None => text.into_owned(),
        };
        format!("load {}:{}: {}: {shown}", self.path.display(), self.line, self.words)
    }
}

pub(crate) fn refused(failed: &Failed<'_>, more: usize) -> String {
    format!("{}\nThe server refuses this line{}; nothing was loaded. Correct it", failed.place(), and_more(more))
}

pub(crate) fn failed(failed: &Failed<'_>, more: usize, undone: bool) -> String {
    let then = if undone {
        "the test databases were emptied again"
    } else {
        "the other lines were executed, and what they wrote is there"
    };
    format!("{}\nThis line{} failed when it was executed; {then}. Correct it", failed.place(), and_more(more))
}

fn and_more(more: usize) -> String {
    if more > 0 { format!(" (and {more} more)") } else { String::new() }
}

pub(crate) fn bad_line(path: &Path, line: usize, why: &str) -> String {
    format!("load {}:{line}: {why}. Nothing was sent", path.display())
}

pub(crate) fn open_quotation(mark: char) -> String {
    format!("a quotation mark {mark} is not closed; close it on the same line")
}

pub(crate) fn glued_quotation(mark: char) -> String {
    format!("something stands directly behind a closing {mark}; put a space between, or escape the mark: \\{mark}")
}

pub(crate) fn forbidden(command: &str) -> String {
    format!("{command} reaches beyond the data of the test databases; remove the line")
}

pub(crate) fn of_transactions(command: &str) -> String {
    format!("{command} can't be part of a fixture, which is one MULTI already; remove the line")
}

pub(crate) fn other_database(named: &[u8], [sessions, jobs]: [u32; 2]) -> String {
    format!(
        "{} is no test database; these are {sessions} and {jobs}: name one of them",
        String::from_utf8_lossy(named).escape_debug()
    )
}

pub(crate) fn not_read(path: &Path, error: &dyn Display) -> String {
    format!("load {}: {error}; make it a readable file", path.display())
}

pub(crate) fn twice(name: &str, one: &Path, other: &Path) -> String {
    format!("load the fixture {name:?}: it is {} and {}; name it with its ending", one.display(), other.display())
}

pub(crate) fn no_fixture(name: &str, places: &[(Option<Vec<String>>, PathBuf)], nearest: Option<&str>) -> String {
    let mut text = format!("load the fixture {name:?}: there is no {name}.redis and no {name}.json. Looked at:");
    if places.is_empty() {
        text += "\n  nowhere: no Cargo.toml is above the test's executable. Set CARGO_MANIFEST_DIR";
    }
    for (names, place) in places {
        let has = match names.as_deref() {
            None => "no such directory".to_owned(),
            Some([]) => "no fixtures".to_owned(),
            Some(names) => names.join(", "),
        };
        text += &format!("\n  {}: {has}", place.display());
    }
    match nearest {
        Some(nearest) => text + &format!("\nDid you mean {nearest:?}? Correct the name, or make the file"),
        None => text + "\nCorrect the name, or make the file",
    }
}
