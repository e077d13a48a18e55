//! Lets a day pass on a real Redis, at once.
//!
//! `cargo run --example time_travel`

use std::error::Error;
use std::time::Duration;

use redis::Commands;
use transient_fixtures::{TestRequest, get_redis};

/// The code under test: at most three tries in five minutes.
fn may_try(redis: &mut redis::Connection, user: &str) -> redis::RedisResult<bool> {
    let key = format!("tries:{user}");
    let (tries, _): (u32, bool) = redis::pipe().atomic().incr(&key, 1).expire(&key, 300).query(redis)?;
    Ok(tries <= 3)
}

fn main() -> Result<(), Box<dyn Error>> {
    let test_request = TestRequest::clean();
    let mut redis = get_redis(&test_request)?;
    redis.set::<_, _, ()>("config:tries", 3)?;

    for _ in 0..3 {
        assert!(may_try(&mut redis, "asa")?);
    }
    assert!(!may_try(&mut redis, "asa")?);
    test_request.assert_ttl("tries:asa", Duration::from_secs(290)..=Duration::from_secs(300));

    // Keys with a TTL age. Those without one stay.
    test_request.travel(Duration::from_secs(24 * 60 * 60))?;
    assert!(!redis.exists::<_, bool>("tries:asa")?);
    assert_eq!(test_request.ttl("config:tries")?, None);
    assert!(may_try(&mut redis, "asa")?);

    // Goes past the expiry of one key.
    test_request.travel_to_expiry("tries:asa")?;
    assert_eq!(redis.keys::<_, Vec<String>>("*")?, ["config:tries"]);
    println!("a day and five minutes passed");
    Ok(())
}
