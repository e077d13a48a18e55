//! Programs with one race each, and the same programs without it. Explorations find each race, and pass the fixed
//! programs. A half fix is the usual first attempt: it still fails.
//!
//! By default, orders that differ only in neighbouring independent steps are run once. `RACES=all` also runs every
//! order.

mod caches;
mod jobs;
mod locks;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use redis::{Connection, ExistenceCheck, RedisResult, SetExpiry, SetOptions};
use transient_fixtures::TestRequest;
use transient_fixtures::races::{self, Client, Exploration, Explored};

/// A form of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Wrong,
    Half,
    Right,
}

fn connect(client: &Client) -> RedisResult<Connection> {
    redis::Client::open(client.redis_url())?.get_connection()
}

/// SET with NX and a TTL.
fn nx() -> SetOptions {
    SetOptions::default().conditional_set(ExistenceCheck::NX).with_expiration(SetExpiry::EX(60))
}

thread_local! {
    static IS_REDUCED: Cell<bool> = const { Cell::new(false) };
}

/// Prepares an exploration of every order, or of the reduced ones. Slow machines need longer than the default.
fn explore(test_request: &TestRequest) -> Exploration<'_> {
    let exploration = races::explore(test_request).within(Duration::from_secs(600));
    if IS_REDUCED.get() { exploration.only_redis_is_shared() } else { exploration }
}

/// Asserts that the exploration finds the race, and that the right form passes. The orders can be reduced, since all
/// that the programs share is in Redis or has a point.
fn finds_the_race(explore: impl Fn(Form) -> Explored) {
    IS_REDUCED.set(true);
    fails(&explore, Form::Wrong);
    let fewer = explore(Form::Right);
    assert!(fewer.is_complete());
    if are_all_explored() {
        IS_REDUCED.set(false);
        fails(&explore, Form::Wrong);
        let all = explore(Form::Right);
        assert!(all.is_complete() && fewer.schedules() <= all.schedules(), "{fewer:?} {all:?}");
    }
}

/// Whether each race is explored in every order too, which takes most of the time.
fn are_all_explored() -> bool {
    std::env::var_os("RACES").is_some_and(|value| value == "all")
}

/// As `finds_the_race`, and the half fix fails as well.
fn finds_the_race_and_the_half_fix(explore: impl Fn(Form) -> Explored) {
    for is_reduced in [true, false].into_iter().filter(|is_reduced| *is_reduced || are_all_explored()) {
        IS_REDUCED.set(is_reduced);
        fails(&explore, Form::Half);
    }
    finds_the_race(explore);
}

fn fails(explore: impl Fn(Form) -> Explored, form: Form) {
    let found = catch_unwind(AssertUnwindSafe(|| explore(form)));
    let Err(panic) = found else { panic!("{form:?}: the race was not found: {found:?}") };
    let text = panic.downcast_ref::<String>().expect("a message");
    // Not because the clients are not deterministic, or the like.
    assert!(text.contains("TRANSIENT_REPLAY='"), "{text}");
}

/// A table with one row, outside Redis.
#[derive(Clone, Default)]
struct Database(Arc<AtomicU32>);

impl Database {
    fn write(&self, value: u32) {
        self.0.store(value, Ordering::SeqCst);
    }

    fn read(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }

    fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}
