//! A port of this machine, which one command has after another.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::report;

/// How long a command that has ended may still have its port: the kernel can release the lock first.
const GRACE: Duration = Duration::from_secs(1);

/// How often is tried again, for another process to finish what it has begun.
const RETRY_EVERY: Duration = Duration::from_millis(5);

/// Waits for the turn at this port, which lasts until this process ends, and listens there.
///
/// # Errors
///
/// Returns an error if another program listens there, or the lock can't be had.
pub(super) fn take(port: u16) -> Result<Vec<TcpListener>, String> {
    let path = lock_path(port);
    let lock = open(&path).map_err(|error| report::no_lock(&path, &error))?;
    match lock.try_lock() {
        Err(TryLockError::WouldBlock) => {
            let _ = writeln!(io::stderr(), "{}", report::waiting(port));
            lock.lock()
        }
        Err(TryLockError::Error(error)) => Err(error),
        Ok(()) => Ok(()),
    }
    .map_err(|error| report::no_lock(&path, &error))?;
    let listeners = listen(port).map_err(|error| report::port_in_use(port, &error))?;
    // The kernel closes it with the listeners.
    std::mem::forget(lock);
    Ok(listeners)
}

/// Listens at both loopback addresses, or at the first one if the machine has no IPv6.
fn listen(port: u16) -> io::Result<Vec<TcpListener>> {
    let first = bind((Ipv4Addr::LOCALHOST, port))?;
    match bind((Ipv6Addr::LOCALHOST, port)) {
        Ok(second) => Ok(vec![first, second]),
        Err(error) if [ErrorKind::AddrInUse, ErrorKind::PermissionDenied].contains(&error.kind()) => Err(error),
        Err(_) => Ok(vec![first]),
    }
}

fn bind(address: impl ToSocketAddrs + Copy) -> io::Result<TcpListener> {
    retry(GRACE, || TcpListener::bind(address), ErrorKind::AddrInUse)
}

/// One file for all users of this machine, whatever their own temporary directory is.
fn lock_path(port: u16) -> PathBuf {
    PathBuf::from(format!("/tmp/transient-fixtures-port-{port}.lock"))
}

/// Opens a lock that every user can take. Opening it for reading is enough, and the kernel may refuse more in a
/// directory that is open to all.
fn open(path: &Path) -> io::Result<File> {
    let open = || match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => create(path),
        opened => opened,
    };
    // Its creator may be about to make it readable.
    retry(GRACE, open, ErrorKind::PermissionDenied)
}

fn create(path: &Path) -> io::Result<File> {
    let created = OpenOptions::new().write(true).create_new(true).open(path);
    let file = match created {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return File::open(path),
        created => created?,
    };
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o444))?;
    Ok(file)
}

/// Tries again while the error is of this kind.
fn retry<T>(within: Duration, attempt: impl Fn() -> io::Result<T>, kind: ErrorKind) -> io::Result<T> {
    let deadline = Instant::now() + within;
    loop {
        match attempt() {
            Err(error) if error.kind() == kind && Instant::now() < deadline => thread::sleep(RETRY_EVERY),
            outcome => return outcome,
        }
    }
}
