//! Which processes are the clients of a tap. Linux only.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use transient_fixtures::__cargo_transient::{Rewrite, Rewritten};

/// The command lines of a tap's clients, by connection.
pub(super) type CommandLines = HashMap<u64, Vec<String>>;

/// Looks up each client when it connects, and changes no command.
#[derive(Default)]
pub(super) struct Clients(Arc<Mutex<CommandLines>>);

impl Clients {
    /// The command lines so far.
    pub(super) fn lines(&self) -> Arc<Mutex<CommandLines>> {
        self.0.clone()
    }
}

impl Rewrite for Clients {
    fn command(&mut self, _: u64, _: &[u8]) -> Option<Rewritten> {
        None
    }

    fn connects(&mut self, connection: u64, port: Option<u16>) {
        if let Some(line) = port.and_then(command_line) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(connection, line);
        }
    }
}

/// The command line of the process that has a connection from this port.
fn command_line(port: u16) -> Option<Vec<String>> {
    let socket = ["/proc/net/tcp", "/proc/net/tcp6"].into_iter().find_map(|table| socket(table, port))?;
    let numbers =
        fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut processes: Vec<_> = numbers.collect();
    // The process of a test is one of the newest.
    processes.sort_unstable_by(|one, other| other.cmp(one));
    let process =
        processes.into_iter().map(|process| format!("/proc/{process}")).find(|process| has_open(process, &socket))?;
    let line = fs::read(Path::new(&process).join("cmdline")).ok()?;
    let words = line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    Some(words.filter(|word| !word.is_empty()).collect())
}

/// `socket:[4711]`, by the port of its own side.
fn socket(table: &str, port: u16) -> Option<String> {
    let port = format!(":{port:04X}");
    let text = fs::read_to_string(table).ok()?;
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let inode = words.clone().nth(9)?;
        (words.nth(1)?.ends_with(&port) && inode != "0").then(|| format!("socket:[{inode}]"))
    })
}

fn has_open(process: &str, socket: &str) -> bool {
    let files = fs::read_dir(Path::new(process).join("fd")).into_iter().flatten().flatten();
    files.into_iter().any(|file| fs::read_link(file.path()).is_ok_and(|target| target == Path::new(socket)))
}
