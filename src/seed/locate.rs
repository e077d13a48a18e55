//! Finds the file of a data fixture.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind};
use crate::report;
use crate::settings::locate;

const DIRECTORY: &str = "fixtures";
const COMMANDS: &str = "redis";
pub(super) const SNAPSHOT: &str = "json";

/// The file of a fixture: beside the manifest of the crate under test, else in a parent directory up to the root of the
/// workspace.
///
/// # Errors
///
/// Returns an error if there is no such file, or one of each kind.
pub(super) fn fixture(name: &str) -> Result<PathBuf, Error> {
    let directories: Vec<_> = locate::directories().iter().map(|directory| directory.join(DIRECTORY)).collect();
    for directory in &directories {
        let files: Vec<_> = candidates(directory, name).into_iter().filter(|path| path.is_file()).collect();
        match files.as_slice() {
            [] => {}
            [file] => return Ok(file.clone()),
            [one, other, ..] => return Err(Error::new(Kind::Data, report::data::twice(name, one, other))),
        }
    }
    let places: Vec<_> = directories.into_iter().map(|directory| (names_in(&directory), directory)).collect();
    let known = places.iter().flat_map(|(names, _)| names.iter().flatten());
    let nearest = known
        .map(|known| (strsim::normalized_damerau_levenshtein(name, known), known))
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .filter(|(likeness, _)| *likeness >= 0.5)
        .map(|(_, known)| known.clone());
    Err(Error::new(Kind::Data, report::data::no_fixture(name, &places, nearest.as_deref())))
}

/// The name can include the extension, which tells two files of one name apart.
fn candidates(directory: &Path, name: &str) -> Vec<PathBuf> {
    let has_extension = |known: &&str| Path::new(name).extension().is_some_and(|extension| extension == *known);
    if [COMMANDS, SNAPSHOT].iter().any(has_extension) {
        return vec![directory.join(name)];
    }
    [COMMANDS, SNAPSHOT].map(|extension| directory.join(format!("{name}.{extension}"))).to_vec()
}

/// The names of the fixtures in a directory. `None` if the directory does not exist.
fn names_in(directory: &Path) -> Option<Vec<String>> {
    let files = fs::read_dir(directory).ok()?.flatten().map(|entry| entry.path());
    let is_fixture =
        |path: &PathBuf| path.extension().is_some_and(|extension| extension == COMMANDS || extension == SNAPSHOT);
    let mut names: Vec<_> =
        files.filter(is_fixture).filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect();
    names.sort_unstable();
    names.dedup();
    Some(names)
}
