//! With a process for every test, the processes of one run share started servers: one process at a time.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use redis::{Commands, InfoDict, RedisResult};
use rstest::rstest;
use tempfile::TempDir;
use transient_fixtures::{TestRequest, clean_redis, get_redis, redis, test_request};

use crate::child::Child;
use crate::own_server::{self, OwnServer};

/// More than five times the second that a server may outlive its run.
const ENDED_WITHIN: Duration = Duration::from_secs(60);

#[rstest]
#[ignore = "run by the tests below"]
#[clean_redis]
fn names_its_server(test_request: TestRequest) -> RedisResult<()> {
    use_server(&test_request)
}

/// Prints the server. With `HOLD`, keeps it until that directory has a file `go-on`.
fn use_server(test_request: &TestRequest) -> RedisResult<()> {
    let mut redis = get_redis(test_request)?;
    let info: InfoDict = redis::cmd("INFO").arg("server").query(&mut redis)?;
    let (_, directory): (String, String) = redis::cmd("CONFIG").arg(&["GET", "dir"]).query(&mut redis)?;
    let run_id: String = info.get("run_id").expect("a run_id");
    println!("server: {run_id} {directory} {}", test_request.redis_url());
    redis.set::<_, _, ()>("left", "x")?;
    if let Some(hold) = std::env::var_os("HOLD") {
        fs::write(Path::new(&hold).join("held"), "").expect("write");
        while !Path::new(&hold).join("go-on").exists() {
            thread::sleep(Duration::from_millis(5));
        }
    }
    Ok(())
}

#[rstest]
#[ignore = "run by a_changed_server_is_not_passed_on"]
fn changes_the_configuration(test_request: TestRequest) -> RedisResult<()> {
    redis::cmd("CONFIG").arg(&["SET", "maxmemory", "100mb"]).exec(&mut get_redis(&test_request)?)?;
    use_server(&test_request)
}

#[derive(Debug)]
struct Seen {
    run_id: String,
    directory: String,
    url: String,
}

impl Seen {
    fn all(output: &str) -> Vec<Self> {
        let lines = output.lines().filter_map(|line| line.split_once("server: "));
        let words = lines.map(|(_, words)| words.split(' ').map(str::to_owned).collect::<Vec<_>>());
        words
            .map(|words| match <[String; 3]>::try_from(words) {
                Ok([run_id, directory, url]) => Self { run_id, directory, url },
                Err(words) => panic!("{words:?}"),
            })
            .collect()
    }

    fn address(&self) -> &str {
        self.url.split_once('@').and_then(|(_, rest)| rest.split_once('/')).expect("an address").0
    }
}

/// A runner, with a process for each command of the script.
fn runner(cache: &TempDir, script: &str) -> Child {
    let child = Child::test("slots::names_its_server").env("TRANSIENT_PROVIDER", own_server::own_provider());
    let child = child.env("NEXTEST_EXECUTION_MODE", "process-per-test").env("NEXTEST_RUN_ID", "slots");
    child.env("TRANSIENT_SERVER_BINARY", own_server::binary()).env("XDG_CACHE_HOME", cache.path()).by_shell(script)
}

#[track_caller]
fn two_servers(cache: &TempDir, script: &str) -> [Seen; 2] {
    let ended = runner(cache, script).run();
    ended.assert_passed();
    assert_eq!(ended.output.matches("1 passed").count(), 2, "{}", ended.output);
    Seen::all(&ended.output).try_into().expect("two processes")
}

#[test]
fn processes_share_a_server_with_a_password_each() {
    let cache = TempDir::new().expect("a directory");
    let [first, second] = two_servers(&cache, r#""$@" && "$@""#);
    assert_eq!((&first.run_id, first.address()), (&second.run_id, second.address()));
    assert_ne!(first.url, second.url);
}

/// The first one's URL opens nothing while the second one has the server.
#[test]
fn an_earlier_process_has_no_access() {
    let (cache, hold) = (TempDir::new().expect("a directory"), TempDir::new().expect("a directory"));
    let script = format!(r#""$@" && HOLD='{}' "$@""#, hold.path().display());
    let running = runner(&cache, &script).start();
    let deadline = Instant::now() + ENDED_WITHIN;
    while !hold.path().join("held").exists() {
        assert!(Instant::now() < deadline, "{}", running.output());
        thread::sleep(Duration::from_millis(5));
    }
    let seen = Seen::all(&running.output());
    let open = |url: &str| redis::Client::open(url).and_then(|client| client.get_connection()).map(drop);
    let refused = open(&seen[0].url).expect_err("another process has the server");
    assert_eq!(refused.kind(), redis::ErrorKind::AuthenticationFailed, "{refused}");
    open(&seen[1].url).expect("its own URL");
    fs::write(hold.path().join("go-on"), "").expect("write");
    running.wait(ENDED_WITHIN).assert_passed();
    assert_eq!(seen[0].run_id, seen[1].run_id);
}

#[test]
fn concurrent_processes_have_a_server_each() {
    let (cache, hold) = (TempDir::new().expect("a directory"), TempDir::new().expect("a directory"));
    let script = format!(
        r#"hold='{}'
        HOLD=$hold "$@" & first=$!
        until [ -e "$hold/held" ] || ! kill -0 $first; do /bin/sleep 0.05; done
        "$@"; : >"$hold/go-on"; wait $first"#,
        hold.path().display(),
    );
    let [first, second] = two_servers(&cache, &script);
    assert_ne!(first.run_id, second.run_id);
}

#[test]
fn a_changed_server_is_not_passed_on() {
    let cache = TempDir::new().expect("a directory");
    let script = r#""$1" slots::changes_the_configuration --exact --include-ignored --nocapture && "$@""#;
    let [first, second] = two_servers(&cache, script);
    assert_ne!(first.run_id, second.run_id);
}

/// The file alone never leads to a FLUSHALL.
#[test]
fn a_forged_slot_leads_nowhere() {
    let (cache, server) = (TempDir::new().expect("a directory"), OwnServer::start());
    for database in [2, 14] {
        server.connection(database).set::<_, _, ()>("cart:1", "production").expect("SET");
    }
    let run_id = server.run_id();
    let script = format!(
        r#""$@" || exit
        for slot in '{directory}'/*; do
            case $slot in *.lock) ;; *) echo '{url} {run_id} secret 0' >"$slot"; echo "forged $slot" ;; esac
        done
        "$@""#,
        directory = cache.path().join("transient-fixtures/v1/servers").display(),
        url = server.url(),
    );
    let ended = runner(&cache, &script).run();
    ended.assert_passed();
    assert!(ended.output.contains("forged "), "{}", ended.output);
    let seen = Seen::all(&ended.output);
    assert!(seen.len() == 2 && seen[1].run_id != run_id, "{seen:?}");
    for database in [2, 14] {
        assert_eq!(server.connection(database).get("cart:1"), Ok("production".to_owned()));
    }
}

#[test]
fn a_server_ends_with_its_run_however_that_ends() {
    let cache = TempDir::new().expect("a directory");
    let mut running = runner(&cache, r#""$@" && echo finished; while :; do /bin/sleep 0.2; done"#).start();
    running.wait_for("finished");
    let server = Seen::all(&running.output()).pop().expect("a server");
    TcpStream::connect(server.address()).expect("the server outlives its first process");
    running.child.kill().expect("our own child");
    running.child.wait().expect("reap");
    let slots = cache.path().join("transient-fixtures/v1/servers");
    let deadline = Instant::now() + ENDED_WITHIN;
    let is_left = || {
        let slots = fs::read_dir(&slots).expect("slots").count();
        TcpStream::connect(server.address()).is_ok() || Path::new(&server.directory).exists() || slots > 0
    };
    while is_left() {
        assert!(Instant::now() < deadline, "{server:?} outlives its run");
        thread::sleep(Duration::from_millis(10));
    }
}
