use porting::Prices;
use redis::RedisResult;
use rstest::{fixture, rstest};
use transient_fixtures::{TestRequest, clean_redis, test_request};

#[fixture]
fn prices(test_request: TestRequest) -> Prices {
    Prices::open(test_request.redis_url()).unwrap()
}

#[rstest]
#[clean_redis]
fn a_price_is_remembered(mut prices: Prices) -> RedisResult<()> {
    prices.remember(1, 12_900)?;
    assert_eq!(prices.get(1)?, Some(12_900));
    Ok(())
}
