//! Counts that end by themselves.

use std::thread::sleep;
use std::time::Duration;

use hard_coded::{empty_redis, is_allowed};

#[test]
fn the_fourth_attempt_is_refused() {
    let mut redis = empty_redis();
    let allowed: Vec<_> = (0..5).map(|_| is_allowed(&mut redis, "eve")).collect();
    sleep(Duration::from_millis(50));
    assert_eq!(allowed, [true, true, true, false, false]);
    assert_eq!(redis.ask("DBSIZE"), ":1");
}

#[test]
fn the_limit_ends() {
    let mut redis = empty_redis();
    redis.ask("SET attempts:eve 3 PX 100");
    assert!(!is_allowed(&mut redis, "eve"));
    sleep(Duration::from_millis(150));
    assert!(is_allowed(&mut redis, "eve"));
    assert_eq!(redis.ask("DBSIZE"), ":1");
}
