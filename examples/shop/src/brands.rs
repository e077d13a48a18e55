//! Brand names, read through the cache.

use redis::{Client, Commands, Connection, RedisResult};

use crate::{Database, KEPT_FOR};

/// Names of brands. They come from Redis, or else from the database, and are cached then.
pub struct Brands<'database> {
    database: &'database Database,
    redis: Connection,
}

impl<'database> Brands<'database> {
    pub fn open(database: &'database Database, redis_url: &str) -> RedisResult<Self> {
        Ok(Self { database, redis: Client::open(redis_url)?.get_connection()? })
    }

    pub fn name(&mut self, article: u32) -> RedisResult<Option<String>> {
        let key = format!("brand:{article}");
        if let Some(name) = self.redis.get(&key)? {
            return Ok(Some(name));
        }
        let name = self.database.brand(article);
        if let Some(name) = &name {
            self.redis.set_ex::<_, _, ()>(&key, name, KEPT_FOR)?;
        }
        Ok(name)
    }
}
