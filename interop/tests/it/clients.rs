//! Other clients can use the URL of a test's database, including its password.

use redis::Commands;
use rstest::rstest;
use transient_fixtures::{TestRequest, clean_redis, get_redis, test_request};

use crate::python;

#[rstest]
#[clean_redis]
fn redis_0_21(test_request: TestRequest) {
    use redis_0_21::Commands as _;

    let client = redis_0_21::Client::open(test_request.redis_url()).expect("a URL");
    client.get_connection().expect("connect").set::<_, _, ()>("foo", "ÅÄÖ").expect("SET");
    assert_eq!(get_redis(&test_request).expect("connect").get::<_, String>("foo").as_deref(), Ok("ÅÄÖ"));
}

#[rstest]
#[clean_redis]
#[tokio::test]
async fn fred_10(test_request: TestRequest) {
    use fred::prelude::{Builder, ClientLike, Config, KeysInterface};

    let config = Config::from_url(test_request.redis_url()).expect("a URL");
    let client = Builder::from_config(config).build().expect("a client");
    client.init().await.expect("connect");
    client.set::<(), _, _>("foo", "ÅÄÖ", None, None, false).await.expect("SET");
    client.quit().await.expect("QUIT");
    assert_eq!(get_redis(&test_request).expect("connect").get::<_, String>("foo").as_deref(), Ok("ÅÄÖ"));
}

#[rstest]
#[clean_redis]
fn redis_py(test_request: TestRequest) {
    let script = "import redis, sys; redis.Redis.from_url(sys.argv[1]).set('foo', 'ÅÄÖ')";
    let status = python::python().args(["-c", script, test_request.redis_url()]).status().expect("python");
    assert!(status.success());
    assert_eq!(get_redis(&test_request).expect("connect").get::<_, String>("foo").as_deref(), Ok("ÅÄÖ"));
}
