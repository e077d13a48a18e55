//! What a command prints, by lines.

use std::io::Read;
use std::process::{ChildStderr, ChildStdout};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use transient_fixtures::__cargo_transient::{Rewrite, Rewritten};

use super::suite::Activity;
use super::transcript;

/// A line of output, and when it came, since 1970.
pub(super) type Spoken = (Duration, String);

/// The lines of both outputs.
#[derive(Default)]
pub(super) struct Output {
    pipes: Vec<Pipe>,
    lines: Vec<Spoken>,
}

struct Pipe {
    /// `None` once its end is read.
    file: Option<Box<dyn Read + Send>>,
    /// The line that has no end yet, and when it began.
    line: Vec<u8>,
    began: Option<Duration>,
}

/// Both outputs of a command.
#[derive(Clone, Default)]
pub(super) struct Outputs(Arc<Mutex<Output>>);

/// Reads the outputs before each command that a tap forwards, and changes none. So what a runner has printed before it
/// sent a command has an earlier time, even on a busy machine.
pub(super) struct ReadBefore {
    pub(super) outputs: Outputs,
    pub(super) activity: Arc<Activity>,
}

impl Rewrite for ReadBefore {
    fn command(&mut self, _: u64, _: &[u8]) -> Option<Rewritten> {
        #[cfg(unix)]
        self.outputs.lock().read(&self.activity);
        None
    }
}

impl Outputs {
    fn lock(&self) -> MutexGuard<'_, Output> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the lines so far.
    pub(super) fn take(&self) -> Vec<Spoken> {
        let mut output = self.lock();
        for at in 0..output.pipes.len() {
            output.end_line(at);
        }
        std::mem::take(&mut output.lines)
    }

    /// Reads them in threads until their ends.
    #[cfg(unix)]
    pub(super) fn listen(
        &self,
        stdout: ChildStdout,
        stderr: ChildStderr,
        activity: &Arc<Activity>,
    ) -> Vec<JoinHandle<()>> {
        use std::fs::File;
        use std::os::fd::OwnedFd;

        use rustix::event::{PollFd, PollFlags, poll};

        let listen = |pipe: OwnedFd| {
            // Only this process has this end open.
            let _ = rustix::io::ioctl_fionbio(&pipe, true);
            let polled = pipe.try_clone().ok()?;
            let at = {
                let mut output = self.lock();
                output.pipes.push(Pipe { file: Some(Box::new(File::from(pipe))), line: Vec::new(), began: None });
                output.pipes.len() - 1
            };
            let (outputs, activity) = (self.clone(), activity.clone());
            Some(thread::spawn(move || {
                loop {
                    match poll(&mut [PollFd::new(&polled, PollFlags::IN)], None) {
                        Ok(_) | Err(rustix::io::Errno::INTR) => {}
                        Err(_) => return,
                    }
                    let mut output = outputs.lock();
                    output.read(&activity);
                    if output.pipes[at].file.is_none() {
                        return;
                    }
                }
            }))
        };
        [stdout.into(), stderr.into()].into_iter().filter_map(listen).collect()
    }

    #[cfg(not(unix))]
    pub(super) fn listen(
        &self,
        stdout: ChildStdout,
        stderr: ChildStderr,
        activity: &Arc<Activity>,
    ) -> Vec<JoinHandle<()>> {
        let pipes: [Box<dyn Read + Send>; 2] = [Box::new(stdout), Box::new(stderr)];
        let listen = |(at, mut pipe): (usize, Box<dyn Read + Send>)| {
            self.lock().pipes.push(Pipe { file: None, line: Vec::new(), began: None });
            let (outputs, activity) = (self.clone(), activity.clone());
            thread::spawn(move || {
                let mut buffer = vec![0; 8 * 1024];
                while let Ok(length @ 1..) = pipe.read(&mut buffer) {
                    activity.happens();
                    outputs.lock().take_in(at, &buffer[..length]);
                }
            })
        };
        pipes.into_iter().enumerate().map(listen).collect()
    }
}

impl Output {
    /// Reads what is there.
    #[cfg(unix)]
    fn read(&mut self, activity: &Activity) {
        let mut buffer = [0; 8 * 1024];
        for at in 0..self.pipes.len() {
            while let Some(file) = &mut self.pipes[at].file {
                match file.read(&mut buffer) {
                    Ok(length @ 1..) => {
                        activity.happens();
                        self.take_in(at, &buffer[..length]);
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    _ => self.pipes[at].file = None,
                }
            }
        }
    }

    fn take_in(&mut self, at: usize, bytes: &[u8]) {
        let now = transcript::now();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let pipe = &mut self.pipes[at];
            pipe.line.extend_from_slice(piece);
            pipe.began.get_or_insert(now);
            if piece.ends_with(b"\n") {
                self.end_line(at);
            }
        }
    }

    fn end_line(&mut self, at: usize) {
        let pipe = &mut self.pipes[at];
        if let Some(began) = pipe.began.take() {
            let text = String::from_utf8_lossy(&pipe.line).trim_end().to_owned();
            pipe.line.clear();
            self.lines.push((began, text));
        }
    }
}
