//! `rediss://`, set up as the README describes: with redis's feature `tls-rustls`, and rustls with a cryptography
//! provider.

use std::env;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use redis::Commands;
use rstest::rstest;
use tempfile::TempDir;
use transient_fixtures::{TestRequest, clean_redis, get_redis, redis, test_request};

/// A server with its own certificate, killed and reaped with the test.
struct Server(Child, TempDir, u16);

impl Drop for Server {
    fn drop(&mut self) {
        // It can have exited already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// With or without TLS on its port.
    fn start(tls: bool) -> Self {
        let directory = TempDir::new().expect("a directory");
        let path = |name: &str| directory.path().join(name).display().to_string();
        let port = TcpListener::bind(("127.0.0.1", 0)).expect("bind").local_addr().expect("an address").port();
        let mut server = Command::new("redis-server");
        server.args(["--save", "", "--unixsocket", &path("socket"), "--dir", &path("")]);
        if tls {
            let mut openssl = Command::new("openssl");
            openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]);
            openssl.args(["-keyout", &path("key"), "-out", &path("certificate")]);
            assert!(openssl.stderr(Stdio::null()).status().expect("openssl").success());
            server.args(["--port", "0", "--tls-port", &port.to_string(), "--tls-auth-clients", "no"]);
            server.args(["--tls-cert-file", &path("certificate"), "--tls-key-file", &path("key")]);
        } else {
            server.args(["--port", &port.to_string()]);
        }
        let child = server.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("redis-server");
        let server = Self(child, directory, port);
        let deadline = Instant::now() + Duration::from_secs(100);
        while !server.1.path().join("socket").exists() {
            assert!(Instant::now() < deadline, "the server does not start");
            thread::sleep(Duration::from_millis(5));
        }
        server
    }
}

/// Runs the test below in a separate process.
fn run(url: &str) -> (bool, String) {
    let mut command = Command::new(env::current_exe().expect("this binary"));
    command.args(["tls::uses_the_named_server", "--exact", "--ignored", "--nocapture"]);
    let output = command.env("TRANSIENT_REDIS_URL", url).output().expect("run");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[rstest]
#[ignore = "run by the tests below"]
#[clean_redis]
fn uses_the_named_server(test_request: TestRequest) {
    let mut redis = get_redis(&test_request).expect("connect");
    redis.set::<_, _, ()>("foo", "ÅÄÖ").expect("SET");
    println!("at {} stored {}", test_request.server(), redis.get::<_, String>("foo").expect("GET"));
}

#[test]
fn a_server_with_tls_is_used() {
    let server = Server::start(true);
    // A certificate without a trusted signature.
    let (passed, output) = run(&format!("rediss://127.0.0.1:{}/#insecure", server.2));
    assert!(passed && output.contains("(running)") && output.contains("stored ÅÄÖ"), "{output}");
}

#[test]
fn tls_to_a_server_without_it_is_reported() {
    let server = Server::start(false);
    let (passed, output) = run(&format!("rediss://127.0.0.1:{}", server.2));
    assert!(!passed, "{output}");
    for words in ["TLS", "redis://"] {
        assert!(output.contains(words), "{words:?} is missing in: {output}");
    }
}

#[test]
fn an_unsigned_certificate_is_reported() {
    let server = Server::start(true);
    let (passed, output) = run(&format!("rediss://localhost:{}", server.2));
    assert!(!passed && output.contains("TLS"), "{output}");
}
