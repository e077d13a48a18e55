//! A file that appears under its name only when it is complete.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::path::{Path, PathBuf};

use crate::{Failure, report};

/// The end of the name under which a file is written. It begins with a dot and the final name.
const PART: &str = ".part";

/// A file that is being written, beside its final name.
pub(crate) struct NewFile {
    pub(crate) file: File,
    part: PathBuf,
    path: PathBuf,
    replace: bool,
}

impl NewFile {
    /// # Errors
    ///
    /// Returns an error if there is a file already and it is not to be replaced, or if its directory can't be written.
    pub(crate) fn create(path: &Path, replace: bool) -> Result<Self, Failure> {
        let failed = |error| Failure::of(&report::backup::not_written(path, &error));
        // The file that a link names, if it is to be replaced. A link that leads nowhere is replaced itself.
        let real = path.canonicalize().ok().filter(|_| replace);
        match fs::symlink_metadata(real.as_deref().unwrap_or(path)) {
            Ok(_) if !replace => return Err(Failure::of(&report::backup::exists(path))),
            Ok(there) if !there.is_file() && !there.is_symlink() => {
                return Err(Failure::of(&report::backup::no_file(path)));
            }
            _ => {}
        }
        let path = real.unwrap_or_else(|| path.to_owned());
        let name = path.file_name().ok_or_else(|| Failure::of(&report::backup::no_file(&path)))?.to_owned();
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let start = format!(".{}.", name.display());
        remove_parts_of_killed_processes(directory, &start);
        loop {
            let part = directory.join(format!("{start}{:016x}{PART}", RandomState::new().build_hasher().finish()));
            let mut options = OpenOptions::new();
            options.read(true).write(true).create_new(true);
            // It can have passwords, and people's sessions.
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let file = options.open(&part).map_err(failed)?;
            // Where files can't be locked, parts of killed processes stay.
            let _ = file.lock();
            // Another process may have found it before it was locked.
            if part.exists() {
                return Ok(Self { file, part, path, replace });
            }
        }
    }

    /// Gives the file its name.
    ///
    /// # Errors
    ///
    /// Returns an error if there is a file by now that is not to be replaced, or the disk fails.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let failed = |error| Failure::of(&report::backup::not_written(&self.path, &error));
        self.file.sync_all().map_err(failed)?;
        if self.replace {
            return fs::rename(&self.part, &self.path).map_err(failed);
        }
        // Unlike a renamed file, a link replaces nothing.
        match fs::hard_link(&self.part, &self.path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(Failure::of(&report::backup::exists(&self.path)))
            }
            // A file system without links: somebody could write a file between the two steps.
            Err(_) if fs::symlink_metadata(&self.path).is_err() => fs::rename(&self.part, &self.path).map_err(failed),
            Err(error) => Err(failed(error)),
        }
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // It is gone if it was renamed.
        let _ = fs::remove_file(&self.part);
    }
}

/// Removes parts that nobody has locked.
fn remove_parts_of_killed_processes(directory: &Path, start: &str) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| name.starts_with(start) && name.ends_with(PART)) else { continue };
        let part = directory.join(name);
        if File::open(&part).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = fs::remove_file(part);
        }
    }
}
