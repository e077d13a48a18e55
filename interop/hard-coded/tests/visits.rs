//! Counts that other processes could change.

use std::thread::sleep;
use std::time::Duration;

use hard_coded::{empty_redis, visit};

#[test]
fn visits_are_counted() {
    let mut redis = empty_redis();
    for count in 1..=10 {
        assert_eq!(visit(&mut redis, "home"), count);
        sleep(Duration::from_millis(5));
    }
}

#[test]
fn each_page_has_its_own_count() {
    let mut redis = empty_redis();
    for count in 1..=5 {
        assert_eq!(visit(&mut redis, "home"), count);
        sleep(Duration::from_millis(5));
        assert_eq!(visit(&mut redis, "cart"), count);
    }
    assert_eq!(redis.ask("DBSIZE"), ":2");
}
