use std::sync::LazyLock;

use redis::{Commands, RedisResult};
use serial_test::serial;
use transient_fixtures::{TestRequest, get_redis};

static REDIS: LazyLock<TestRequest> = LazyLock::new(|| {
    let test_request = TestRequest::for_process();
    porting::init(test_request.redis_url()).unwrap();
    test_request
});

/// Empty databases; the tests that share them run one after another.
fn clean() -> &'static TestRequest {
    REDIS.flush().unwrap();
    &REDIS
}

#[test]
#[serial]
fn visits_are_counted() -> RedisResult<()> {
    clean();
    assert_eq!(porting::count_visit("/")?, 1);
    assert_eq!(porting::count_visit("/")?, 2);
    Ok(())
}

#[test]
#[serial]
fn pages_are_counted_apart() -> RedisResult<()> {
    let test_request = clean();
    porting::count_visit("/")?;
    porting::count_visit("/cart")?;
    assert_eq!(get_redis(test_request)?.get::<_, u64>("visits:/cart")?, 1);
    Ok(())
}
