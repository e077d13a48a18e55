//! Removes a container whose process was killed between creating and starting it.
//!
//! A started container ends by itself. A created one has no process that could do so, and creating and starting are two
//! requests to the engine. So a short shell script on the host waits for the second request. If its pipe closes before,
//! it removes the container with the engine's command.

use std::io::Write;
use std::process::{Child, Command, Stdio};

/// $1 is the container's name. The engine may still be creating it when our process is gone, so try more than once.
const SCRIPT: &str = r#"
PATH=$PATH:/usr/local/bin:/usr/bin:/bin
trap '' HUP INT QUIT TERM
read -r started && exit
for _ in 1 2 3 4 5 6 7 8 9 10; do
    for engine in docker podman; do "$engine" rm --force "$1"; done
    sleep 1
done
"#;

/// The time between creating and starting a container. If it is dropped before [`end`](Self::end), the container is
/// removed.
pub(super) struct CreateWatch {
    script: Option<Child>,
}

impl CreateWatch {
    /// Starts to watch the container of this name. Best effort: does nothing without /bin/sh.
    pub(super) fn new(container: &str) -> Self {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "transient-fixtures-create-watch", container]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // A signal to the tests' process group must not end the script.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        Self { script: command.spawn().ok() }
    }

    /// Ends the watch: the container runs, and ends by itself.
    pub(super) fn end(self) {
        if let Some(mut script) = self.script {
            if let Some(mut pipe) = script.stdin.take() {
                // If the script is gone, it removes nothing.
                let _ = writeln!(pipe, "started");
            }
            // Reap the script, which ends when it reads this line.
            let _ = script.wait();
        }
    }
}
