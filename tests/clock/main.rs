//! The whole clock (`redis.clock = whole`) with libfaketime. Not part of a plain `cargo test`, which must pass without
//! libfaketime. Run `cargo test --test clock`, which also starts the Redis on PATH if that build does not work with
//! libfaketime.

#[path = "../it/child.rs"]
#[allow(dead_code)]
mod child;
#[path = "../it/golden.rs"]
#[allow(dead_code)]
mod golden;

use std::thread;
use std::time::{Duration, SystemTime};

use redis::{Commands, Connection};
use rstest::rstest;
use transient_fixtures::{TestRequest, clean_redis, get_jobs_redis, get_redis, redis, test_request};

use child::{Child, Ended};
use golden::golden;

const YEAR: Duration = Duration::from_secs(31_536_000);

fn connect(test_request: &TestRequest) -> Connection {
    get_redis(test_request).expect("connect")
}

fn time(redis: &mut Connection) -> Duration {
    let (seconds, micros): (u64, u64) = redis::cmd("TIME").query(redis).expect("TIME");
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}

/// Tests that request the whole clock, on the server of the provider that supports it.
mod whole {
    use super::{
        Commands, Duration, SystemTime, TestRequest, YEAR, clean_redis, connect, get_jobs_redis, redis, rstest,
        test_request, thread, time,
    };

    #[rstest]
    #[ignore = "run by the_whole_clock_moves"]
    #[clean_redis]
    fn a_time_moves_in_and_out_of_scripts(test_request: TestRequest) {
        assert!(test_request.server().has_whole_clock());
        let mut redis = connect(&test_request);
        let before = time(&mut redis);
        for _ in 0..2 {
            test_request.travel(YEAR).expect("travel");
        }
        test_request.travel(Duration::from_millis(250)).expect("travel");
        let after = time(&mut redis);
        let expected = before + 2 * YEAR + Duration::from_millis(250);
        assert!(after >= expected && after < expected + Duration::from_secs(5), "{before:?} {after:?}");
        let script: Vec<u64> =
            redis::cmd("EVAL").arg("return redis.call('TIME')").arg(0).query(&mut redis).expect("EVAL");
        assert!(script[0] >= after.as_secs());
        let id: String = redis.xadd("stream", "*", &[("a", "b")]).expect("XADD");
        let milliseconds: u128 = id.split('-').next().expect("a time").parse().expect("milliseconds");
        assert!(milliseconds >= expected.as_millis(), "{id}");
    }

    /// After a test that moved the clock, the next test gets another server.
    #[rstest]
    #[ignore = "run by the_whole_clock_moves"]
    #[clean_redis]
    fn b_the_next_test_has_the_time_of_day(test_request: TestRequest) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("now");
        let there = time(&mut connect(&test_request));
        assert!(there.abs_diff(now) < Duration::from_secs(5), "{there:?} {now:?}");
    }

    #[rstest]
    #[ignore = "run by the_whole_clock_moves"]
    #[clean_redis]
    fn c_keys_expire_with_an_event(test_request: TestRequest) {
        let mut redis = connect(&test_request);
        redis::cmd("CONFIG").arg("SET").arg("notify-keyspace-events").arg("Exg").exec(&mut redis).expect("CONFIG");
        redis.set_ex::<_, _, ()>("short", "x", 100).expect("SETEX");
        redis.set_ex::<_, _, ()>("long", "x", 1000).expect("SETEX");
        redis.set::<_, _, ()>("eternal", "x").expect("SET");
        let mut listener = connect(&test_request);
        let mut listener = listener.as_pubsub();
        listener.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        listener.psubscribe("__keyevent@14__:*").expect("PSUBSCRIBE");
        test_request.travel(Duration::from_secs(101)).expect("travel");
        let message = listener.get_message().expect("a message");
        assert!(message.get_channel_name().ends_with(":expired"), "{message:?}");
        assert_eq!(redis::cmd("DBSIZE").query::<u32>(&mut redis), Ok(2));
        test_request.assert_ttl("long", Duration::from_secs(890)..=Duration::from_secs(899));
        test_request.travel_to_expiry("long").expect("travel");
        assert_eq!(redis.exists("long"), Ok(false));
        test_request.expire_all().expect("travel");
        assert_eq!(redis.exists("eternal"), Ok(true));
    }

    /// A window that a script computes from TIME: ten requests a minute.
    #[rstest]
    #[ignore = "run by the_whole_clock_moves"]
    #[clean_redis]
    fn d_a_sliding_window_slides(test_request: TestRequest) {
        let mut redis = connect(&test_request);
        let mut allowed = || -> bool {
            let script = "local time = redis.call('TIME')
                local now = time[1] * 1000000 + time[2]
                redis.call('ZREMRANGEBYSCORE', 'window', 0, now - 60000000)
                if redis.call('ZCARD', 'window') >= 10 then return 0 end
                redis.call('ZADD', 'window', now, now)
                return 1";
            // Two requests in one microsecond would be one member.
            thread::sleep(Duration::from_micros(50));
            redis::cmd("EVAL").arg(script).arg(0).query(&mut redis).expect("EVAL")
        };
        assert_eq!((0..15).filter(|_| allowed()).count(), 10);
        test_request.travel(Duration::from_secs(30)).expect("travel");
        assert!(!allowed());
        test_request.travel(Duration::from_secs(31)).expect("travel");
        assert_eq!((0..15).filter(|_| allowed()).count(), 10);
    }

    #[rstest]
    #[ignore = "run by the_whole_clock_moves"]
    #[clean_redis]
    fn e_travels_at_once_add_up(test_request: TestRequest) {
        let mut redis = connect(&test_request);
        let before = time(&mut redis);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| test_request.travel(Duration::from_secs(1000)).expect("travel"));
            }
        });
        let moved = time(&mut redis) - before;
        assert!(moved >= Duration::from_secs(4000) && moved < Duration::from_secs(4010), "{moved:?}");
    }

    #[rstest]
    #[ignore = "run by the_whole_clock_moves"]
    #[clean_redis]
    fn f_due_times_of_the_application_age_when_they_are_named(test_request: TestRequest) {
        let mut jobs = get_jobs_redis(&test_request).expect("connect");
        jobs.zadd::<_, _, _, ()>("schedule", "job", 1_700_000_000).expect("ZADD");
        test_request.travel_with_due_times(Duration::from_secs(3600), &["schedule"]).expect("travel");
        assert_eq!(jobs.zscore("schedule", "job"), Ok(1_699_996_400.0));
    }
}

fn run(variables: &[(&str, &str)]) -> Ended {
    let child = Child::tests("whole::").env("TRANSIENT_CLOCK", "whole").arguments(["--test-threads=1"]);
    variables.iter().fold(child, |child, (name, value)| child.env(name, value)).run()
}

#[rstest]
#[case("1")]
#[case("8")]
fn the_whole_clock_moves(#[case] threads: &str) {
    let child = Child::tests("whole::").env("TRANSIENT_CLOCK", "whole").env("TRANSIENT_PROVIDER", "download");
    let ended = child.env("RUST_TEST_THREADS", threads).run();
    ended.assert_passed();
    assert!(ended.output.contains("6 passed"), "{}", ended.output);
}

/// Debian's build, with jemalloc, hangs under libfaketime. The crate reports that soon, as an error.
#[test]
fn an_incompatible_build_is_an_error() {
    let ended = run(&[("TRANSIENT_PROVIDER", "process")]);
    ended.assert_failed_with(&["0 passed", golden("process::under_faketime"), golden("report::no_server")]);
    assert!(ended.took < Duration::from_secs(30), "{:?}", ended.took);
}

/// If no provider is named, the one that supports it is found.
#[test]
fn finds_the_server_that_supports_it() {
    let ended = run(&[("DOCKER_HOST", "unix:///nowhere/docker.sock")]);
    ended.assert_passed();
    assert!(ended.output.contains("(download); "), "{}", ended.output);
}

#[test]
fn a_server_that_was_named_is_not_passed_over() {
    let ended = run(&[("TRANSIENT_REDIS_URL", "redis://127.0.0.1:1")]);
    ended.assert_failed_with(&["0 passed", golden("report::NO_WHOLE_CLOCK"), "redis.clock = ageing"]);
}

#[test]
fn containers_do_not_support_it() {
    let ended = run(&[("TRANSIENT_PROVIDER", "container")]);
    ended.assert_failed_with(&["0 passed", golden("report::NO_WHOLE_CLOCK")]);
}
