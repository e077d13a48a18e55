//! The directory of ours in the user's cache: downloaded servers, locks, and what earlier runs found out.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io, process};

use etcetera::BaseStrategy;

const NAME: &str = "transient-fixtures";

/// `XDG_CACHE_HOME`/transient-fixtures or its like. A user without a home has one in the temporary directory.
pub(crate) fn directory() -> PathBuf {
    match etcetera::choose_base_strategy() {
        Ok(base) => base.cache_dir().join(NAME),
        Err(_) => env::temp_dir().join(format!("{NAME}-cache")),
    }
}

/// A directory in the cache, made if need be.
///
/// # Errors
///
/// When it can't be made.
pub(crate) fn subdirectory(name: &str) -> io::Result<PathBuf> {
    let path = directory().join(name);
    fs::create_dir_all(&path)?;
    Ok(path)
}

/// Writes a file that only the user can read, in one step: nobody reads half of it.
///
/// # Errors
///
/// When it can't be written.
pub(crate) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension(format!("{}.new", process::id()));
    let mut options = fs::File::options();
    options.create(true).truncate(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(&new)?.write_all(text.as_bytes())?;
    fs::rename(new, path)
}
