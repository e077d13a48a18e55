//! The command line, with the help that teaches it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, ValueEnum};
use transient_fixtures::Provider;

use crate::generated::Shell;
use crate::mutate::budget::Limit;
use crate::mutate::operator::{OPERATORS, Operator};
use crate::report;
use crate::variables::Variable;

const ABOUT: &str = "\
Runs any command with a real Redis of its own. Nothing in your code changes.

The server is redis-server or valkey-server on PATH, else a container, else a
Valkey that is downloaded once. It ends with the command.";

const EXAMPLES: &str = "\
Examples:
  cargo transient exec -- cargo test
  cargo transient exec -- pytest
  cargo transient exec --var CACHE_URL --var QUEUE_URL -- npm test
  cargo transient record -- pytest
  cargo transient up
  cargo transient dump backup.json
  cargo transient doctor

Settings are read from test.ini and TRANSIENT_* variables, as in tests with the
crate transient-fixtures. All are optional.";

#[derive(Parser)]
#[command(name = "cargo transient", bin_name = "cargo transient", version, about = ABOUT, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) subcommand: Subcommand,
}

#[derive(clap::Subcommand)]
pub(crate) enum Subcommand {
    #[command(about = "Runs a command with a server of its own", long_about = EXEC, after_help = EXEC_EXAMPLES)]
    Exec(Exec),
    #[command(about = "Runs a command and sums up what it sends to its server", long_about = RECORD)]
    #[command(after_help = RECORD_EXAMPLES)]
    Record(Record),
    #[command(about = "Changes commands on their way to Redis, and reports which changes no test notices")]
    #[command(long_about = MUTATE, after_help = MUTATE_EXAMPLES)]
    Mutate(Mutate),
    #[command(about = "Starts a server, prints how to connect, and ends it at Ctrl-C", long_about = UP)]
    Up(Up),
    #[command(about = "Shows the keys of a database", long_about = SHOW)]
    Show(Show),
    #[command(about = "Backs up a database into a file", long_about = DUMP, after_help = DUMP_EXAMPLES)]
    Dump(Dump),
    #[command(about = "Writes a backup back", long_about = RESTORE, after_help = RESTORE_EXAMPLES)]
    Restore(Restore),
    #[command(about = "Empties the test databases of a running server", long_about = FLUSH)]
    Flush,
    #[command(about = "Tries every provider of servers, and explains what to do", long_about = DOCTOR)]
    Doctor,
    #[command(about = "Shows and removes what is kept on this machine", long_about = CLEAN)]
    Clean(Clean),
    #[command(about = "Prints the manual page", long_about = MAN)]
    Man,
    #[command(about = "Prints the completions for a shell", long_about = COMPLETIONS)]
    Completions(Completions),
}

const MAN: &str = "\
Prints the manual page, which `man -l -` or a file in the manual path shows:

  cargo transient man | man -l -
  cargo transient man >~/.local/share/man/man1/cargo-transient.1";

const COMPLETIONS: &str = "\
Prints the completions for a shell. It reads them from a file:

  bash  ~/.local/share/bash-completion/completions/cargo-transient
  fish  ~/.config/fish/completions/cargo-transient.fish
  zsh   _cargo-transient, in a directory of $fpath";

#[derive(Args)]
pub(crate) struct Completions {
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

const MUTATE: &str = "\
Mutation testing on the wire: changes commands on their way to Redis, and
reports which changes no test notices. The suite is in any language, and its
source is not needed.

The suite is run two or three times as it is, and recorded. Then its commands
are sent to another server with one change at a time: without a TTL, without
NX, not at all, twice. If all later replies are the same, no test can notice
the change. If one differs, the suite is run with the change.

The exit code is 0 if nothing is untested but what is accepted, 1 if something
is, 3 if the suite fails without a change or sends no command, 4 if there is no
server or the command can't be started, and 124 if the time was over before all
changes were tried.";

const MUTATE_EXAMPLES: &str = "\
Examples:
  cargo transient mutate -- cargo nextest run
  cargo transient mutate --suite never -- pytest
      Only what is certain, after three runs of the suite and some seconds.
  cargo transient mutate --match 'SET session:*' --only ttl-drop -- npm test
  cargo transient mutate --accept accepted.json --time 10m -j 4 -- pytest -v

The tests that send a command are known for cargo nextest (on Linux), and for
pytest -v, python3 -m unittest -v and cargo test -- --test-threads=1. Then only
these are run again.

Operators:
  ttl-drop, ttl-x60, ttl-none, nx-drop, xx-drop, gt-drop, lt-drop, del-skip,
  write-skip, twice, publish-skip, watch-skip, read-nil, range-open, score+1h,
  order-flip, bound-drop";

const UP: &str = "\
Starts a server, prints how to connect to it, and ends it at Ctrl-C. It starts
empty, and its data is deleted at the end.";

const SHOW: &str = "\
Shows the keys of a database of a running server by prefix: type, TTL, memory,
and the beginning of the value. It only reads, in small steps that do not block
the server.

Of a large database it shows the keys that a scan of a moment finds. --json
lists all keys, one per line.";

const URL: &str = "\
The server
[default: that of TRANSIENT_REDIS_URL or test.ini, else 127.0.0.1:6379]";

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

const DUMP: &str = "\
Backs up a database of a running server into a file that `restore` reads. It
only reads from the server, in small steps that keep nobody waiting: a large
value is read in parts.

The file appears under its name when it is complete, has been read again, and
has exactly what was read from the server. If other programs write meanwhile,
each key is as it was at some moment; the output says whether they did. Only
you can read the file.";

const DUMP_EXAMPLES: &str = "\
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

const RESTORE: &str = "\
Writes the keys of a file of `dump` to a running server, of any version, reads
them again and compares. A file that is broken is refused before anything is
written.

Keys of the test databases 14 and 15 go to the same database, and those of any
other database go to 14. It waits for a test that uses them. Keys that a test
has left are cleared; all others are refused, and then nothing is changed:
TRANSIENT_ADOPT=1 clears them, and --replace keeps them. Restored keys are
yours: tests refuse them as well.";

const RESTORE_EXAMPLES: &str = "\
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

const FLUSH: &str = "\
Empties the two test databases (14 and 15) of the running server: the one that
TRANSIENT_REDIS_URL names, else the one at 127.0.0.1:6379.

It waits for a test that uses them. It refuses to delete keys that no test has
left, and then changes nothing; TRANSIENT_ADOPT=1 allows it. All other databases
stay as they are.";

const DOCTOR: &str = "\
Tries every provider of servers, and explains what works and what to do.

It starts a server with each, and ends it at once. A server that is already
running is only queried. The exit code is 0 if `exec` can get a server.";

const CLEAN: &str = "\
Shows and removes what this program and the crate transient-fixtures keep on
this machine: the downloaded server, locks, notes, and files of servers that
were killed.

What a process uses stays. So do the notes about keys that a killed test has
left on a running server: without them, those keys would count as yours. The
next run downloads the server again if it needs it.";

const EXEC: &str = "\
Runs a command with a server of its own.

The command finds the server's address in environment variables. Its input and
output are left alone. Signals are passed on to it. The server ends with it,
however it ends.

The exit code is that of the command, or 128 + N if signal N has ended it. It is
125 if there is no server, and 126 or 127 if the command can't be started.";

const EXEC_EXAMPLES: &str = "\
Examples:
  cargo transient exec -- cargo test
      REDIS_URL and TRANSIENT_REDIS_URL have the URL.
  cargo transient exec --var REDIS_HOST={host} --var REDIS_PORT={port} -- npm test
      Only these variables are set. Without {url} or {password}, the server
      has no password.
  cargo transient exec --publish 6379 -- pytest
      The suite has 127.0.0.1:6379 in its code.
  cargo transient exec -- sh -c 'redis-cli -u \"$REDIS_URL\"'
      A shell reads the variables.

As cargo's runner, it gives a server of its own to each test binary of a suite,
and with cargo-nextest to each test. In .cargo/config.toml:
  [target.'cfg(all())']
  runner = [\"cargo-transient\", \"exec\", \"--\"]";

const VARIABLE: &str = "\
Sets a variable for the command; can be repeated
[default: REDIS_URL and TRANSIENT_REDIS_URL]

TEMPLATE is any text with {url}, {host}, {port}, {password} and
{database} in it; {{ and }} are braces. Without one, it is {url}.";

#[cfg(unix)]
const PUBLISH: &str = "\
The port that the command expects Redis at; can be repeated

For commands with a hard-coded address, such as 127.0.0.1:6379. On
Linux the command has a network of its own, where the server is at
this port and no other command sees it. There is nothing else in this
network: no internet, and no other server of this machine. Where the
system refuses that, the server is at the machine's own port, and
commands take turns.

No password is needed at this port, unless a TEMPLATE has {password}.";

const DATABASE: &str = "\
The database in the URL
[default: 0, or the session database of a running server]

On a server of its own, the command can use all others as well.";

const PROVIDER: &str = "\
Where the server comes from
[default: the first of process, container, download]

`running` is a server that other programs may use: the one that
TRANSIENT_REDIS_URL names, else the one at 127.0.0.1:6379. There,
commands take turns on the two test databases, and all other keys
stay.";

/// The first line of a help text.
fn short(help: &'static str) -> &'static str {
    help.lines().next().unwrap_or_default()
}

#[derive(Args)]
pub(crate) struct Exec {
    #[arg(long = "var", value_name = "NAME[=TEMPLATE]", help = short(VARIABLE), long_help = VARIABLE)]
    #[arg(default_values = ["REDIS_URL", "TRANSIENT_REDIS_URL"], hide_default_value = true)]
    pub(crate) variables: Vec<Variable>,

    #[cfg_attr(unix, arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..)))]
    #[cfg_attr(unix, arg(help = short(PUBLISH), long_help = PUBLISH))]
    #[cfg_attr(not(unix), arg(skip))]
    pub(crate) publish: Vec<u16>,

    #[command(flatten)]
    pub(crate) server: ServerArguments,

    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

const RECORD: &str = "\
Runs a command with a server of its own, as `exec` does, and records what it
sends.

When the command has ended, a summary goes to standard error: its commands by
shape, keys without a TTL, N+1 access, and replies that it never saw, such as a
SET NX that was never refused. These are branches of the program that no test
takes.

The exit code is the command's. If it is 0 and a budget is exceeded, it is 123;
if there is no server or no whole recording, 125.";

const RECORD_EXAMPLES: &str = "\
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

const SUITE: &str = "\
When the suite is run with a change [default: auto]

`auto`: if a later reply differs. `all`: also if none does, which must agree.
`never`: only the replay tells.";

const TIME: &str = "\
Ends after this time, such as 90s, 5m or 1h
[default: no limit, and 5m for runs with changes]

The changes that were not tried by then are undecided.";

const ACCEPT: &str = "\
Findings that are not reported, in JSON

{\"accept\": [{\"shape\": \"DEL cart:<id>\", \"operator\": \"del-skip\",
\"reason\": \"…\"}]}. Each finding is printed in this form.";

#[derive(Args)]
pub(crate) struct Mutate {
    #[arg(long, value_name = "TIME", help = short(TIME), long_help = TIME)]
    pub(crate) time: Option<Limit>,

    /// Tries at most N changes of whole shapes
    #[arg(long, value_name = "N")]
    pub(crate) mutants: Option<usize>,

    /// Only these operators
    #[arg(long, value_name = "OPERATOR", value_delimiter = ',', value_parser = operator)]
    pub(crate) only: Vec<&'static Operator>,

    /// All operators but these
    #[arg(long, value_name = "OPERATOR", value_delimiter = ',', value_parser = operator)]
    pub(crate) skip: Vec<&'static Operator>,

    /// Only commands whose shape matches, such as 'SET session:*'; can be repeated
    #[arg(long = "match", value_name = "GLOB")]
    pub(crate) shapes: Vec<String>,

    #[arg(long, value_name = "FILE", help = short(ACCEPT), long_help = ACCEPT)]
    pub(crate) accept: Option<PathBuf>,

    #[arg(long, value_name = "WHEN", help = short(SUITE), long_help = SUITE, hide_possible_values = true)]
    #[arg(value_enum, default_value_t = SuiteRuns::Auto, hide_default_value = true)]
    pub(crate) suite: SuiteRuns,

    /// Runs N suites at once, each with a server of its own
    #[arg(short, long, value_name = "N", default_value_t = 1)]
    pub(crate) jobs: usize,

    /// Leaves tests that fail only sometimes out of every verdict, instead of refusing the suite
    #[arg(long)]
    pub(crate) allow_flaky: bool,

    /// Writes the report as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) exec: Exec,
}

/// When the suite is run with a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SuiteRuns {
    Never,
    Auto,
    All,
}

fn operator(name: &str) -> Result<&'static Operator, String> {
    let known: Vec<_> = OPERATORS.iter().map(|operator| operator.name).collect();
    Operator::named(name).ok_or_else(|| report::mutate::unknown_operator(name, &known))
}

#[derive(Args)]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) server: ServerArguments,

    /// The server has no password, and any user of this machine can connect
    #[arg(long)]
    pub(crate) no_password: bool,
}

#[derive(Args)]
pub(crate) struct Clean {
    /// Only shows what there is
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Which server it is.
#[derive(Args)]
pub(crate) struct ServerArguments {
    #[arg(long, value_name = "N", help = short(DATABASE), long_help = DATABASE)]
    #[arg(value_parser = clap::value_parser!(u32).range(..=MAX_DATABASE))]
    pub(crate) database: Option<u32>,

    #[arg(long, help = short(PROVIDER), long_help = PROVIDER, hide_possible_values = true)]
    pub(crate) provider: Option<ProviderArgument>,
}

/// Each database costs a started server memory.
const MAX_DATABASE: i64 = 9_999;

impl ServerArguments {
    pub(crate) fn provider(&self) -> Option<Provider> {
        self.provider.map(|provider| match provider {
            ProviderArgument::Running => Provider::Running,
            ProviderArgument::Process => Provider::Process,
            ProviderArgument::Container => Provider::Container,
            ProviderArgument::Download => Provider::Download,
        })
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum ProviderArgument {
    Running,
    Process,
    Container,
    Download,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Arguments;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
