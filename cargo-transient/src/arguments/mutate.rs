//! The arguments of `mutate`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Exec, short};
use crate::mutate::budget::Limit;
use crate::mutate::operator::{OPERATORS, Operator};
use crate::report;

pub(super) const MUTATE: &str = "\
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

pub(super) const MUTATE_EXAMPLES: &str = "\
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
