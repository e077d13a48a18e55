//! The shop's cache, on a real Redis that each test has exclusively.

use redis::{Commands, RedisResult};
use rstest::{fixture, rstest};
use shop::{Brands, Database, KEPT_FOR, Prices};
use transient_fixtures::{TestRequest, clean_redis, get_async_redis, get_redis, test_request};

#[fixture]
fn database() -> Database {
    let database = Database::default();
    database.set_brand(1, "Ångström");
    database.set_brand(2, "Österreicher & Söhne");
    database.set_price(1, 12_900);
    database
}

/// A cache with an old name. The fixture's data is still there when the test runs.
#[fixture]
fn stale_cache(test_request: TestRequest) -> TestRequest {
    let mut redis = get_redis(&test_request).expect("connect");
    redis.set::<_, _, ()>("brand:1", "Angstrom").expect("SET");
    test_request
}

#[rstest]
#[clean_redis]
fn a_brand_is_queried_once(test_request: TestRequest, database: Database) -> RedisResult<()> {
    let mut brands = Brands::open(&database, test_request.redis_url())?;
    assert_eq!(brands.name(1).as_deref(), Some("Ångström"));
    assert_eq!(brands.name(1).as_deref(), Some("Ångström"));
    assert_eq!(database.queries(), 1);
    Ok(())
}

#[rstest]
#[case(1, "Ångström")]
#[case(2, "Österreicher & Söhne")]
#[clean_redis]
fn a_brand_is_kept_as_it_is_for_an_hour(
    test_request: TestRequest,
    database: Database,
    #[case] article: u32,
    #[case] name: &str,
) -> RedisResult<()> {
    Brands::open(&database, test_request.redis_url())?.name(article);
    let mut redis = get_redis(&test_request)?;
    let key = format!("brand:{article}");
    assert_eq!(redis.keys::<_, Vec<String>>("*")?, [key.as_str()]);
    assert_eq!(redis.get::<_, Vec<u8>>(&key)?, name.as_bytes());
    let seconds: u64 = redis.ttl(&key)?;
    assert!((KEPT_FOR - 10..=KEPT_FOR).contains(&seconds), "{seconds} s");
    Ok(())
}

#[rstest]
#[clean_redis]
fn an_unknown_brand_is_not_cached(test_request: TestRequest, database: Database) -> RedisResult<()> {
    let mut brands = Brands::open(&database, test_request.redis_url())?;
    assert_eq!(brands.name(3), None);
    database.set_brand(3, "Newcomer");
    assert_eq!(brands.name(3).as_deref(), Some("Newcomer"));
    Ok(())
}

#[rstest]
#[clean_redis]
fn the_cache_takes_precedence_over_the_database(stale_cache: TestRequest, database: Database) -> RedisResult<()> {
    let mut brands = Brands::open(&database, stale_cache.redis_url())?;
    assert_eq!(brands.name(1).as_deref(), Some("Angstrom"));
    assert_eq!(database.queries(), 0);
    Ok(())
}

/// The test must not see cached values of an earlier test, so it clears the databases by hand.
#[rstest]
fn clearing_by_hand(test_request: TestRequest, database: Database) -> RedisResult<()> {
    redis::cmd("FLUSHDB").exec(&mut get_redis(&test_request)?)?;
    let mut brands = Brands::open(&database, test_request.redis_url())?;
    assert_eq!(brands.name(2).as_deref(), Some("Österreicher & Söhne"));
    assert_eq!(database.queries(), 1);
    Ok(())
}

#[rstest]
#[clean_redis]
#[tokio::test]
async fn a_price_is_queried_once(test_request: TestRequest, database: Database) -> RedisResult<()> {
    let mut prices = Prices::open(&database, test_request.redis_url()).await?;
    assert_eq!(prices.price(1).await, Some(12_900));
    assert_eq!(prices.price(1).await, Some(12_900));
    assert_eq!(database.queries(), 1);
    Ok(())
}

#[rstest]
#[clean_redis]
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_price_is_seen_at_once(test_request: TestRequest, database: Database) -> RedisResult<()> {
    let mut prices = Prices::open(&database, test_request.redis_url()).await?;
    assert_eq!(prices.price(1).await, Some(12_900));
    prices.change(1, 9_900).await?;
    assert_eq!(prices.price(1).await, Some(9_900));
    let keys: Vec<String> = redis::AsyncCommands::keys(&mut get_async_redis(&test_request).await?, "*").await?;
    assert_eq!(keys, ["price:1"]);
    Ok(())
}
