//! The running provider, and peers at a URL that are not a Redis which accepts us.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use rstest::rstest;
use tempfile::TempDir;
use transient_fixtures::{TestRequest, clean_redis, redis, test_request};

use crate::child::{Child, Ended};
use crate::golden::golden;
use crate::own_server::OwnServer;

#[rstest]
#[clean_redis]
fn prints_its_url(test_request: TestRequest) {
    crate::clean::assert_clean_but_for(&[], &test_request);
    println!("sessions at {}", test_request.redis_url());
    println!("jobs at {}", test_request.jobs_url());
    println!("look around with {}", test_request.server().cli_command());
    println!("{test_request:?} {:?} {:?}", test_request.server(), test_request.settings());
}

fn at(url: &str) -> Child {
    Child::test("running::prints_its_url").env("TRANSIENT_REDIS_URL", url)
}

/// A listener that passes every connection to `serve`.
fn listen(serve: impl Fn(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("bind");
    let url = format!("redis://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || listener.incoming().flatten().for_each(serve));
    url
}

#[track_caller]
fn assert_one_report(ended: &Ended, words: &[&str]) {
    ended.assert_failed_with(words);
    ended.assert_failed_with(&["panicked at tests/it/running.rs", golden("report::no_server"), "running ", "->"]);
}

#[test]
fn one_server_by_its_three_names() {
    let server = OwnServer::start();
    let socket = format!("unix://{}", server.socket().display());
    for url in [server.url(), format!("redis://localhost:{}", server.port), socket] {
        // The database number in the URL is not used.
        let named = if url.starts_with("unix") { format!("{url}?db=3") } else { format!("{url}/3") };
        let ended = at(&named).run();
        ended.assert_passed();
        let (sessions, jobs) = if url.starts_with("unix") { ("?db=14", "?db=15") } else { ("/14", "/15") };
        for words in [format!("sessions at {url}{sessions}"), format!("jobs at {url}{jobs}"), "(running)".to_owned()] {
            assert!(ended.output.contains(&words), "{words:?} is missing in:\n{}", ended.output);
        }
    }
}

#[test]
fn a_password_is_used_and_never_shown() {
    let server = OwnServer::with(TempDir::new().expect("a directory"), &["--requirepass", "hush-hush"]);
    let right = at(&format!("redis://:hush-hush@127.0.0.1:{}", server.port)).run();
    right.assert_passed();
    let shown = right.output.replace(&format!("at redis://:hush-hush@127.0.0.1:{}/1", server.port), "");
    assert!(!shown.contains("hush-hush"), "{shown}");
    let wrong = at(&format!("redis://:hush-hash@127.0.0.1:{}", server.port)).run();
    assert_one_report(&wrong, &[golden("running::denied"), golden("running::REMEDY_DENIED")]);
    assert!(!wrong.output.contains("hush-hash"), "{}", wrong.output);
    assert_one_report(&at(&server.url()).run(), &[golden("running::denied"), "NOAUTH"]);
}

#[test]
fn a_named_server_that_does_not_answer_is_an_error() {
    let port = TcpListener::bind(("127.0.0.1", 0)).expect("bind").local_addr().expect("an address").port();
    let ended = at(&format!("redis://:hush@127.0.0.1:{port}")).run();
    assert_one_report(&ended, &["redis://***@127.0.0.1", "refused", golden("running::REMEDY_NAMED")]);
    assert!(!ended.output.contains("hush@"), "{}", ended.output);
    assert_one_report(&at("unix:///nowhere/redis.sock").run(), &["unix:///nowhere/redis.sock"]);
    assert_one_report(&at("redis://no-such-host.invalid:6379").run(), &["no-such-host.invalid"]);
}

#[test]
fn a_server_in_test_ini_is_optional() {
    let directory = TempDir::new().expect("a directory");
    let port = TcpListener::bind(("127.0.0.1", 0)).expect("bind").local_addr().expect("an address").port();
    let ini = directory.path().join("test.ini");
    std::fs::write(&ini, format!("[app:main]\nredis.sessions.url = redis://127.0.0.1:{port}/14\n")).expect("write");
    let ended = Child::test("running::prints_its_url").env("TRANSIENT_TEST_INI", &ini).run();
    ended.assert_passed();
    assert!(ended.output.contains(&format!("redis://127.0.0.1:{port} (")), "{}", ended.output);
}

#[test]
fn rejects_an_http_server() {
    let url = listen(|mut stream| {
        // The request does not matter.
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    });
    assert_one_report(&at(&url).run(), &[golden("running::REMEDY_NOT_REDIS")]);
}

#[test]
fn rejects_a_server_that_hangs_up() {
    assert_one_report(&at(&listen(drop)).run(), &[golden("running::REMEDY_NOT_REDIS")]);
}

#[test]
fn silence_is_bounded() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let url = listen(move |stream| sender.send(stream).expect("keep the connection"));
    let ended = at(&url).run();
    assert_one_report(&ended, &["5 s", golden("running::timed_out")]);
    drop(receiver);
}

#[test]
fn rejects_rubbish() {
    let url = listen(|mut stream| {
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(&[0xfe; 4096]);
    });
    assert_one_report(&at(&url).run(), &[golden("running::REMEDY_NOT_REDIS")]);
}

#[test]
fn tls_against_a_plain_server() {
    let server = OwnServer::start();
    assert_one_report(&at(&format!("rediss://127.0.0.1:{}", server.port)).run(), &["`tokio-rustls-comp`"]);
}

#[test]
fn a_url_contradicts_another_provider() {
    let ended = at("redis://127.0.0.1:6379").env("TRANSIENT_PROVIDER", "process").run();
    ended.assert_failed_with(&["TRANSIENT_REDIS_URL", "TRANSIENT_PROVIDER=process"]);
}

/// The server goes away between two tests of one process.
mod unplugged {
    use super::{TestRequest, clean_redis, redis, rstest, test_request};

    #[rstest]
    #[ignore = "run by the tests below, on servers that may be shut down"]
    #[clean_redis]
    fn a_shuts_the_server_down(test_request: TestRequest) {
        let mut connection = test_request.client().get_connection().expect("connect");
        redis::cmd("SHUTDOWN").arg("NOSAVE").exec(&mut connection).expect_err("it hangs up");
    }

    #[rstest]
    #[ignore = "run by the tests below, on servers that may be shut down"]
    #[clean_redis]
    fn b_is_the_next(test_request: TestRequest) {
        crate::clean::assert_clean_but_for(&[], &test_request);
    }
}

#[test]
fn a_running_server_that_is_gone_is_reported() {
    let server = OwnServer::start();
    let child = Child::tests("running::unplugged::").arguments(["--test-threads=1"]);
    let ended = child.env("TRANSIENT_REDIS_URL", server.url()).run();
    ended.assert_failed_with(&["1 passed; 1 failed", golden("running::not_again")]);
}

#[test]
fn a_started_server_that_is_gone_is_replaced() {
    let child = Child::tests("running::unplugged::").arguments(["--test-threads=1"]);
    let ended = child.env("TRANSIENT_PROVIDER", crate::own_server::own_provider()).run();
    ended.assert_passed();
}

/// Another server replaces the one that the process knows.
mod replaced {
    use super::{TestRequest, clean_redis, rstest, test_request};

    #[rstest]
    #[ignore = "run by a_replacement_server_is_checked_again"]
    #[clean_redis]
    fn a_waits_for_another(test_request: TestRequest) {
        crate::clean::assert_clean_but_for(&[], &test_request);
        drop(test_request);
        println!("waits for another");
        let go_on = std::env::var_os("GO_ON").expect("a file");
        while !std::path::Path::new(&go_on).exists() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    #[rstest]
    #[ignore = "run by a_replacement_server_is_checked_again"]
    #[clean_redis]
    fn b_would_clear_it(test_request: TestRequest) {
        crate::clean::assert_clean_but_for(&[], &test_request);
    }
}

#[test]
fn a_replacement_server_is_checked_again() {
    let (first, directory) = (OwnServer::start(), TempDir::new().expect("a directory"));
    let (port, url, go_on) = (first.port, first.url(), directory.path().join("go on"));
    let child = Child::tests("running::replaced::").arguments(["--test-threads=1"]);
    let child = child.env("TRANSIENT_REDIS_URL", url).env("GO_ON", &go_on).start();
    child.wait_for("waits for another");
    drop(first);
    let second = OwnServer::on(port, TempDir::new().expect("a directory"), &[]);
    redis::cmd("SET").arg("cart:1").arg("production").exec(&mut second.connection(14)).expect("SET");
    std::fs::write(go_on, "").expect("write");
    let ended = child.wait(Duration::from_secs(60));
    ended.assert_failed_with(&["1 passed; 1 failed", "database 14", "1 key", golden("report::refused::foreign_keys")]);
    let left: String = redis::cmd("GET").arg("cart:1").query(&mut second.connection(14)).expect("GET");
    assert_eq!(left, "production");
}
