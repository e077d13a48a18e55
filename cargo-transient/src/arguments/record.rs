//! The arguments of `record`.

use std::path::PathBuf;

use clap::Args;

use super::Exec;

pub(super) const RECORD: &str = "\
Runs a command with a server of its own, as `exec` does, and records what it
sends.

When the command has ended, a summary goes to standard error: its commands by
shape, keys without a TTL, N+1 access, and replies that it never saw, such as a
SET NX that was never refused. These are branches of the program that no test
takes.

The exit code is the command's. If it is 0 and a budget is exceeded, it is 123;
if there is no server or no whole recording, 125.";

pub(super) const RECORD_EXAMPLES: &str = "\
Examples:
  cargo transient record -- cargo test
      The summary of all tests. As the runner of cargo, every test binary
      would have a summary of its own.
  cargo transient record --json summary.json --transcript commands.txt -- pytest
  cargo transient record --never KEYS --round-trips 200 -- npm test
      Fails if KEYS is sent, or more than 200 round trips are made.

In a shape, <id> stands for what differs: numbers, UUIDs, hexadecimal and
random text, and all segments of keys at a place that has more than 12
different ones.";

#[derive(Args)]
pub(crate) struct Record {
    #[command(flatten)]
    pub(crate) exec: Exec,

    /// Writes the summary to a file instead of standard error
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,

    /// Writes the whole summary as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Writes a line for each command, in the order of the replies
    #[arg(long, value_name = "FILE")]
    pub(crate) transcript: Option<PathBuf>,

    /// Keeps the recording, with all commands and replies in full
    #[arg(long, value_name = "FILE")]
    pub(crate) recording: Option<PathBuf>,

    /// Shows all shapes, not only the first 10 of each list
    #[arg(long)]
    pub(crate) all: bool,

    #[command(flatten)]
    pub(crate) budgets: Budgets,
}

/// What a run may send.
#[derive(Args)]
pub(crate) struct Budgets {
    /// Fails after more round trips than this
    #[arg(long, value_name = "N")]
    pub(crate) round_trips: Option<usize>,

    /// Fails if a command such as KEYS or 'FLUSH*' is sent; can be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) never: Vec<String>,

    /// Fails if a key is left without a TTL
    #[arg(long)]
    pub(crate) never_without_ttl: bool,

    /// Fails if there is N+1 access
    #[arg(long)]
    pub(crate) never_n_plus_one: bool,
}
