//! `rediss://`, set up as the README describes: with redis's feature `tls-rustls`, and rustls with a cryptography
//! provider.

use std::env;
use std::ffi::OsString;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use redis::Commands;
use rstest::rstest;
use tempfile::TempDir;
use transient_fixtures::{TestRequest, clean_redis, get_redis, redis, test_request};

/// A server with its own certificate, killed and reaped with the test.
pub(crate) struct Server(Child, TempDir, pub(crate) u16);

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
        Self::start_with(tls, &[])
    }

    /// With more arguments.
    pub(crate) fn start_with(tls: bool, arguments: &[&str]) -> Self {
        let directory = TempDir::new().expect("a directory");
        let path = |name: &str| directory.path().join(name).display().to_string();
        let port = TcpListener::bind(("127.0.0.1", 0)).expect("bind").local_addr().expect("an address").port();
        let mut server = Command::new("redis-server");
        server.args(["--save", "", "--unixsocket", &path("socket"), "--dir", &path("")]);
        if tls {
            let certificate = make_certificate(directory.path());
            server.args(["--port", "0", "--tls-port", &port.to_string(), "--tls-auth-clients", "no"]);
            server.arg("--tls-cert-file").arg(certificate).args(["--tls-key-file", &path("key")]);
        } else {
            server.args(["--port", &port.to_string()]);
        }
        server.args(arguments);
        let child = server.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("redis-server");
        let server = Self(child, directory, port);
        let deadline = Instant::now() + Duration::from_secs(100);
        while !server.1.path().join("socket").exists() {
            assert!(Instant::now() < deadline, "the server does not start");
            thread::sleep(Duration::from_millis(5));
        }
        server
    }

    /// The certificate that a client must trust.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.1.path().join("certificate")
    }
}

/// Writes the files `certificate` and `key`. The certificate is signed with the key itself.
pub(crate) fn make_certificate(directory: &Path) -> PathBuf {
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]);
    openssl.args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"]);
    openssl.arg("-keyout").arg(directory.join("key")).arg("-out").arg(directory.join("certificate"));
    assert!(openssl.stderr(Stdio::null()).status().expect("openssl").success());
    directory.join("certificate")
}

/// Runs an ignored test in a separate process. Returns whether it passed, and its output.
pub(crate) fn run_test(name: &str, variables: &[(&str, OsString)]) -> (bool, String) {
    let mut command = Command::new(env::current_exe().expect("this binary"));
    command.args([name, "--exact", "--ignored", "--nocapture"]);
    let output = command.envs(variables.iter().cloned()).output().expect("run");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    (output.status.success() && text.contains("1 passed"), text)
}

/// Runs the test below in a separate process.
fn run(url: &str) -> (bool, String) {
    run_test("tls::uses_the_named_server", &[("TRANSIENT_REDIS_URL", url.into())])
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
