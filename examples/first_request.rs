//! Uses a real Redis in a program that is not a test.
//!
//! `cargo run --example first_request`

use redis::Commands;
use transient_fixtures::{TestRequest, get_jobs_redis, get_redis};

/// The code under test. It needs only a URL.
fn remember_price(redis_url: &str, article: u32, cents: u64) -> redis::RedisResult<()> {
    redis::Client::open(redis_url)?.get_connection()?.set_ex(format!("price:{article}"), cents, 3600)
}

fn main() -> redis::RedisResult<()> {
    // Finds or starts a server, waits for exclusive use of it, and empties both test databases.
    let test_request = TestRequest::clean();
    println!("running on {}", test_request.server());

    remember_price(test_request.redis_url(), 1, 12_900)?;
    let mut redis = get_redis(&test_request)?;
    assert_eq!(redis.get::<_, u64>("price:1")?, 12_900);
    println!("price:1 expires in {} s", redis.ttl::<_, i64>("price:1")?);

    // Jobs have a separate database.
    let mut jobs = get_jobs_redis(&test_request)?;
    assert!(jobs.keys::<_, Vec<String>>("*")?.is_empty());
    Ok(())
    // The request is dropped here. A server that was started for it ends with the program.
}
