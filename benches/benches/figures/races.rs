//! Explorations, beside the same commands in the same number of runs without a tap.

use std::sync::{Mutex, PoisonError};

use redis::{Client, Commands, Connection, RedisResult};
use transient_fixtures::{TestRequest, races};

use super::{in_turns, row, time};

/// The orders of two clients with three commands and a start each.
const SCHEDULES: usize = 70;

fn three_commands(redis: &mut Connection, name: &str) -> RedisResult<()> {
    redis.set::<_, _, ()>(name, 1)?;
    redis.get::<_, Option<u32>>("other")?;
    redis.incr("count", 1)
}

fn connect(url: &str) -> RedisResult<Connection> {
    Client::open(url)?.get_connection()
}

/// Each client connects in every schedule.
pub(crate) fn races_connecting() {
    let test_request = TestRequest::clean();
    let client = |client: &races::Client| three_commands(&mut connect(client.redis_url())?, client.name());
    let ours = || {
        time(|| {
            let explored = races::explore(&test_request).client("a", client).client("b", client).check(|_, _| ());
            assert_eq!(explored.schedules(), SCHEDULES);
        })
    };
    let by_hand = || {
        time(|| {
            for _ in 0..SCHEDULES {
                test_request.flush().expect("flush");
                for name in ["a", "b"] {
                    three_commands(&mut connect(test_request.redis_url()).expect("connect"), name).expect("commands");
                }
            }
        })
    };
    let (ours, by_hand) = in_turns(20, ours, by_hand);
    row("an exploration of 2 clients with 3 commands", ours, ("70 runs without a tap, by hand", by_hand), "1.8");
}

/// Each client connects once in an exploration.
pub(crate) fn races_keeping() {
    let test_request = TestRequest::clean();
    let client = || {
        let kept: Mutex<Option<Connection>> = Mutex::default();
        move |client: &races::Client| {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            let redis = match &mut *kept {
                Some(redis) => redis,
                none => none.insert(connect(client.redis_url())?),
            };
            three_commands(redis, client.name())
        }
    };
    let ours = || {
        time(|| {
            let explored = races::explore(&test_request).client("a", client()).client("b", client()).check(|_, _| ());
            assert_eq!(explored.schedules(), SCHEDULES);
        })
    };
    let by_hand = || {
        let mut connections = ["a", "b"].map(|_| connect(test_request.redis_url()).expect("connect"));
        time(|| {
            for _ in 0..SCHEDULES {
                test_request.flush().expect("flush");
                for (redis, name) in connections.iter_mut().zip(["a", "b"]) {
                    three_commands(redis, name).expect("commands");
                }
            }
        })
    };
    let (ours, by_hand) = in_turns(20, ours, by_hand);
    row("an exploration whose clients keep connections", ours, ("70 runs without a tap, by hand", by_hand), "1.8");
}
