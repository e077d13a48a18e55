//! Clients on a Unix socket.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use redis::{Client, Commands};
use rstest::rstest;
use tempfile::TempDir;
use transient_fixtures::{TestRequest, clean_redis, test_request};

use crate::child::Child;
use crate::own_server::{OwnServer, own_provider};

#[rstest]
#[clean_redis]
fn clients_connect_to_a_socket_as_well(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let mut sessions = Client::open(tap.redis_unix_url().unwrap()).unwrap().get_connection().expect("connect");
    let mut jobs = Client::open(tap.jobs_unix_url().unwrap()).unwrap().get_connection().expect("connect");
    let mut tcp = Client::open(tap.redis_url()).unwrap().get_connection().expect("connect");
    sessions.set::<_, _, ()>("foo", "ÅÄÖ").expect("SET");
    jobs.rpush::<_, _, ()>("mail", vec![0_u8; 1_000_000]).expect("RPUSH");
    assert_eq!(tcp.get::<_, String>("foo").expect("GET"), "ÅÄÖ");
    assert_eq!(jobs.lpop::<_, Vec<u8>>("mail", None).expect("LPOP").len(), 1_000_000);

    let commands = tap.commands().without_handshakes();
    let seen: Vec<_> = commands.iter().map(|command| (command.name(), command.database())).collect();
    assert_eq!(seen, [("SET", 14), ("RPUSH", 15), ("GET", 14), ("LPOP", 15)]);
    let rule = tap.on("GET").times(1).cut_before();
    assert!(sessions.get::<_, Option<String>>("foo").is_err());
    assert_eq!(rule.fired(), 1);
}

#[rstest]
#[clean_redis]
fn only_this_user_reaches_a_socket(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let socket = tap.socket().expect("a socket");
    assert_eq!(tap.socket().expect("a socket"), socket);
    assert!(socket.as_os_str().len() < 104, "{}", socket.display());
    let directory = socket.parent().expect("a directory").to_owned();
    assert_eq!(fs::metadata(&directory).expect("metadata").permissions().mode() & 0o777, 0o700);
    let mut stream = UnixStream::connect(&socket).expect("connect");
    drop(tap);
    assert!(!directory.exists(), "{}", directory.display());
    // A reset counts as an end.
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
}

#[rstest]
#[clean_redis]
fn several_taps_have_several_sockets(test_request: TestRequest) {
    let taps = [test_request.tap().expect("a tap"), test_request.tap().expect("a tap")];
    let [first, second] = taps.each_ref().map(|tap| tap.socket().expect("a socket"));
    assert_ne!(first, second);
    let mut stream = UnixStream::connect(second).expect("connect");
    stream.write_all(b"QUIT\r\n").expect("write");
    stream.read_to_end(&mut Vec::new()).expect("the end");
    assert_eq!(taps.map(|tap| tap.commands().named("QUIT").len()), [0, 1]);
}

/// A tap that outlives its lease.
#[test]
fn a_socket_ends_with_the_lease() {
    let test_request = TestRequest::isolated();
    let tap = test_request.tap().expect("a tap");
    let directory = tap.socket().expect("a socket").parent().expect("a directory").to_owned();
    drop(test_request);
    assert!(!directory.exists(), "{}", directory.display());
    assert!(tap.socket().is_err_and(|error| error.is_server()));
    assert!(!directory.exists(), "{}", directory.display());
}

#[rstest]
#[ignore = "run by the tests below"]
#[clean_redis]
fn opens_a_socket(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let mut redis = Client::open(tap.redis_unix_url().unwrap()).unwrap().get_connection().expect("connect");
    redis.set::<_, _, ()>("foo", "bar").expect("SET");
    println!("opened {}", tap.socket().expect("a socket").display());
    if std::env::var_os("WAIT").is_some() {
        thread::sleep(Duration::from_secs(600));
    }
    // The lease ends a leaked tap.
    std::mem::forget(tap);
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).expect("read").next().is_none()
}

fn wait_until_empty(directory: &Path) {
    let deadline = Instant::now() + Duration::from_secs(100);
    while !is_empty(directory) {
        assert!(Instant::now() < deadline, "files are left in {}", directory.display());
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_process_leaves_no_socket() {
    let directory = TempDir::new().expect("a directory");
    let child = Child::test("tap::socket::opens_a_socket").env("TRANSIENT_PROVIDER", own_provider());
    child.env("TMPDIR", directory.path()).run().assert_passed();
    wait_until_empty(directory.path());
}

#[test]
fn a_killed_process_leaves_no_socket() {
    let directory = TempDir::new().expect("a directory");
    let child = Child::test("tap::socket::opens_a_socket").env("TRANSIENT_PROVIDER", own_provider()).env("WAIT", "1");
    let mut running = child.env("TMPDIR", directory.path()).start();
    running.wait_for("opened ");
    assert!(!is_empty(directory.path()));
    running.child.kill().expect("SIGKILL");
    running.child.wait().expect("reap");
    wait_until_empty(directory.path());
}

/// `sockaddr_un` has about 100 bytes, and a URL needs escapes.
#[test]
fn any_temporary_directory_works() {
    for name in ["x".repeat(120), "å ä?#&%".to_owned()] {
        let directory = TempDir::new().expect("a directory");
        let directory = directory.path().join(name);
        fs::create_dir(&directory).expect("mkdir");
        let child = Child::test("tap::socket::opens_a_socket").env("TRANSIENT_PROVIDER", own_provider());
        child.env("TMPDIR", &directory).run().assert_passed();
    }
}

/// Users and passwords of a server that was running before.
#[test]
fn credentials_are_escaped() {
    let rules = ["--user", "shop", "on", ">p@ss:w/ö%rd?&=+", "~*", "&*", "+@all"];
    let server = OwnServer::with(TempDir::new().expect("a directory"), &rules);
    let password = "p%40ss%3Aw%2F%C3%B6%25rd%3F%26%3D%2B";
    let socket = format!("redis+unix://{}?user=shop&pass={password}", server.socket().display());
    for url in [format!("redis://shop:{password}@127.0.0.1:{}", server.port), socket] {
        for test in ["opens_a_socket", "uses_tcp"] {
            let child = Child::test(&format!("tap::socket::{test}"));
            child.env("TRANSIENT_REDIS_URL", &url).run().assert_passed();
        }
    }
}

#[rstest]
#[ignore = "run by the test above"]
#[clean_redis]
fn uses_tcp(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let mut redis = Client::open(tap.redis_url()).unwrap().get_connection().expect("connect");
    redis.set::<_, _, ()>("foo", "bar").expect("SET");
    assert_eq!(tap.commands().without_handshakes().len(), 1);
}
