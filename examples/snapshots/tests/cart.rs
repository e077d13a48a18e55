//! Compares the shop's data in Redis with an approved snapshot: `cargo insta review`, or `INSTA_UPDATE=always cargo
//! test`.

use rstest::rstest;
use transient_fixtures::{Error, TestRequest, clean_redis, test_request};

#[rstest]
#[clean_redis]
fn a_cart_is_kept_for_an_hour(test_request: TestRequest) -> Result<(), Error> {
    test_request.load("brands")?;
    snapshots::add(test_request.redis_url(), "asa", "brand:1", 2).expect("add");
    snapshots::add(test_request.redis_url(), "asa", "brand:2", 1).expect("add");
    snapshots::add(test_request.redis_url(), "örjan", "brand:1", 1).expect("add");
    insta::assert_snapshot!(test_request.snapshot()?);
    Ok(())
}

#[rstest]
#[clean_redis]
fn clearing_a_cart_leaves_nothing_of_it(test_request: TestRequest) -> Result<(), Error> {
    snapshots::add(test_request.redis_url(), "asa", "brand:1", 2).expect("add");
    let before = test_request.snapshot()?;
    snapshots::clear(test_request.redis_url(), "asa").expect("clear");
    insta::assert_snapshot!(before.diff(&test_request.snapshot()?), @r#"
    removed 14 cart:asa hash {"brand:1": "2"}, ttl 3600 s
    removed 14 carts set {"asa"}
    "#);
    Ok(())
}
