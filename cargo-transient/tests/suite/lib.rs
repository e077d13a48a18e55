//! The code under test: a counter in Redis, with a client of a few lines. And what its tests do.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::Mutex;

pub struct Counter(BufReader<TcpStream>);

impl Counter {
    /// `REDIS_URL` is `redis://USER:PASSWORD@HOST:PORT/DATABASE`, or that without user and password.
    pub fn connect() -> Self {
        let url = std::env::var("REDIS_URL").expect("REDIS_URL");
        let rest = url.strip_prefix("redis://").expect("a Redis URL");
        let (authority, database) = rest.split_once('/').unwrap_or((rest, "0"));
        let (user, address) = authority.rsplit_once('@').unwrap_or(("", authority));
        let mut counter = Self(BufReader::new(TcpStream::connect(address).expect("connect")));
        if let Some((_, password)) = user.split_once(':') {
            counter.ask(&format!("AUTH {password}"));
        }
        counter.ask(&format!("SELECT {database}"));
        counter
    }

    pub fn ask(&mut self, command: &str) -> String {
        self.0.get_mut().write_all(format!("{command}\r\n").as_bytes()).expect("send");
        let mut reply = String::new();
        self.0.read_line(&mut reply).expect("receive");
        reply.trim_end().to_owned()
    }
}

/// Every test counts from 0, and keeps the others away only inside of one process.
pub fn counts_to_hundred() {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock();
    let mut counter = Counter::connect();
    assert_eq!(counter.ask("FLUSHALL"), "+OK");
    for number in 1..=100 {
        assert_eq!(counter.ask("INCR visits"), format!(":{number}"));
    }
}
