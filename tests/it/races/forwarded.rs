//! Explorations of a server whose connections are forwarded one by one, as container engines do. Some are slower.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::child::Child;
use crate::own_server::OwnServer;

/// Listens at a free port, and forwards each connection to this one with another delay. Returns the port.
fn forward_to(server: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for (number, client) in (0_u64..).zip(listener.incoming()) {
            let client = client.expect("accept");
            let server = TcpStream::connect(("127.0.0.1", server)).expect("connect");
            let delay = Duration::from_millis(number % 3);
            for (from, to) in [(&client, &server), (&server, &client)] {
                let (from, to) = (from.try_clone().expect("duplicate"), to.try_clone().expect("duplicate"));
                to.set_nodelay(true).expect("TCP_NODELAY");
                thread::spawn(move || copy(from, to, delay));
            }
        }
    });
    port
}

fn copy(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let mut bytes = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        thread::sleep(delay);
        if to.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    // The other side can have closed it already.
    let _ = to.shutdown(Shutdown::Write);
}

/// Messages and the replies to blocked clients arrive after later replies on other connections.
#[test]
fn slow_connections_change_nothing() {
    let (server, cache) = (OwnServer::start(), TempDir::new().expect("a directory"));
    let port = forward_to(server.port);
    for test in [
        "bugs::caches::own_cache_filled_after_its_invalidation",
        "bugs::caches::invalidation_published_before_the_write",
        "steps::a_blocked_client_is_woken_or_times_out",
        "steps::a_dead_client_gets_nothing",
    ] {
        let child =
            Child::test(&format!("races::{test}")).env("TRANSIENT_REDIS_URL", format!("redis://127.0.0.1:{port}"));
        let ended = child.env("XDG_CACHE_HOME", cache.path()).run();
        assert!(ended.passed, "{}", ended.output);
    }
}
