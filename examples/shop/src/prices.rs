//! Prices in cents, read through the cache by asynchronous code.

use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, Client, RedisResult};

use crate::{Database, KEPT_FOR};

/// Prices. They come from Redis, or else from the database. A change deletes the cached price.
pub struct Prices<'database> {
    database: &'database Database,
    redis: MultiplexedConnection,
}

impl<'database> Prices<'database> {
    pub async fn open(database: &'database Database, redis_url: &str) -> RedisResult<Self> {
        let redis = Client::open(redis_url)?.get_multiplexed_async_connection().await?;
        Ok(Self { database, redis })
    }

    /// Returns the price. If the cache fails, it comes from the database.
    pub async fn price(&mut self, article: u32) -> Option<u64> {
        let key = format!("price:{article}");
        if let Ok(Some(cents)) = self.redis.get(&key).await {
            return Some(cents);
        }
        let cents = self.database.price(article)?;
        // The page has its price, whether it is cached or not.
        let _ = self.redis.set_ex::<_, _, ()>(&key, cents, KEPT_FOR).await;
        Some(cents)
    }

    /// Changes the price. After an error, the cache never has another price than the database.
    pub async fn change(&mut self, article: u32, cents: u64) -> RedisResult<()> {
        let key = format!("price:{article}");
        self.redis.del::<_, ()>(&key).await?;
        self.database.set_price(article, cents);
        // Again, because a visitor could have cached the old price in between.
        self.redis.del(&key).await
    }
}
