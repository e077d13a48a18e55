//! Servers that are not a suitable Redis are rejected in bounded time, with a report that fits.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use redis::Commands;
use rstest::rstest;
use tempfile::TempDir;
use transient_fixtures::{TestRequest, clean_redis, redis, test_request};

use crate::child::{self, Child, Ended};
use crate::golden::golden;
use crate::own_server::{self, OwnServer};

#[rstest]
#[ignore = "run by the tests below"]
#[clean_redis]
fn wants_a_server(test_request: TestRequest) {
    println!("it has {}", test_request.server());
}

fn at(url: &str) -> Child {
    Child::test("first_contact::wants_a_server").env("TRANSIENT_REDIS_URL", url)
}

/// More than five times the 5 s that a named server has.
const LIMIT: Duration = Duration::from_secs(29);

#[track_caller]
fn assert_refused(ended: &Ended, words: &[&str]) {
    ended.assert_failed_with(words);
    assert!(ended.took < LIMIT, "{:?}", ended.took);
    assert!(!ended.output.contains('\u{1b}'), "an escape reached the terminal");
    assert!(ended.output.len() < 100_000, "{} bytes", ended.output.len());
}

/// A peer that does this on each connection, as long as the listener exists.
fn peer(serve: impl Fn(&mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("bind");
    let url = format!("redis://{}", listener.local_addr().expect("an address"));
    let serve = std::sync::Arc::new(serve);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                let _ = serve(&mut stream);
            });
        }
    });
    url
}

#[test]
fn one_deadline_covers_the_whole_first_contact() {
    let drip = peer(|stream| {
        loop {
            stream.write_all(b"+")?;
            thread::sleep(Duration::from_millis(300));
        }
    });
    let lines = peer(|stream| {
        loop {
            stream.write_all(b"+OK\r\n")?;
            thread::sleep(Duration::from_millis(600));
        }
    });
    for url in [drip, lines] {
        assert_refused(&at(&url).run(), &["5 s", golden("running::timed_out")]);
    }
}

#[rstest]
#[case::bulk(b"$2000000000\r\n", b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")]
#[case::array(b"*2000000000\r\n", b":1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n")]
#[case::deep(b"*1\r\n", b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n")]
#[case::line(b"+", b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")]
#[case::attributes(b"|1\r\n", b"+a\r\n+b\r\n|1\r\n+a\r\n+b\r\n")]
fn an_endless_reply_is_cut_off(#[case] start: &'static [u8], #[case] rest: &'static [u8]) {
    let url = peer(move |stream| {
        stream.write_all(start)?;
        let many = rest.repeat(1_000);
        loop {
            stream.write_all(&many)?;
        }
    });
    assert_refused(&at(&url).run(), &[golden("running::REMEDY_NOT_REDIS")]);
}

#[test]
fn a_paused_server_is_bounded_for_the_next_lease_too() {
    let server = OwnServer::start();
    redis::cmd("CLIENT").arg("PAUSE").arg(600_000).arg("ALL").exec(&mut server.connection(0)).expect("CLIENT PAUSE");
    assert_refused(&at(&server.url()).run(), &["5 s", golden("running::timed_out")]);
}

/// Missing facts are not assumed.
#[rstest]
#[case::number(":5\r\n")]
#[case::empty("$0\r\n\r\n")]
#[case::no_role("$39\r\nredis_version:7.0.0\r\nrun_id:0123456789a\r\n")]
fn a_server_with_incomplete_info_is_not_used(#[case] info: &'static str) {
    let url = peer(move |stream| {
        stream.write_all(info.as_bytes())?;
        stream.write_all("+OK\r\n".repeat(40).as_bytes())
    });
    assert_refused(&at(&url).run(), &["INFO"]);
}

#[test]
fn an_old_version_is_named() {
    let info = "role:master\r\nrun_id:0123456789a\r\nredis_version:5.0.6\r\n";
    let url = peer(move |stream| {
        stream.write_all(format!("${}\r\n{info}\r\n", info.len()).as_bytes())?;
        stream.write_all("+OK\r\n".repeat(40).as_bytes())
    });
    assert_refused(&at(&url).run(), &["5.0.6", "6.2"]);
}

#[test]
fn server_text_is_truncated_and_escaped() {
    let url = peer(|stream| {
        stream.write_all(b"-ERR \x1b[31mred\x07")?;
        stream.write_all(&vec![b'x'; 100_000])?;
        stream.write_all(b"\r\n")?;
        stream.write_all("+OK\r\n".repeat(40).as_bytes())
    });
    assert_refused(&at(&url).run(), &["INFO", golden("running::answers_with_error")]);
}

#[rstest]
#[case(&["--rename-command", "FLUSHDB", ""], &["FLUSHDB", golden("running::switched_off"), "rename-command"])]
#[case(&["--rename-command", "CLIENT", "HUSH"], &["CLIENT", golden("running::switched_off")])]
#[case(&["--rename-command", "EVAL", ""], &["EVAL", golden("running::switched_off")])]
#[case(&["--rename-command", "MULTI", ""], &["MULTI", golden("running::switched_off")])]
#[case(&["--rename-command", "INFO", ""], &["INFO", golden("running::switched_off")])]
#[case(&["--maxmemory", "1", "--maxmemory-policy", "noeviction"], &["OOM", golden("running::REMEDY_ERROR")])]
#[case(&["--min-replicas-to-write", "2"], &["NOREPLICAS", golden("running::REMEDY_ERROR")])]
fn the_commands_of_a_lease_are_checked_first(#[case] arguments: &[&str], #[case] words: &[&str]) {
    let server = OwnServer::with(TempDir::new().expect("a directory"), arguments);
    // If writes are refused, no marker can be stored.
    let put = |database| server.connection(database).set::<_, _, ()>("cart:1", "production").is_ok();
    let there = [14, 15].map(put);
    assert_refused(&at(&server.url()).run(), words);
    // The checks have changed no data.
    for (database, was_there) in [14, 15].into_iter().zip(there) {
        let keys: Vec<String> = server.connection(database).keys("*").expect("KEYS");
        assert_eq!(keys, if was_there { vec!["cart:1"] } else { Vec::new() }, "database {database}");
    }
}

#[rstest]
#[case("+@all -flushdb ~*", &["FLUSHDB", golden("running::command_forbidden"), "+flushdb"])]
#[case("+@all -info ~*", &["INFO", golden("running::command_forbidden"), "+info"])]
#[case("+@all -client ~*", &["CLIENT", golden("running::command_forbidden"), "+client"])]
#[case("+@all -eval ~*", &["EVAL", golden("running::command_forbidden"), "+eval"])]
#[case("+@all -multi ~*", &["MULTI", golden("running::command_forbidden"), "+multi"])]
#[case("+@all -select ~*", &["SELECT", golden("running::command_forbidden"), "+select"])]
#[case("+@all -keys ~*", &["KEYS", golden("running::command_forbidden"), "+keys"])]
#[case("+@all ~app:*", &["transient-fixtures:", "~*"])]
fn missing_permissions_are_named(#[case] rights: &str, #[case] words: &[&str]) {
    let server = OwnServer::start();
    let mut acl = redis::cmd("ACL");
    acl.arg("SETUSER").arg("tester").arg("on").arg(">hush").arg(rights.split(' ').collect::<Vec<_>>());
    acl.exec(&mut server.connection(0)).expect("ACL SETUSER");
    for database in [14, 15] {
        server.connection(database).set::<_, _, ()>("cart:1", "production").expect("SET");
    }
    let ended = at(&format!("redis://tester:hush@127.0.0.1:{}", server.port)).run();
    assert_refused(&ended, words);
    assert_refused(&ended, &["the user tester"]);
    for database in [14, 15] {
        assert_eq!(server.connection(database).get::<_, String>("cart:1").as_deref(), Ok("production"));
    }
    assert!(!ended.output.contains("hush@"), "{}", ended.output);
}

#[test]
fn a_server_that_cannot_save_is_reported() {
    let directory = TempDir::new().expect("a directory");
    let place = directory.path().join("gone");
    std::fs::create_dir(&place).expect("mkdir");
    let server = OwnServer::with(directory, &["--save", "1 1", "--dir", place.to_str().expect("UTF-8")]);
    let mut connection = server.connection(0);
    std::fs::remove_dir(&place).expect("rmdir");
    let () = connection.set("cart:1", "production").expect("SET");
    // The save after one change fails. From then on writes are refused.
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while connection.set::<_, _, ()>("cart:1", "production").is_ok() {
        assert!(std::time::Instant::now() < deadline, "the save must end");
        thread::sleep(Duration::from_millis(50));
    }
    assert_refused(&at(&server.url()).run(), &["MISCONF"]);
}

#[test]
fn a_full_server_is_reported() {
    let server = OwnServer::with(TempDir::new().expect("a directory"), &["--maxclients", "2"]);
    let _connections = [server.connection(0), server.connection(0)];
    assert_refused(&at(&server.url()).run(), &["maxclients"]);
}

/// Guessed servers are looked for at 127.0.0.1:6379. A separate network namespace keeps this machine's server out.
/// `before` is a shell script that can `run` the test, too.
fn in_a_separate_network(server_arguments: &str, before: &str) -> String {
    let script = format!(
        "ip link set lo up; cd {directory}; {server} --port 6379 --bind 127.0.0.1 --save '' {server_arguments} >/dev/null & \
         server=$!; until {cli} ping >/dev/null 2>&1 || ! kill -0 $server; do sleep 0.05; done; \
         run() {{ {test} first_contact::wants_a_server --exact --include-ignored --nocapture 2>&1; }}; {before} \
         run; kill -KILL $server",
        directory = std::env::temp_dir().display(),
        server = own_server::binary().display(),
        cli = own_server::binary().display().to_string().replace("-server", "-cli"),
        test = std::env::current_exe().expect("this binary").display(),
    );
    let mut command = std::process::Command::new("unshare");
    command.args(["--map-root-user", "--net", "/bin/sh", "-c", &script]);
    command.env_remove("TRANSIENT_REDIS_URL").env_remove("TRANSIENT_PROVIDER");
    command.env("TRANSIENT_TEST_INI", Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/nothing.ini"));
    let output = command.output().expect("unshare");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[rstest]
#[case("--rename-command FLUSHDB ''", golden("running::switched_off"))]
#[case("--maxmemory 1", "OOM")]
fn a_guessed_server_that_does_not_fit_is_passed_over(#[case] arguments: &str, #[case] why: &str) {
    if own_server::own_provider() != "process" {
        return;
    }
    let output = in_a_separate_network(arguments, "");
    assert!(output.contains("(process)") && output.contains(why), "{output}");
    assert!(output.contains("1 passed"), "{output}");
}

/// What the first process of a run has found out holds for the others, so they do not wait.
#[test]
fn a_silent_guessed_server_is_waited_for_once_in_a_run() {
    if own_server::own_provider() != "process" {
        return;
    }
    let cache = TempDir::new().expect("a directory");
    let script = format!(
        "export XDG_CACHE_HOME={} NEXTEST_RUN_ID=first; kill -STOP $server; run; kill -CONT $server; run;
        export NEXTEST_RUN_ID=second;",
        cache.path().display(),
    );
    let output = in_a_separate_network("", &script);
    assert_eq!(output.matches("1 passed").count(), 3, "{output}");
    let lines: Vec<_> = output.lines().filter(|line| line.starts_with("transient-fixtures: ")).collect();
    let [first, second, other_run] = lines[..] else { panic!("{output}") };
    for line in [first, second] {
        assert!(line.contains("(process)") && line.contains(golden("running::timed_out")), "{line}");
        assert!(line.contains("1 s"), "{line}");
    }
    assert!(other_run.contains("(running)"), "{other_run}");
}

/// Tests take turns on a shared server with a file in the cache.
#[test]
fn a_server_is_passed_over_where_nothing_can_be_written() {
    let server = OwnServer::start();
    let named = at(&server.url()).env("XDG_CACHE_HOME", "/proc/nowhere").run();
    assert_refused(&named, &[golden("running::no_cache"), "XDG_CACHE_HOME"]);
    if own_server::own_provider() == "process" {
        let output = in_a_separate_network("", "export XDG_CACHE_HOME=/proc/nowhere;");
        assert!(output.contains("(process)") && output.contains(golden("running::no_cache")), "{output}");
        assert!(output.contains("1 passed"), "{output}");
    }
}

/// A wrapper around an incomplete server, and one around a server that is too old: other providers are tried.
#[rstest]
#[case("exec '{server}' --rename-command CLIENT '' \"$@\"", "CLIENT ")]
#[case("exec '{server}' --rename-command CONFIG '' \"$@\"", "CONFIG ")]
#[case("[ \"$1\" = --version ] && echo 'Redis server v=5.0.6 sha=0' && exit\necho 'Bad directive'\nexit 1", "5.0.6")]
fn a_server_binary_that_does_not_fit_is_passed_over(#[case] script: &str, #[case] why: &str) {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("redis-server");
    let server = own_server::binary().display().to_string();
    child::write_program(&path, &format!("#!/bin/sh\n{}\n", script.replace("{server}", &server)));
    let child = Child::test("first_contact::wants_a_server").env("TRANSIENT_SERVER_BINARY", &path);
    let ended = child.env("TRANSIENT_PROVIDER", "process").run();
    assert_refused(&ended, &[why, golden("report::no_server")]);
}
