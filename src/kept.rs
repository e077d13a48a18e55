//! What this crate keeps on the machine, and removing it: what `cargo transient clean` needs.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::cache;
use crate::report::kept as report;

/// A directory of this crate.
#[derive(Debug)]
pub struct Kept {
    path: PathBuf,
    what: &'static str,
    /// The files that can be removed.
    files: Vec<PathBuf>,
    /// Locked by processes that use the directory, or a note that is still needed.
    in_use: usize,
    bytes: u64,
    /// Held, so that no process begins to use what is removed.
    locks: Vec<File>,
}

/// Lists what there is. Nobody else can use it until the list is dropped.
#[must_use]
pub fn list() -> Vec<Kept> {
    let cache = cache::directory();
    let layout = cache.join(cache::LAYOUT);
    let kinds = [
        (cache.join("download"), report::DOWNLOAD),
        (cache.join("running"), report::RUNNING),
        (layout.join("runs"), report::RUNS),
        (layout.join("servers"), report::SERVERS),
        (layout.join("containers"), report::CONTAINERS),
    ];
    let mut found: Vec<_> = kinds.iter().filter_map(|(path, what)| in_cache(path, what)).collect();
    found.extend(temporary_directories());
    found
}

/// A directory in the cache. Files with the name of a locked one, or of an open note, stay: the note says that the keys
/// in a running server's databases are those of a killed test.
fn in_cache(path: &Path, what: &'static str) -> Option<Kept> {
    let files = fs::read_dir(path).ok().filter(|_| cache::is_own_directory(path))?.flatten();
    let mut kept = Kept::new(path, what, files.map(|entry| entry.path()).collect());
    let name = |file: &Path| file.file_name()?.to_str()?.split('.').next().map(str::to_owned);
    let mut used = Vec::new();
    for file in &kept.files {
        let is_note = file.extension().is_some_and(|extension| extension == "open");
        if is_note || !try_lock(file, &mut kept.locks) {
            used.extend(name(file));
        }
    }
    // The lock of the download is for the whole directory.
    let is_all = used.iter().any(|name| name == "lock");
    let is_used = |file: &PathBuf| is_all || name(file).is_some_and(|name| used.contains(&name));
    kept.in_use = kept.files.iter().filter(|file| is_used(file)).count();
    kept.files.retain(|file| !is_used(file));
    kept.bytes = kept.files.iter().map(|file| size(file)).sum();
    (!kept.files.is_empty() || kept.in_use > 0).then_some(kept)
}

/// Locks a file, if it is one. Returns false if another process has locked it.
fn try_lock(path: &Path, locks: &mut Vec<File>) -> bool {
    let Ok(file) = cache::open(path, File::options().write(true)) else { return true };
    match file.try_lock() {
        Ok(()) => {
            locks.push(file);
            true
        }
        Err(fs::TryLockError::WouldBlock) => false,
        Err(fs::TryLockError::Error(_)) => true,
    }
}

/// Directories of servers and taps. They are only left if the supervisor was killed too, by a power cut for example.
fn temporary_directories() -> Vec<Kept> {
    let entries = fs::read_dir(cache::temporary_directory()).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let ours = paths.filter_map(|path| Some((owner(&path)?, path)).filter(|(_, path)| cache::is_own_directory(path)));
    ours.map(|(owner, path)| {
        let is_used = is_used(&path, owner);
        let files = if is_used { Vec::new() } else { vec![path.clone()] };
        let bytes = files.iter().map(|file| size(file)).sum();
        let in_use = usize::from(is_used);
        Kept { in_use, bytes, ..Kept::new(&path, report::STARTED, files) }
    })
    .collect()
}

/// The id of the process that has made a directory, by its name.
fn owner(directory: &Path) -> Option<u32> {
    let name = directory.file_name()?.to_str()?;
    let (process, _) = name.strip_prefix(cache::OWNED)?.split_once('-')?;
    process.parse().ok()
}

/// Whether a server answers there, or the process that has made the directory runs.
#[cfg(unix)]
fn is_used(directory: &Path, owner: u32) -> bool {
    let sockets = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut sockets = sockets.filter(|path| path.extension().is_some_and(|extension| extension == "sock"));
    sockets.any(|socket| std::os::unix::net::UnixStream::connect(socket).is_ok()) || runs(owner)
}

#[cfg(unix)]
fn runs(process: u32) -> bool {
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", "kill -0 \"$0\"", &process.to_string()]).stderr(std::process::Stdio::null());
    // If in doubt, it does.
    shell.status().map_or(true, |status| status.success())
}

#[cfg(not(unix))]
fn is_used(_: &Path, _: u32) -> bool {
    true
}

fn size(path: &Path) -> u64 {
    let Ok(file) = fs::symlink_metadata(path) else { return 0 };
    if !file.is_dir() {
        return file.len();
    }
    fs::read_dir(path).into_iter().flatten().flatten().map(|entry| size(&entry.path())).sum()
}

impl Kept {
    fn new(path: &Path, what: &'static str, files: Vec<PathBuf>) -> Self {
        Self { path: path.to_owned(), what, files, in_use: 0, bytes: 0, locks: Vec::new() }
    }

    /// Returns the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns what is in it.
    #[must_use]
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// Returns the size of what can be removed, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns how many entries can be removed, and how many are in use.
    #[must_use]
    pub fn entries(&self) -> (usize, usize) {
        (self.files.len(), self.in_use)
    }

    /// Removes what is not in use.
    ///
    /// # Errors
    ///
    /// Returns an error if a file can't be removed.
    pub fn remove(&self) -> io::Result<()> {
        for file in &self.files {
            let removed = if file.is_dir() { fs::remove_dir_all(file) } else { fs::remove_file(file) };
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}
