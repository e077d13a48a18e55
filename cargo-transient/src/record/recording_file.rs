//! Where the recording is.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many were created, so that each has a name of its own.
static CREATED: AtomicUsize = AtomicUsize::new(0);

/// The file of the recording. One that nobody asked for has no name on Linux, so that it is gone whatever ends this
/// process; elsewhere it is removed when this is dropped.
pub(crate) struct RecordingFile {
    path: PathBuf,
    /// What keeps a file without a name.
    _unnamed: Option<File>,
    is_temporary: bool,
}

impl RecordingFile {
    /// # Errors
    ///
    /// Returns an error if there is no place for temporary files.
    pub(crate) fn create(kept: Option<&Path>) -> io::Result<Self> {
        if let Some(path) = kept {
            return Ok(Self { path: path.to_owned(), _unnamed: None, is_temporary: false });
        }
        let number = CREATED.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("cargo-transient-recording-{}-{number}", process::id()));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        // It has all data of the command.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path)?;
        Ok(Self::without_name(&path, file).unwrap_or(Self { path, _unnamed: None, is_temporary: true }))
    }

    /// Removes the name of the file. Its other path is that of its descriptor.
    #[cfg(target_os = "linux")]
    fn without_name(path: &Path, file: File) -> Option<Self> {
        use std::os::fd::AsRawFd as _;

        let other = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        if fs::read_link(&other).ok()? != path.canonicalize().ok()? {
            return None;
        }
        fs::remove_file(path).ok()?;
        Some(Self { path: other, _unnamed: Some(file), is_temporary: false })
    }

    #[cfg(not(target_os = "linux"))]
    fn without_name(_: &Path, _: File) -> Option<Self> {
        None
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for RecordingFile {
    fn drop(&mut self) {
        if self.is_temporary {
            // Nobody can be told any more.
            let _ = fs::remove_file(&self.path);
        }
    }
}
