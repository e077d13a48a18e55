//! 320 tests that would detect each other: each writes, sleeps for a random time, reads and publishes.
//!
//! They are not part of a plain `cargo test`. `tests/crosstalk/run` runs copies of them in parallel, with cargo and
//! nextest.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use redis::{Commands, Connection};
use rstest::rstest;
use transient_fixtures::{TestRequest, clean_redis, get_jobs_redis, get_redis, redis, test_request};

/// Sleeps for up to 10 ms, a different time in every run.
fn a_moment(seed: u32) {
    let random = RandomState::new().hash_one(seed);
    std::thread::sleep(Duration::from_millis(random % 11));
}

fn keys(connection: &mut Connection) -> Vec<String> {
    connection.keys("*").expect("KEYS")
}

#[rstest]
#[clean_redis]
fn sees_nothing_of_the_others(
    test_request: TestRequest,
    #[values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19)] tens: u32,
    #[values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)] ones: u32,
) {
    let me = format!("{}:{tens}:{ones}", std::process::id());
    let mut sessions = get_redis(&test_request).expect("connect");
    let mut jobs = get_jobs_redis(&test_request).expect("connect");
    let mut listener = get_redis(&test_request).expect("connect");
    let mut listener = listener.as_pubsub();
    listener.subscribe("news").expect("SUBSCRIBE");
    listener.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");

    assert!(keys(&mut sessions).is_empty() && keys(&mut jobs).is_empty(), "foreign keys");
    sessions.set::<_, _, ()>(&me, &me).expect("SET");
    jobs.rpush::<_, _, ()>(&me, &me).expect("RPUSH");
    a_moment(tens);
    assert_eq!(keys(&mut sessions), [me.as_str()], "foreign keys");
    assert_eq!(keys(&mut jobs), [me.as_str()], "foreign keys");
    assert_eq!(sessions.get::<_, String>(&me).expect("GET"), me);

    // Pub/sub is not limited to a database: any other test on this server would send and receive on this channel.
    assert_eq!(sessions.publish::<_, _, u32>("news", &me).expect("PUBLISH"), 1, "foreign listeners");
    a_moment(ones);
    let message: String = listener.get_message().expect("a message").get_payload().expect("a payload");
    assert_eq!(message, me, "a foreign message");
}
