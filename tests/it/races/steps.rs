//! What is a step, besides plain commands: blocking commands, time, faults and points.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::{Commands, Connection, RedisResult};
use rstest::rstest;
use transient_fixtures::races::{self, Client};
use transient_fixtures::{Provider, TestRequest, clean_redis, get_redis, test_request};

use super::{commands, connect, failure};
use crate::golden::golden;

#[rstest]
#[clean_redis]
fn transactions_scripts_and_handshakes(test_request: TestRequest) {
    let transaction = |client: &Client| -> RedisResult<()> {
        let mut redis = connect(client)?;
        redis::pipe().atomic().incr("a", 1).incr("b", 1).exec(&mut redis)
    };
    let script = |client: &Client| -> RedisResult<u32> {
        let mut redis = redis::Client::open(client.jobs_url())?.get_connection()?;
        redis::cmd("CLIENT").arg("SETNAME").arg("x").exec(&mut redis)?;
        redis::cmd("EVAL").arg("redis.call('INCR', 'a') return redis.call('INCR', 'b')").arg(0).query(&mut redis)
    };
    let explored = races::explore(&test_request).client("a", transaction).client("b", script).check(|_, _| ());
    assert_eq!(explored.schedules(), 6);
    let pipeline = |client: &Client| -> RedisResult<()> {
        let mut redis = connect(client)?;
        redis::pipe().incr("a", 1).incr("b", 1).exec(&mut redis)
    };
    let explored = races::explore(&test_request).client("a", pipeline).client("b", transaction).check(|_, _| ());
    assert_eq!(explored.schedules(), 10);
}

/// EVALSHA fails once, and then the server knows the script.
#[rstest]
#[clean_redis]
fn unknown_scripts_are_loaded(test_request: TestRequest) {
    let script = redis::Script::new("return redis.call('INCR', 'a') -- unknown_scripts_are_loaded");
    let run = move |client: &Client| -> RedisResult<u32> { script.invoke(&mut connect(client)?) };
    let explored = races::explore(&test_request).client("a", run.clone()).client("b", run).check(|_, _| ());
    assert_eq!(explored.schedules(), 6);
}

#[rstest]
#[clean_redis]
fn a_blocked_client_is_woken_or_times_out(test_request: TestRequest) {
    let worker = |timeout: f64| {
        move |client: &Client| -> RedisResult<Option<(String, String)>> { connect(client)?.blpop("mail", timeout) }
    };
    let push = |client: &Client| -> RedisResult<()> { connect(client)?.rpush("mail", "a job") };
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let note = seen.clone();
    races::explore(&test_request).client("worker", worker(0.5)).client("shop", push).check(move |redis, outcomes| {
        let job = outcomes.value::<Option<(String, String)>>("worker").unwrap().is_some();
        assert_eq!(redis.llen::<_, u32>("mail").unwrap(), u32::from(!job));
        note.lock().unwrap().insert(job);
    });
    assert_eq!(*seen.lock().unwrap(), BTreeSet::from([true, false]));
    // Without a timeout it always gets the job.
    races::explore(&test_request).client("worker", worker(0.0)).client("shop", push).check(|_, outcomes| {
        assert!(outcomes.value::<Option<(String, String)>>("worker").unwrap().is_some());
    });
}

#[rstest]
#[clean_redis]
fn clients_that_all_wait_are_a_deadlock(test_request: TestRequest) {
    let wait = |own: &'static str, other: &'static str| {
        move |client: &Client| -> RedisResult<()> {
            let mut redis = connect(client)?;
            redis.blpop::<_, ()>(own, 0.0)?;
            redis.rpush(other, 1)
        }
    };
    let explore = || races::explore(&test_request).client("a", wait("x", "y")).client("b", wait("y", "x"));
    let text = failure(|| explore().check(|_, _| ()));
    assert!(text.contains(golden("races::deadlock")) && text.contains("BLPOP x 0"), "{text}");
    // The next exploration on this server works.
    races::explore(&test_request).client("a", commands(1)).check(|redis, _| {
        assert_eq!(redis.set_nx::<_, _, bool>("free", 1), Ok(true));
    });
}

#[rstest]
#[clean_redis]
fn clients_can_have_faults(test_request: TestRequest) {
    let add = |client: &Client| -> RedisResult<()> { connect(client)?.incr("visits", 1) };
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let note = seen.clone();
    let explored =
        races::explore(&test_request).client("a", add).client("b", add).cutting("a").losing_reply("a").check(
            move |redis, outcomes| {
                let visits: u32 = redis.get("visits").unwrap();
                note.lock().unwrap().insert((outcomes.error("a").is_some(), visits));
            },
        );
    // Executed, not executed, and executed without a reply.
    assert_eq!(*seen.lock().unwrap(), BTreeSet::from([(false, 2), (true, 1), (true, 2)]));
    assert_eq!(explored.schedules(), 18);
}

/// A key is its last writer's, even if the reply to the write is lost. A write that is cut before has changed nothing.
#[rstest]
#[clean_redis]
fn a_key_is_its_last_writers_whatever_happens_to_the_reply(test_request: TestRequest) {
    let take = |client: &Client| -> RedisResult<()> { connect(client)?.set_ex("lock", client.name(), 60) };
    let seen = |is_lost: bool| {
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        let note = seen.clone();
        let explore = races::explore(&test_request).client("a", take).client("b", commands(1)).client("c", take);
        let explore = if is_lost { explore.losing_reply("a") } else { explore.cutting("a") };
        explore.expiring_of("a", "lock").check(move |redis, outcomes| {
            let holder: Option<String> = redis.get("lock").unwrap();
            note.lock().unwrap().insert((outcomes.error("a").is_some(), holder));
        });
        Arc::into_inner(seen).expect("the exploration is over").into_inner().unwrap()
    };
    let holder = |name: &str| Some(name.to_owned());
    let whole = [(false, None), (false, holder("a")), (false, holder("c"))];
    let lost = [(true, None), (true, holder("a")), (true, holder("c"))];
    assert_eq!(seen(true), whole.iter().cloned().chain(lost).collect());
    assert_eq!(seen(false), whole.into_iter().chain([(true, holder("c"))]).collect());
}

#[rstest]
#[clean_redis]
fn a_dead_client_leaves_its_data(test_request: TestRequest) {
    let work = |client: &Client| -> RedisResult<()> {
        let mut redis = connect(client)?;
        redis.set_ex::<_, _, ()>("lock", 1, 60)?;
        client.point("work");
        redis.del("lock")
    };
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let note = seen.clone();
    races::explore(&test_request).client("worker", work).dying("worker").check(move |redis, outcomes| {
        note.lock().unwrap().insert((outcomes.died("worker"), redis.exists::<_, bool>("lock").unwrap()));
    });
    assert_eq!(*seen.lock().unwrap(), BTreeSet::from([(false, false), (true, false), (true, true)]));
}

/// The server knows that the client is gone: the job stays in the list, and nobody gets the message.
#[rstest]
#[clean_redis]
fn a_dead_client_gets_nothing(test_request: TestRequest) {
    let work = |client: &Client| -> RedisResult<()> {
        let (mut redis, mut listener) = (connect(client)?, connect(client)?);
        let mut messages = listener.as_pubsub();
        messages.subscribe("news")?;
        redis.blpop("jobs", 0.0)
    };
    let push = |client: &Client| -> RedisResult<u32> {
        let mut redis = connect(client)?;
        redis.rpush::<_, _, ()>("jobs", "a job")?;
        redis.publish("news", "a message")
    };
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let note = seen.clone();
    races::explore(&test_request).client("worker", work).client("shop", push).dying("worker").check(
        move |redis, outcomes| {
            let jobs: u32 = redis.llen("jobs").unwrap();
            let receivers = *outcomes.value::<u32>("shop").unwrap();
            note.lock().unwrap().insert((outcomes.died("worker"), jobs, receivers));
        },
    );
    let seen = seen.lock().unwrap();
    // It died before it got the job, and either before or after the message.
    assert!(seen.contains(&(true, 1, 0)) && seen.contains(&(true, 1, 1)), "{seen:?}");
    assert!(seen.iter().all(|(died, jobs, _)| *died || *jobs == 0), "{seen:?}");
}

/// Sets which key events the server publishes.
fn publish_events(redis: &mut Connection, classes: &str) {
    redis::cmd("CONFIG").arg("SET").arg("notify-keyspace-events").arg(classes).exec(redis).unwrap();
}

/// A client that listens to key events learns of the step.
#[rstest]
#[clean_redis]
fn expired_keys_are_published(test_request: TestRequest) {
    // A shared server is not configured.
    if test_request.server().provider() == Provider::Running {
        return;
    }
    let mut redis = get_redis(&test_request).unwrap();
    publish_events(&mut redis, "Ex");
    let listen = |client: &Client| -> RedisResult<String> {
        let mut redis = connect(client)?;
        let mut messages = redis.as_pubsub();
        messages.psubscribe("__keyevent@*__:expired")?;
        messages.get_message()?.get_payload()
    };
    let explore = || races::explore(&test_request).seed(|redis| redis.set_ex::<_, _, ()>("page", 1, 60));
    let explored = explore().client("listener", listen).expiring("page").max_schedules(50);
    // Where the page expires before the listener has subscribed, it waits for ever.
    let text = failure(|| explored.check(|_, _| ()));
    publish_events(&mut redis, "");
    assert!(text.contains(golden("races::deadlock")), "{text}");
    // Where it expires afterwards, the listener learns of it.
    let numbers: Vec<u32> = text
        .lines()
        .next()
        .unwrap_or_default()
        .split(|letter: char| !letter.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect();
    assert!(matches!(numbers[..], [_, all, failed] if failed < all), "{text}");
}

#[rstest]
#[clean_redis]
fn time_is_a_step(test_request: TestRequest) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = seen.clone();
    let read = |client: &Client| -> RedisResult<Option<u32>> { connect(client)?.get("page") };
    let explored = races::explore(&test_request)
        .seed(|redis| redis.set_ex::<_, _, ()>("page", 1, 4000))
        .client("reader", read)
        .time([Duration::from_secs(3000), Duration::from_secs(5000)])
        .check(move |_, outcomes| {
            note.lock().unwrap().push(outcomes.value::<Option<u32>>("reader").unwrap().is_some());
        });
    let seen = seen.lock().unwrap();
    assert_eq!(explored.schedules(), seen.len());
    // The page is still there after no time, and after 3,000 s before the start or before GET.
    assert_eq!(seen.iter().filter(|is_there| **is_there).count(), 3);
}

#[rstest]
#[clean_redis]
fn a_client_can_begin_after_a_point(test_request: TestRequest) {
    let login = |client: &Client| -> RedisResult<()> {
        let mut redis = connect(client)?;
        client.point("302 sent");
        redis.set("session", 1)
    };
    let next = |client: &Client| -> RedisResult<Option<u32>> {
        client.after("302 sent");
        connect(client)?.get("session")
    };
    let explored = races::explore(&test_request).client("login", login).client("next page", next).check(|_, _| ());
    // SET, and the next page's start and GET.
    assert_eq!(explored.schedules(), 3);
    let text = failure(|| races::explore(&test_request).client("next page", next).check(|_, _| ()));
    assert!(text.contains(golden("races::deadlock")) && text.contains("302 sent"), "{text}");
}

#[rstest]
#[clean_redis]
fn a_client_can_have_several_connections_and_threads(test_request: TestRequest) {
    let pair = |client: &Client| -> RedisResult<()> {
        let (mut one, mut other) = (connect(client)?, connect(client)?);
        one.incr::<_, _, ()>("a", 1)?;
        other.incr::<_, _, ()>("a", 1)?;
        let clone = client.clone();
        let thread = std::thread::spawn(move || -> RedisResult<()> { connect(&clone)?.incr("a", 1) });
        thread.join().expect("the thread")
    };
    let explored = races::explore(&test_request)
        .client("a", pair)
        .client("b", commands(1))
        .check(|redis, _| assert_eq!(redis.get::<_, u32>("a").unwrap(), 3));
    assert_eq!(explored.schedules(), 15);
}

#[rstest]
#[clean_redis]
fn connections_can_outlive_a_schedule(test_request: TestRequest) {
    let keep = || {
        let kept = Mutex::new(None);
        move |client: &Client| -> RedisResult<()> {
            let mut kept = kept.lock().unwrap();
            if kept.is_none() {
                *kept = Some(connect(client)?);
            }
            kept.as_mut().expect("a connection").incr("a", 1)
        }
    };
    let explored = races::explore(&test_request)
        .client("a", keep())
        .client("b", keep())
        .check(|redis, _| assert_eq!(redis.get::<_, u32>("a").unwrap(), 2));
    assert_eq!(explored.schedules(), 6);
}
