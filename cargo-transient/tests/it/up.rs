//! `up`: a server until Ctrl-C.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::left::kill;
use crate::program::{Ended, Program, python};

#[test]
fn a_server_is_up_until_a_signal() {
    for signal in ["INT", "TERM"] {
        let mut program = Program::new(["up", "--database", "3"]);
        let mut child = program.command.stdout(Stdio::piped()).spawn().expect("start");
        let mut lines =
            BufReader::new(child.stdout.take().expect("its output")).lines().map(|line| line.expect("UTF-8"));
        let url = lines.find_map(|line| line.strip_prefix("export REDIS_URL=").map(str::to_owned));
        let url = url.expect("the URL").trim_matches('\'').to_owned();
        assert!(url.ends_with("/3"), "{url}");
        let [python, script] = python("client.py");
        let client = Command::new(python).args([&script, &url, "SET a 1", "GET a"]).output().expect("python3");
        Ended::of(&client).assert_quiet(0, "+OK\n1\n");
        kill(signal, child.id());
        assert_eq!(child.wait().expect("wait").code(), Some(0), "{signal}");
        crate::left::assert_nothing_left(&program.directory);
    }
}

/// The URL is also in a command for redis-cli, which may not be installed.
#[test]
fn what_it_prints_connects() {
    for (option, has_password) in [("--database=0", true), ("--no-password", false)] {
        let mut program = Program::new(["up", option]);
        let mut child = program.command.stdout(Stdio::piped()).spawn().expect("start");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines().map(|line| line.expect("UTF-8"));
        let lines: Vec<_> = lines.take_while(|line| !line.contains("Ctrl-C")).collect();
        let urls = ["export REDIS_URL='", "redis-cli -u '"].map(|command| {
            lines.iter().find_map(|line| line.strip_prefix(command)?.strip_suffix('\'')).expect("a line")
        });
        assert_eq!(urls[0], urls[1]);
        assert_eq!(urls[1].contains('@'), has_password, "{urls:?}");
        let [python, script] = python("client.py");
        let ask = |url: &str| Ended::of(&Command::new(&python).args([&script, url, "PING"]).output().expect("python3"));
        ask(urls[1]).assert_quiet(0, "+PONG\n");
        if let Some((_, address)) = urls[1].trim_end_matches("/0").split_once('@') {
            assert!(ask(&format!("redis://{address}")).stdout.starts_with("-NOAUTH"), "{urls:?}");
        }
        kill("TERM", child.id());
        assert_eq!(child.wait().expect("wait").code(), Some(0));
        crate::left::assert_nothing_left(&program.directory);
    }
}

/// As with `| true`.
#[test]
fn a_reader_that_is_gone_ends_it() {
    let mut program = Program::new(["up"]);
    let mut child = program.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start");
    drop(child.stdout.take());
    let ended = Ended::of(&child.wait_with_output().expect("wait"));
    assert_eq!((ended.code, &*ended.stderr), (Some(128 + 13), ""));
    crate::left::assert_nothing_left(&program.directory);
}
