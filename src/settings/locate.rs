//! Where test.ini is.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind};
use crate::report;

const FILE: &str = "test.ini";

/// The test.ini of the crate under test. From `TRANSIENT_TEST_INI`, else beside the crate's manifest or upwards to the
/// workspace's root, else (a test binary run by hand or by an IDE) the same from the executable and from the working
/// directory. None is fine.
///
/// # Errors
///
/// When `TRANSIENT_TEST_INI` names no file.
pub(super) fn test_ini() -> Result<Option<PathBuf>, Error> {
    if let Some(named) = env::var_os("TRANSIENT_TEST_INI").filter(|name| !name.is_empty()) {
        let path = PathBuf::from(named);
        return if path.is_file() {
            Ok(Some(path))
        } else {
            Err(Error::new(Kind::Settings, report::settings::no_such_test_ini(&path)))
        };
    }
    Ok(directories().into_iter().map(|directory| directory.join(FILE)).find(|path| path.is_file()))
}

/// Where files of the crate under test may be: its directory, and those upwards as far as the workspace's root. A
/// package in no workspace is its own root.
pub(crate) fn directories() -> Vec<PathBuf> {
    // cargo and cargo-nextest tell a running test where the manifest of its crate is.
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
