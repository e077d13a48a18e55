//! 100 tests of a suite that takes a Redis from the environment, as many do.

use redis::{Client, Commands};
use rstest::rstest;

#[rstest]
fn uses_the_environment(
    #[values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)] tens: u32,
    #[values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)] ones: u32,
) {
    let url = std::env::var("REDIS_URL").expect("REDIS_URL");
    let mut redis = Client::open(url).expect("a URL").get_connection().expect("connect");
    let key = format!("number:{tens}:{ones}");
    redis.set::<_, _, ()>(&key, tens).expect("SET");
    assert_eq!(redis.get::<_, u32>(&key).expect("GET"), tens);
}
