//! Finds test.ini and the files that it names.

use std::env;
use std::fs;
use std::path::{self, Component, Path, PathBuf};

use super::known::TEST_INI;
use crate::error::{Error, Kind};
use crate::report;

const FILE: &str = "test.ini";

/// Finds the test.ini of the crate under test, if there is one.
///
/// It is named by `TRANSIENT_TEST_INI`, or is in the directory of the crate's manifest or a parent, up to the workspace
/// root. For a test binary run by hand or by an IDE, the search starts from the executable and the working directory.
///
/// # Errors
///
/// Returns an error if `TRANSIENT_TEST_INI` names a file that does not exist.
pub(super) fn test_ini() -> Result<Option<PathBuf>, Error> {
    if let Some(named) = env::var_os(TEST_INI).filter(|name| !name.is_empty()) {
        let path = PathBuf::from(named);
        return if path.is_file() {
            Ok(Some(path))
        } else {
            Err(Error::new(Kind::Settings, report::settings::no_such_test_ini(&path)))
        };
    }
    Ok(directories().into_iter().map(|directory| directory.join(FILE)).find(|path| path.is_file()))
}

/// The directories that can hold files of the crate under test: its own, and its parents up to the workspace root. A
/// package outside of a workspace is its own root.
pub(crate) fn directories() -> Vec<PathBuf> {
    // cargo and cargo-nextest set it for a running test.
    if let Some(manifest) = env::var_os("CARGO_MANIFEST_DIR") {
        return upwards(Path::new(&manifest));
    }
    let starts = [env::current_exe().ok(), env::current_dir().ok()];
    let packages = starts
        .iter()
        .flatten()
        .filter_map(|start| start.ancestors().find(|directory| directory.join("Cargo.toml").is_file()));
    packages.flat_map(upwards).collect()
}

fn upwards(package: &Path) -> Vec<PathBuf> {
    let root = package.ancestors().find(|directory| is_workspace(directory)).unwrap_or(package);
    let directories = package.ancestors().take_while(|directory| directory.starts_with(root));
    directories.map(Path::to_path_buf).collect()
}

fn is_workspace(directory: &Path) -> bool {
    fs::read_to_string(directory.join("Cargo.toml"))
        .is_ok_and(|manifest| manifest.lines().any(|line| line.trim_start().starts_with("[workspace")))
}

/// How many directories are searched for a package, from that of the file upwards.
const LEVELS: usize = 4;

/// The candidate paths of a file that a settings file names.
#[derive(Default)]
pub(super) struct Places {
    /// The paths according to the full name.
    pub(super) named: Vec<PathBuf>,
    /// Files of the same name near the settings file. They can belong to another package.
    pub(super) beside: Vec<PathBuf>,
}

/// The candidate paths for a path relative to the settings file, for `file:///PATH`, or for Python's
/// `resource://PACKAGE/PATH`. A package's directory is in the directory of the settings file or a parent, or in a
/// virtual environment: `VIRTUAL_ENV`, or `.venv` or `venv` in one of those directories.
pub(super) fn places(ini: &Path, name: &str) -> Places {
    let here = ini.parent().unwrap_or(Path::new(""));
    let only = |path: PathBuf| Places { named: vec![path], beside: Vec::new() };
    let Some(resource) = name.strip_prefix("resource://") else {
        return match name.strip_prefix("file://") {
            Some(path) => only(PathBuf::from(path)),
            None if name.contains("://") => Places::default(),
            None => only(here.join(name)),
        };
    };
    let is_below = |tail: &str| Path::new(tail).components().all(|part| matches!(part, Component::Normal(_)));
    let Some((package, tail)) = resource.split_once('/').filter(|(_, tail)| is_below(tail)) else {
        return Places::default();
    };
    let package: PathBuf = package.split('.').filter(|part| is_below(part)).collect();
    // A relative path does not contain its parents.
    let here = path::absolute(here.join(".")).unwrap_or_else(|_| here.to_path_buf());
    let above = || here.ancestors().take(LEVELS);
    let environments = above().flat_map(|directory| [directory.join(".venv"), directory.join("venv")]);
    let environments = env::var_os("VIRTUAL_ENV").map(PathBuf::from).into_iter().chain(environments);
    let roots = above().map(Path::to_path_buf).chain(environments.flat_map(|path| site_packages(&path)));
    let tail = Path::new(tail);
    let mut beside: Vec<_> = here.ancestors().take(2).map(|directory| directory.join(tail)).collect();
    beside.extend(tail.file_name().map(|name| here.join(name)));
    Places { named: roots.map(|root| root.join(&package).join(tail)).collect(), beside }
}

/// `lib/python3.N/site-packages` in a virtual environment.
fn site_packages(environment: &Path) -> Vec<PathBuf> {
    let versions = fs::read_dir(environment.join("lib")).into_iter().flatten().flatten();
    versions.map(|version| version.path().join("site-packages")).collect()
}
