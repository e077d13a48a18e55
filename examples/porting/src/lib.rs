//! Prices, kept in Redis for an hour.

use std::sync::OnceLock;

use redis::{Client, Commands, Connection, RedisResult};

/// The cache of prices, in cents.
pub struct Prices {
    redis: Connection,
}

impl Prices {
    /// Connects to the Redis at that URL.
    ///
    /// # Errors
    ///
    /// Returns an error if the server can't be reached.
    pub fn open(redis_url: &str) -> RedisResult<Self> {
        Ok(Self { redis: Client::open(redis_url)?.get_connection()? })
    }

    /// Keeps a price for an hour.
    ///
    /// # Errors
    ///
    /// Returns an error if the server can't be reached.
    pub fn remember(&mut self, article: u32, cents: u64) -> RedisResult<()> {
        self.redis.set_ex(format!("price:{article}"), cents, 3600)
    }

    /// Returns the price if it is cached.
    ///
    /// # Errors
    ///
    /// Returns an error if the server can't be reached.
    pub fn get(&mut self, article: u32) -> RedisResult<Option<u64>> {
        self.redis.get(format!("price:{article}"))
    }
}

static CLIENT: OnceLock<Client> = OnceLock::new();

/// Sets the Redis of this process. The first call wins.
///
/// # Errors
///
/// Returns an error if the URL is invalid.
pub fn init(redis_url: &str) -> RedisResult<()> {
    let client = Client::open(redis_url)?;
    CLIENT.get_or_init(|| client);
    Ok(())
}

/// Counts a visit, on the Redis of this process.
///
/// # Errors
///
/// Returns an error if the server can't be reached.
///
/// # Panics
///
/// Panics if [`init`] was not called.
pub fn count_visit(page: &str) -> RedisResult<u64> {
    CLIENT.get().expect("init() was called").get_connection()?.incr(format!("visits:{page}"), 1)
}
