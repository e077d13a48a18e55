//! Explorations, beside the same commands in the same number of runs without a tap.

use std::env;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

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

/// Beside frontrun, which explores Python programs. `FRONTRUN` is a virtual environment that has frontrun and redis.
pub(crate) fn races_frontrun() {
    let Some(environment) = env::var_os("FRONTRUN") else { return };
    let test_request = TestRequest::clean();
    let programs = Path::new(&environment).join("bin");
    let frontrun = || {
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(programs.join("frontrun")).arg(programs.join("python"));
        command
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/figures/explore_with_frontrun.py"))
            .arg(test_request.redis_url());
        let output = command.output().expect("frontrun");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        Duration::from_secs_f64(text.lines().last().and_then(|line| line.parse().ok()).expect("seconds"))
    };
    let client = |client: &races::Client| three_commands(&mut connect(client.redis_url())?, client.name());
    let ours = || {
        let schedules = u32::try_from(SCHEDULES).expect("a small number");
        time(|| _ = races::explore(&test_request).client("a", client).client("b", client).check(|_, _| ())) / schedules
    };
    let (ours, frontrun) = in_turns(3, ours, frontrun);
    row("a schedule of 2 clients with 3 commands", ours, ("a run of frontrun 0.7", frontrun), "0.05");
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
