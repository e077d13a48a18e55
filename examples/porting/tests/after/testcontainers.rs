use porting::Prices;
use redis::RedisResult;
use rstest::rstest;
use transient_fixtures::{TestRequest, clean_redis, test_request};

#[rstest]
#[clean_redis]
fn a_price_is_remembered(test_request: TestRequest) -> RedisResult<()> {
    let mut prices = Prices::open(test_request.redis_url())?;
    prices.remember(1, 12_900)?;
    assert_eq!(prices.get(1)?, Some(12_900));
    Ok(())
}
