//! Sweeps inject every fault at every boundary, and report failures.

mod bugs;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::{Client, Commands, Connection, RedisResult};
use rstest::rstest;
use transient_fixtures::faults::{self, Run};
use transient_fixtures::{Provider, TestRequest, clean_redis, get_redis, test_request};

use crate::child::Child;
use crate::golden::golden;
use crate::panics::panic_of;

fn connect(run: &Run) -> RedisResult<Connection> {
    Client::open(run.redis_url())?.get_connection()
}

/// Sends three commands and ignores their errors.
fn careless(run: &Run) {
    let Ok(mut redis) = connect(run) else { return };
    let _ = redis.get::<_, Option<u32>>("a");
    let _ = redis.set::<_, _, ()>("b", 1);
    let _ = redis.get::<_, Option<u32>>("a");
}

#[rstest]
#[clean_redis]
fn every_boundary_has_every_fault(test_request: TestRequest) {
    let swept = faults::sweep(&test_request, careless)
        .cutting()
        .losing_data()
        .losing("a*")
        .losing_each_key()
        .replying("LOADING Redis is loading the dataset in memory")
        .check();
    assert_eq!((swept.boundaries(), swept.points()), (3, 0));
    // Cut before, cut after, all data, a pattern, two keys, an error.
    assert_eq!(swept.cases(), 3 * 7);
}

/// A sweep is faster if the scenario and the server share a core. Afterwards they have all of them again.
#[rstest]
#[clean_redis]
#[cfg(target_os = "linux")]
fn a_sweep_has_one_core(test_request: TestRequest) {
    if !matches!(test_request.server().provider(), Provider::Process | Provider::Download) {
        return;
    }
    let info: redis::InfoDict =
        redis::cmd("INFO").query(&mut get_redis(&test_request).expect("connect")).expect("INFO");
    let server = info.get::<u32>("process_id").expect("a process id").to_string();
    let cores = move |process: &str| {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("/proc");
        status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("cores").trim().to_owned()
    };
    let both = move || [cores("thread-self"), cores(&server)];
    let before = both();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (note, in_sweep) = (seen.clone(), both.clone());
    faults::sweep(&test_request, move |run| {
        careless(run);
        note.lock().unwrap().push(in_sweep());
    })
    .cutting()
    .check();
    let seen = seen.lock().unwrap();
    assert!(!seen.is_empty());
    for [scenario, server] in &*seen {
        assert!(scenario.parse::<u32>().is_ok() && scenario == server, "{scenario} and {server}");
    }
    assert_eq!(both(), before);
}

#[rstest]
#[clean_redis]
fn a_transaction_is_one_boundary(test_request: TestRequest) {
    let scenario = |run: &Run| {
        let Ok(mut redis) = connect(run) else { return };
        let _ = redis::pipe().atomic().incr("a", 1).incr("b", 1).exec(&mut redis);
    };
    let then = |redis: &mut Connection| {
        let (a, b): (Option<u32>, Option<u32>) = (redis.get("a")?, redis.get("b")?);
        assert_eq!(a, b);
        RedisResult::Ok(())
    };
    let swept = faults::sweep(&test_request, scenario).cutting().then(then).check();
    assert_eq!((swept.boundaries(), swept.cases()), (1, 2));
}

#[rstest]
#[clean_redis]
fn the_smallest_failure_is_reported(test_request: TestRequest) {
    let scenario = |run: &Run| -> RedisResult<()> {
        let mut redis = connect(run)?;
        let _ = redis.get::<_, Option<u32>>("a");
        let mut redis = connect(run)?;
        let _ = redis.lpush::<_, _, u32>("queue", "a job");
        let mut redis = connect(run)?;
        redis.set("done", 1)
    };
    let then = |redis: &mut Connection| {
        // If the connection is cut before LPUSH, the job is missing.
        assert_eq!(redis.llen::<_, u32>("queue").unwrap(), 1);
    };
    let panic = panic_of(|| _ = faults::sweep(&test_request, scenario).cutting().then(then).check());
    for part in ["2 of 3", "LPUSH queue \"a job\"", "TRANSIENT_REPLAY='2/cut-before'", "<<<"] {
        assert!(panic.contains(part), "{part}: {panic}");
    }
}

#[rstest]
#[clean_redis]
fn points_fail_in_turn(test_request: TestRequest) {
    let scenario = |run: &Run| -> RedisResult<()> {
        let mut redis = connect(run)?;
        redis.set::<_, _, ()>("cached", 1)?;
        // The database write.
        if run.point("write the order").is_err() {
            redis.del::<_, ()>("cached")?;
        }
        let _ = run.point("send the mail");
        Ok(())
    };
    let swept = faults::sweep(&test_request, scenario).failing_points().check();
    assert_eq!((swept.points(), swept.cases()), (2, 2));
}

/// A lock is taken, and its TTL ends while it is held.
#[rstest]
#[clean_redis]
fn only_keys_with_a_ttl_expire(test_request: TestRequest) {
    let scenario = |run: &Run| -> RedisResult<()> {
        let mut redis = connect(run)?;
        redis.set_ex::<_, _, ()>("lock:1", "token", 60)?;
        redis.set::<_, _, ()>("lock:2", "token")?;
        assert_eq!(redis.get::<_, Option<String>>("lock:2")?.as_deref(), Some("token"));
        let held: Option<String> = redis.get("lock:1")?;
        assert!(held.is_some(), "the lock is lost");
        Ok(())
    };
    let panic = panic_of(|| faults::sweep(&test_request, scenario).expiring("lock:*").check());
    assert!(panic.contains("the lock is lost") && panic.contains("TRANSIENT_REPLAY='2/expiring=lock:*'"), "{panic}");
    assert_eq!(faults::sweep(&test_request, scenario).expiring("cart:*").check().cases(), 4);
}

#[rstest]
#[clean_redis]
fn a_restart_at_each_boundary(test_request: TestRequest) {
    if test_request.server().provider() == Provider::Running {
        let panic = panic_of(|| drop(faults::sweep(&test_request, careless).restarting()));
        assert!(panic.contains(golden("tap::restarts_shared")), "{panic}");
        return;
    }
    let then = |redis: &mut Connection| redis.exists::<_, bool>("b").map(drop);
    let swept = faults::sweep(&test_request, careless).restarting().then(then).check();
    assert_eq!((swept.boundaries(), swept.cases()), (3, 3));

    // It trusts that a counter that it has read still exists.
    let scenario = |run: &Run| -> RedisResult<()> {
        let _: RedisResult<u32> = connect(run).and_then(|mut redis| redis.incr("visits", 1));
        let visits = || connect(run)?.get::<_, u32>("visits");
        assert!(visits().or_else(|_| visits())? > 0);
        Ok(())
    };
    let seed = |redis: &mut Connection| redis.set::<_, _, ()>("visits", 7);
    let panic = panic_of(|| faults::sweep(&test_request, scenario).seed(seed).restarting().check());
    assert!(panic.contains("TRANSIENT_REPLAY='1/restart'"), "{panic}");
}

/// A run with a fault at boundary `n` of 3 has `3 - n` later boundaries.
#[rstest]
#[clean_redis]
fn pairs_are_all_faults_at_all_later_boundaries(test_request: TestRequest) {
    let sweep = faults::sweep(&test_request, careless).losing_data().replying("OOM").losing("a");
    let swept = sweep.pairs().check();
    assert_eq!(swept.cases(), 3 * 3 + (2 + 1) * 3 * 3);
}

/// The boundaries of a pair include those of the retry, which the run without faults does not have.
#[rstest]
#[clean_redis]
fn a_pair_reaches_the_retry(test_request: TestRequest) {
    let scenario = |run: &Run| {
        let attempt = || connect(run)?.incr::<_, _, u32>("visits", 1);
        attempt().or_else(|_| attempt())
    };
    let sweep = || faults::sweep(&test_request, scenario).replying("OOM");
    assert_eq!(sweep().check().cases(), 1);
    let panic = panic_of(|| sweep().pairs().check());
    for part in ["1 of 2", "2 of 2", "TRANSIENT_REPLAY='1/error=OOM then 2/error=OOM'"] {
        assert!(panic.contains(part), "{part}: {panic}");
    }
}

#[rstest]
#[clean_redis]
fn points_are_paired_with_commands_and_points(test_request: TestRequest) {
    let scenario = |run: &Run| {
        let _ = connect(run).and_then(|mut redis| redis.get::<_, Option<u32>>("a"));
        let _ = run.point("load");
        let _ = run.point("log");
    };
    let swept = faults::sweep(&test_request, scenario).replying("OOM").failing_points().pairs().check();
    // Alone: GET, load, log. Pairs: GET and load, GET and log, load and log.
    assert_eq!(swept.cases(), 3 + 3);
}

/// If single faults fail, the report is about the smallest of them.
#[rstest]
#[clean_redis]
fn pairs_wait_until_single_faults_pass(test_request: TestRequest) {
    let scenario = |run: &Run| connect(run)?.incr::<_, _, u32>("visits", 1);
    let panic = panic_of(|| faults::sweep(&test_request, scenario).replying("OOM").pairs().check());
    assert!(panic.contains("TRANSIENT_REPLAY='1/error=OOM'"), "{panic}");
    assert!(panic.contains(golden("faults::summary, pairs not run")), "{panic}");
}

/// For `a_replay_runs_one_case`.
#[rstest]
#[clean_redis]
fn sweeps_with_pairs(test_request: TestRequest) {
    let swept = faults::sweep(&test_request, careless).cutting().replying("OOM").pairs().check();
    println!("{} cases", swept.cases());
}

#[test]
fn a_replay_runs_one_case() {
    for replay in ["2/cut-after", "1/error=OOM then 2/cut-before"] {
        let ended = Child::test("faults::sweeps_with_pairs").env("TRANSIENT_REPLAY", replay).run();
        assert!(ended.passed && ended.output.contains("1 cases"), "{replay}: {}", ended.output);
    }
    let ended = Child::test("faults::sweeps_with_pairs").env("TRANSIENT_REPLAY", "3-cut").run();
    assert!(!ended.passed && ended.output.contains(golden("faults::bad_replay")), "{}", ended.output);
}

/// Code with a connection pool keeps it for the next run, so each run needs its own URLs.
#[rstest]
#[clean_redis]
fn each_run_has_its_own_urls(test_request: TestRequest) {
    let urls = Arc::new(Mutex::new(Vec::new()));
    let seen = urls.clone();
    let scenario = move |run: &Run| {
        seen.lock().unwrap().push(run.redis_url().to_owned());
        careless(run);
    };
    let swept = faults::sweep(&test_request, scenario).losing_data().check();
    let urls = urls.lock().unwrap();
    assert_eq!(urls.len(), 2 + swept.cases());
    assert_eq!(urls.iter().collect::<BTreeSet<_>>().len(), urls.len(), "{urls:?}");
}

#[rstest]
#[clean_redis]
fn a_scenario_that_differs_is_reported(test_request: TestRequest) {
    let runs = AtomicU32::new(0);
    let moody = move |run: &Run| -> RedisResult<()> {
        let mut redis = connect(run)?;
        if runs.fetch_add(1, Ordering::SeqCst) == 1 { redis.del("a") } else { redis.set("a", 1) }
    };
    let panic = panic_of(|| faults::sweep(&test_request, moody).replying("OOM").check());
    assert!(panic.contains("SET a") && panic.contains("DEL a"), "{panic}");
    assert!(panic.contains(golden("faults::not_deterministic, another command")), "{panic}");
}

#[rstest]
#[clean_redis]
fn a_run_that_hangs_times_out(test_request: TestRequest) {
    let scenario = |run: &Run| {
        let Ok(mut redis) = connect(run) else { return };
        if redis.incr::<_, _, u32>("a", 1).is_err() {
            let _ = connect(run).and_then(|mut redis| redis.blpop::<_, ()>("never", 0.0));
        }
    };
    let within = Duration::from_millis(300);
    let panic = panic_of(|| _ = faults::sweep(&test_request, scenario).cutting().within(within).check());
    assert!(panic.contains("0.3 s") && panic.contains("BLPOP never"), "{panic}");
}

#[rstest]
#[clean_redis]
fn a_scenario_that_always_fails_is_not_swept(test_request: TestRequest) {
    let scenario = |_: &Run| -> Result<(), &str> { Err("broken") };
    let panic = panic_of(|| _ = faults::sweep(&test_request, scenario).check());
    assert!(panic.contains("broken"), "{panic}");
}

#[cfg(feature = "tokio")]
#[rstest]
#[clean_redis]
fn asynchronous_scenarios_are_swept(test_request: TestRequest) {
    use redis::AsyncCommands;

    let scenario = |run: Run| async move {
        let client = Client::open(run.redis_url()).expect("a URL");
        let Ok(mut redis) = client.get_multiplexed_async_connection().await else { return };
        let _ = AsyncCommands::incr::<_, _, u32>(&mut redis, "a", 1).await;
    };
    let swept = faults::sweep_async(&test_request, scenario).cutting().losing_data().again().check();
    assert_eq!((swept.boundaries(), swept.cases()), (1, 3));
}

#[rstest]
#[clean_redis]
fn each_run_begins_with_the_seed(test_request: TestRequest) {
    let scenario = |run: &Run| {
        let Ok(mut redis) = connect(run) else { return };
        if let Ok(stock) = redis.get::<_, u32>("stock") {
            assert_eq!(stock, 7);
        }
        let _ = redis.decr::<_, _, i64>("stock", 1);
    };
    let seed = |redis: &mut Connection| redis.set::<_, _, ()>("stock", 7);
    faults::sweep(&test_request, scenario).seed(seed).cutting().replying("BUSY a script is running").check();
}
