//! `#[clean_redis(lint = "ttl")]`, and `redis.lint = ttl` for all tests of a crate.

use redis::Commands;
use rstest::rstest;
use tempfile::TempDir;
use transient_fixtures::{TestRequest, clean_redis, get_jobs_redis, get_redis, redis, test_request};

use crate::child::{Child, Ended};
use crate::golden::golden;
use crate::own_server::own_provider;

/// Tests that pass. Some leave keys without a TTL.
mod passing {
    use super::{Commands, TestRequest, clean_redis, get_jobs_redis, get_redis, redis, rstest, test_request};

    fn leave(test_request: &TestRequest) -> redis::RedisResult<()> {
        let mut redis = get_redis(test_request)?;
        redis.set_ex::<_, _, ()>("cached", "x", 300)?;
        redis.set::<_, _, ()>("brand:Å", "x".repeat(1000))?;
        redis.set::<_, _, ()>("config:shop", "x")?;
        redis.rpush::<_, _, ()>(b"\xff\x00".as_slice(), "x")?;
        // Jobs have no TTLs.
        get_jobs_redis(test_request)?.rpush("celery", "x")
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    #[clean_redis(lint = "ttl")]
    fn linted(test_request: TestRequest) -> redis::RedisResult<()> {
        leave(&test_request)
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    #[clean_redis(lint = "ttl")]
    #[tokio::test]
    async fn linted_async(test_request: TestRequest) -> redis::RedisResult<()> {
        leave(&test_request)
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    #[clean_redis]
    fn as_in_the_settings(test_request: TestRequest) -> redis::RedisResult<()> {
        leave(&test_request)
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    #[clean_redis(lint = "none")]
    fn not_linted(test_request: TestRequest) -> redis::RedisResult<()> {
        leave(&test_request)
    }

    /// Loaded keys do not count as left by the test.
    #[rstest]
    #[ignore = "run by the tests below"]
    #[clean_redis(lint = "ttl", fixtures("brands"))]
    fn loaded(test_request: TestRequest) -> redis::RedisResult<()> {
        get_redis(&test_request)?.set_ex("cached", "x", 300)
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    #[clean_redis(lint = "ttl", fixtures("brands"))]
    fn loaded_and_left(test_request: TestRequest) -> redis::RedisResult<()> {
        get_redis(&test_request)?.set(b"\xff\x00", "x")
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    #[clean_redis(lint = "ttl")]
    fn all_have_timeouts(test_request: TestRequest) -> redis::RedisResult<()> {
        get_redis(&test_request)?.set_ex("cached", "x", 300)
    }

    /// One key has a TTL of five minutes, three have none.
    #[rstest]
    #[ignore = "run by the tests below"]
    #[clean_redis(lint = "ttl <= 7d")]
    fn bounded(test_request: TestRequest) -> redis::RedisResult<()> {
        leave(&test_request)
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    #[clean_redis(lint = "ttl <= 4m")]
    fn too_long(test_request: TestRequest) -> redis::RedisResult<()> {
        get_redis(&test_request)?.set_ex("cached", "x", 300)
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    #[clean_redis(lint = "ttl >= 1h")]
    fn too_short(test_request: TestRequest) -> redis::RedisResult<()> {
        get_redis(&test_request)?.set_ex("cached", "x", 300)
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    #[clean_redis(lint = "ttl < 6m")]
    fn within_bounds(test_request: TestRequest) -> redis::RedisResult<()> {
        get_redis(&test_request)?.set_ex("cached", "x", 300)
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    #[clean_redis(lint = "empty")]
    fn not_empty(test_request: TestRequest) -> redis::RedisResult<()> {
        leave(&test_request)
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    #[clean_redis(lint = "empty", fixtures("brands"))]
    fn empty(test_request: TestRequest) -> redis::RedisResult<()> {
        let mut redis = get_redis(&test_request)?;
        redis.set::<_, _, ()>("price", "x")?;
        redis.del("price")
    }

    #[rstest]
    #[ignore = "run by the tests below"]
    #[clean_redis(lint = "ttl")]
    #[should_panic(expected = "on purpose")]
    fn fails_on_purpose(test_request: TestRequest) {
        leave(&test_request).expect("SET");
        panic!("on purpose");
    }
}

fn run(test: &str, settings: &str) -> Ended {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("test.ini");
    std::fs::write(&path, format!("[app:main]\n{settings}\n")).expect("write");
    let child = Child::test(&format!("lint::passing::{test}")).env("TRANSIENT_TEST_INI", path);
    child.env("TRANSIENT_PROVIDER", own_provider()).run()
}

#[rstest]
#[case("linted", "", 3)]
#[case("linted_async", "", 3)]
#[case("as_in_the_settings", "redis.lint = ttl", 3)]
#[case("linted", "redis.lint_allow = config:*", 2)]
#[case("as_in_the_settings", "redis.lint = ttl\nredis.lint_allow =\n    config:*\n    brand:??", 1)]
#[case("loaded_and_left", "", 1)]
fn keys_without_a_ttl_fail_the_test(#[case] test: &str, #[case] settings: &str, #[case] count: usize) {
    let ended = run(test, settings);
    let plural = if count == 1 { "" } else { "s" };
    let first = format!(" left {count} key{plural} ");
    ended.assert_failed_with(&[&first, r"\xff\x00 (", "redis.lint_allow"]);
    let complaint = &ended.output[ended.output.find(&first).expect("the complaint")..];
    assert!(!complaint.contains("cached") && !complaint.contains("celery"), "{complaint}");
    // It is reported like any other failure.
    ended.assert_failed_with(&["TRANSIENT_KEEP=1"]);
    assert_eq!(complaint.contains("  config:shop (string, "), count > 2, "{complaint}");
    assert_eq!(complaint.contains("  brand:Å (string, 1"), count > 1, "{complaint}");
}

#[rstest]
#[case("bounded", "", 3, "\"ttl <= 7d\"", "config:shop (string, ")]
#[case("too_long", "", 1, "\"ttl <= 4m\"", "cached (string, ")]
#[case("too_short", "redis.lint = none", 1, "\"ttl >= 1h\"", "cached (string, ")]
#[case("as_in_the_settings", "redis.lint = ttl < 1m", 4, "\"ttl < 1m\"", "cached (string, ")]
#[case("not_empty", "", 5, golden("lint::not_empty"), "celery (list, ")]
#[case("as_in_the_settings", "redis.lint = empty", 5, golden("lint::not_empty"), "cached (string, ")]
fn keys_out_of_bounds_fail_the_test(
    #[case] test: &str,
    #[case] settings: &str,
    #[case] count: usize,
    #[case] words: &str,
    #[case] key: &str,
) {
    let ended = run(test, settings);
    let plural = if count == 1 { "" } else { "s" };
    ended.assert_failed_with(&[&format!(" left {count} key{plural} in the "), words, key, " bytes, "]);
}

#[rstest]
#[case("within_bounds", "redis.lint = ttl < 1s")]
#[case("empty", "")]
#[case("not_empty", "redis.lint_allow = *")]
#[case("bounded", "redis.lint_allow = config:* brand:* *")]
#[case("linted", "redis.lint_allow = *")]
#[case("as_in_the_settings", "")]
#[case("not_linted", "redis.lint = ttl")]
#[case("all_have_timeouts", "redis.lint = ttl")]
#[case("loaded", "")]
#[case("fails_on_purpose", "")]
fn expiring_and_allowed_keys_pass(#[case] test: &str, #[case] settings: &str) {
    run(test, settings).assert_passed();
}
