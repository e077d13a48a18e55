use porting::Prices;
use redis::RedisResult;
use transient_fixtures::TestRequest;

#[test]
fn a_price_is_remembered() -> RedisResult<()> {
    let test_request = TestRequest::clean(); // Already listening.
    let mut prices = Prices::open(test_request.redis_url())?;
    prices.remember(1, 12_900)?;
    assert_eq!(prices.get(1)?, Some(12_900));
    Ok(())
}
