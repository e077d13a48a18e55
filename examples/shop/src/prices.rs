//! Prices in cents, read through the cache by asynchronous code.

use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, Client, RedisResult, Script, pipe};

use crate::{Database, KEPT_FOR};

/// Caches a price unless it has been changed since its version was read, or is being changed.
const FILL: &str = "
    local version = redis.call('HGET', KEYS[1], 'version') or ''
    if version == ARGV[1] and redis.call('HSETNX', KEYS[1], 'cents', ARGV[2]) == 1 then
        redis.call('EXPIRE', KEYS[1], ARGV[3])
    end";

/// Prices. They come from Redis, or else from the database. Redis has a hash of each price and its version, which each
/// change increments.
pub struct Prices<'database> {
    database: &'database Database,
    redis: MultiplexedConnection,
}

impl<'database> Prices<'database> {
    pub async fn open(database: &'database Database, redis_url: &str) -> RedisResult<Self> {
        Ok(Self::new(database, Client::open(redis_url)?.get_multiplexed_async_connection().await?))
    }

    /// Uses a connection that is already open.
    pub fn new(database: &'database Database, redis: MultiplexedConnection) -> Self {
        Self { database, redis }
    }

    /// Returns the price. If the cache fails, it comes from the database.
    pub async fn price(&mut self, article: u32) -> Option<u64> {
        let key = format!("price:{article}");
        let cached: RedisResult<(Option<String>, Option<u64>)> = self.redis.hmget(&key, &["version", "cents"]).await;
        if let Ok((_, Some(cents))) = cached {
            return Some(cents);
        }
        let cents = self.database.price(article)?;
        // This also fails if the price is being changed, because `cents` is no number then.
        if let Ok((version, None)) = cached {
            let (script, version) = (Script::new(FILL), version.unwrap_or_default());
            // The page has its price, whether it is cached or not.
            let _ = script.key(key).arg(version).arg(cents).arg(KEPT_FOR).invoke_async::<()>(&mut self.redis).await;
        }
        Some(cents)
    }

    /// Changes the price. After an error, the cache never has another price than the database, unless two changes of it
    /// overlapped.
    pub async fn change(&mut self, article: u32, cents: u64) -> RedisResult<()> {
        let (key, seconds) = (format!("price:{article}"), KEPT_FOR.cast_signed());
        // Until the price is changed, no visitor fills the cache.
        pipe().atomic().hset(&key, "cents", "").expire(&key, seconds).exec_async(&mut self.redis).await?;
        self.database.set_price(article, cents);
        // A visitor who has read the old price does not find its version any more.
        let mut changed = pipe();
        changed.atomic().hincr(&key, "version", 1).hdel(&key, "cents").expire(&key, seconds);
        changed.exec_async(&mut self.redis).await
    }
}
