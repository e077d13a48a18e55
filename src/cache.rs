//! Our directory in the user's cache: downloaded servers, locks, and facts that outlive a process.
//!
//! | path | contents | written by |
//! | --- | --- | --- |
//! | `v1/servers/`, `v1/containers/` | slots: started servers that the processes of a run share | `provider::slot` |
//! | `v1/runs/` | facts that the processes of a run share | `provider::run` |
//! | `running/` | locks and notes of shared servers, by `run_id` | `lease::notes` |
//! | `download/` | downloaded servers, by SHA-256 | `provider::download` |
//!
//! Different releases can use one cache at the same time. So [`LAYOUT`] is a directory level: a release ignores the
//! files of other layouts. Two directories are shared by all releases. A file in `download/` is checked against the
//! hash in its path. A note in `running/` is about a server's data, and all releases that lease this server must see
//! it: a note that only one of them sees could outlive that data and let the next lease clear foreign keys. So never
//! change the meaning of a file there; add a file with another extension.
//!
//! File names must not depend on the compiler: use [`file_name`], not `DefaultHasher`.
//!
//! Servers are executed from this directory, so it must belong to the user, and only they can write to it. If others
//! could write to it before, they may have left links or files there. So open a file with [`open_lock`] or [`read`],
//! which follow no link and reject the files of other users, and replace it with [`write_private`].

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, process};

use etcetera::BaseStrategy;

use crate::{hex, report};

const NAME: &str = "transient-fixtures";

/// The prefix of the directories in the temporary directory, and of the names of containers. The id of the process that
/// has made them follows.
pub(crate) const OWNED: &str = "transient-fixtures-";

/// The version of the files below it. Increase it whenever one of them changes its name, its contents or its meaning.
pub(crate) const LAYOUT: &str = "v1";

/// Returns `XDG_CACHE_HOME`/transient-fixtures or the platform's equivalent. For a user without a home directory, it is
/// in the temporary directory, with the user's id in its name.
pub(crate) fn directory() -> PathBuf {
    match etcetera::choose_base_strategy() {
        Ok(base) if base.cache_dir().is_absolute() => base.cache_dir().join(NAME),
        _ => {
            temporary_directory().join(format!("{NAME}-cache{}", user().map(|id| format!("-{id}")).unwrap_or_default()))
        }
    }
}

/// Returns a directory of this layout, creating it if necessary.
///
/// # Errors
///
/// Returns an error if the directory can't be created, or the cache belongs to another user.
pub(crate) fn subdirectory(name: &str) -> io::Result<PathBuf> {
    private_subdirectory(&[LAYOUT, name])
}

/// Returns a directory that all layouts share, creating it if necessary.
///
/// # Errors
///
/// Returns an error if the directory can't be created, or the cache belongs to another user.
pub(crate) fn shared_subdirectory(name: &str) -> io::Result<PathBuf> {
    private_subdirectory(&[name])
}

fn private_subdirectory(names: &[&str]) -> io::Result<PathBuf> {
    let mut path = directory();
    make_private(&path)?;
    for name in names {
        path.push(name);
        make_private(&path)?;
    }
    Ok(path)
}

/// Returns a file name for a text of any length: half of its SHA-256 in hexadecimal.
pub(crate) fn file_name(text: &str) -> String {
    let hash = hmac_sha256::Hash::hash(text.as_bytes());
    hex::encode(&hash[..16])
}

/// Creates a directory that only this user can write to, or makes sure that it is one.
///
/// # Errors
///
/// Returns an error if it can't be created, or is something else, such as a link or another user's directory.
#[cfg(unix)]
pub(crate) fn make_private(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};

    match fs::symlink_metadata(directory) {
        Ok(_) => {}
        Err(_) => fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?,
    }
    let found = fs::symlink_metadata(directory)?;
    if !found.is_dir() {
        return Err(io::Error::other("not a directory, or a link to one"));
    }
    if !is_users(&found) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it belongs to another user"));
    }
    if found.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

#[cfg(not(unix))]
pub(crate) fn make_private(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)
}

/// Returns the id of the user of this process.
fn user() -> Option<u32> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;

        static USER: OnceLock<Option<u32>> = OnceLock::new();
        // Without /proc: a new file belongs to its creator.
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

/// Returns whether this is a directory of this user, and not a link to one.
pub(crate) fn is_own_directory(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_dir() && is_users(&found))
}

/// Returns the temporary directory as an absolute path, since a test may change the working directory. An empty
/// `TMPDIR` is ignored.
pub(crate) fn temporary_directory() -> PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    let absolute = || {
        let directory = env::temp_dir();
        if directory.as_os_str().is_empty() {
            return PathBuf::from("/tmp");
        }
        std::path::absolute(&directory).unwrap_or(directory)
    };
    DIRECTORY.get_or_init(absolute).clone()
}

/// Opens a file for its lock, creating it if necessary. Its contents stay.
///
/// # Errors
///
/// Returns an error if the file can't be opened, or is not an ordinary file of this user.
pub(crate) fn open_lock(path: &Path) -> io::Result<File> {
    open(path, File::options().create(true).truncate(false).write(true))
}

/// Returns the contents of a file.
///
/// # Errors
///
/// Returns an error if the file can't be read, or is not an ordinary file of this user.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open(path, File::options().read(true))?.read_to_string(&mut text)?;
    Ok(text)
}

/// Returns whether there is an ordinary file of this user. A file with other hard links is also a file elsewhere.
pub(crate) fn is_own_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|file| is_own(&file) && !has_hard_links(&file))
}

/// Returns whether it is an ordinary file of this user.
pub(crate) fn is_own(file: &Metadata) -> bool {
    file.is_file() && is_users(file)
}

/// Whether it belongs to this user.
#[cfg(unix)]
fn is_users(found: &Metadata) -> bool {
    user().is_none_or(|user| user == std::os::unix::fs::MetadataExt::uid(found))
}

#[cfg(unix)]
fn has_hard_links(file: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(file) > 1
}

#[cfg(not(unix))]
fn is_users(_: &Metadata) -> bool {
    true
}

#[cfg(not(unix))]
fn has_hard_links(_: &Metadata) -> bool {
    false
}

/// Opens a file, and follows no link.
///
/// # Errors
///
/// Returns an error if the file can't be opened, or is not an ordinary file of this user.
pub(crate) fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    // Opening a named pipe would block.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(options, libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let foreign = || io::Error::other(report::foreign_file(path));
    let file = options.open(path).map_err(|error| match fs::symlink_metadata(path) {
        Ok(found) if !is_own(&found) => foreign(),
        _ => error,
    })?;
    let found = file.metadata()?;
    if is_own(&found) && !has_hard_links(&found) { Ok(file) } else { Err(foreign()) }
}

/// Writes a file that only the user can read. It is renamed into place, so it is never read half-written, and it
/// replaces a link instead of following it.
///
/// # Errors
///
/// Returns an error if the file can't be written.
pub(crate) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    // Two threads can write one file.
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let new = path.with_extension(format!("{}-{}.new", process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    let mut options = File::options();
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new).or_else(|error| match error.kind() {
        // A killed process with the same id has left it, or another user has.
        io::ErrorKind::AlreadyExists => fs::remove_file(&new).and_then(|()| options.open(&new)),
        _ => Err(error),
    })?;
    file.write_all(text.as_bytes())?;
    fs::rename(new, path)
}

/// Returns the last bytes of a file as text: the file may be far larger than a report.
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

#[cfg(test)]
mod tests {
    use super::file_name;

    /// Another compiler, release or platform must compute the same names.
    #[test]
    fn file_names_are_stable() {
        // printf transient-fixtures | sha256sum
        assert_eq!(file_name("transient-fixtures"), "d4f5a770132484222c754c5b98bace21");
    }
}
