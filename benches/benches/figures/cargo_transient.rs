//! `cargo transient`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::{bare, in_turns, row, run, time};

/// The program, built as `cargo install` does.
pub(crate) fn program() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let mut command = Command::new("cargo");
    command.args(["build", "--quiet", "--release", "--package", "cargo-transient", "--manifest-path"]);
    run(command.arg(root.join("Cargo.toml")).arg("--target-dir").arg(&target));
    target.join("release/cargo-transient").canonicalize().expect("the program")
}

pub(crate) fn exec() {
    let program = program();
    one(&program);
    runner(&program);
}

fn one(program: &Path) {
    let ours = || run(Command::new(program).args(["exec", "--", "true"]).env("TRANSIENT_PROVIDER", "process"));
    let by_hand = || time(|| drop(bare(4_000_000)));
    let (ours, floor) = in_turns(60, ours, by_hand);
    row("exec -- true", ours, ("redis-server by hand, exec to PONG, and its end", floor), "1.3");
}

/// The clean runs and replays of a suite with 2,500 commands, and what they may take: four times the suite behind
/// `exec`, and 2 ms a command.
pub(crate) fn mutate() {
    let program = program();
    let client = "seq 2500 | sed 's/.*/SET session:& x EX 60/' | redis-cli -u \"$REDIS_URL\" >/dev/null";
    let behind_exec = |client: &str| {
        run(Command::new(&program).args(["exec", "--", "sh", "-c", client]).env("TRANSIENT_PROVIDER", "process"))
    };
    // Nobody reads what the client writes, which is a finding, and exit code 1.
    let mutate = |client: &str| {
        let line = "\"$0\" mutate --suite never -- sh -c \"$1\"; [ $? = 1 ]";
        run(Command::new("sh").args(["-c", line]).arg(&program).arg(client).env("TRANSIENT_PROVIDER", "process"))
    };
    let (ours, floor) = in_turns(5, || mutate(client), || behind_exec(client));
    let floor = floor + Duration::from_micros(500) * 2_500;
    row("clean runs and replays of mutate, 2,500 commands", ours, ("behind exec, and 0.5 ms a command", floor), "4");
}

/// 10,000 commands, one after another, of a client that does nothing else.
pub(crate) fn record() {
    let program = program();
    let client = "seq 10000 | sed 's/.*/SET session:& x EX 60/' | redis-cli -u \"$REDIS_URL\" >/dev/null";
    let behind = |subcommand: &str| {
        run(Command::new(&program).args([subcommand, "--", "sh", "-c", client]).env("TRANSIENT_PROVIDER", "process"))
    };
    let (ours, floor) = in_turns(11, || behind("record"), || behind("exec"));
    row("10,000 commands behind record, with the summary", ours, ("behind exec", floor), "2");
}

/// 100 tests of an unchanged suite, each of them a process.
fn runner(program: &Path) {
    let (_, server) = bare(4_000_001);
    let host = env::consts::ARCH.to_uppercase() + "_UNKNOWN_LINUX_GNU";
    let nextest = |variable: &str, value: &str| -> Duration {
        let mut command = Command::new("cargo");
        command.args(["nextest", "run", "--test", "hundred"]).env("TRANSIENT_PROVIDER", "process").env(variable, value);
        run(&mut command)
    };
    let url = format!("redis://127.0.0.1:{}", server.2);
    let shared = || nextest("REDIS_URL", &url);
    shared(); // Builds the tests.
    let runner = format!("{} exec --", program.display());
    let (ours, floor) = in_turns(9, || nextest(&format!("CARGO_TARGET_{host}_RUNNER"), &runner), shared);
    row("100 unchanged tests behind exec, cargo nextest run", ours, ("all on one running Redis", floor), "1.3");
}

/// The first screen of a large database, and what it is to be compared with.
pub(crate) fn show() {
    let program = program();
    let (_, server) = bare(4_000_002);
    let url = format!("redis://127.0.0.1:{}", server.2);
    let mut redis =
        redis::Client::open(format!("{url}/14")).and_then(|client| client.get_connection()).expect("connect");
    let fill = "for i = 1, 1000000 do redis.call('SET', 'session:' .. i, 'a value of some length') end";
    redis::cmd("EVAL").arg(fill).arg(0).exec(&mut redis).expect("EVAL");
    redis::cmd("CONFIG").arg("SET").arg("slowlog-log-slower-than").arg(5_000).exec(&mut redis).expect("CONFIG");
    redis::cmd("SLOWLOG").arg("RESET").exec(&mut redis).expect("SLOWLOG");
    let ours = || run(Command::new(&program).args(["show", "--url", &url]));
    let (ours, _) = in_turns(11, ours, || Duration::ZERO);
    let slow: u32 = redis::cmd("SLOWLOG").arg("LEN").query(&mut redis).expect("SLOWLOG");
    println!("| show of 1,000,000 keys, the first screen | {ours:.2?} | commands over 5 ms: {slow} | | 300 ms, 0 |");
}
