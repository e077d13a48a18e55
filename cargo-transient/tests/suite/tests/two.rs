//! Both tests count from 0, and keep each other away only inside of one process.

use std::sync::Mutex;

use suite::Counter;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn counts_to_hundred() {
    let _guard = ONE_AT_A_TIME.lock();
    let mut counter = Counter::connect();
    assert_eq!(counter.ask("FLUSHALL"), "+OK");
    for number in 1..=100 {
        assert_eq!(counter.ask("INCR visits"), format!(":{number}"));
    }
}

#[test]
fn counts_by_day() {
    counts_to_hundred();
}

#[test]
fn counts_by_night() {
    counts_to_hundred();
}
