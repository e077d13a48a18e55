//! A command with all processes that it starts, which end together.

use std::io;
use std::process::{Child, Command, ExitStatus};
#[cfg(unix)]
use std::{
    io::Write as _,
    os::unix::process::CommandExt as _,
    process::{ChildStdin, Stdio},
};

/// It leads the process group, and ends it when this process closes the pipe, or is gone. Without a line it says so
/// first: runners such as nextest have groups of their own to end.
#[cfg(unix)]
const LEADER: &str = "trap '' HUP INT QUIT TERM; read line || { kill -TERM 0; sleep 1; }; kill -KILL 0";

/// A process group without a command. Dropping it ends the group.
pub(super) struct Leader {
    #[cfg(unix)]
    process: Child,
    #[cfg(unix)]
    pipe: Option<ChildStdin>,
}

/// A running command with its group. Dropping it ends both.
pub(super) struct Group {
    command: Child,
    leader: Leader,
}

impl Leader {
    /// # Errors
    ///
    /// Returns an error if it can't be started.
    #[cfg(unix)]
    pub(super) fn start() -> io::Result<Self> {
        let mut leader = Command::new("/bin/sh");
        leader.args(["-c", LEADER]).process_group(0);
        let mut process = leader.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let pipe = process.stdin.take();
        Ok(Self { process, pipe })
    }

    /// # Errors
    ///
    /// Returns none.
    #[cfg(not(unix))]
    pub(super) fn start() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Puts a command that is started later into the group.
    pub(super) fn takes(&self, command: &mut Command) {
        #[cfg(unix)]
        if let Ok(group) = self.process.id().try_into() {
            command.process_group(group);
        }
        #[cfg(not(unix))]
        let _ = command;
    }

    pub(super) fn leads(self, command: Child) -> Group {
        Group { command, leader: self }
    }
}

impl Group {
    /// The command's process.
    pub(super) fn command(&mut self) -> &mut Child {
        &mut self.command
    }

    /// Returns the exit status of the command, if it has ended.
    ///
    /// # Errors
    ///
    /// Returns the errors of the system.
    pub(super) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.command.try_wait()
    }

    /// Ends what the command has left, after its own end.
    pub(super) fn end_rest(mut self) {
        #[cfg(unix)]
        if let Some(pipe) = &mut self.leader.pipe {
            // If it is gone, so is the group.
            let _ = pipe.write_all(b"\n");
        }
        drop(self);
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        #[cfg(unix)]
        {
            self.pipe.take();
            let _ = self.process.wait();
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        #[cfg(unix)]
        {
            self.leader.pipe.take();
            let _ = self.leader.process.wait();
        }
        // It may have left the group, or be gone.
        let _ = self.command.kill();
        let _ = self.command.wait();
    }
}
