//! `#[clean_redis]` with every other attribute, in both orders.
//!
//! Each test of [`matrix`] sees only its seed, and leaves keys. To prove the former,
//! `every_test_of_the_matrix_starts_on_a_dirty_server` runs each of them on a server with foreign keys.

use redis::Commands;
use rstest::rstest;
use transient_fixtures::{TestRequest, clean_redis, get_jobs_redis, get_redis, redis, test_request};

use crate::child::{self, Child};
use crate::own_server::{self, OwnServer};

/// The contents of both test databases.
pub(crate) fn keys(test_request: &TestRequest) -> (Vec<String>, Vec<String>) {
    let keys = |mut connection: redis::Connection| {
        let mut keys: Vec<String> = connection.keys("*").expect("KEYS");
        keys.sort();
        keys
    };
    (keys(get_redis(test_request).expect("connect")), keys(get_jobs_redis(test_request).expect("connect")))
}

/// Asserts that the databases hold exactly this, and makes them dirty.
#[track_caller]
pub(crate) fn assert_clean_but_for(seed: &[&str], test_request: &TestRequest) {
    let (sessions, jobs) = keys(test_request);
    assert_eq!(sessions, seed);
    assert!(jobs.is_empty(), "{jobs:?}");
    leave_dirt(test_request);
}

pub(crate) fn leave_dirt(test_request: &TestRequest) {
    get_redis(test_request).expect("connect").set::<_, _, ()>("dirt", "left").expect("SET");
    get_jobs_redis(test_request).expect("connect").set::<_, _, ()>("dirt", "left").expect("SET");
}

mod matrix {
    use std::future::Future;
    use std::time::Duration;

    use redis::{AsyncCommands, Commands};
    use rstest::{fixture, rstest};
    use transient_fixtures::{
        TestRequest, clean_redis, get_async_jobs_redis, get_async_redis, get_redis, redis, test_request,
    };

    use super::{assert_clean_but_for, leave_dirt};

    #[fixture]
    fn seeded(test_request: TestRequest) -> TestRequest {
        get_redis(&test_request).expect("connect").set::<_, _, ()>("seed", "sown").expect("SET");
        test_request
    }

    async fn assert_async_clean(test_request: &TestRequest, seed: &[&str]) {
        let mut sessions = get_async_redis(test_request).await.expect("connect");
        let mut jobs = get_async_jobs_redis(test_request).await.expect("connect");
        assert_eq!(sessions.keys::<_, Vec<String>>("*").await.expect("KEYS"), seed);
        assert_eq!(jobs.dbsize::<u32>().await.expect("DBSIZE"), 0);
        sessions.set::<_, _, ()>("dirt", "left").await.expect("SET");
        jobs.set::<_, _, ()>("dirt", "left").await.expect("SET");
    }

    trait DbSize {
        async fn dbsize<T: redis::FromRedisValue>(&mut self) -> redis::RedisResult<T>;
    }

    impl DbSize for redis::aio::MultiplexedConnection {
        async fn dbsize<T: redis::FromRedisValue>(&mut self) -> redis::RedisResult<T> {
            redis::cmd("DBSIZE").query_async(self).await
        }
    }

    #[test]
    #[clean_redis]
    fn plain_below() {
        assert_clean_but_for(&[], &TestRequest::new());
    }

    #[clean_redis]
    #[test]
    fn plain_above() {
        assert_clean_but_for(&[], &TestRequest::new());
    }

    #[rstest]
    #[clean_redis]
    fn rstest_below(seeded: TestRequest) {
        assert_clean_but_for(&["seed"], &seeded);
    }

    #[clean_redis]
    #[rstest]
    fn rstest_above(seeded: TestRequest) {
        assert_clean_but_for(&["seed"], &seeded);
    }

    #[rstest]
    #[clean_redis]
    fn two_fixtures_are_one_request(seeded: TestRequest, test_request: TestRequest) {
        assert_eq!(seeded.redis_url(), test_request.redis_url());
        assert_clean_but_for(&["seed"], &test_request);
    }

    #[rstest]
    #[case(1)]
    #[case(2)]
    #[clean_redis]
    fn case_below(seeded: TestRequest, #[case] number: u32) {
        assert!(number > 0);
        assert_clean_but_for(&["seed"], &seeded);
    }

    #[clean_redis]
    #[rstest]
    #[case(1)]
    #[case(2)]
    fn case_above(seeded: TestRequest, #[case] number: u32) {
        assert!(number > 0);
        assert_clean_but_for(&["seed"], &seeded);
    }

    #[rstest]
    #[clean_redis]
    fn values_below(seeded: TestRequest, #[values(1, 2)] number: u32, #[values("a", "b")] text: &str) {
        assert!(number > 0 && !text.is_empty());
        assert_clean_but_for(&["seed"], &seeded);
    }

    #[clean_redis]
    #[rstest]
    fn values_above(seeded: TestRequest, #[values(1, 2)] number: u32) {
        assert!(number > 0);
        assert_clean_but_for(&["seed"], &seeded);
    }

    #[tokio::test]
    #[clean_redis]
    async fn tokio_below() {
        assert_async_clean(&TestRequest::new(), &[]).await;
    }

    #[clean_redis]
    #[tokio::test]
    async fn tokio_above() {
        assert_async_clean(&TestRequest::new(), &[]).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[clean_redis]
    async fn tokio_multi_thread_below() {
        let test_request = TestRequest::new();
        let clone = test_request.clone();
        tokio::spawn(async move { assert_async_clean(&clone, &[]).await }).await.expect("join");
        assert_eq!(test_request.client().get_connection().expect("connect").exists("dirt"), Ok(true));
    }

    #[clean_redis]
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn tokio_multi_thread_above() {
        assert_async_clean(&TestRequest::new(), &[]).await;
    }

    #[rstest]
    #[clean_redis]
    #[tokio::test]
    async fn rstest_tokio_between(seeded: TestRequest) {
        assert_async_clean(&seeded, &["seed"]).await;
    }

    #[rstest]
    #[tokio::test]
    #[clean_redis]
    async fn rstest_tokio_below(seeded: TestRequest) {
        assert_async_clean(&seeded, &["seed"]).await;
    }

    #[clean_redis]
    #[rstest]
    #[tokio::test(flavor = "multi_thread")]
    async fn rstest_tokio_above(seeded: TestRequest) {
        assert_async_clean(&seeded, &["seed"]).await;
    }

    #[rstest]
    #[case(1)]
    #[case(2)]
    #[tokio::test]
    #[clean_redis]
    async fn rstest_tokio_case(seeded: TestRequest, #[case] number: u32) {
        assert!(number > 0);
        assert_async_clean(&seeded, &["seed"]).await;
    }

    #[rstest]
    #[timeout(Duration::from_secs(30))]
    #[clean_redis]
    fn timeout_below(seeded: TestRequest) {
        // The body runs on another thread, but another request of the same test still joins the first one.
        assert_eq!(seeded.redis_url(), TestRequest::new().redis_url());
        assert_clean_but_for(&["seed"], &seeded);
    }

    #[clean_redis]
    #[rstest]
    #[timeout(Duration::from_secs(30))]
    fn timeout_above(seeded: TestRequest) {
        assert_clean_but_for(&["seed"], &seeded);
    }

    #[clean_redis]
    #[rstest]
    #[case(1)]
    #[case(2)]
    #[tokio::test]
    async fn rstest_tokio_case_above(seeded: TestRequest, #[case] number: u32) {
        assert_async_clean(&seeded, &["seed"]).await;
        assert!(number > 0);
    }

    #[clean_redis]
    #[rstest]
    #[timeout(Duration::from_secs(30))]
    #[tokio::test]
    async fn timeout_async_above(seeded: TestRequest) {
        assert_async_clean(&seeded, &["seed"]).await;
    }

    #[clean_redis]
    #[rstest]
    #[case("one")]
    fn impl_trait_argument_above(seeded: TestRequest, #[case] text: impl AsRef<str>) {
        assert_clean_but_for(&["seed"], &seeded);
        assert_eq!(text.as_ref(), "one");
    }

    #[rstest]
    #[case("one")]
    #[clean_redis]
    fn generic_argument_below<Text: AsRef<str>>(seeded: TestRequest, #[case] text: Text) {
        assert_clean_but_for(&["seed"], &seeded);
        assert_eq!(text.as_ref(), "one");
    }

    #[rstest]
    #[timeout(Duration::from_secs(30))]
    #[clean_redis]
    #[tokio::test]
    async fn timeout_async(seeded: TestRequest) {
        assert_async_clean(&seeded, &["seed"]).await;
    }

    #[rstest]
    #[should_panic(expected = "on purpose")]
    #[clean_redis]
    fn should_panic_below(seeded: TestRequest) {
        assert_clean_but_for(&["seed"], &seeded);
        panic!("on purpose");
    }

    #[clean_redis]
    #[rstest]
    #[should_panic(expected = "on purpose")]
    fn should_panic_above(seeded: TestRequest) {
        assert_clean_but_for(&["seed"], &seeded);
        panic!("on purpose");
    }

    #[rstest]
    #[ignore = "run by every_test_of_the_matrix_starts_on_a_dirty_server"]
    #[clean_redis]
    fn ignore_below(seeded: TestRequest) {
        assert_clean_but_for(&["seed"], &seeded);
    }

    #[clean_redis]
    #[rstest]
    #[ignore = "run by every_test_of_the_matrix_starts_on_a_dirty_server"]
    fn ignore_above(seeded: TestRequest) {
        assert_clean_but_for(&["seed"], &seeded);
    }

    #[rstest]
    #[clean_redis]
    fn result_below(seeded: TestRequest) -> redis::RedisResult<()> {
        get_redis(&seeded)?.exists::<_, bool>("seed").map(|there| assert!(there))?;
        assert_clean_but_for(&["seed"], &seeded);
        if seeded.redis_url().is_empty() {
            return Ok(());
        }
        Ok(())
    }

    #[clean_redis]
    #[rstest]
    fn result_above(seeded: TestRequest) -> Result<(), Box<dyn std::error::Error>> {
        assert_clean_but_for(&["seed"], &seeded);
        Ok(())
    }

    #[clean_redis]
    #[rstest]
    #[tokio::test]
    async fn result_async(seeded: TestRequest) -> redis::RedisResult<()> {
        let mut redis = get_async_redis(&seeded).await?;
        assert!(redis.exists::<_, bool>("seed").await?);
        assert_async_clean(&seeded, &["seed"]).await;
        Ok(())
    }

    #[rstest]
    #[clean_redis]
    fn impl_trait_return(seeded: TestRequest) -> impl std::process::Termination {
        assert_clean_but_for(&["seed"], &seeded);
        std::process::ExitCode::SUCCESS
    }

    #[clean_redis]
    #[test]
    fn impl_trait_return_plain() -> impl std::process::Termination {
        assert_clean_but_for(&[], &TestRequest::new());
        std::process::ExitCode::SUCCESS
    }

    #[rstest]
    #[case("one")]
    #[clean_redis]
    fn impl_trait_argument(seeded: TestRequest, #[case] text: impl AsRef<str>) {
        assert_eq!(text.as_ref(), "one");
        assert_clean_but_for(&["seed"], &seeded);
    }

    #[clean_redis]
    #[rstest]
    #[case("one")]
    fn generic_argument<Text: AsRef<str>>(seeded: TestRequest, #[case] text: Text) {
        assert_eq!(text.as_ref(), "one");
        assert_clean_but_for(&["seed"], &seeded);
    }

    #[rstest]
    #[clean_redis]
    fn spawned_thread(seeded: TestRequest) {
        let clone = seeded.clone();
        std::thread::spawn(move || assert_clean_but_for(&["seed"], &clone)).join().expect("join");
    }

    macro_rules! generated {
        ($($name:ident: $number:expr,)*) => {
            $(
                #[rstest]
                #[clean_redis]
                fn $name(seeded: TestRequest) {
                    assert!($number > 0);
                    assert_clean_but_for(&["seed"], &seeded);
                }
            )*
        };
    }

    generated! {
        generated_one: 1,
        generated_two: 2,
    }

    macro_rules! generated_with_its_own_argument {
        ($name:ident) => {
            #[clean_redis]
            #[rstest]
            fn $name(seeded: TestRequest) {
                assert_clean_but_for(&["seed"], &seeded);
            }
        };
    }

    generated_with_its_own_argument!(generated_three);

    // The test is async before our attribute sees it, so its runtime already exists.
    fn block_on<Outcome>(future: impl Future<Output = Outcome>) -> Outcome {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
    }

    #[clean_redis]
    async fn body_of_an_unknown_runtime() -> u32 {
        assert_async_clean(&TestRequest::new(), &[]).await;
        7
    }

    #[test]
    fn unknown_runtime() {
        assert_eq!(block_on(body_of_an_unknown_runtime()), 7);
    }

    #[test]
    fn by_hand() -> redis::RedisResult<()> {
        let test_request = TestRequest::new();
        redis::cmd("FLUSHDB").exec(&mut get_redis(&test_request)?)?;
        assert_eq!(get_redis(&test_request)?.keys::<_, Vec<String>>("*")?, [""; 0]);
        leave_dirt(&test_request);
        Ok(())
    }
}

#[test]
fn every_test_of_the_matrix_starts_on_a_dirty_server() {
    let server = OwnServer::start();
    let tests = child::list("clean::matrix::");
    assert!(tests.len() > 40, "{tests:?}");
    for test in tests {
        for database in [14, 15] {
            redis::cmd("FLUSHDB").exec(&mut server.connection(database)).expect("FLUSHDB");
            server.connection(database).set::<_, _, ()>("dirt", "from before").expect("SET");
        }
        let child = Child::test(&test).env("TRANSIENT_REDIS_URL", server.url()).env("TRANSIENT_ADOPT", "1");
        let ended = child.run();
        assert!(ended.output.contains("(running)"), "{}", ended.output);
        ended.assert_passed();
    }
}

/// Without the attribute, the data of an earlier test is still there.
#[rstest]
fn sees_the_existing_data(test_request: TestRequest) {
    println!("there are {:?}", keys(&test_request));
}

#[test]
fn without_the_attribute_nothing_is_cleared() {
    let server = OwnServer::start();
    for database in [14, 15] {
        server.connection(database).set::<_, _, ()>("dirt", "from before").expect("SET");
    }
    let child = Child::test("clean::sees_the_existing_data").env("TRANSIENT_REDIS_URL", server.url());
    let ended = child.env("TRANSIENT_ADOPT", "1").run();
    ended.assert_passed();
    assert!(ended.output.contains(r#"there are (["dirt"], ["dirt"])"#), "{}", ended.output);
}

mod evil {
    use super::{Commands, TestRequest, clean_redis, get_redis, rstest, test_request};

    /// Panics halfway. The next test of the thread must still get a server.
    #[rstest]
    #[clean_redis]
    #[should_panic(expected = "in the middle")]
    fn a_panics(test_request: TestRequest) {
        let mut redis = get_redis(&test_request).expect("connect");
        redis.set::<_, _, ()>("dirt", "left").expect("SET");
        panic!("in the middle");
    }

    #[rstest]
    #[clean_redis]
    fn b_is_clean(test_request: TestRequest) {
        super::assert_clean_but_for(&[], &test_request);
    }

    /// A clone that outlives its test. The server is never leased again.
    #[rstest]
    #[clean_redis]
    fn c_leaks(test_request: TestRequest) {
        println!("leaked {}", test_request.redis_url());
        Box::leak(Box::new(test_request));
    }

    #[rstest]
    #[clean_redis]
    fn d_has_another(test_request: TestRequest) {
        println!("next {}", test_request.redis_url());
        super::assert_clean_but_for(&[], &test_request);
    }
}

#[test]
fn panics_and_leaks_do_not_reach_the_next_test() {
    let child = Child::tests("clean::evil::").arguments(["--test-threads=1"]);
    let ended = child.env("TRANSIENT_PROVIDER", own_server::own_provider()).run();
    ended.assert_passed();
    let url = |word| ended.output.split_once(word).expect(word).1.lines().next().expect("a URL").to_owned();
    assert_ne!(url("leaked "), url("next "));
}
