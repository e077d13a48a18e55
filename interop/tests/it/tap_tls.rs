//! A tap in front of a server with TLS: its clients speak plain TCP.

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use redis::{Client, Commands, Connection, cmd, pipe};
use rstest::rstest;
use tempfile::TempDir;
use transient_fixtures::faults::{self, Run};
use transient_fixtures::tap::Tap;
use transient_fixtures::{TestRequest, clean_redis, get_redis, test_request};

use crate::tls::{Server, make_certificate, run_test};

/// Special characters of URLs.
const PASSWORD: &str = "p@ss:w/ö%rd?&=+";
const ESCAPED: &str = "p%40ss%3Aw%2F%C3%B6%25rd%3F%26%3D%2B";

/// Runs a test on a server with a trusted certificate.
fn assert_passes(name: &str, credentials: &str, arguments: &[&str]) -> String {
    let server = Server::start_with(true, arguments);
    let url = format!("rediss://{credentials}localhost:{}", server.2);
    let certificate = server.certificate();
    let variables = [("TRANSIENT_REDIS_URL", url.into()), ("SSL_CERT_FILE", certificate.into())];
    let (passed, output) = run_test(&format!("tap_tls::{name}"), &variables);
    assert!(passed, "{output}");
    output
}

fn connect(url: &str) -> Connection {
    let connection = Client::open(url).expect("a URL").get_connection().expect("connect");
    connection.set_read_timeout(Some(Duration::from_secs(100))).expect("a timeout");
    connection
}

#[rstest]
#[ignore = "run by the tests below"]
#[clean_redis]
fn forwards_and_records(test_request: TestRequest) {
    for protocol in ["resp2", "resp3"] {
        test_request.flush().expect("flush");
        let tap = test_request.tap().expect("a tap");
        let mut redis = connect(&format!("{}?protocol={protocol}", tap.redis_url()));
        redis.set::<_, _, ()>("foo", "ÅÄÖ").expect("SET");
        assert_eq!(redis.get::<_, String>("foo").expect("GET"), "ÅÄÖ");
        assert!(redis.lpush::<_, _, u32>("foo", "x").is_err());
        let mut pipeline = pipe();
        for number in 0..10_000 {
            pipeline.set(format!("key:{number}"), number).ignore().get(format!("key:{number}"));
        }
        let numbers: Vec<u32> = pipeline.query(&mut redis).expect("a pipeline");
        assert_eq!(numbers, (0..10_000).collect::<Vec<_>>());
        let (sum,): (u32,) = pipe().atomic().set("n", 1).ignore().incr("n", 1).query(&mut redis).expect("MULTI");
        assert_eq!(sum, 2);
        let large: Vec<u8> =
            (0..30_000_000_u32).map(|index| index.to_le_bytes()[usize::from(index % 2 == 0)]).collect();
        redis.set::<_, _, ()>("large", &large).expect("SET");
        assert!(redis.get::<_, Vec<u8>>("large").expect("GET") == large);

        let client = Client::open(tap.redis_url()).expect("a URL");
        let subscriber = thread::spawn(move || {
            let mut redis = client.get_connection().expect("connect");
            let mut messages = redis.as_pubsub();
            messages.subscribe("news").expect("SUBSCRIBE");
            messages.get_message().expect("a message").get_payload::<String>().expect("UTF-8")
        });
        tap.wait_subscribed("news");
        assert_eq!(redis.publish::<_, _, u32>("news", "a sale").expect("PUBLISH"), 1);
        assert_eq!(subscriber.join().expect("the subscriber"), "a sale");

        let commands = tap.commands();
        assert_eq!(commands.clone().named("SET").len(), 10_003);
        assert_eq!(commands.clone().named("EXEC").len(), 1);
        assert!(commands.clone().named("SET").with_key("large")[0].size() > 30_000_000);
        assert!(commands.named("GET").iter().all(|command| command.reply().is_some()));
        assert!(tap.malformed().is_empty(), "{:?}", tap.malformed());
    }
}

#[test]
fn bytes_pass_unchanged() {
    assert_passes("forwards_and_records", "", &[]);
}

#[test]
fn a_password_and_a_user_are_in_the_url_of_the_tap() {
    assert_passes("forwards_and_records", &format!(":{ESCAPED}@"), &["--requirepass", PASSWORD]);
    let user = format!("user shop on >{PASSWORD} ~* &* +@all");
    let [word, user, rest @ ..] = &user.split(' ').collect::<Vec<_>>()[..] else { unreachable!() };
    let mut arguments = vec![format!("--{word}"), (*user).to_owned()];
    arguments.extend(rest.iter().map(|rule| (*rule).to_owned()));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    assert_passes("forwards_and_records", &format!("shop:{ESCAPED}@"), &arguments);
}

#[test]
fn any_certificate_is_trusted_if_the_url_says_so() {
    let server = Server::start_with(true, &[]);
    // The certificate is not for this name either.
    let url = format!("rediss://127.0.0.1:{}/#insecure", server.2);
    let (passed, output) = run_test("tap_tls::forwards_and_records", &[("TRANSIENT_REDIS_URL", url.into())]);
    assert!(passed, "{output}");
}

#[rstest]
#[ignore = "run by the test below"]
#[clean_redis]
fn rules_apply(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let value = || get_redis(&test_request).expect("connect").get::<_, Option<u32>>("n").expect("GET");
    tap.on("INCR*").times(1).cut_before();
    assert!(connect(tap.redis_url()).incr::<_, _, u32>("n", 1).is_err());
    assert_eq!(value(), None);
    tap.on("INCR*").times(1).cut_after();
    assert!(connect(tap.redis_url()).incr::<_, _, u32>("n", 1).is_err());
    assert_eq!(value(), Some(1));
    tap.on("INCR*").times(1).late(Duration::from_millis(300));
    let start = Instant::now();
    assert_eq!(connect(tap.redis_url()).incr::<_, _, u32>("n", 1).expect("INCR"), 2);
    assert!(start.elapsed() >= Duration::from_millis(300));
    tap.on("INCR*").times(1).delay(Duration::from_millis(300));
    let start = Instant::now();
    assert_eq!(connect(tap.redis_url()).incr::<_, _, u32>("n", 1).expect("INCR"), 3);
    assert!(start.elapsed() >= Duration::from_millis(300));
    tap.on("INCR*").times(1).lose_data();
    assert_eq!(connect(tap.redis_url()).incr::<_, _, u32>("n", 1).expect("INCR"), 1);

    let scenario = |run: &Run| {
        // Stands for the code under test, which ignores the cache's errors.
        let _ = connect(run.redis_url()).set_ex::<_, _, ()>("page", "the page", 60);
    };
    let swept = faults::sweep(&test_request, scenario).cutting().check();
    assert_eq!(swept.cases(), 2);
}

#[test]
fn rules_and_sweeps_work() {
    assert_passes("rules_apply", "", &[]);
}

/// Sends these commands, and perhaps closes its sending side. Returns all replies until the server ends the connection.
fn replies(tap: &Tap, commands: &[u8], then_closes: bool) -> String {
    let address = Client::open(tap.redis_url()).expect("a URL").get_connection_info().addr().to_string();
    let mut stream = TcpStream::connect(address).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(100))).expect("a timeout");
    stream.write_all(commands).expect("write");
    if then_closes {
        stream.shutdown(Shutdown::Write).expect("shutdown");
    }
    let mut replies = String::new();
    stream.read_to_string(&mut replies).expect("the end of the replies");
    replies
}

#[rstest]
#[ignore = "run by the test below"]
#[clean_redis]
fn connections_end(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    // The client ends first, with all of its commands sent at once.
    let echo = b"ECHO hello\r\n";
    assert_eq!(replies(&tap, &echo.repeat(20_000), true), "$5\r\nhello\r\n".repeat(20_000));
    // The server ends first.
    assert_eq!(replies(&tap, b"PING\r\nQUIT\r\n", false), "+PONG\r\n+OK\r\n");
    let mut redis = connect(tap.redis_url());
    let id: u64 = cmd("CLIENT").arg("ID").query(&mut redis).expect("CLIENT ID");
    let mut direct = get_redis(&test_request).expect("connect");
    cmd("CLIENT").arg("KILL").arg("ID").arg(id).exec(&mut direct).expect("CLIENT KILL");
    assert!(redis.get::<_, Option<String>>("a").is_err());
    let clients = || cmd("CLIENT").arg("LIST").query::<String>(&mut get_redis(&test_request).expect("connect"));
    // The tap closes its connection when the client does.
    cmd("CLIENT").arg("SETNAME").arg("shop").exec(&mut connect(tap.redis_url())).expect("SETNAME");
    let deadline = Instant::now() + Duration::from_secs(100);
    while clients().expect("CLIENT LIST").contains("name=shop") {
        assert!(Instant::now() < deadline, "the connection is still open");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn both_sides_can_end_a_connection() {
    assert_passes("connections_end", "", &[]);
}

/// The server does not read during a script. With one of these sizes, its socket is full just before the last bytes.
#[rstest]
#[ignore = "run by the test below"]
#[clean_redis]
fn a_busy_server(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    for size in (1_000_000..8_000_000).step_by(60_000) {
        let head =
            format!("SELECT 14\r\nEVAL \"for _ = 1, 1e7 do end\" 0\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n${size}\r\n");
        let commands = [head.as_bytes(), &vec![b'x'; size], b"\r\nQUIT\r\n"].concat();
        assert_eq!(replies(&tap, &commands, false), "+OK\r\n$-1\r\n+OK\r\n+OK\r\n", "{size}");
    }
}

#[test]
fn no_bytes_stay_behind() {
    assert_passes("a_busy_server", "", &[]);
}

#[rstest]
#[ignore = "run by the test below"]
#[clean_redis]
fn another_certificate(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let mut redis = connect(tap.redis_url());
    let directory = TempDir::new().expect("a directory");
    make_certificate(directory.path());
    let trusted = env::var("SSL_CERT_FILE").expect("a file");
    let trusted = Path::new(&trusted).parent().expect("a directory");
    let mut use_certificate = |directory: &Path| {
        let mut command = cmd("CONFIG");
        command.arg("SET").arg("tls-cert-file").arg(directory.join("certificate").to_str());
        command.arg("tls-key-file").arg(directory.join("key").to_str()).exec(&mut redis).expect("CONFIG SET");
    };
    use_certificate(directory.path());
    let refused = Client::open(tap.redis_url()).expect("a URL").get_connection();
    let no_tap = test_request.tap();
    use_certificate(trusted);
    assert!(refused.is_err_and(|error| error.is_connection_dropped() || error.is_io_error()));
    assert!(no_tap.is_err_and(|error| error.is_server()));
    connect(tap.redis_url()).set::<_, _, ()>("a", 1).expect("SET");
}

#[test]
fn another_certificate_is_refused() {
    let output = assert_passes("another_certificate", "", &[]);
    let warning = output.lines().find(|line| line.contains("warning:")).unwrap_or_else(|| panic!("{output}"));
    assert!(warning.contains("TLS") && warning.contains("invalid peer certificate"), "{warning}");
}

/// The most memory that this process has had, in MiB.
fn most_memory() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") / 1024
}

#[rstest]
#[ignore = "run by the test below"]
#[clean_redis]
fn a_huge_value(test_request: TestRequest) {
    const SIZE: usize = 256 << 20;
    let tap = test_request.tap().expect("a tap");
    let address = Client::open(tap.redis_url()).expect("a URL").get_connection_info().addr().to_string();
    let mut stream = TcpStream::connect(address).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(100))).expect("a timeout");
    let mut buffer = vec![b'x'; 1 << 16];
    let before = most_memory();
    write!(stream, "SELECT 14\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n${SIZE}\r\n").expect("write");
    for _ in 0..SIZE / buffer.len() {
        stream.write_all(&buffer).expect("write");
    }
    write!(stream, "\r\nGET a\r\n").expect("write");
    // Meanwhile the reply must not pile up in the tap.
    tap.wait_for(|command| command.is("GET"));
    let mut other = connect(tap.redis_url());
    for _ in 0..2000 {
        cmd("PING").exec(&mut other).expect("PING");
    }
    let mut left = format!("+OK\r\n+OK\r\n${SIZE}\r\n\r\n").len() + SIZE;
    while left > 0 {
        let length = stream.read(&mut buffer).expect("read");
        assert!(length > 0, "{left} bytes are missing");
        left -= length;
    }
    let more = most_memory() - before;
    println!("{more} MiB more");
    assert!(more < 30, "{more} MiB more");
}

#[test]
fn memory_does_not_grow_with_a_value() {
    assert_passes("a_huge_value", "", &[]);
}
