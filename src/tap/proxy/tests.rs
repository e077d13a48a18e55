//! A proxy between clients and servers that violate the protocol.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use super::*;

/// A proxy on this port.
struct Running {
    port: u16,
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

impl Running {
    fn start(address: Address) -> Self {
        let listener = mio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into()).expect("bind");
        let port = listener.local_addr().expect("an address").port();
        let (proxy, shared) = Proxy::new(listener, address, None, None).expect("a proxy");
        Self { port, shared, thread: thread::spawn(move || proxy.run()) }
    }

    /// Fails if its thread has panicked.
    fn stop(self) {
        self.shared.stop();
        self.thread.join().expect("the proxy");
    }
}

/// Starts a proxy in front of a server that sends these bytes on each connection and closes it.
fn in_front_of(answer: &'static [u8]) -> Running {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
    let address = Address::Tcp(server.local_addr().expect("an address"));
    thread::spawn(move || {
        for stream in server.incoming() {
            let mut stream = stream.expect("accept");
            let _ = stream.read(&mut [0; 64]);
            let _ = stream.write_all(answer);
        }
    });
    Running::start(address)
}

fn ask(port: u16, question: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connect");
    stream.write_all(question).expect("write");
    let mut answer = Vec::new();
    // A reset counts as an end.
    let _ = stream.read_to_end(&mut answer);
    answer
}

#[test]
fn forwards_the_last_bytes_before_a_close() {
    let proxy = in_front_of(b"-ERR max number of clients reached\r\n");
    for _ in 0..50 {
        assert_eq!(ask(proxy.port, b"PING\r\n"), b"-ERR max number of clients reached\r\n");
    }
    assert_eq!(proxy.shared.log().commands.len(), 50);
    proxy.stop();
}

#[test]
fn garbage_from_a_server_closes_its_connection() {
    let proxy = in_front_of(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    assert_eq!(ask(proxy.port, b"PING\r\n"), b"");
    assert_eq!(ask(proxy.port, b"PING\r\n"), b"");
    let malformed = proxy.shared.log().malformed.clone();
    assert!(malformed.len() == 2 && malformed[0].contains("HTTP/1.1 400"), "{malformed:?}");
    proxy.stop();
}

#[test]
fn closes_clients_if_the_server_is_gone() {
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind").local_addr().expect("an address");
    let proxy = Running::start(Address::Tcp(closed));
    assert_eq!(ask(proxy.port, b"PING\r\n"), b"");
    proxy.stop();
}

/// The proxy does not panic or hang.
#[test]
fn survives_random_bytes_on_both_sides() {
    let mut seed = 7_u64;
    let mut next = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed.to_be_bytes()[2]
    };
    let answer: &'static [u8] = b"*3\r\n$1\r\na\r\n%1\r\n+x\r\n";
    let proxy = in_front_of(answer);
    for _ in 0..100 {
        let bytes: Vec<_> = (0..200).map(|_| next()).collect();
        ask(proxy.port, &bytes);
        let mostly: Vec<_> =
            b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n".iter().map(|byte| if next() < 20 { next() } else { *byte }).collect();
        ask(proxy.port, &mostly);
    }
    proxy.stop();
}
