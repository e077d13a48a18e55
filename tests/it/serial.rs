//! `#[clean_redis]` with `serial_test`: its lock first, the lease second, in either order of the attributes.

use std::time::Duration;

use crate::child::Child;
use crate::own_server::OwnServer;

mod locked {
    use rstest::rstest;
    use serial_test::{file_parallel, file_serial, parallel, serial};
    use transient_fixtures::{TestRequest, clean_redis, get_async_redis, test_request};

    use crate::clean::assert_clean_but_for;

    /// Time for the other test to be between its two locks.
    fn linger() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }

    #[test]
    #[serial]
    #[clean_redis]
    fn serial_above() {
        linger();
        assert_clean_but_for(&[], &TestRequest::new());
    }

    #[test]
    #[clean_redis]
    #[serial]
    fn serial_below() {
        linger();
        assert_clean_but_for(&[], &TestRequest::new());
    }

    /// Without our attribute, `serial_test` takes its lock first, then the fixture takes the lease.
    #[rstest]
    #[serial]
    fn serial_alone(test_request: TestRequest) {
        linger();
        assert!(test_request.redis_url().ends_with("/14"));
    }

    #[rstest]
    #[serial]
    #[clean_redis]
    fn serial_rstest_above(test_request: TestRequest) {
        linger();
        assert_clean_but_for(&[], &test_request);
    }

    #[rstest]
    #[clean_redis]
    #[serial]
    fn serial_rstest_below(test_request: TestRequest) {
        linger();
        assert_clean_but_for(&[], &test_request);
    }

    #[clean_redis]
    #[serial]
    #[rstest]
    fn serial_rstest_last(test_request: TestRequest) {
        linger();
        assert_clean_but_for(&[], &test_request);
    }

    #[rstest]
    #[case(1)]
    #[case(2)]
    #[serial]
    #[clean_redis]
    fn serial_case(test_request: TestRequest, #[case] number: u32) {
        assert!(number > 0);
        linger();
        assert_clean_but_for(&[], &test_request);
    }

    #[rstest]
    #[serial]
    #[clean_redis]
    fn serial_result(test_request: TestRequest) -> Result<(), String> {
        linger();
        assert_clean_but_for(&[], &test_request);
        if test_request.jobs_url().is_empty() { Err("no URL".to_owned()) } else { Ok(()) }
    }

    #[tokio::test]
    #[serial]
    #[clean_redis]
    async fn serial_tokio_above() {
        linger();
        let test_request = TestRequest::new();
        let mut redis = get_async_redis(&test_request).await.expect("connect");
        transient_fixtures::redis::cmd("PING").exec_async(&mut redis).await.expect("PING");
        assert_clean_but_for(&[], &test_request);
    }

    #[serial]
    #[clean_redis]
    #[tokio::test]
    async fn serial_tokio_first() {
        linger();
        let test_request = TestRequest::new();
        let mut redis = get_async_redis(&test_request).await.expect("connect");
        transient_fixtures::redis::cmd("PING").exec_async(&mut redis).await.expect("PING");
        assert_clean_but_for(&[], &test_request);
    }

    #[clean_redis]
    #[serial]
    #[tokio::test]
    async fn serial_tokio_last() -> Result<(), String> {
        linger();
        assert_clean_but_for(&[], &TestRequest::new());
        Ok(())
    }

    #[rstest]
    #[serial]
    #[clean_redis]
    #[tokio::test]
    async fn serial_rstest_tokio(test_request: TestRequest) {
        linger();
        assert_clean_but_for(&[], &test_request);
    }

    #[rstest]
    #[parallel]
    #[clean_redis]
    fn parallel_above(test_request: TestRequest) {
        linger();
        assert_clean_but_for(&[], &test_request);
    }

    #[rstest]
    #[clean_redis]
    #[parallel]
    fn parallel_below(test_request: TestRequest) {
        linger();
        assert_clean_but_for(&[], &test_request);
    }

    #[rstest]
    #[file_serial(transient_fixtures)]
    #[clean_redis]
    fn file_serial_above(test_request: TestRequest) {
        linger();
        assert_clean_but_for(&[], &test_request);
    }

    #[rstest]
    #[clean_redis]
    #[file_serial(transient_fixtures)]
    fn file_serial_below(test_request: TestRequest) {
        linger();
        assert_clean_but_for(&[], &test_request);
    }

    #[rstest]
    #[file_parallel(transient_fixtures)]
    #[clean_redis]
    fn file_parallel_above(test_request: TestRequest) {
        linger();
        assert_clean_but_for(&[], &test_request);
    }

    #[rstest]
    #[clean_redis]
    #[file_parallel(transient_fixtures)]
    fn file_parallel_below(test_request: TestRequest) {
        linger();
        assert_clean_but_for(&[], &test_request);
    }
}

/// On a running server every lease waits for the others, so two orders of the locks would deadlock here.
#[test]
fn no_order_deadlocks() {
    let server = OwnServer::start();
    for _ in 0..5 {
        let child = Child::tests("serial::locked::").arguments(["--test-threads=8"]);
        let child = child.env("TRANSIENT_REDIS_URL", server.url()).env("TRANSIENT_ADOPT", "1");
        // A deadlock would last for the lease's timeout, 120 s.
        child.start().wait(Duration::from_secs(100)).assert_passed();
    }
}

/// Two processes with both locks each.
#[test]
fn no_order_deadlocks_across_processes() {
    let server = OwnServer::start();
    let start = || {
        let child = Child::tests("serial::locked::").arguments(["--test-threads=4"]);
        child.env("TRANSIENT_REDIS_URL", server.url()).env("TRANSIENT_ADOPT", "1").start()
    };
    let (one, two) = (start(), start());
    one.wait(Duration::from_secs(60)).assert_passed();
    two.wait(Duration::from_secs(60)).assert_passed();
}
