//! Explorations of programs with redis-py.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;

use redis::Commands;
use rstest::rstest;
use transient_fixtures::{TestRequest, clean_redis, races, test_request};

use crate::python::python;

fn count_visits(_: &races::Client) -> Command {
    let mut command = python();
    command.arg("count_visits.py");
    command
}

#[rstest]
#[clean_redis]
fn a_lost_update_through_redis_py_is_found(test_request: TestRequest) {
    let explore = AssertUnwindSafe(|| {
        races::explore(&test_request)
            .process("phone", count_visits)
            .process("laptop", count_visits)
            .preemptions(1)
            .check(|redis, _| assert_eq!(redis.get::<_, u32>("visits").unwrap(), 2))
    });
    let panic = catch_unwind(explore).expect_err("a failing order");
    let text = panic.downcast_ref::<String>().expect("a message");
    // GET, the point and SET are the only steps, so redis-py's own commands are none.
    assert!(text.contains("TRANSIENT_REPLAY='phone*3,laptop*4,phone'"), "{text}");
}
