//! The code under test: a counter in Redis, with a client of a few lines.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

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
