//! Brand names, read through the cache.

use redis::{Client, Commands, Connection, RedisResult, pipe};

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

    pub fn name(&mut self, article: u32) -> Option<String> {
        self.names(&[article]).remove(0)
    }

    /// Returns the brands of a page of articles. If the cache fails, they all come from the database.
    pub fn names(&mut self, articles: &[u32]) -> Vec<Option<String>> {
        let keys: Vec<_> = articles.iter().map(|article| format!("brand:{article}")).collect();
        let mut names: Vec<Option<String>> = self.redis.mget(&keys).unwrap_or_else(|_| vec![None; keys.len()]);
        let mut fill = pipe();
        for ((article, key), name) in articles.iter().zip(&keys).zip(&mut names) {
            if name.is_none() {
                *name = self.database.brand(*article);
                if let Some(name) = name {
                    fill.set_ex(key, &**name, KEPT_FOR);
                }
            }
        }
        // The page has its names, whether they are cached or not.
        let _ = fill.exec(&mut self.redis);
        names
    }
}
