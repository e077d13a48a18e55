//! A server whose own clock can be moved: it runs under libfaketime, which reads the offset from a file.
//!
//! Not every server build works under libfaketime. One with jemalloc hangs at its start, so the start has a short
//! timeout of its own.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;
use std::{fs, io};

use crate::sync::lock;

/// The name of the file in the server's directory.
pub(super) const FILE: &str = "clock";

/// Its contents at the start: an offset of zero seconds.
pub(super) const INITIAL: &str = "+0\n";

/// The timeout from exec to the first answer. A build that works under libfaketime needs about 10 ms.
pub(super) const READY_WITHIN: Duration = Duration::from_secs(4);

/// Where distributions and Homebrew install the library.
const LIBRARIES: [&str; 8] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib64/faketime/libfaketime.so.1",
    "/usr/lib/faketime/libfaketime.so.1",
    "/usr/local/lib/faketime/libfaketime.so.1",
    "/usr/local/lib/faketime/libfaketime.1.dylib",
    "/opt/homebrew/lib/faketime/libfaketime.1.dylib",
    "/usr/local/opt/libfaketime/lib/faketime/libfaketime.1.dylib",
];

/// Returns the path of the library, if it is installed.
pub(super) fn library() -> Option<&'static Path> {
    LIBRARIES.iter().map(Path::new).find(|path| path.exists())
}

/// Returns the words before the server's command line. Only the server gets the other clock.
pub(super) fn command(library: &Path, directory: &Path) -> Vec<OsString> {
    let preload = if cfg!(target_os = "macos") { "DYLD_INSERT_LIBRARIES=" } else { "LD_PRELOAD=" };
    let assign = |name: &str, path: &Path| {
        let mut assignment = OsString::from(name);
        assignment.push(path);
        assignment
    };
    vec![
        assign(preload, library),
        assign("FAKETIME_TIMESTAMP_FILE=", &directory.join(FILE)),
        "FAKETIME_NO_CACHE=1".into(),
        // The server measures durations with this clock.
        "FAKETIME_DONT_FAKE_MONOTONIC=1".into(),
    ]
}

/// The clock of a running server.
#[derive(Clone)]
pub(crate) struct Clock(PathBuf);

impl Clock {
    pub(super) fn of(directory: &Path) -> Self {
        Self(directory.join(FILE))
    }

    /// Returns whether the clock was moved.
    pub(crate) fn was_moved(&self) -> bool {
        fs::read_to_string(&self.0).is_ok_and(|text| text != INITIAL)
    }

    /// Moves the clock forward.
    ///
    /// # Errors
    ///
    /// Returns an error if the file can't be read or written.
    pub(crate) fn advance(&self, time: Duration) -> io::Result<()> {
        static ADVANCING: Mutex<()> = Mutex::new(());
        let _one_at_a_time = lock(&ADVANCING);
        let text = fs::read_to_string(&self.0)?;
        let before = text.trim().trim_start_matches('+').parse().map_err(io::Error::other)?;
        let offset = Duration::from_secs_f64(before) + time;
        // Rename it into place, so that the server never reads half of it.
        let new = self.0.with_extension("new");
        fs::write(&new, format!("+{}.{:06}\n", offset.as_secs(), offset.subsec_micros()))?;
        fs::rename(new, &self.0)
    }
}
