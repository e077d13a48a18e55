//! Ends a server that we started when its owner is gone.
//!
//! Statics are never dropped, a killed process runs no code, and its children outlive it. So the server is in the
//! process group of a short shell script that reads from a pipe. However this process ends, the pipe closes, and the
//! script kills its group. The server is our own child and not the script's, so that it need not wait for the shell to
//! start. (`PR_SET_PDEATHSIG` is unsuitable: it fires when the spawning *thread* ends, and every test is a thread.)

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::{env, fs, process};

use super::Owner;
use super::unique_name::unique_name;
use crate::cache;
use crate::report::{self, Reason};
use crate::sync::lock;

const SCRIPT: &str = include_str!("supervisor.sh");

/// `sockaddr_un` holds 104 bytes on macOS and 108 on Linux. This leaves room for the file name.
const LONGEST_DIRECTORY: usize = 90;

/// How much of a server's output a report shows, in bytes.
const TAIL: u64 = 2_000;

/// The file with the server's output, in its directory.
const OUTPUT: &str = "server.log";

/// The process with which a server ends.
#[derive(Clone, Copy)]
pub(super) enum ServerOwner<'slot> {
    /// This process.
    Process,
    /// The runner of this process's test run. Its processes share the server through the slot's file.
    Runner { process: u32, slot: &'slot Path },
}

impl<'slot> ServerOwner<'slot> {
    fn process(self) -> u32 {
        match self {
            Self::Process => process::id(),
            Self::Runner { process, .. } => process,
        }
    }

    fn slot(self) -> &'slot Path {
        match self {
            Self::Process => Path::new(""),
            Self::Runner { slot, .. } => slot,
        }
    }
}

/// A server with its supervisor. Dropping it ends the server, and waits until the server and its directory are gone.
pub(super) struct Supervisor {
    children: Arc<Mutex<Children>>,
    directory: PathBuf,
    /// Whether the script needs to know if a test has the server.
    keep: bool,
}

/// The processes of one server.
struct Children {
    script: Child,
    /// The script ends the server when this pipe closes.
    pipe: Option<ChildStdin>,
    /// In the script's process group.
    server: Option<Child>,
    directory: PathBuf,
}

impl Supervisor {
    /// Starts `binary`. `arguments` returns its arguments for a directory. `file` is a file to create there, by name
    /// and text. `configuration` is the server's standard input.
    ///
    /// # Errors
    ///
    /// Returns a reason if the script or the server can't be started, or the directory can't be created.
    pub(super) fn start(
        binary: &Path,
        keep: bool,
        owner: ServerOwner<'_>,
        file: Option<(&str, &str)>,
        configuration: &str,
        arguments: impl Fn(&Path) -> Vec<OsString>,
    ) -> Result<Self, Reason> {
        let mut children = Children::start_script(keep, owner)?;
        let directory = children.directory.clone();
        let output = file
            .map_or(Ok(()), |(name, text)| fs::write(directory.join(name), text))
            .and_then(|()| File::create(directory.join(OUTPUT)))
            .and_then(|output| Ok((output.try_clone()?, output)))
            .map_err(|error| report::process::no_directory(&directory, &error))?;
        let group = children
            .script
            .id()
            .try_into()
            .map_err(|_| report::process::no_supervisor(&io::ErrorKind::Other.into()))?;
        let mut server = Command::new(binary)
            .args(arguments(&directory))
            // The binary may be a wrapper script, and a test may have cleared PATH.
            .env("PATH", path())
            .stdin(Stdio::piped())
            .stdout(output.0)
            .stderr(output.1)
            .process_group(group)
            .spawn()
            .map_err(|error| report::process::not_started(binary, &error))?;
        let process = server.id();
        if let Some(mut pipe) = server.stdin.take() {
            // If the server has already ended, its output has the reason.
            let _ = pipe.write_all(configuration.as_bytes());
        }
        children.server = Some(server);
        children.say(&format!("server {process}")).map_err(|error| report::process::no_supervisor(&error))?;
        let children = Arc::new(Mutex::new(children));
        // A server that is kept, or that a run shares, outlives this process.
        if !keep && matches!(owner, ServerOwner::Process) {
            at_exit::end(&children);
        }
        Ok(Self { children, directory, keep })
    }

    fn children(&self) -> MutexGuard<'_, Children> {
        lock(&self.children)
    }

    /// Returns the directory of the server's files.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns whether the server has ended.
    pub(super) fn has_ended(&mut self) -> bool {
        self.children().server.as_mut().is_none_or(|server| !matches!(server.try_wait(), Ok(None)))
    }

    /// Returns the end of the server's output.
    pub(super) fn output_tail(&self) -> String {
        cache::tail(&self.directory.join(OUTPUT), TAIL)
    }

    /// Returns the size of the server's output, in bytes.
    pub(super) fn output_size(&self) -> u64 {
        fs::metadata(self.directory.join(OUTPUT)).map_or(0, |output| output.len())
    }
}

impl Owner for Supervisor {
    fn leased(&mut self, leased: bool) {
        if self.keep {
            // If the script is gone, it has ended its server, which the lease is about to notice.
            let _ = self.children().say(if leased { "leased" } else { "idle" });
        }
    }
}

/// A directory that only this user can enter, for a socket. It is removed when this is dropped or this process
/// ends.
#[cfg(feature = "tap")]
pub(crate) struct PrivateDirectory(Arc<Mutex<Children>>);

#[cfg(feature = "tap")]
impl PrivateDirectory {
    /// # Errors
    ///
    /// Returns a reason if the script can't be started, or the directory can't be created.
    pub(crate) fn new() -> Result<Self, Reason> {
        let mut children = Children::start_script(false, ServerOwner::Process)?;
        // From now on the script waits for our end. There is no server for it to end.
        children.say("server").map_err(|error| report::process::no_supervisor(&error))?;
        let children = Arc::new(Mutex::new(children));
        at_exit::end(&children);
        Ok(Self(children))
    }

    pub(crate) fn path(&self) -> PathBuf {
        lock(&self.0).directory.clone()
    }
}

impl Children {
    /// Starts the script, and creates the directory that it removes.
    fn start_script(keep: bool, owner: ServerOwner<'_>) -> Result<Self, Reason> {
        let directory = new_directory_name();
        let mut script = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "transient-fixtures-supervisor"])
            .arg(&directory)
            .arg(owner.process().to_string())
            .arg(if keep { "1" } else { "0" })
            .arg(owner.slot())
            .stdin(Stdio::piped())
            // An inherited output would keep the test's own output open.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(|error| report::process::no_supervisor(&error))?;
        let pipe = script.stdin.take();
        let children = Self { script, pipe, server: None, directory };
        match fs::DirBuilder::new().mode(0o700).create(&children.directory) {
            Ok(()) => Ok(children),
            Err(error) => Err(report::process::no_directory(&children.directory, &error)),
        }
    }

    fn say(&mut self, word: &str) -> io::Result<()> {
        match &mut self.pipe {
            Some(pipe) => writeln!(pipe, "{word}"),
            None => Ok(()),
        }
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        end(self);
    }
}

/// Ends and reaps them. A second call does nothing.
fn end(children: &mut Children) {
    // This is faster than the script, which does the same if this process can't. If one of these steps fails, the
    // script does it as well.
    let mut server = children.server.take();
    if let Some(server) = &mut server {
        let _ = server.kill();
        let _ = fs::remove_dir_all(&children.directory);
    }
    // Closing the pipe is not enough if a forked child has it open.
    let _ = children.say("end");
    drop(children.pipe.take());
    // The server and the script end at the same time.
    if let Some(server) = &mut server {
        let _ = server.wait();
    }
    // Reap the script. There is nothing to do if that fails.
    let _ = children.script.wait();
}

/// Ends the servers of this process when it exits. Statics are never dropped, and orphans must be reaped by the first
/// process, which does not do so in every container.
mod at_exit {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::process;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::{Arc, Mutex, Once, Weak};

    use super::Children;
    use crate::sync::lock;

    static STARTED: Mutex<Vec<Weak<Mutex<Children>>>> = Mutex::new(Vec::new());

    /// A forked child exits with the same functions registered, but does not own the servers.
    static OWNER: AtomicU32 = AtomicU32::new(0);

    pub(super) fn end(children: &Arc<Mutex<Children>>) {
        static REGISTERED: Once = Once::new();
        REGISTERED.call_once(|| {
            OWNER.store(process::id(), Ordering::Relaxed);
            register();
        });
        let mut started = lock(&STARTED);
        started.retain(|children| children.strong_count() > 0);
        started.push(Arc::downgrade(children));
    }

    /// The standard library has no exit hook.
    #[allow(unsafe_code)]
    fn register() {
        // SAFETY: the function lives as long as the process, takes no arguments and returns nothing. It does not unwind
        // into C.
        unsafe {
            libc::atexit(exiting);
        }
    }

    extern "C" fn exiting() {
        let _ = catch_unwind(AssertUnwindSafe(|| {
            if OWNER.load(Ordering::Relaxed) != process::id() {
                return;
            }
            // A running thread may hold the lock and never release it. Then the script ends the servers.
            let Ok(started) = STARTED.try_lock() else { return };
            for children in started.iter().filter_map(Weak::upgrade) {
                if let Ok(mut children) = children.try_lock() {
                    super::end(&mut children);
                }
            }
        }));
    }
}

/// Starts a command that ends with this process, even if this one is killed. Only Linux can do that. Call it on the
/// main thread: the command ends with the thread that has started it.
///
/// # Errors
///
/// Returns an error if the command can't be started.
pub(crate) fn start_command(command: &mut Command) -> io::Result<Child> {
    #[cfg(target_os = "linux")]
    end_with_parent(command);
    command.spawn()
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn end_with_parent(command: &mut Command) {
    let parent = process::id();
    let kill = libc::c_ulong::from(libc::SIGKILL.unsigned_abs());
    let ask = move || {
        // SAFETY: they only pass numbers.
        let (failed, now) = unsafe { (libc::prctl(libc::PR_SET_PDEATHSIG, kill) != 0, libc::getppid()) };
        // The kernel sends nothing if the parent has ended before it was asked.
        if failed || u32::try_from(now) != Ok(parent) { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    };
    // SAFETY: between fork and exec, the closure calls two functions that are safe to call from a signal handler, and
    // does not allocate.
    unsafe {
        command.pre_exec(ask);
    }
}

/// Returns `PATH` with the system's own directories appended.
fn path() -> OsString {
    let mut path = env::var_os("PATH").filter(|path| !path.is_empty()).unwrap_or_default();
    path.push(if path.is_empty() { "/usr/bin:/bin" } else { ":/usr/bin:/bin" });
    path
}

/// Returns a unique name in the temporary directory, or in /tmp if that is too long for a socket.
fn new_directory_name() -> PathBuf {
    let name = unique_name();
    let directory = cache::temporary_directory().join(&name);
    if directory.as_os_str().len() > LONGEST_DIRECTORY { Path::new("/tmp").join(name) } else { directory }
}
