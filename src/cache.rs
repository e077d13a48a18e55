//! The directory of ours in the user's cache: downloaded servers, locks, and what earlier runs found out.
//!
//! Servers are run from it, and files are written in it. So it must be the user's own, and nobody else's to write.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::{env, process};

use etcetera::BaseStrategy;
use once_cell::sync::OnceCell;

const NAME: &str = "transient-fixtures";

/// `XDG_CACHE_HOME`/transient-fixtures or its like. A user without a home has one in the temporary directory, under a
/// name of their own.
pub(crate) fn directory() -> PathBuf {
    match etcetera::choose_base_strategy() {
        Ok(base) if base.cache_dir().is_absolute() => base.cache_dir().join(NAME),
        _ => {
            temporary_directory().join(format!("{NAME}-cache{}", user().map(|id| format!("-{id}")).unwrap_or_default()))
        }
    }
}

/// A directory in the cache, made if need be.
///
/// # Errors
///
/// When it can't be made, or the cache is not this user's own.
pub(crate) fn subdirectory(name: &str) -> io::Result<PathBuf> {
    let directory = directory();
    make_private(&directory)?;
    let path = directory.join(name);
    make_private(&path)?;
    Ok(path)
}

/// A directory that this user alone can write.
#[cfg(unix)]
fn make_private(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};

    match fs::symlink_metadata(directory) {
        Ok(_) => {}
        Err(_) => fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?,
    }
    let found = fs::symlink_metadata(directory)?;
    if !found.is_dir() {
        return Err(io::Error::other("not a directory, or a link to one"));
    }
    if user().is_some_and(|user| user != found.uid()) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it belongs to another user"));
    }
    if found.mode() & 0o077 != 0 {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn make_private(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)
}

/// The id of the user that this process runs as.
fn user() -> Option<u32> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;

        static USER: OnceCell<Option<u32>> = OnceCell::new();
        // A file that was made belongs to its maker, where there is no /proc.
        let of_a_file = || {
            let path = temporary_directory().join(format!("{NAME}-{}-user", process::id()));
            let file = File::options().create_new(true).write(true).open(&path).ok()?;
            let user = file.metadata().ok().map(|file| file.uid());
            let _ = fs::remove_file(path);
            user
        };
        *USER.get_or_init(|| fs::metadata("/proc/self").map(|this| this.uid()).ok().or_else(of_a_file))
    }
    #[cfg(not(unix))]
    None
}

/// The temporary directory, as an absolute path: a test may change the working directory. An empty `TMPDIR` is none.
pub(crate) fn temporary_directory() -> PathBuf {
    static DIRECTORY: OnceCell<PathBuf> = OnceCell::new();
    let absolute = || {
        let directory = env::temp_dir();
        if directory.as_os_str().is_empty() {
            return PathBuf::from("/tmp");
        }
        std::path::absolute(&directory).unwrap_or(directory)
    };
    DIRECTORY.get_or_init(absolute).clone()
}

/// Writes a file that only the user can read, in one step: nobody reads half of it, and no link is followed.
///
/// # Errors
///
/// When it can't be written.
pub(crate) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension(format!("{}.new", process::id()));
    let mut options = File::options();
    options.create(true).truncate(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(&new)?.write_all(text.as_bytes())?;
    fs::rename(new, path)
}

/// The last bytes of a file, as text: it may be far larger than what is shown.
pub(crate) fn tail(path: &Path, bytes: u64) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(bytes)))?;
        let mut tail = Vec::new();
        file.take(bytes).read_to_end(&mut tail)?;
        Ok(tail)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).trim().to_owned()
}
