//! Prices in cents, read through the cache by asynchronous code.

use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, Client, RedisResult};

use crate::{Database, KEPT_FOR};

/// Prices. They come from Redis, or else from the database. A change updates the database and deletes the cached price.
pub struct Prices<'database> {
    database: &'database Database,
    redis: MultiplexedConnection,
}

impl<'database> Prices<'database> {
    pub async fn open(database: &'database Database, redis_url: &str) -> RedisResult<Self> {
        let redis = Client::open(redis_url)?.get_multiplexed_async_connection().await?;
        Ok(Self { database, redis })
    }

    pub async fn price(&mut self, article: u32) -> RedisResult<Option<u64>> {
        let key = format!("price:{article}");
        if let Some(cents) = self.redis.get(&key).await? {
            return Ok(Some(cents));
        }
        let cents = self.database.price(article);
        if let Some(cents) = cents {
            self.redis.set_ex::<_, _, ()>(&key, cents, KEPT_FOR).await?;
        }
        Ok(cents)
    }

    pub async fn change(&mut self, article: u32, cents: u64) -> RedisResult<()> {
        self.database.set_price(article, cents);
        self.redis.del(format!("price:{article}")).await
    }
}
