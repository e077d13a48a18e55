//! The tap, beside a proxy of the same architecture that only copies bytes: one thread that polls, buffers of 64 KB,
//! and a unix socket to the server.

use std::env;
use std::fs;
use std::hint::black_box;
use std::io::{Cursor, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mio::net::{TcpListener, UnixStream};
use mio::{Events, Interest, Poll, Token, Waker};
use redis::{Client, Commands};
use transient_fixtures::faults::{self, Run};
use transient_fixtures::{TestRequest, get_redis};

use super::{in_turns, row, time};

// The file itself: the tap does not export it.
#[path = "../../../src/tap/framer.rs"]
#[allow(dead_code, reason = "what the tap needs and this does not")]
mod framer;

use framer::{Framer, Side};

const BUFFER: usize = 64 * 1024;

/// Bytes from one stream to the other, as the tap moves them.
#[derive(Default)]
struct Way {
    is_readable: bool,
    is_writable: bool,
    unsent: Vec<u8>,
    sent: usize,
}

impl Way {
    /// False if the connection has ended.
    fn pump(&mut self, from: &mut impl Read, to: &mut impl Write, scratch: &mut [u8]) -> bool {
        loop {
            if !self.flush(to) {
                return false;
            }
            if self.sent < self.unsent.len() || !self.is_readable {
                return true;
            }
            self.sent = 0;
            self.unsent.clear();
            let length = match from.read(scratch) {
                Ok(0) => return false,
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_readable = false;
                    return true;
                }
                Err(_) => return false,
            };
            self.is_readable = length == scratch.len();
            match to.write(&scratch[..length]) {
                Ok(written) => self.unsent.extend_from_slice(&scratch[written..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_writable = false;
                    self.unsent.extend_from_slice(&scratch[..length]);
                }
                Err(_) => return false,
            }
        }
    }

    fn flush(&mut self, to: &mut impl Write) -> bool {
        while self.sent < self.unsent.len() && self.is_writable {
            match to.write(&self.unsent[self.sent..]) {
                Ok(written) => self.sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.is_writable = false,
                Err(_) => return false,
            }
        }
        true
    }
}

/// A proxy that copies bytes; ended when it is dropped.
struct Blind {
    port: u16,
    is_over: Arc<AtomicBool>,
    waker: Arc<Waker>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Blind {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        self.waker.wake().expect("wake");
        self.thread.take().expect("a thread").join().expect("the proxy");
    }
}

impl Blind {
    fn start(test_request: &TestRequest) -> Self {
        let mut redis = get_redis(test_request).expect("connect");
        let (_, server): (String, String) =
            redis::cmd("CONFIG").arg("GET").arg("unixsocket").query(&mut redis).expect("CONFIG GET");
        let mut listener = TcpListener::bind("127.0.0.1:0".parse().expect("an address")).expect("bind");
        let port = listener.local_addr().expect("an address").port();
        let mut poll = Poll::new().expect("a poll");
        poll.registry().register(&mut listener, Token(1), Interest::READABLE).expect("register");
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).expect("a waker"));
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let run = move || {
            let both = Interest::READABLE | Interest::WRITABLE;
            let (mut events, mut scratch) = (Events::with_capacity(256), vec![0; BUFFER]);
            let mut connections = Vec::new();
            while !over.load(Ordering::Acquire) {
                poll.poll(&mut events, None).expect("poll");
                for event in &events {
                    match event.token().0 {
                        0 => {}
                        1 => {
                            while let Ok((mut client, _)) = listener.accept() {
                                client.set_nodelay(true).expect("nodelay");
                                let mut upstream = UnixStream::connect(&server).expect("connect");
                                let token = 2 + 2 * connections.len();
                                poll.registry().register(&mut client, Token(token), both).expect("register");
                                poll.registry().register(&mut upstream, Token(token + 1), both).expect("register");
                                connections.push(Some((client, upstream, Way::default(), Way::default())));
                            }
                        }
                        token => {
                            let slot = (token - 2) / 2;
                            let Some((client, upstream, there, back)) = &mut connections[slot] else { continue };
                            let (reads, writes) =
                                if token % 2 == 0 { (&mut *there, &mut *back) } else { (&mut *back, &mut *there) };
                            reads.is_readable |= event.is_readable() || event.is_read_closed();
                            writes.is_writable |= event.is_writable();
                            if !there.pump(client, upstream, &mut scratch) || !back.pump(upstream, client, &mut scratch)
                            {
                                connections[slot] = None;
                            }
                        }
                    }
                }
            }
        };
        Self { port, is_over, waker, thread: Some(thread::spawn(run)) }
    }
}

/// A client without a library: what it asks, and how many bytes answer that.
struct Asking {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Asking {
    fn connect(test_request: &TestRequest, port: u16) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
        stream.set_nodelay(true).expect("nodelay");
        let client = test_request.client();
        let password = client.get_connection_info().redis_settings().password().expect("a password");
        write!(stream, "AUTH {password}\r\nSELECT 14\r\n").expect("write");
        stream.read_exact(&mut [0; 10]).expect("OK twice");
        Self { stream, answer: vec![0; BUFFER] }
    }

    fn ask(&mut self, question: &[u8], answer: usize) -> Duration {
        time(|| {
            self.stream.write_all(question).expect("write");
            self.stream.read_exact(&mut self.answer[..answer]).expect("read");
        })
    }
}

fn port_of(url: &str) -> u16 {
    url.rsplit([':', '/']).nth(1).expect("a port").parse().expect("a port")
}

fn packed(words: &[&str]) -> Vec<u8> {
    let mut command = redis::Cmd::new();
    command.arg(words);
    command.get_packed_command()
}

/// In a process of its own, on one core.
pub(crate) fn tap_latency() {
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(env::current_exe().expect("this program")).arg("tap-latency");
    assert!(command.status().expect("taskset").success());
}

pub(crate) fn tap_latency_in_this_process() {
    let test_request = TestRequest::clean();
    let tap = test_request.tap().expect("a tap");
    let blind = Blind::start(&test_request);
    get_redis(&test_request).expect("connect").set::<_, _, ()>("a", "0123456789").expect("SET");
    let mut tapped = Asking::connect(&test_request, port_of(tap.redis_url()));
    let mut copied = Asking::connect(&test_request, blind.port);
    for (name, question, answer) in
        [("PING", packed(&["PING"]), "+PONG\r\n"), ("GET", packed(&["GET", "a"]), "$10\r\n0123456789\r\n")]
    {
        let ours = || tapped.ask(&question, answer.len());
        let (ours, blind) = in_turns(20_000, ours, || copied.ask(&question, answer.len()));
        let goal = if cfg!(debug_assertions) { "1.2" } else { "1.1" };
        row(&format!("{name} through a tap, p50 on one core"), ours, ("a proxy that copies bytes", blind), goal);
    }
}

/// As times: the throughput is the inverse.
pub(crate) fn tap_throughput() {
    let test_request = TestRequest::clean();
    let tap = test_request.tap().expect("a tap");
    let blind = Blind::start(&test_request);
    let mut tapped = Asking::connect(&test_request, port_of(tap.redis_url()));
    let mut copied = Asking::connect(&test_request, blind.port);
    let pipeline = packed(&["SET", "price:1", "0123456789"]).repeat(50);
    let ours = || tapped.ask(&pipeline, 5 * 50);
    let (ours, blind) = in_turns(2_000, ours, || copied.ask(&pipeline, 5 * 50));
    let goal = if cfg!(debug_assertions) { "1.8" } else { "1.25" };
    row("a pipeline of 50 SETs through a tap", ours, ("a proxy that copies bytes", blind), goal);
    assert_eq!(tap.commands().named("SET").len(), 50 * 2_000);
}

const PIECE: usize = 16 * 1024;

/// Reads at most a piece at once.
struct InPieces<'a>(Cursor<&'a [u8]>);

impl Read for InPieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = buffer.len().min(PIECE);
        self.0.read(&mut buffer[..length])
    }
}

pub(crate) fn tap_framer() {
    const COUNT: usize = 200_000;
    let bytes = packed(&["SET", "key:000000012345", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"]).repeat(COUNT);
    let ours = || {
        time(|| {
            let (mut framer, mut found) = (Framer::new(Side::Client), 0);
            for mut piece in bytes.chunks(PIECE) {
                while let Some(length) = framer.end_of_frame(piece).expect("frames") {
                    piece = &piece[length..];
                    found += 1;
                }
            }
            assert_eq!(black_box(found), COUNT);
        })
    };
    let parser = || {
        time(|| {
            let (mut parser, mut pieces) = (redis::Parser::new(), InPieces(Cursor::new(&bytes)));
            for _ in 0..COUNT {
                black_box(parser.parse_value(&mut pieces).expect("a value"));
            }
        })
    };
    let (ours, parser) = in_turns(5, ours, parser);
    row("200,000 SETs framed, in pieces of 16 KB", ours, ("redis's Parser", parser), "0.1");
}

const STEPS: usize = 10;

/// Ten commands, whose errors do not matter.
fn scenario(url: &str) {
    let Ok(mut redis) = Client::open(url).and_then(|client| client.get_connection()) else { return };
    for step in 0..STEPS {
        let _ = redis.set::<_, _, ()>(format!("key:{step}"), step);
    }
}

pub(crate) fn sweep() {
    const FAULTS: usize = 4;
    let test_request = TestRequest::clean();
    let ours = || {
        time(|| {
            let swept = faults::sweep(&test_request, |run: &Run| scenario(run.redis_url()));
            let swept = swept.cutting().losing_data().replying("LOADING Redis is loading the dataset in memory");
            assert_eq!(swept.check().cases(), STEPS * FAULTS);
        })
    };
    let by_hand = || {
        time(|| {
            for _ in 0..STEPS * FAULTS {
                test_request.flush().expect("flush");
                scenario(test_request.redis_url());
            }
        })
    };
    let (ours, by_hand) = in_turns(20, ours, by_hand);
    row("a sweep of 10 commands and 4 faults", ours, ("40 runs without a tap, by hand", by_hand), "2");
}

/// In a process of its own, whose memory nothing else has used.
pub(crate) fn tap_memory() {
    let command = Command::new(env::current_exe().expect("this program")).arg("tap-memory").status();
    assert!(command.expect("run").success());
}

pub(crate) fn tap_memory_in_this_process() {
    const VALUE: usize = 512 * 1024 * 1024;
    let test_request = TestRequest::clean();
    let tap = test_request.tap().expect("a tap");
    let mut client = Asking::connect(&test_request, port_of(tap.redis_url()));
    let buffer = vec![b'x'; BUFFER];
    let most = || {
        let status = fs::read_to_string("/proc/self/status").expect("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("kilobytes")
    };
    client.ask(&packed(&["PING"]), 7);
    let before = most();
    client.stream.write_all(format!("*3\r\n$3\r\nSET\r\n$1\r\na\r\n${VALUE}\r\n").as_bytes()).expect("write");
    for _ in 0..VALUE / BUFFER {
        client.stream.write_all(&buffer).expect("write");
    }
    client.ask(b"\r\n", 5);
    let after_set = most();
    let header = format!("${VALUE}\r\n").len();
    client.ask(&packed(&["GET", "a"]), header);
    for _ in 0..VALUE / BUFFER {
        client.stream.read_exact(&mut client.answer[..BUFFER]).expect("read");
    }
    client.ask(b"", 2);
    let after_get = most();
    assert_eq!(tap.commands().named("GET")[0].reply_size(), Some((header + VALUE + 2) as u64));
    println!(
        "| memory that 512 MB need on their way | SET {} kB, and GET {} kB | | | 4,096 kB |",
        after_set - before,
        after_get - after_set
    );
}

/// Of the whole process, which sleeps: reading the figure is part of it.
pub(crate) fn tap_idle() {
    const TIME: Duration = Duration::from_secs(3);
    let test_request = TestRequest::clean();
    let tap = test_request.tap().expect("a tap");
    let clients: Vec<_> = (0..10).map(|_| Asking::connect(&test_request, port_of(tap.redis_url()))).collect();
    // The first number: nanoseconds on a core.
    let used = || {
        let tasks = fs::read_dir("/proc/self/task").expect("threads");
        let nanos = tasks.map(|task| {
            let statistics = fs::read_to_string(task.expect("a thread").path().join("schedstat")).expect("schedstat");
            statistics.split(' ').next().expect("a number").parse::<u64>().expect("a number")
        });
        nanos.sum::<u64>()
    };
    thread::sleep(Duration::from_millis(200));
    let before = used();
    thread::sleep(TIME);
    let idle = Duration::from_nanos(used() - before);
    drop(clients);
    println!("| CPU of a tap with 10 idle connections, in {TIME:?} | {idle:.2?} | | | none |");
}
