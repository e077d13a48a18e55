//! N+1: commands of one shape, one after another, where one round trip would do.

use std::collections::{HashMap, HashSet};

use super::reader::Command;
use crate::shape::keys_of;

/// So many commands in a row, with different keys, are suspect.
const SUSPECT: usize = 5;

/// How many different keys of a row are told apart.
const KEYS: usize = 1000;

/// Looks for rows.
#[derive(Default)]
pub(crate) struct Rows {
    /// The row that each connection is in.
    open: HashMap<u64, Row>,
    suspects: HashMap<usize, Suspect>,
}

struct Row {
    shape: usize,
    length: usize,
    keys: HashSet<Vec<u8>>,
}

/// The rows of a shape.
#[derive(Clone, Debug, Default)]
pub(crate) struct Suspect {
    pub(crate) rows: usize,
    pub(crate) longest: usize,
    /// All commands in these rows.
    pub(crate) commands: usize,
}

impl Rows {
    /// Takes a command. `shape` is the number of its shape.
    pub(crate) fn take(&mut self, command: &Command, shape: usize) {
        let keys = keys_of(&command.words);
        if !command.begins_round_trip || keys.is_empty() {
            self.close(command.connection);
            return;
        }
        if self.open.get(&command.connection).is_none_or(|row| row.shape != shape) {
            self.close(command.connection);
        }
        let new = || Row { shape, length: 0, keys: HashSet::new() };
        let row = self.open.entry(command.connection).or_insert_with(new);
        row.length += 1;
        if row.keys.len() < KEYS {
            row.keys.insert(keys.concat());
        }
    }

    /// The connection does something else, or is closed.
    pub(crate) fn close(&mut self, connection: u64) {
        if let Some(Row { shape, length, keys }) = self.open.remove(&connection)
            && keys.len() >= SUSPECT
        {
            let suspect = self.suspects.entry(shape).or_default();
            suspect.rows += 1;
            suspect.commands += length;
            suspect.longest = suspect.longest.max(length);
        }
    }

    /// The suspects, by the number of their shape.
    pub(crate) fn suspects(mut self) -> HashMap<usize, Suspect> {
        let open: Vec<_> = self.open.keys().copied().collect();
        for connection in open {
            self.close(connection);
        }
        self.suspects
    }
}
