//! Rules inject their faults into matching commands, and leave the others alone.

use std::time::{Duration, Instant};

use redis::{Commands, Connection, RedisResult, cmd, pipe};
use rstest::rstest;
use transient_fixtures::tap::Tap;
use transient_fixtures::{Provider, TestRequest, clean_redis, get_jobs_redis, get_redis, test_request};

use super::connect;
use crate::child::Child;
use crate::golden::golden;
use crate::own_server::own_provider;
use crate::panics::panic_of;

#[rstest]
#[clean_redis]
fn cut_before_skips_the_command_and_cut_after_executes_it(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let mut direct = get_redis(&test_request).expect("connect");
    let rule = tap.on("INCR*").key("a").times(1).cut_before();
    assert!(connect(&tap).incr::<_, _, u32>("a", 1).is_err());
    assert_eq!((rule.fired(), direct.get::<_, Option<u32>>("a").unwrap()), (1, None));

    let rule = tap.on("incr*").key("a").times(1).cut_after();
    assert!(connect(&tap).incr::<_, _, u32>("a", 1).is_err());
    assert_eq!((rule.fired(), direct.get::<_, Option<u32>>("a").unwrap()), (1, Some(1)));

    // The rules are used up, and later commands pass.
    assert_eq!(connect(&tap).incr::<_, _, u32>("a", 1).expect("INCR"), 2);
    let harmed = tap.commands().only(transient_fixtures::tap::Command::has_fault);
    assert_eq!(harmed.len(), 2);
    assert!(harmed[0].reply().is_none() && harmed[1].reply().is_some(), "{harmed}");
}

#[rstest]
#[clean_redis]
fn replies_can_be_replaced(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let mut redis = connect(&tap);
    redis.set::<_, _, ()>("a", "1").expect("SET");

    tap.on("GET").times(1).error("LOADING Redis is loading the dataset in memory");
    let error = redis.get::<_, String>("a").expect_err("an error");
    assert_eq!(error.code(), Some("LOADING"));
    tap.on("GET").times(1).nil();
    assert_eq!(redis.get::<_, Option<String>>("a").expect("GET"), None);
    tap.on("SET").times(1).pretend();
    redis.set::<_, _, ()>("a", "2").expect("SET");
    assert_eq!(redis.get::<_, String>("a").expect("GET"), "1");
    tap.on("INCR*").times(1).twice();
    assert_eq!(redis.incr::<_, _, u32>("a", 1).expect("INCR"), 2);
    assert_eq!(redis.get::<_, String>("a").expect("GET"), "3");
    tap.on("SETEX").times(1).without_expiry();
    redis.set_ex::<_, _, ()>("b", "1", 60).expect("SETEX");
    assert_eq!(redis.ttl::<_, i64>("b").expect("TTL"), -1);
    tap.on("SET").times(1).without_expiry();
    cmd("SET").arg("b").arg("2").arg("EX").arg(60).arg("GET").exec(&mut redis).expect("SET");
    assert_eq!(redis.ttl::<_, i64>("b").expect("TTL"), -1);
    tap.on("GET").times(1).half_reply();
    assert!(redis.get::<_, String>("a").is_err());
    let mut redis = connect(&tap);
    tap.on("GET").times(1).garbage();
    assert!(redis.get::<_, String>("a").is_err());
}

/// The other commands of the pipeline get their own replies.
#[rstest]
#[clean_redis]
fn a_rule_affects_only_its_command_in_a_pipeline(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let mut redis = connect(&tap);
    let ask = |redis: &mut Connection| -> Vec<RedisResult<Option<u32>>> {
        let mut stream = pipe();
        for key in ["a", "b", "c", "d"] {
            stream.cmd("INCR").arg(key);
        }
        let values: Vec<redis::Value> = stream.ignore_errors().query(redis).expect("replies");
        values.into_iter().map(redis::from_redis_value).map(|value| value.map_err(Into::into)).collect()
    };
    for harm in [
        |tap: &Tap| tap.on("INCR*").key("b").times(1).error("BUSY a script is running"),
        |tap: &Tap| tap.on("INCR*").key("b").times(1).nil(),
        |tap: &Tap| tap.on("INCR*").key("b").times(1).twice(),
        |tap: &Tap| tap.on("INCR*").key("b").times(1).delay(Duration::from_millis(30)),
        |tap: &Tap| tap.on("INCR*").key("b").times(1).late(Duration::from_millis(30)),
    ] {
        test_request.flush().expect("flush");
        let rule = harm(&tap);
        let replies = ask(&mut redis);
        assert_eq!(rule.fired(), 1);
        for index in [0, 2, 3] {
            assert_eq!(replies[index].as_ref().expect("a number"), &Some(1), "{}", tap.commands());
        }
        assert!(tap.commands().iter().all(|command| command.reply().is_some()));
    }
}

#[rstest]
#[clean_redis]
fn a_late_reply_arrives_after_the_client_timed_out(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let mut redis = connect(&tap);
    redis.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
    tap.on("INCR*").times(1).late(Duration::from_millis(500));
    let start = Instant::now();
    let error = redis.incr::<_, _, u32>("a", 1).expect_err("a timeout");
    assert!(error.is_timeout() && start.elapsed() < Duration::from_millis(500), "{error}");
    assert_eq!(get_redis(&test_request).unwrap().get::<_, u32>("a").unwrap(), 1);
}

#[rstest]
#[clean_redis]
fn loses_data_before_the_command(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let mut redis = connect(&tap);
    pipe().set("cart:1", 1).set("cart:2", 1).set("price:1", 1).exec(&mut redis).expect("SET");
    tap.on("GET").key("cart:1").times(1).lose_keys("cart:*");
    assert_eq!(redis.get::<_, Option<u32>>("cart:1").expect("GET"), None);
    assert_eq!(redis.get::<_, Option<u32>>("price:1").expect("GET"), Some(1));
    tap.on("GET").times(1).lose_data();
    assert_eq!(redis.get::<_, Option<u32>>("price:1").expect("GET"), None);
}

#[rstest]
#[clean_redis]
fn rules_skip_count_and_filter(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let mut redis = connect(&tap);
    let rule = tap.on("GET").key("a*").skip(1).times(1).error("ERR no");
    assert!(redis.get::<_, Option<u32>>("b").is_ok());
    assert!(redis.get::<_, Option<u32>>("a1").is_ok());
    assert!(redis.get::<_, Option<u32>>("a2").is_err());
    assert!(redis.get::<_, Option<u32>>("a3").is_ok());
    assert_eq!(rule.fired(), 1);

    cmd("CLIENT").arg("SETNAME").arg("shop").exec(&mut redis).expect("SETNAME");
    let rule = tap.on("*").client("shop").error("ERR no");
    assert!(redis.get::<_, Option<u32>>("a").is_err());
    assert!(connect(&tap).get::<_, Option<u32>>("a").is_ok());
    tap.clear_rules();
    assert!(redis.get::<_, Option<u32>>("a").is_ok());
    assert_eq!(rule.fired(), 1);

    tap.on("GET").within(Duration::ZERO).error("ERR no");
    assert!(redis.get::<_, Option<u32>>("a").is_ok());
}

/// A command longer than 64 KiB is judged by its first bytes.
#[rstest]
#[clean_redis]
fn large_commands_pass_rules(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let mut redis = connect(&tap);
    let value = vec![b'x'; 3 * 1024 * 1024];
    let rule = tap.on("SET").key("a").times(1).delay(Duration::from_millis(10));
    redis.set::<_, _, ()>("a", &value).expect("SET");
    tap.on("GET").times(1).late(Duration::from_millis(10));
    assert_eq!(redis.get::<_, Vec<u8>>("a").expect("GET"), value);
    tap.on("GET").times(1).nil();
    assert_eq!(redis.get::<_, Option<Vec<u8>>>("a").expect("GET"), None);
    tap.on("SET").times(1).error("OOM command not allowed");
    assert_eq!(redis.set::<_, _, ()>("a", &value).expect_err("an error").code(), Some("OOM"));
    assert_eq!(redis.get::<_, Vec<u8>>("a").expect("GET").len(), value.len());
    assert_eq!(rule.fired(), 1);
}

#[rstest]
#[clean_redis]
fn keys_with_a_ttl_expire_with_their_event(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let mut direct = get_redis(&test_request).expect("connect");
    let can_configure = test_request.server().provider() != Provider::Running;
    if can_configure {
        cmd("CONFIG").arg("SET").arg("notify-keyspace-events").arg("Ex").exec(&mut direct).expect("CONFIG SET");
    }
    let mut subscriber = get_redis(&test_request).expect("connect");
    let mut events = subscriber.as_pubsub();
    events.psubscribe("__keyevent@*__:*").expect("PSUBSCRIBE");

    direct.set_ex::<_, _, ()>("cart:1", 1, 3600).expect("SETEX");
    direct.set::<_, _, ()>("cart:2", 1).expect("SET");
    direct.set_ex::<_, _, ()>("stock", 1, 3600).expect("SETEX");
    let mut jobs = get_jobs_redis(&test_request).expect("connect");
    jobs.set_ex::<_, _, ()>("cart:jobs", 1, 3600).expect("SETEX");
    let rule = tap.on("EXISTS").times(1).expire_keys("cart:*");
    let left: u32 = cmd("EXISTS").arg(&["cart:1", "cart:2", "stock"]).query(&mut connect(&tap)).expect("EXISTS");
    assert_eq!((rule.fired(), left), (1, 2));
    assert!(!jobs.exists::<_, bool>("cart:jobs").expect("EXISTS"));

    if can_configure {
        let mut expired = [(); 2].map(|()| events.get_message().expect("a message").get_payload::<String>().unwrap());
        expired.sort();
        assert_eq!(expired, ["cart:1", "cart:jobs"]);
    }
}

#[rstest]
#[clean_redis]
fn a_restart_loses_data_scripts_and_all_connections(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    if test_request.server().provider() == Provider::Running {
        // Its scripts belong to others too.
        assert!(panic_of(|| tap.on("GET").restart()).contains(golden("tap::restarts_shared")));
        return;
    }
    let mut redis = connect(&tap);
    redis.set::<_, _, ()>("a", 1).expect("SET");
    let script: String = cmd("SCRIPT").arg("LOAD").arg("return 1").query(&mut redis).expect("SCRIPT LOAD");
    let mut watching = connect(&tap);
    cmd("WATCH").arg("a").exec(&mut watching).expect("WATCH");
    let mut subscriber = connect(&tap);
    let mut messages = subscriber.as_pubsub();
    messages.subscribe("news").expect("SUBSCRIBE");

    let rule = tap.on("INCR*").times(1).restart();
    assert!(redis.incr::<_, _, u32>("a", 1).is_err());
    assert_eq!(rule.fired(), 1);
    assert!(watching.ping::<()>().is_err() && messages.get_message().is_err());
    let mut redis = connect(&tap);
    assert_eq!(redis.get::<_, Option<u32>>("a").expect("GET"), None);
    let forgotten: RedisResult<u32> = cmd("EVALSHA").arg(script).arg(0).query(&mut redis);
    assert_eq!(forgotten.expect_err("an error").code(), Some("NOSCRIPT"));
}

/// Earlier commands of a pipeline are executed before the data changes, and later ones afterwards.
#[rstest]
#[clean_redis]
fn data_changes_in_the_middle_of_a_pipeline(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let mut redis = connect(&tap);
    for rule in [
        |tap: &Tap| tap.on("GET").key("b").times(1).lose_data(),
        |tap: &Tap| tap.on("GET").key("b").times(1).lose_keys("*"),
        |tap: &Tap| tap.on("GET").key("b").times(1).expire_keys("*"),
    ] {
        let rule = rule(&tap);
        let mut pipeline = pipe();
        pipeline
            .set_ex("a", 1, 60)
            .ignore()
            .set_ex("b", 2, 60)
            .ignore()
            .get("a")
            .get("b")
            .get("a")
            .set("c", 3)
            .ignore();
        let found: (Option<u32>, Option<u32>, Option<u32>) = pipeline.query(&mut redis).expect("a pipeline");
        assert_eq!((rule.fired(), found), (1, (Some(1), None, None)));
        assert_eq!(redis.get::<_, Option<u32>>("c").expect("GET"), Some(3));
    }

    // Only one of two rules applies, and the other one skips the right number.
    let skipping = tap.on("GET").skip(1).times(1).lose_data();
    let mut pipeline = pipe();
    pipeline.set("a", 1).ignore().get("a").set("a", 2).ignore().get("a").get("c");
    let found: (Option<u32>, Option<u32>, Option<u32>) = pipeline.query(&mut redis).expect("a pipeline");
    assert_eq!((skipping.fired(), found), (1, (Some(1), None, None)));
}

/// The reply to the command before it comes from the tap, so no reply of the server releases it.
#[rstest]
#[clean_redis]
fn data_changes_after_a_reply_of_the_tap(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let mut redis = connect(&tap);
    redis.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    redis.set::<_, _, ()>("b", 1).expect("SET");
    for fake in [|tap: &Tap| tap.on("SET").times(1).pretend(), |tap: &Tap| tap.on("SET").times(1).nil()] {
        fake(&tap);
        tap.on("GET").times(1).lose_data();
        let (found,): (Option<u32>,) = pipe().set("a", 1).ignore().get("b").query(&mut redis).expect("the pipeline");
        assert_eq!(found, None);
    }
}

#[rstest]
#[clean_redis]
fn a_restart_in_a_pipeline_leaves_nothing(test_request: TestRequest) {
    if test_request.server().provider() == Provider::Running {
        return;
    }
    let tap = test_request.tap().expect("a tap");
    let rule = tap.on("GET").times(1).restart();
    let cut: RedisResult<()> = pipe().set("a", 1).get("a").set("b", 2).exec(&mut connect(&tap));
    assert!(cut.is_err() && rule.fired() == 1);
    let left: u32 = cmd("DBSIZE").query(&mut get_redis(&test_request).expect("connect")).expect("DBSIZE");
    assert_eq!(left, 0);
}

/// Otherwise the fault would be missing without notice.
#[test]
fn a_rule_that_the_server_refuses_is_reported() {
    let child = Child::test("tap::rules::has_no_permission_for_scripts").env("TRANSIENT_PROVIDER", own_provider());
    let ended = child.run();
    ended.assert_passed();
    assert!(ended.output.contains("'eval' command"), "{}", ended.output);
}

#[rstest]
#[clean_redis]
#[ignore = "run by the test above"]
fn has_no_permission_for_scripts(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let mut redis = connect(&tap);
    cmd("ACL").arg("SETUSER").arg("default").arg("-eval").exec(&mut redis).expect("ACL SETUSER");
    tap.on("GET").lose_keys("a");
    assert_eq!(redis.get::<_, Option<u32>>("a").expect("GET"), None);
}
