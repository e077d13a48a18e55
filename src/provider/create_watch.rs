//! Removes a container whose process was killed between creating and starting it.
//!
//! A started container ends by itself. One that was only created has no process that could, and creating and starting
//! are two requests to the engine. So a short shell script on the host waits until the second is done; where its pipe
//! ends before, it removes the container with the engine's own command.

use std::io::Write;
use std::process::{Child, Command, Stdio};

/// $1 is the container's name. The engine may still be making it when we are gone: so more than one try.
const SCRIPT: &str = r#"
PATH=$PATH:/usr/local/bin:/usr/bin:/bin
trap '' HUP INT QUIT TERM
read -r started && exit
for _ in 1 2 3 4 5 6 7 8 9 10; do
    for engine in docker podman; do "$engine" rm --force "$1"; done
    sleep 1
done
"#;

/// The time between creating a container and its start. Dropped before [`end`](Self::end), it has the
/// container removed.
pub(super) struct CreateWatch {
    script: Option<Child>,
}

impl CreateWatch {
    /// From here on, the container of that name is removed if it is not started. Where there is no shell, it is not.
    pub(super) fn new(container: &str) -> Self {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "transient-fixtures-unstarted", container]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // What ends the tests must not end it.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        Self { script: command.spawn().ok() }
    }

    /// The container runs, and looks after itself.
    pub(super) fn end(self) {
        if let Some(mut script) = self.script {
            if let Some(mut pipe) = script.stdin.take() {
                // A script that is gone can remove nothing.
                let _ = writeln!(pipe, "started");
            }
            // Reaps it; it ends at that word.
            let _ = script.wait();
        }
    }
}
