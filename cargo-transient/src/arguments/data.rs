//! The arguments of the subcommands that show and back up databases.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::short;

const URL: &str = "\
The server
[default: that of TRANSIENT_REDIS_URL or test.ini, else 127.0.0.1:6379]";

pub(super) const SHOW: &str = "\
Shows the keys of a database of a running server by prefix: type, TTL, memory,
and the beginning of the value. It only reads, in small steps that do not block
the server.

Of a large database it shows the keys that a scan of a moment finds. --json
lists all keys, one per line.";

#[derive(Args)]
pub(crate) struct Show {
    /// The database [default: 14, the session database of tests]
    #[arg(long, value_name = "N")]
    pub(crate) database: Option<u32>,

    /// Shows only keys that match, such as 'cart:*'
    #[arg(long = "match", value_name = "GLOB")]
    pub(crate) pattern: Option<String>,

    /// Refreshes every second until Ctrl-C
    #[arg(long, conflicts_with = "json")]
    pub(crate) watch: bool,

    /// Prints each key as a line of JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// About how many keys to show; at least three of each prefix
    #[arg(long, value_name = "N", default_value_t = 100, conflicts_with = "json")]
    pub(crate) limit: usize,

    #[arg(long, value_name = "URL", help = short(URL), long_help = URL)]
    pub(crate) url: Option<String>,
}

pub(super) const DUMP: &str = "\
Backs up a database of a running server into a file that `restore` reads. It
only reads from the server, in small steps that keep nobody waiting: a large
value is read in parts.

The file appears under its name when it is complete, has been read again, and
has exactly what was read from the server. If other programs write meanwhile,
each key is as it was at some moment; the output says whether they did. Only
you can read the file.";

pub(super) const DUMP_EXAMPLES: &str = "\
Examples:
  cargo transient dump sessions.json
  cargo transient dump --database 0 --match 'cart:*' carts.json
  cargo transient dump --format resp sessions.resp
      redis-cli -n 14 --pipe <sessions.resp writes it to an empty database.
  cargo transient dump - | gzip >sessions.json.gz";

const FORMAT: &str = "\
The form of the file: snapshot or resp
[default: snapshot]

`snapshot` is JSON with a line for each key, sorted, which tests can
load. It has what was left of each TTL, which begins anew when the
file is restored. `resp` is commands, for redis-cli --pipe and
netcat. They have the moments at which keys expire, as Redis's own
files do: restored later, such a key has less left, or is gone.";

#[derive(Args)]
pub(crate) struct Dump {
    /// The file, or - for standard output
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// The database [default: 14, the session database of tests]
    #[arg(long, value_name = "N")]
    pub(crate) database: Option<u32>,

    /// Only keys that match, such as 'cart:*'
    #[arg(long = "match", value_name = "GLOB")]
    pub(crate) pattern: Option<String>,

    #[arg(long, value_name = "FORM", help = short(FORMAT), long_help = FORMAT)]
    #[arg(default_value = "snapshot", hide_default_value = true, hide_possible_values = true)]
    pub(crate) format: FormatArgument,

    /// Replaces the file if there is one
    #[arg(long)]
    pub(crate) replace: bool,

    #[arg(long, value_name = "URL", help = short(URL), long_help = URL)]
    pub(crate) url: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum FormatArgument {
    Snapshot,
    Resp,
}

pub(super) const RESTORE: &str = "\
Writes the keys of a file of `dump` to a running server, of any version, reads
them again and compares. A file that is broken is refused before anything is
written.

Keys of the test databases 14 and 15 go to the same database, and those of any
other database go to 14. It waits for a test that uses them. Keys that a test
has left are cleared; all others are refused, and then nothing is changed:
TRANSIENT_ADOPT=1 clears them, and --replace keeps them. Restored keys are
yours: tests refuse them as well.";

pub(super) const RESTORE_EXAMPLES: &str = "\
Examples:
  cargo transient restore sessions.json
  cargo transient restore --database 15 sessions.json
  cargo transient restore --database 0 --even-if-not-a-test-database carts.json
  gunzip <sessions.json.gz | cargo transient restore -";

const INTO: &str = "\
The database that gets the keys
[default: that of the file if it is a test database, else 14]";

const ANY_DATABASE: &str = "\
Allows a database that is not one of the two for tests

It must be empty unless there is --replace, and no other program
should write to it meanwhile.";

const REPLACE: &str = "\
Replaces keys of the same names; all others stay

Without it, the database must be empty, or have only what tests have
left.";

#[derive(Args)]
pub(crate) struct Restore {
    /// The file, or - for standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    #[arg(long, value_name = "N", help = short(INTO), long_help = INTO)]
    pub(crate) database: Option<u32>,

    #[arg(long, requires = "database", help = short(ANY_DATABASE), long_help = ANY_DATABASE)]
    pub(crate) even_if_not_a_test_database: bool,

    #[arg(long, help = short(REPLACE), long_help = REPLACE)]
    pub(crate) replace: bool,

    #[arg(long, value_name = "URL", help = short(URL), long_help = URL)]
    pub(crate) url: Option<String>,
}
