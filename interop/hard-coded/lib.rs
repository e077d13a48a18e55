//! The code under test: visits and rate limits of a shop, in Redis.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

const ADDRESS: &str = "127.0.0.1:6379";

pub struct Redis(BufReader<TcpStream>);

impl Redis {
    pub fn connect() -> Self {
        Self(BufReader::new(TcpStream::connect(ADDRESS).expect("Redis")))
    }

    pub fn ask(&mut self, command: &str) -> String {
        self.0.get_mut().write_all(format!("{command}\r\n").as_bytes()).expect("send");
        let mut line = String::new();
        self.0.read_line(&mut line).expect("receive");
        line.trim_end().to_owned()
    }
}

/// Counts a visit, and returns how many there were.
pub fn visit(redis: &mut Redis, page: &str) -> u32 {
    redis.ask(&format!("INCR visits:{page}"))[1..].parse().expect("a number")
}

/// Whether this is one of the first three attempts within 200 ms.
pub fn is_allowed(redis: &mut Redis, user: &str) -> bool {
    let attempts: u32 = redis.ask(&format!("INCR attempts:{user}"))[1..].parse().expect("a number");
    if attempts == 1 {
        redis.ask(&format!("PEXPIRE attempts:{user} 200"));
    }
    attempts <= 3
}

/// For tests: the connection of all tests of a process, which take turns. Nothing keeps other processes away.
pub fn empty_redis() -> MutexGuard<'static, Redis> {
    static REDIS: LazyLock<Mutex<Redis>> = LazyLock::new(|| Mutex::new(Redis::connect()));
    let mut redis = REDIS.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(redis.ask("FLUSHALL"), "+OK");
    redis
}
