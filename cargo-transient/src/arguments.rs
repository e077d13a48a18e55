//! The command line, with the help that teaches it.

mod data;
mod mutate;
mod record;

use std::ffi::OsString;

use clap::{Args, Parser, ValueEnum};
use transient_fixtures::Provider;

use self::data::{DUMP, DUMP_EXAMPLES, RESTORE, RESTORE_EXAMPLES, SHOW};
pub(crate) use self::data::{Dump, FormatArgument, Restore, Show};
use self::mutate::{MUTATE, MUTATE_EXAMPLES};
pub(crate) use self::mutate::{Mutate, SuiteRuns};
pub(crate) use self::record::{Budgets, Record};
use self::record::{RECORD, RECORD_EXAMPLES};
use crate::generated::Shell;
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

const UP: &str = "\
Starts a server, prints how to connect to it, and ends it at Ctrl-C. It starts
empty, and its data is deleted at the end.";

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
