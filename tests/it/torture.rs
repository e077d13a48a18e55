//! Tests for tests/torture.py, which kills them at random moments in every way.

use std::time::Duration;
use std::{env, process, thread};

use rstest::rstest;
use transient_fixtures::{TestRequest, clean_redis, test_request};

fn duration(variable: &str) -> Duration {
    let text = env::var(variable).unwrap_or_else(|_| panic!("{variable} is for tests/torture.py to set"));
    Duration::from_micros(text.parse().expect("microseconds"))
}

#[test]
#[ignore = "run by tests/torture.py"]
fn victim() {
    let way = env::var("WAY").expect("WAY is for tests/torture.py to set");
    let after = duration("AFTER_MICROSECONDS");
    match way.as_str() {
        "exit" => drop(thread::spawn(move || {
            thread::sleep(after);
            process::exit(3);
        })),
        "abort" => drop(thread::spawn(move || {
            thread::sleep(after);
            process::abort();
        })),
        _ => {}
    }
    let test_request = TestRequest::clean();
    println!("at {}", test_request.redis_url());
    thread::sleep(duration("LASTS_MICROSECONDS"));
    match way.as_str() {
        "panic" => panic!("on purpose"),
        "static" => {
            Box::leak(Box::new(test_request));
        }
        "forget" => std::mem::forget(test_request),
        _ => {
            let mut connection = test_request.client().get_connection().expect("the server is still there");
            transient_fixtures::redis::cmd("PING").exec(&mut connection).expect("the server is still there");
        }
    }
}

/// The same with a guard, through which a panic unwinds.
#[rstest]
#[ignore = "run by tests/torture.py"]
#[clean_redis]
fn guarded_victim(test_request: TestRequest) {
    println!("at {}", test_request.redis_url());
    thread::sleep(duration("LASTS_MICROSECONDS"));
    panic!("on purpose");
}
