//! `exec`: what the command gets, and what it gives.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use crate::program::{Ended, PROGRAM, Program, python};

/// Runs a client of the server at `url`, which a shell expands, with these commands.
fn client(arguments: &[&str], url: &str, commands: &str) -> Ended {
    let [python, script] = python("client.py");
    let line = format!("exec {python} '{script}' {url} {commands}");
    Program::new(arguments.iter().copied().chain(["--", "bash", "-c", &line])).run()
}

#[test]
fn the_command_gets_a_server() {
    client(&["exec"], "$REDIS_URL", "PING 'SET a 1' 'GET a' 'SELECT 15' 'SET a 2'")
        .assert_quiet(0, "+PONG\n+OK\n1\n+OK\n+OK\n");
    client(&["transient", "exec"], "$TRANSIENT_REDIS_URL", "DBSIZE").assert_quiet(0, ":0\n");
}

#[test]
fn a_database_can_be_chosen() {
    let ended = Program::new(["exec", "--database", "21", "bash", "-c", "echo ${REDIS_URL##*/}"]).run();
    ended.assert_quiet(0, "21\n");
    client(&["exec", "--database=21"], "$REDIS_URL", "'SET a 1' 'SELECT 20' DBSIZE").assert_quiet(0, "+OK\n+OK\n:0\n");
}

#[test]
fn variables_have_templates() {
    let arguments =
        ["exec", "--var", "A={{{database}}}", "--var=B={url}", "--var", "C=redis://default:{password}@{host}:{port}/0"];
    let print = "[ $B = $C ] && echo $A ${REDIS_URL-unset}";
    Program::new(arguments.iter().copied().chain(["bash", "-c", print])).run().assert_quiet(0, "{0} unset\n");
}

/// A suite with host and port alone can't send a password.
#[test]
fn a_server_without_a_known_password_has_none() {
    client(&["exec", "--var", "A={host}:{port}"], "redis://$A", "PING").assert_quiet(0, "+PONG\n");
    let ended = client(&["exec", "--var", "A={host}:{port}", "--var", "URL"], "redis://$A", "PING");
    assert!(ended.stdout.starts_with("-NOAUTH"), "{ended:?}");
}

#[test]
fn unknown_templates_are_named() {
    let ended = Program::new(["exec", "--var", "A={prot}", "true"]).run();
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("{prot}") && ended.stderr.contains("{port}"), "{ended:?}");
}

#[test]
fn exit_codes_are_passed_on() {
    for code in [0, 3, 255] {
        Program::new(["exec", "--", "bash", "-c", &format!("exit {code}")]).run().assert_quiet(code, "");
    }
    Program::new(["exec", "--", "bash", "-c", "kill -SEGV $$"]).run().assert_quiet(128 + 11, "");
}

#[test]
fn a_command_that_cant_be_started_is_named() {
    let ended = Program::new(["exec", "--", "no-such-program"]).run();
    assert_eq!((ended.code, &*ended.stdout), (Some(127), ""));
    assert!(ended.stderr.contains("no-such-program") && ended.stderr.lines().count() == 1, "{ended:?}");
    let ended = Program::new(["exec", "--", env!("CARGO_MANIFEST_DIR")]).run();
    assert_eq!((ended.code, &*ended.stdout), (Some(126), ""));
    assert!(ended.stderr.contains(env!("CARGO_MANIFEST_DIR")), "{ended:?}");
}

#[test]
fn without_a_server_the_command_does_not_run() {
    let program = Program::new(["exec", "--", "bash", "-c", "echo ran"]).env("TRANSIENT_SERVER_BINARY", "/nowhere");
    let ended = program.env("TRANSIENT_PROVIDER", "process").run();
    assert_eq!((ended.code, &*ended.stdout), (Some(125), ""));
    assert!(ended.stderr.contains("/nowhere") && ended.stderr.contains("TRANSIENT_SERVER_BINARY"), "{ended:?}");
}

#[test]
fn input_and_output_are_the_commands() {
    let mut program =
        Program::new(["exec", "--", "bash", "-c", "read line; echo \"$line\"; echo >&2 error; read line || echo end"]);
    let (stdin, stdout) = (Stdio::piped(), Stdio::piped());
    let mut child = program.command.stdin(stdin).stdout(stdout).stderr(Stdio::piped()).spawn().expect("start");
    child.stdin.take().expect("its input").write_all(b"one line\n").expect("write");
    let ended = Ended::of(&child.wait_with_output().expect("wait"));
    assert_eq!((ended.code, &*ended.stdout, &*ended.stderr), (Some(0), "one line\nend\n", "error\n"));
}

/// Words after the command are its own, even those that look like ours.
#[test]
fn the_command_keeps_its_arguments() {
    let ended = Program::new(["exec", "bash", "-c", "echo \"$@\"", "bash", "--var", "x", "--", "-h"]).run();
    ended.assert_quiet(0, "--var x -- -h\n");
}

#[test]
fn nested_commands_have_their_own_servers() {
    let line = format!("'{PROGRAM}' exec bash -c '[ $REDIS_URL != $OUTER ] && [ $REDIS_URL = $TRANSIENT_REDIS_URL ]'");
    let ended = Program::new(["exec", "--var", "OUTER", "--var", "TRANSIENT_REDIS_URL", "bash", "-c", &line]).run();
    ended.assert_quiet(0, "");
}

/// The outer server is the inner command's running one.
#[test]
fn a_running_server_is_shared_only_if_named() {
    let [python, script] = python("client.py");
    let ask = |url: &str, commands: &str| format!("{python} '{script}' {url} {commands}");
    let line = format!(
        "{}; '{PROGRAM}' exec --provider running bash -c \"echo \\${{REDIS_URL##*/}}; {}\"; {}",
        ask("$REDIS_URL", "'SET kept 1'"),
        ask("\\$REDIS_URL", "'SET a 1'"),
        ask("$REDIS_URL", "'GET kept'"),
    );
    Program::new(["exec", "bash", "-c", &line]).run().assert_quiet(0, "+OK\n14\n+OK\n1\n");
    let line = format!("'{PROGRAM}' exec --provider running --database 0 bash -c 'echo ran'");
    let ended = Program::new(["exec", "bash", "-c", &line]).run();
    assert_eq!((ended.code, &*ended.stdout), (Some(125), ""));
    assert!(ended.stderr.contains("14") && ended.stderr.contains("15"), "{ended:?}");
}

#[test]
fn a_running_server_is_not_used() {
    let [python, script] = python("client.py");
    let inner = format!("[ $REDIS_URL != $OUTER ] && {python} '{script}' $REDIS_URL DBSIZE");
    let line = format!(
        "{python} '{script}' $TRANSIENT_REDIS_URL 'SET theirs 1' && unset TRANSIENT_PROVIDER && \
         export OUTER=$TRANSIENT_REDIS_URL && '{PROGRAM}' exec bash -c \"{}\"",
        inner.replace('$', "\\$"),
    );
    Program::new(["exec", "bash", "-c", &line]).run().assert_quiet(0, "+OK\n:0\n");
}

#[test]
fn commands_take_turns_on_a_running_server() {
    let [python, script] = python("client.py");
    // Database 0 is not emptied. The reply to BLPOP comes after its timeout.
    let commands = "'SELECT 0' 'INCR inside' 'BLPOP nothing 0.3' 'DECR inside'";
    let one = format!("'{PROGRAM}' exec --provider running bash -c \"{python} '{script}' \\$REDIS_URL {commands}\"");
    let ended = Program::new(["exec", "bash", "-c", &format!("{one} & {one} & {one} & wait")]).run();
    assert_eq!((ended.code, &*ended.stdout), (Some(0), &*"+OK\n:1\n*-1\n:0\n".repeat(3)), "{ended:?}");
}

/// The server of a command that has failed can be kept.
#[test]
fn evidence_is_kept_on_demand() {
    for way in crate::publish::ways() {
        let mut program = way.program(["bash", "-c", "exit 1"]).env("TRANSIENT_KEEP", "1");
        let ended = Ended::of(&program.command.output().expect("start"));
        assert_eq!((ended.code, &*ended.stdout), (Some(1), ""));
        assert!(fs::read_dir(program.directory.path()).expect("read").count() > 0);
        let end = ended.stderr.lines().find_map(|line| line.split_once("stop it:")).expect("how to end it").1;
        let status =
            std::process::Command::new("/bin/sh").args(["-c", end.trim_end_matches('*')]).status().expect("a shell");
        assert!(status.success(), "{ended:?}");
        crate::left::assert_nothing_left(&program.directory);
    }
}
