//! Ends a server that we started when its owner is gone.
//!
//! Statics are never dropped, a killed process runs no code, and children outlive it. So the server is in the process
//! group of a short shell script that holds one end of a pipe. When this process ends, however it ends, the pipe does
//! too, and the script ends its group. The server is our own child and not the script's, so that it need not wait until
//! a shell has started. (`PR_SET_PDEATHSIG` is no way: it fires when the spawning *thread* ends, and every test is a
//! thread.)

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{env, fs, process};

use super::Owner;
use super::unique_name::unique_name;
use crate::cache;
use crate::report::{self, Reason};

const SCRIPT: &str = include_str!("keeper.sh");

/// `sockaddr_un` holds 104 bytes on macOS, 108 on Linux; the file name and a few to spare are taken off.
const LONGEST_DIRECTORY: usize = 90;

/// How much of a server's output a report shows, in bytes.
const TAIL: u64 = 2_000;

/// What the server prints, in its directory.
const OUTPUT: &str = "server.log";

/// With whose end a server ends.
#[derive(Clone, Copy)]
pub(super) enum ServerOwner<'slot> {
    /// This process.
    Process,
    /// The runner of this process's run, whose processes share the server through that file.
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

/// One server and what ends it. Dropping it ends the server and waits until it and its directory are gone.
pub(super) struct Keeper {
    children: Arc<Mutex<Children>>,
    directory: PathBuf,
    /// Whether the script needs to know if a test has the server.
    keep: bool,
}

/// The processes of one server.
struct Children {
    script: Child,
    /// The script ends the server when this is closed.
    pipe: Option<ChildStdin>,
    /// In the script's process group.
    server: Option<Child>,
    directory: PathBuf,
}

impl Keeper {
    /// Starts `binary`, for this process or for the processes of a run, with the arguments that it is to have for its
    /// directory, in which it finds that file, and that `configuration` on its standard input.
    ///
    /// # Errors
    ///
    /// When the script or the server can't be started, or the directory can't be created.
    pub(super) fn start(
        binary: &Path,
        keep: bool,
        owner: ServerOwner<'_>,
        file: Option<(&str, &str)>,
        configuration: &str,
        arguments: impl Fn(&Path) -> Vec<OsString>,
    ) -> Result<Self, Reason> {
        let directory = new_directory_name();
        let no_keeper = |error| report::process::no_keeper(&error);
        let mut script = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "transient-fixtures-keeper"])
            .arg(&directory)
            .arg(owner.process().to_string())
            .arg(if keep { "1" } else { "0" })
            .arg(owner.slot())
            .stdin(Stdio::piped())
            // Inherited, they would keep the test's own output open.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(no_keeper)?;
        let pipe = script.stdin.take();
        let mut children = Children { script, pipe, server: None, directory: directory.clone() };
        let output = fs::DirBuilder::new()
            .mode(0o700)
            .create(&directory)
            .and_then(|()| file.map_or(Ok(()), |(name, text)| fs::write(directory.join(name), text)))
            .and_then(|()| File::create(directory.join(OUTPUT)))
            .and_then(|output| Ok((output.try_clone()?, output)))
            .map_err(|error| report::process::no_directory(&directory, &error))?;
        let group =
            children.script.id().try_into().map_err(|_| report::process::no_keeper(&io::ErrorKind::Other.into()))?;
        let mut server = Command::new(binary)
            .args(arguments(&directory))
            // What is called a server may be a script around one, and a test's PATH emptied.
            .env("PATH", path())
            .stdin(Stdio::piped())
            .stdout(output.0)
            .stderr(output.1)
            .process_group(group)
            .spawn()
            .map_err(|error| report::process::not_started(binary, &error))?;
        let process = server.id();
        if let Some(mut pipe) = server.stdin.take() {
            // A server that has ended already says why in its output.
            let _ = pipe.write_all(configuration.as_bytes());
        }
        children.server = Some(server);
        children.say(&format!("server {process}")).map_err(no_keeper)?;
        let children = Arc::new(Mutex::new(children));
        // What is to be kept, or is the run's, outlives this process.
        if !keep && matches!(owner, ServerOwner::Process) {
            at_exit::end(&children);
        }
        Ok(Self { children, directory, keep })
    }

    fn children(&self) -> MutexGuard<'_, Children> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the server's files are.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether the server has ended.
    pub(super) fn has_ended(&mut self) -> bool {
        self.children().server.as_mut().is_none_or(|server| !matches!(server.try_wait(), Ok(None)))
    }

    /// The end of what the server printed.
    pub(super) fn output_tail(&self) -> String {
        cache::tail(&self.directory.join(OUTPUT), TAIL)
    }

    /// How much the server has printed, in bytes.
    pub(super) fn output_size(&self) -> u64 {
        fs::metadata(self.directory.join(OUTPUT)).map_or(0, |output| output.len())
    }
}

impl Owner for Keeper {
    fn leased(&mut self, leased: bool) {
        if self.keep {
            // A script that is gone has ended its server, which the lease is about to notice.
            let _ = self.children().say(if leased { "leased" } else { "idle" });
        }
    }
}

impl Children {
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

/// Ends them, and reaps them. A second time, there is nothing to do.
fn end(children: &mut Children) {
    // Quicker than the script, which does both where this process can't. Where one fails the script does it as well.
    if let Some(mut server) = children.server.take() {
        let _ = server.kill();
        let _ = server.wait();
        let _ = fs::remove_dir_all(&children.directory);
    }
    // Closing the pipe would not do where a forked child has it open.
    let _ = children.say("end");
    drop(children.pipe.take());
    // Reaps the script. Nothing is left to do where that fails.
    let _ = children.script.wait();
}

/// Ends the servers of this process when it exits: statics are never dropped, and what they hold would be left for
/// others to reap, who in a container may not do it.
mod at_exit {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::process;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::{Arc, Mutex, Once, PoisonError, Weak};

    use super::Children;

    static STARTED: Mutex<Vec<Weak<Mutex<Children>>>> = Mutex::new(Vec::new());

    /// A forked child exits with the same functions registered, and the servers are not its own.
    static OWNER: AtomicU32 = AtomicU32::new(0);

    pub(super) fn end(children: &Arc<Mutex<Children>>) {
        static REGISTERED: Once = Once::new();
        REGISTERED.call_once(|| {
            OWNER.store(process::id(), Ordering::Relaxed);
            register();
        });
        let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
        started.retain(|children| children.strong_count() > 0);
        started.push(Arc::downgrade(children));
    }

    /// The standard library has no way to be told of the exit.
    #[allow(unsafe_code)]
    fn register() {
        // SAFETY: the function is there as long as the process, and takes and returns nothing. It does not panic into C.
        unsafe {
            libc::atexit(exiting);
        }
    }

    extern "C" fn exiting() {
        let _ = catch_unwind(AssertUnwindSafe(|| {
            if OWNER.load(Ordering::Relaxed) != process::id() {
                return;
            }
            // A thread that still runs may hold a lock, and will not let it go: the script sees to that server.
            let Ok(started) = STARTED.try_lock() else { return };
            for children in started.iter().filter_map(Weak::upgrade) {
                if let Ok(mut children) = children.try_lock() {
                    super::end(&mut children);
                }
            }
        }));
    }
}

/// `PATH` with the places of a system's own programs.
fn path() -> OsString {
    let mut path = env::var_os("PATH").filter(|path| !path.is_empty()).unwrap_or_default();
    path.push(if path.is_empty() { "/usr/bin:/bin" } else { ":/usr/bin:/bin" });
    path
}

/// A name that no other server has: in the temporary directory, or in /tmp where that is too long for a socket.
fn new_directory_name() -> PathBuf {
    let name = unique_name();
    let directory = cache::temporary_directory().join(&name);
    if directory.as_os_str().len() > LONGEST_DIRECTORY { Path::new("/tmp").join(name) } else { directory }
}
