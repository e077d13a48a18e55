//! Text about data fixtures.

use std::path::{Path, PathBuf};

/// The longest line that is shown, in characters.
const SHOWN: usize = 80;

/// A line that the server rejected.
pub(crate) struct Failed<'line> {
    pub(crate) path: &'line Path,
    pub(crate) line: usize,
    pub(crate) text: &'line [u8],
    /// The server's error.
    pub(crate) words: &'line str,
}

impl Failed<'_> {
    fn place(&self) -> String {
        let text = String::from_utf8_lossy(self.text);
        let shown = match text.char_indices().nth(SHOWN) {
            Some((cut, _)) => format!("{}… ({} bytes)", &text[..cut], self.text.len()),
            None => text.into_owned(),
        };
        format!("{}:{}: {}: {shown}", self.path.display(), self.line, self.words)
    }
}

pub(crate) fn refused(failed: &Failed<'_>, more: usize) -> String {
    format!("{}\nThe server rejected this line{}. Nothing was loaded", failed.place(), and_more(more))
}

pub(crate) fn failed(failed: &Failed<'_>, more: usize, undone: bool) -> String {
    let then = if undone {
        "The test databases were emptied again"
    } else {
        "The other lines were executed, and their changes remain"
    };
    format!("{}\nThis line{} failed when it was executed. {then}", failed.place(), and_more(more))
}

fn and_more(more: usize) -> String {
    if more > 0 { format!(" (and {more} more)") } else { String::new() }
}

pub(crate) fn bad_line(path: &Path, line: usize, why: &str) -> String {
    format!("{}:{line}: {why}. Nothing was loaded", path.display())
}

pub(crate) fn open_quotation(mark: char) -> String {
    format!("the quotation mark {mark} is not closed on its line")
}

pub(crate) fn glued_quotation(mark: char) -> String {
    format!("a closing {mark} must be followed by a space. To put the mark into a string, write \\{mark}")
}

pub(crate) fn forbidden(command: &str) -> String {
    format!("{command} is not allowed in a fixture, because it affects more than the data of the test databases")
}

pub(crate) fn of_transactions(command: &str) -> String {
    format!("{command} is not allowed in a fixture, which runs as one MULTI")
}

pub(crate) fn other_database(named: &[u8], [sessions, jobs]: [u32; 2]) -> String {
    format!("{} is not a test database. Select {sessions} or {jobs}", String::from_utf8_lossy(named).escape_debug())
}

/// The source is the I/O error.
pub(crate) fn not_read(path: &Path) -> String {
    format!("could not read the fixture {}", path.display())
}

pub(crate) fn twice(name: &str, one: &Path, other: &Path) -> String {
    format!("the fixture {name:?} is ambiguous: {} or {}. Add the file extension", one.display(), other.display())
}

pub(crate) fn no_fixture(name: &str, places: &[(Option<Vec<String>>, PathBuf)], nearest: Option<&str>) -> String {
    let mut text = format!("no fixture named {name:?}.");
    if let Some(nearest) = nearest {
        text += &format!(" Did you mean {nearest:?}?");
    }
    if places.is_empty() {
        return text
            + " No directory was searched, because no Cargo.toml is above the test's executable. Set \
               CARGO_MANIFEST_DIR";
    }
    text += " Searched these directories:";
    for (names, place) in places {
        let has = match names.as_deref() {
            None => "does not exist".to_owned(),
            Some([]) => "no fixtures".to_owned(),
            Some(names) => names.join(", "),
        };
        text += &format!("\n  {}: {has}", place.display());
    }
    text
}
