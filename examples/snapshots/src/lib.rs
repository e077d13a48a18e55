//! A cart, kept in Redis for an hour after its last change.

use redis::{Client, RedisResult};

/// How long a cart is kept, in seconds.
const LIFE: i64 = 3600;

/// Adds this quantity of an article to a visitor's cart.
///
/// # Errors
///
/// Returns an error if Redis can't be reached.
pub fn add(redis_url: &str, visitor: &str, article: &str, count: u32) -> RedisResult<()> {
    let mut redis = Client::open(redis_url)?.get_connection()?;
    let cart = format!("cart:{visitor}");
    redis::pipe()
        .atomic()
        .hincr(&cart, article, count)
        .ignore()
        .expire(&cart, LIFE)
        .ignore()
        .sadd("carts", visitor)
        .ignore()
        .exec(&mut redis)
}

/// Deletes a visitor's cart.
///
/// # Errors
///
/// Returns an error if Redis can't be reached.
pub fn clear(redis_url: &str, visitor: &str) -> RedisResult<()> {
    let mut redis = Client::open(redis_url)?.get_connection()?;
    redis::pipe().atomic().del(format!("cart:{visitor}")).ignore().srem("carts", visitor).ignore().exec(&mut redis)
}
