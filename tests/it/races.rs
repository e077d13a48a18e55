//! Explorations run every order of the clients' steps.

mod bugs;
mod forwarded;
mod process;
mod reduction;
mod steps;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use redis::{Commands, Connection, RedisResult};
use rstest::rstest;
use serde_json::json;
use transient_fixtures::races::{self, Client, Explored};
use transient_fixtures::{TestRequest, clean_redis, test_request};

use crate::child::Child;
use crate::golden::golden;
use crate::panics::panic_of;

fn connect(client: &Client) -> RedisResult<Connection> {
    redis::Client::open(client.redis_url())?.get_connection()
}

/// Sends this number of commands.
fn commands(count: usize) -> impl Fn(&Client) -> RedisResult<()> + Send + Sync + 'static {
    move |client| {
        let mut redis = connect(client)?;
        for number in 0..count {
            redis.set::<_, _, ()>(format!("{}:{number}", client.name()), number)?;
        }
        Ok(())
    }
}

/// The start of each client is a step, too.
#[rstest]
#[clean_redis]
#[case(&[1], 1)]
#[case(&[1, 1], 6)]
#[case(&[2, 2], 20)]
#[case(&[3, 1], 15)]
#[case(&[1, 1, 1], 90)]
fn the_number_of_schedules_is_the_multinomial(
    test_request: TestRequest,
    #[case] steps: &[usize],
    #[case] schedules: usize,
) {
    let mut exploration = races::explore(&test_request);
    for (index, count) in steps.iter().enumerate() {
        exploration = exploration.client(&format!("client {index}"), commands(*count));
    }
    let explored = exploration.check(|_, _| ());
    assert_eq!((explored.schedules(), explored.abandoned(), explored.is_complete()), (schedules, 0, true));
}

/// The text of a failing exploration.
fn failure(explore: impl FnOnce() -> Explored) -> String {
    panic_of(|| _ = explore())
}

#[rstest]
#[clean_redis]
fn a_failure_shows_the_order(test_request: TestRequest) {
    let add = |client: &Client| -> RedisResult<()> {
        let mut redis = connect(client)?;
        let count: Option<u32> = redis.get("visits")?;
        redis.set("visits", count.unwrap_or_default() + 1)
    };
    let explore = || {
        races::explore(&test_request)
            .client("first", add)
            .client("second", add)
            .check(|redis, _| assert_eq!(redis.get::<_, u32>("visits").unwrap(), 2))
    };
    let text = failure(explore);
    let lines: Vec<_> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for expected in ["2 GET visits -> nil", "4 GET visits -> nil", "5 SET visits 1 -> OK", "6 SET visits 1 -> OK"] {
        assert!(lines.iter().any(|line| line == expected), "{expected}: {text}");
    }
    assert!(text.contains("2 of 20") && text.contains("TRANSIENT_REPLAY='first*2,second*3,first'"), "{text}");
    assert!(text.contains("races.rs"), "{text}");
    // Every time.
    assert_eq!(failure(explore), text);
}

#[test]
fn a_failing_schedule_is_written_as_json() {
    let directory = tempfile::tempdir().expect("a directory");
    let run = |directory| Child::test("races::a_failure_shows_the_order").env("TRANSIENT_SCHEDULES", directory).run();
    let schedules = directory.path().join("schedules");
    let ended = run(&schedules);
    let file = schedules.join("it.races.a_failure_shows_the_order.json");
    assert!(ended.passed, "{}", ended.output);
    let text = std::fs::read_to_string(&file).expect("the file");
    let found: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&found["schedule"], &found["schedules"], &found["is_complete"]), (&json!(2), &json!(20), &json!(true)));
    assert_eq!((&found["clients"], &found["replay"]), (&json!(["first", "second"]), &json!("first*2,second*3,first")));
    let read = json!({ "client": "first", "step": "GET visits", "reply": "nil", "fault": null });
    assert_eq!((&found["steps"][1], found["steps"].as_array().map(Vec::len)), (&read, Some(6)));
    assert!(found["failure"].as_str().is_some_and(|failure| failure.contains("left: 1")), "{text}");
    // The file is in the way of a directory.
    let ended = run(&file);
    assert!(ended.passed && ended.output.contains(golden("races::schedule_not_written")), "{}", ended.output);
}

/// Run by `a_replay_runs_one_schedule`.
#[rstest]
#[clean_redis]
fn one_of_two(test_request: TestRequest) {
    let explored = races::explore(&test_request).client("a", commands(1)).client("b", commands(1)).check(|_, _| ());
    println!("{} schedules", explored.schedules());
}

/// Run by `a_replay_runs_one_schedule`.
#[rstest]
#[clean_redis]
fn one_after_the_other(test_request: TestRequest) {
    let next = |client: &Client| -> RedisResult<()> {
        client.after("sent");
        connect(client)?.set("a", 1)
    };
    let explored = races::explore(&test_request)
        .client("a", |client| client.point("sent"))
        .client("b", next)
        .client("c", commands(1))
        .check(|_, _| ());
    println!("{} schedules", explored.schedules());
}

#[test]
fn a_replay_runs_one_schedule() {
    let run = |replay| Child::test("races::one_of_two").env("TRANSIENT_REPLAY", replay).run();
    let ended = Child::test("races::one_after_the_other").env("TRANSIENT_REPLAY", "c,a*2,b,c,b").run();
    assert!(ended.passed && ended.output.contains("1 schedules"), "{}", ended.output);
    let ended = run("a,b*2,a");
    assert!(ended.passed && ended.output.contains("1 schedules"), "{}", ended.output);
    for (replay, report) in [("a*3", golden("races::impossible")), ("a*x", golden("races::bad_replay"))] {
        let ended = run(replay);
        assert!(!ended.passed && ended.output.contains(report), "{replay}: {}", ended.output);
    }
}

#[rstest]
#[clean_redis]
fn a_client_that_is_silent_is_named(test_request: TestRequest) {
    let (sender, receiver) = mpsc::channel::<()>();
    let receiver = Mutex::new(receiver);
    let silent = move |client: &Client| -> RedisResult<()> {
        connect(client)?.set::<_, _, ()>("a", 1)?;
        let _ = receiver.lock().unwrap().recv();
        Ok(())
    };
    let text = failure(|| races::explore(&test_request).client("silent", silent).max_schedules(1).check(|_, _| ()));
    drop(sender);
    assert!(text.contains("\"silent\"") && text.contains(golden("races::stalled")), "{text}");
    assert!(text.contains(golden("races::stuck")), "{text}");
    assert!(text.contains("SET a 1"), "{text}");
}

#[rstest]
#[clean_redis]
fn clients_that_differ_are_reported(test_request: TestRequest) {
    let runs = AtomicU32::new(0);
    let moody = move |client: &Client| -> RedisResult<()> {
        let mut redis = connect(client)?;
        redis.get::<_, Option<u32>>("a")?;
        if runs.fetch_add(1, Ordering::SeqCst) == 3 { redis.del("b") } else { redis.set("b", 1) }
    };
    let text = failure(|| races::explore(&test_request).client("a", moody).client("b", commands(2)).check(|_, _| ()));
    assert!(text.contains(golden("races::differs")), "{text}");
    assert!(text.contains("SET/3") && text.contains("DEL/2"), "{text}");
}

#[rstest]
#[clean_redis]
fn arguments_can_be_random(test_request: TestRequest) {
    let runs = AtomicU32::new(0);
    let lock = move |client: &Client| -> RedisResult<()> {
        connect(client)?.set_nx("lock", format!("token {}", runs.fetch_add(1, Ordering::SeqCst)))
    };
    let explored = races::explore(&test_request).client("a", lock).client("b", commands(2)).check(|_, _| ());
    assert_eq!(explored.schedules(), 10);
}

/// A client that waits for a lock is not released again and again.
#[rstest]
#[clean_redis]
fn retry_loops_are_finite(test_request: TestRequest) {
    let work = |client: &Client| -> RedisResult<()> {
        let mut redis = connect(client)?;
        while !redis.set_nx::<_, _, bool>("lock", client.name())? {}
        redis.incr::<_, _, ()>("work", 1)?;
        redis.del("lock")
    };
    let explored = races::explore(&test_request)
        .client("a", work)
        .client("b", work)
        .check(|redis, _| assert_eq!(redis.get::<_, u32>("work").unwrap(), 2));
    assert!(explored.is_complete() && explored.schedules() < 500, "{explored:?}");
    let spin = |client: &Client| -> RedisResult<()> {
        let mut redis = connect(client)?;
        while !redis.exists::<_, bool>("never")? {}
        Ok(())
    };
    let text = failure(|| races::explore(&test_request).client("spins", spin).check(|_, _| ()));
    assert!(text.contains(golden("races::spins")) && text.contains("EXISTS never -> 0"), "{text}");
}

#[rstest]
#[clean_redis]
fn independent_steps_run_in_one_order(test_request: TestRequest) {
    let on = |keys: &'static [&'static str]| {
        move |client: &Client| -> RedisResult<()> {
            let mut redis = connect(client)?;
            keys.iter().try_for_each(|key| redis.incr::<_, _, ()>(*key, 1))
        }
    };
    let explore = |one, other| races::explore(&test_request).client("a", on(one)).client("b", on(other));
    for (one, other, schedules) in [
        (&["x", "y"][..], &["z"][..], 1),
        // Only the order of the two INCR x makes a difference.
        (&["x", "y"], &["x", "z"], 2),
        (&["x", "y"], &["x", "y"], 4),
    ] {
        let explored = explore(one, other).only_redis_is_shared().check(|_, _| ());
        assert_eq!(explored.schedules(), schedules, "{one:?} {other:?} {explored:?}");
        assert!(explored.is_complete());
    }
}

#[rstest]
#[clean_redis]
fn an_exploration_that_was_cut_short_says_so(test_request: TestRequest) {
    let explore = || races::explore(&test_request).client("a", commands(2)).client("b", commands(2));
    let explored = explore().max_schedules(7).check(|_, _| ());
    assert_eq!((explored.schedules(), explored.is_complete()), (7, false));
    let explored = explore().random(1, 30).check(|_, _| ());
    assert_eq!((explored.schedules(), explored.is_complete()), (30, false));
    let explored = explore().preemptions(1).check(|_, _| ());
    assert_eq!((explored.schedules(), explored.is_complete()), (6, true));
}

/// The reduction has no effect together with a bound.
#[rstest]
#[clean_redis]
fn a_bound_of_preemptions_is_not_reduced(test_request: TestRequest) {
    let explore = || races::explore(&test_request).client("a", commands(2)).client("b", commands(2));
    assert_eq!(explore().only_redis_is_shared().check(|_, _| ()).schedules(), 1);
    for (most, schedules) in [(0, 2), (1, 6)] {
        assert_eq!(explore().preemptions(most).check(|_, _| ()).schedules(), schedules);
        assert_eq!(explore().preemptions(most).only_redis_is_shared().check(|_, _| ()).schedules(), schedules);
    }
}

/// Connections are reset and used again. A client does not find what an earlier one has set.
#[rstest]
#[clean_redis]
fn a_connection_that_is_used_again_is_like_a_new_one(test_request: TestRequest) {
    let ids = Arc::new(Mutex::new(Vec::new()));
    let work = |ids: &Arc<Mutex<Vec<u64>>>| {
        let ids = ids.clone();
        move |client: &Client| -> RedisResult<()> {
            let mut redis = connect(client)?;
            let mut ask = |words: &[&str]| redis::cmd(words[0]).arg(&words[1..]).query::<redis::Value>(&mut redis);
            // In a transaction that is still open, the reply would be QUEUED.
            assert_eq!(ask(&["CLIENT", "GETNAME"])?, redis::Value::Nil);
            assert_eq!(ask(&["CLIENT", "GETREDIR"])?, redis::Value::Int(-1));
            ids.lock().unwrap().push(redis::from_redis_value(ask(&["CLIENT", "ID"])?).expect("a number"));
            ask(&["CLIENT", "SETNAME", client.name()])?;
            ask(&["CLIENT", "TRACKING", "ON", "BCAST", "REDIRECT", &ids.lock().unwrap()[0].to_string()])?;
            ask(&["INCR", "visits"])?;
            ask(&["MULTI"])?;
            Ok(())
        }
    };
    let explored =
        races::explore(&test_request).client("a", work(&ids)).client("b", work(&ids)).check(|_, outcomes| {
            assert!(outcomes.error("a").is_none() && outcomes.error("b").is_none(), "{outcomes:?}");
        });
    let mut ids = ids.lock().unwrap().clone();
    assert!(explored.schedules() > 5 && ids.len() >= 2 * explored.schedules(), "{explored:?}");
    let connections = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert!(ids.len() < connections / 2, "{} ids of {connections} connections", ids.len());
}

/// The exploration goes on after a failure, and reports the one with the fewest switches.
#[rstest]
#[clean_redis]
fn the_failure_with_the_fewest_switches_is_shown(test_request: TestRequest) {
    let read = |client: &Client| -> RedisResult<bool> {
        let mut redis = connect(client)?;
        let (one, other): (Option<u32>, Option<u32>) = (redis.get("a")?, redis.get("b")?);
        Ok(one == other)
    };
    let write = |client: &Client| -> RedisResult<()> {
        let mut redis = connect(client)?;
        redis.set::<_, _, ()>("b", 1)?;
        redis.set("a", 1)
    };
    let text = failure(|| {
        races::explore(&test_request)
            .client("reader", read)
            .client("writer", write)
            .client("other", commands(1))
            .check(|_, outcomes| assert_eq!(outcomes.value("reader"), Some(&true)))
    });
    let replay = text.split("TRANSIENT_REPLAY='").nth(1).expect("a replay").trim_end_matches(['\'', '\n']);
    let runs: Vec<_> = replay.split(',').collect();
    assert_eq!(runs.len(), 4, "three switches: {text}");
}

#[rstest]
#[clean_redis]
fn a_client_that_panics_fails(test_request: TestRequest) {
    let text = failure(|| {
        races::explore(&test_request)
            .client("a", |client| {
                client.point("first");
                assert!(client.name() != "a", "out of stock");
            })
            .client("b", commands(1))
            .check(|_, _| ())
    });
    assert!(text.contains("out of stock") && text.contains("\"a\""), "{text}");
}

#[rstest]
#[clean_redis]
fn names_are_checked(test_request: TestRequest) {
    let text = failure(|| races::explore(&test_request).client("a", commands(1)).cutting("b").check(|_, _| ()));
    assert!(text.contains(golden("races::no_client")), "{text}");
    let text =
        failure(|| races::explore(&test_request).client("a", commands(1)).client("a", commands(1)).check(|_, _| ()));
    assert!(text.contains(golden("races::same_name")), "{text}");
    let text = failure(|| {
        races::explore(&test_request).seed(|_| Err::<(), _>("no data")).client("a", commands(1)).check(|_, _| ())
    });
    assert!(text.contains(golden("races::seed_failed")) && text.contains("no data"), "{text}");
}

#[cfg(feature = "tokio")]
#[rstest]
#[clean_redis]
fn asynchronous_clients_are_explored(test_request: TestRequest) {
    use redis::{AsyncCommands, AsyncConnectionConfig};

    async fn add(client: Client) -> RedisResult<()> {
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let redis = redis::Client::open(client.redis_url())?;
        let mut redis = redis.get_multiplexed_async_connection_with_config(&config).await?;
        let count: Option<u32> = AsyncCommands::get(&mut redis, "visits").await?;
        AsyncCommands::set(&mut redis, "visits", count.unwrap_or_default() + 1).await
    }
    let text = failure(|| {
        races::explore(&test_request)
            .client_async("a", add)
            .client_async("b", add)
            .check(|redis, _| assert_eq!(redis.get::<_, u32>("visits").unwrap(), 2))
    });
    assert!(text.contains("2 of 20"), "{text}");
}

#[rstest]
#[clean_redis]
fn a_stampede_counts_loads(test_request: TestRequest) {
    fn page(client: &Client, locks: bool) -> RedisResult<()> {
        let mut redis = connect(client)?;
        if redis.exists("page")? || (locks && !redis.set_nx::<_, _, bool>("lock", 1)?) {
            return Ok(());
        }
        client.point("load");
        redis.set_ex("page", "the page", 60)
    }
    assert_eq!(races::stampede(&test_request, 20, |client| page(client, false)).loads(), 20);
    test_request.flush().unwrap();
    races::stampede(&test_request, 20, |client| page(client, true)).at_most(1);
    test_request.flush().unwrap();
    let panic = panic_of(|| races::stampede(&test_request, 3, |client| page(client, false)).at_most(1));
    assert!(panic.contains(golden("races::stampede")), "{panic}");
}

/// An asynchronous client gives up after 100 ms. Its command is held for longer.
#[cfg(feature = "tokio")]
#[rstest]
#[clean_redis]
fn a_client_that_gives_up_is_named(test_request: TestRequest) {
    use redis::{AsyncCommands, AsyncConnectionConfig};

    /// Only the command has a timeout: a busy machine can take long to connect.
    async fn read(client: Client, done: Sender<()>) -> RedisResult<()> {
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let redis = redis::Client::open(client.redis_url())?;
        let mut redis = redis.get_multiplexed_async_connection_with_config(&config).await?;
        let visits = AsyncCommands::get::<_, Option<u32>>(&mut redis, "visits");
        let _ = tokio::time::timeout(Duration::from_millis(100), visits).await;
        done.send(()).expect("the slow client");
        Ok(())
    }
    let (sender, receiver) = mpsc::channel();
    let receiver = Mutex::new(receiver);
    // While it runs, the command is held.
    let slow = move |_: &Client| {
        receiver.lock().unwrap().recv().expect("the other client");
        // The other client ends now, and its command must be held until then.
        thread::sleep(Duration::from_millis(500));
    };
    let impatient = move |client| read(client, sender.clone());
    let text = failure(|| {
        races::explore(&test_request).client_async("impatient", impatient).client("slow", slow).check(|_, _| ())
    });
    assert!(text.contains(golden("races::gave_up")) && text.contains("\"impatient\""), "{text}");
}
