//! 1,000 trivial clean tests, with the fixture and by hand. The bench `figures` runs them.

use redis::{Client, Commands};
use rstest::rstest;
use transient_fixtures::{TestRequest, clean_redis, get_redis, test_request};

#[rstest]
#[clean_redis]
fn with_the_fixture(
    test_request: TestRequest,
    #[values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)] hundreds: u32,
    #[values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)] tens: u32,
    #[values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)] ones: u32,
) {
    let mut redis = get_redis(&test_request).expect("connect");
    redis.set::<_, _, ()>("number", hundreds * 100 + tens * 10 + ones).expect("SET");
    assert!(redis.exists::<_, bool>("number").expect("EXISTS"));
}

#[rstest]
fn by_hand(
    #[values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)] hundreds: u32,
    #[values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)] tens: u32,
    #[values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)] ones: u32,
) {
    let Ok(url) = std::env::var("BY_HAND_URL") else { return };
    let mut redis = Client::open(url).expect("a URL").get_connection().expect("connect");
    redis::cmd("FLUSHDB").exec(&mut redis).expect("FLUSHDB");
    redis.set::<_, _, ()>("number", hundreds * 100 + tens * 10 + ones).expect("SET");
    assert!(redis.exists::<_, bool>("number").expect("EXISTS"));
}
