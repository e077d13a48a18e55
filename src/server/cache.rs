//! The directory of ours in the user's cache: downloaded servers, locks, and what earlier runs found out.

use std::path::PathBuf;
use std::{env, fs, io};

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
