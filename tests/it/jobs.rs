//! Jobs in Celery's format. `interop/` tests against Celery itself.

#[cfg(feature = "apalis")]
mod apalis;
mod messages;
mod places;
mod random;
mod requeue;
#[cfg(feature = "rq")]
mod rq;
#[cfg(feature = "sidekiq")]
mod sidekiq;

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use redis::Commands;
use rstest::rstest;
use serde_json::{Value, json};
use transient_fixtures::{
    Celery, EnqueuedAssertion, Error, Job, JobFormat, TestRequest, clean_redis, get_jobs_redis, redis, test_request,
};

use transient_fixtures::jobs::{Entry, KeyRole, Place};

use crate::golden::golden;
use crate::panics::panic_of;

fn names(jobs: &[Job]) -> Vec<&str> {
    jobs.iter().map(|job| job.name().unwrap_or("unreadable")).collect()
}

type Assertion = fn(EnqueuedAssertion) -> EnqueuedAssertion;

#[rstest]
#[clean_redis]
fn lists_jobs_in_the_order_of_the_workers(test_request: TestRequest) -> Result<(), Error> {
    let jobs = test_request.jobs();
    assert!(jobs.pending("celery")?.is_empty() && jobs.all()?.is_empty() && jobs.scheduled()?.is_empty());
    for (name, priority) in [("third", 5), ("first", 0), ("fourth", 9), ("second", 0)] {
        jobs.enqueue(Job::new(name).with_priority(priority))?;
    }
    jobs.enqueue(Job::new("elsewhere").with_queue("mail"))?;
    let pending = jobs.pending("celery")?;
    assert_eq!(names(&pending), ["first", "second", "third", "fourth"]);
    assert_eq!(pending.iter().filter_map(Job::priority).collect::<Vec<_>>(), [0, 0, 5, 9]);
    assert_eq!(names(&jobs.pending("mail")?), ["elsewhere"]);
    assert_eq!(jobs.all()?.len(), 5);
    let mut keys: Vec<String> = get_jobs_redis(&test_request).expect("connect").keys("*").expect("KEYS");
    keys.sort_unstable();
    assert_eq!(keys, ["celery", "celery\u{6}\u{16}3", "celery\u{6}\u{16}9", "mail"]);
    Ok(())
}

#[rstest]
#[clean_redis]
fn reads_back_an_enqueued_job(test_request: TestRequest) -> Result<(), Error> {
    let jobs = test_request.jobs();
    let eta = SystemTime::now() + Duration::from_secs(3600);
    let job = Job::new("shop.send_mail")
        .with_args(("ÅÄÖ", 3, [1.5]))
        .with_kwarg("copy", true)
        .with_queue("mail")
        .with_priority(6)
        .with_eta(eta);
    let id = jobs.enqueue(job.clone())?;
    let found = jobs.pending("mail")?.remove(0);
    assert_eq!((found.id(), found.args()), (Some(id.as_str()), &[json!("ÅÄÖ"), json!(3), json!([1.5])][..]));
    let due = found.eta().expect("an eta");
    assert!(
        due.duration_since(eta).or_else(|error| Ok::<_, ()>(error.duration())).expect("a difference")
            < Duration::from_micros(1)
    );
    let raw: Value = serde_json::from_slice(found.raw()).expect("JSON");
    assert_eq!(raw["headers"]["id"], id.as_str());
    assert_eq!(found.root(), Some(id.as_str()));
    assert_eq!(found.with_id("1").with_root("1").with_eta(eta), job.clone().with_id("1").with_root("1"));
    // The id is a version 4 UUID.
    assert_eq!((id.len(), &id[14..15]), (36, "4"));
    assert_ne!(jobs.enqueue(job)?, id);
    assert_eq!(jobs.enqueue(Job::new("x").with_id("mine"))?, "mine");
    Ok(())
}

#[rstest]
#[clean_redis]
fn drains_a_whole_queue(test_request: TestRequest) -> Result<(), Error> {
    let jobs = test_request.jobs();
    for number in 0..50_u8 {
        jobs.enqueue(Job::new("count").with_args((number,)).with_priority(u32::from(number % 10)))?;
    }
    jobs.enqueue(Job::new("stays").with_queue("mail"))?;
    assert_eq!(jobs.drain("celery")?.len(), 50);
    assert!(jobs.pending("celery")?.is_empty() && jobs.drain("celery")?.is_empty());
    jobs.assert_enqueued("stays").times(1);

    // A key of the wrong type stays.
    let mut redis = get_jobs_redis(&test_request).expect("connect");
    redis.hset::<_, _, _, ()>("unacked", "tag", "a job").expect("HSET");
    let error = jobs.drain("unacked").expect_err("a hash");
    assert!(error.is_server() && format!("{error:?}").contains("WRONGTYPE"), "{error}");
    assert!(redis.hexists::<_, _, bool>("unacked", "tag").expect("HEXISTS"));
    Ok(())
}

/// Concurrent drains share the jobs between them.
#[rstest]
#[clean_redis]
fn no_job_is_drained_twice_or_lost(test_request: TestRequest) -> Result<(), Error> {
    let (jobs, done) = (test_request.jobs(), std::sync::atomic::AtomicBool::new(false));
    let drained: usize = std::thread::scope(|scope| {
        let drain = || {
            let jobs = test_request.jobs();
            let mut count = 0;
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                count += jobs.drain("celery").expect("drain").len();
            }
            count
        };
        let (one, two) = (scope.spawn(drain), scope.spawn(drain));
        for number in 0..500 {
            jobs.enqueue(Job::new("count").with_args(number)).expect("enqueue");
        }
        done.store(true, std::sync::atomic::Ordering::SeqCst);
        one.join().expect("join") + two.join().expect("join")
    });
    assert_eq!(drained + jobs.drain("celery")?.len(), 500);
    Ok(())
}

/// It does not matter whether the message can be read.
#[rstest]
#[clean_redis]
fn enqueues_a_drained_job_byte_for_byte(test_request: TestRequest) -> Result<(), Error> {
    let (jobs, mut redis) = (test_request.jobs(), get_jobs_redis(&test_request).expect("connect"));
    let grouped = message(|message| message["headers"]["group"] = json!("a group"));
    let low = message(|message| message["properties"]["priority"] = json!(7));
    redis.lpush::<_, _, ()>("celery", &["rubbish", &grouped]).expect("LPUSH");
    redis.lpush::<_, _, ()>("celery\u{6}\u{16}6", &low).expect("LPUSH");
    let drained = jobs.drain("celery")?;
    for job in drained.iter().cloned() {
        jobs.enqueue(job)?;
    }
    assert_eq!(jobs.pending("celery")?, drained);
    assert_eq!(redis.lrange::<_, Vec<String>>("celery", 0, -1).expect("LRANGE"), [grouped.as_str(), "rubbish"]);

    // A changed job is a new message, and one without a name can't be encoded.
    jobs.drain("celery")?;
    jobs.enqueue(drained[1].clone().with_retries(2))?;
    assert_eq!((jobs.pending("celery")?.len(), jobs.pending("celery")?[0].retries()), (1, 2));
    let error = jobs.enqueue(drained[0].clone().with_retries(2)).expect_err("no name");
    assert!(error.is_data() && format!("{error:?}").contains(golden("jobs::NO_NAME")), "{error}");
    Ok(())
}

/// Their number does not depend on the number of jobs.
#[rstest]
#[clean_redis]
fn lists_jobs_with_few_commands(test_request: TestRequest) -> Result<(), Error> {
    let (jobs, mut redis) = (test_request.jobs(), get_jobs_redis(&test_request).expect("connect"));
    let mut count = || -> u64 {
        let stats: String = redis::cmd("INFO").arg("commandstats").query(&mut redis).expect("INFO");
        let calls = stats.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="));
        calls
            .map(|(_, rest)| rest.split(',').next().and_then(|count| count.parse::<u64>().ok()).expect("a count"))
            .sum()
    };
    let commands = |count: &mut dyn FnMut() -> u64| -> Result<u64, Error> {
        let before = count();
        jobs.pending("celery")?;
        jobs.scheduled()?;
        jobs.all()?;
        Ok(count() - before)
    };
    jobs.enqueue(Job::new("one"))?;
    commands(&mut count)?; // Opens the connection.
    let of_one = commands(&mut count)?;
    for number in 0..300 {
        jobs.enqueue(Job::new("many").with_args(number).with_countdown(Duration::from_secs(60)))?;
    }
    // On a running server, a lease pings and others wait for it: a few commands, at any time.
    let of_many = commands(&mut count)?;
    assert!(of_many < of_one + 300, "{of_many} commands instead of {of_one}");
    Ok(())
}

/// Its newest job is at the end of the list.
#[rstest]
#[clean_redis]
fn a_fifo_format_keeps_its_order(test_request: TestRequest) -> Result<(), Error> {
    #[derive(Debug)]
    struct Lines;
    impl JobFormat for Lines {
        fn places(&self, queue: &str) -> Vec<Place> {
            vec![Place::list(format!("lines:{queue}"))]
        }
        fn key_role(&self, key: &str) -> KeyRole {
            key.strip_prefix("lines:").map_or(KeyRole::Unknown, |queue| KeyRole::Queue(queue.to_owned()))
        }
        fn decode(&self, entry: &Entry) -> Job {
            Job::new(entry.text())
        }
        fn encode(&self, job: &Job) -> Result<redis::Pipeline, Box<dyn std::error::Error + Send + Sync>> {
            let mut commands = redis::pipe();
            commands.rpush(format!("lines:{}", job.queue()), job.name().unwrap_or_default());
            Ok(commands)
        }
    }
    let jobs = test_request.jobs_with_format(Lines);
    for name in ["first", "second", "third"] {
        jobs.enqueue(Job::new(name).with_queue("x"))?;
    }
    get_jobs_redis(&test_request).expect("connect").rpush::<_, _, ()>("other", "no job").expect("RPUSH");
    assert_eq!(names(&jobs.pending("x")?), ["first", "second", "third"]);
    assert_eq!(jobs.all()?, jobs.pending("x")?);
    assert_eq!(
        get_jobs_redis(&test_request).expect("connect").lpop::<_, String>("lines:x", None).expect("LPOP"),
        "first"
    );
    Ok(())
}

#[rstest]
#[clean_redis]
fn scheduled_jobs_are_sorted_by_eta(test_request: TestRequest) -> Result<(), Error> {
    let jobs = test_request.jobs();
    jobs.enqueue(Job::new("now"))?;
    jobs.enqueue(Job::new("later").with_countdown(Duration::from_secs(600)))?;
    jobs.enqueue(Job::new("soon").with_countdown(Duration::from_secs(60)).with_queue("mail"))?;
    // A worker has taken this one, and holds it until it is due.
    jobs.enqueue(Job::new("held").with_countdown(Duration::from_secs(300)))?;
    let held = jobs.pending("celery")?.pop().expect("a job");
    let mut redis = get_jobs_redis(&test_request).expect("connect");
    let _: String = redis.lpop("celery", None).expect("LPOP");
    let raw: Value = serde_json::from_slice(held.raw()).expect("JSON");
    redis.hset::<_, _, _, ()>("unacked", "tag", json!([raw, "", "celery"]).to_string()).expect("HSET");
    assert_eq!(names(&jobs.scheduled()?), ["soon", "held", "later"]);
    assert_eq!(names(&jobs.unacked()?), ["held"]);
    assert_eq!(jobs.unacked()?[0].queue(), "celery");
    assert_eq!(names(&jobs.pending("celery")?), ["now", "later"]);
    Ok(())
}

/// Returns a message of Celery with this change.
fn message(change: impl FnOnce(&mut Value)) -> String {
    let mut message = json!({
        "body": BASE64_STANDARD.encode(r#"[["asa@example.com"], {}, {}]"#),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": "shop.send_mail", "id": "1", "eta": null, "retries": 0},
        "properties": {"priority": 0, "body_encoding": "base64"},
    });
    change(&mut message);
    message.to_string()
}

#[rstest]
#[case("rubbish".to_owned(), "expected value")]
#[case(String::new(), "EOF")]
#[case("[1, 2]".to_owned(), "expected an object")]
#[case("null".to_owned(), "expected a message of Celery")]
#[case("{}".to_owned(), "no headers")]
#[case(json!({"body": "e30=", "headers": {}}).to_string(), "no task")]
#[case(message(|message| message["headers"]["task"] = json!(1)), "no task")]
#[clean_redis]
fn shows_and_keeps_unreadable_messages(
    test_request: TestRequest,
    #[case] raw: String,
    #[case] why: &str,
) -> Result<(), Error> {
    let jobs = test_request.jobs();
    let mut redis = get_jobs_redis(&test_request).expect("connect");
    redis.lpush::<_, _, ()>("celery", &raw).expect("LPUSH");
    redis.hset::<_, _, _, ()>("unacked", "tag", &raw).expect("HSET");
    let found = jobs.pending("celery")?.remove(0);
    assert_eq!((found.raw(), found.name()), (raw.as_bytes(), None));
    assert!(found.why_unreadable().expect("a reason").contains(why), "{:?}", found.why_unreadable());
    assert!(jobs.unacked()?[0].why_unreadable().is_some());
    let text = panic_of(|| jobs.assert_nothing_enqueued());
    assert!(text.contains("celery: unreadable (") && text.contains(why), "{text}");
    assert_eq!(redis.llen::<_, u32>("celery").expect("LLEN"), 1);
    assert_eq!(jobs.drain("celery")?[0].raw(), raw.as_bytes());
    Ok(())
}

#[rstest]
#[clean_redis]
fn shows_messages_that_are_not_utf_8(test_request: TestRequest) -> Result<(), Error> {
    let raw: Vec<u8> = (0..=255).collect();
    get_jobs_redis(&test_request).expect("connect").lpush::<_, _, ()>("celery", &raw).expect("LPUSH");
    let job = test_request.jobs().pending("celery")?.remove(0);
    assert_eq!(job.raw(), raw);
    assert!(job.to_string().contains("256 bytes") && job.to_string().len() < 1_000, "{job}");
    Ok(())
}

/// If the time can't be read, the rest is.
#[rstest]
#[case("tomorrow", None)]
#[case("2100-01-02", Some(4_102_531_200))]
#[case("2100-01-02T03:04", Some(4_102_542_240))]
#[case("2100-01-02T03:04:05+0200", Some(4_102_535_045))]
#[case("2100-01-02T03:04:05.678901+02:00", Some(4_102_535_045))]
#[case("2100-01-02T03:04:05", Some(4_102_542_245))]
#[case("1500-01-01T00:00:00+00:00", None)]
#[clean_redis]
fn reads_other_time_formats(
    test_request: TestRequest,
    #[case] eta: &str,
    #[case] seconds: Option<u64>,
) -> Result<(), Error> {
    let raw = message(|message| message["headers"]["eta"] = json!(eta));
    get_jobs_redis(&test_request).expect("connect").lpush::<_, _, ()>("celery", raw).expect("LPUSH");
    let job = test_request.jobs().assert_enqueued("shop.send_mail").jobs()[0].clone();
    let since = job.eta().and_then(|eta| eta.duration_since(SystemTime::UNIX_EPOCH).ok());
    assert_eq!(since.map(|since| since.as_secs()), seconds);
    let why = job.why_unreadable().unwrap_or_default();
    assert_eq!(why.contains("\"tomorrow\""), eta == "tomorrow", "{why}");
    Ok(())
}

#[rstest]
#[clean_redis]
fn ignores_other_keys_of_celery(test_request: TestRequest) -> Result<(), Error> {
    let mut redis = get_jobs_redis(&test_request).expect("connect");
    redis.sadd::<_, _, ()>("_kombu.binding.celery", "celery").expect("SADD");
    redis.set::<_, _, ()>("celery-task-meta-1", "{}").expect("SET");
    redis.zadd::<_, _, _, ()>("unacked_index", "tag", 1).expect("ZADD");
    redis.rpush::<_, _, ()>("8d5f.reply.celery.pidbox", "{}").expect("RPUSH");
    test_request.jobs().assert_nothing_enqueued();
    redis.set::<_, _, ()>("unacked", "a text").expect("SET");
    let error = test_request.jobs().unacked().expect_err("no hash");
    assert!(error.is_server() && format!("{error:?}").contains("WRONGTYPE"), "{error}");
    Ok(())
}

#[rstest]
#[clean_redis]
fn assertions_narrow_and_count(test_request: TestRequest) -> Result<(), Error> {
    let jobs = test_request.jobs();
    let mail = |to: &str, copies: u32| Job::new("shop.send_mail").with_args((to, copies)).with_queue("mail");
    jobs.enqueue(mail("asa@example.com", 1))?;
    jobs.enqueue(mail("asa@example.com", 1))?;
    jobs.enqueue(mail("bo@example.com", 2).with_kwarg("urgent", true))?;
    jobs.enqueue(Job::new("shop.count"))?;
    jobs.assert_enqueued("shop.send_mail").times(3).on_queue("mail").times(3);
    jobs.assert_enqueued("shop.send_mail").with_args(("asa@example.com", 1)).times(2);
    let bo = jobs.assert_enqueued("shop.send_mail").with_kwargs(json!({"urgent": true})).times(1);
    assert_eq!(bo.jobs()[0].args(), [json!("bo@example.com"), json!(2)]);
    jobs.assert_enqueued("shop.count").with_args(()).with_kwargs(json!({})).on_queue("celery");
    jobs.assert_not_enqueued("shop.send_sms");
    Ok(())
}

#[rstest]
#[clean_redis]
fn a_failed_assertion_lists_the_waiting_jobs(test_request: TestRequest) -> Result<(), Error> {
    let jobs = test_request.jobs();
    let text = panic_of(|| jobs.assert_enqueued("shop.send_mail"));
    assert!(
        text.contains("job shop.send_mail. ") && text.contains(golden("jobs::unexpected, nothing is queued")),
        "{text}"
    );
    jobs.enqueue(
        Job::new("shop.send_mail").with_args(("ÅÄÖ", 1)).with_kwarg("copy", true).with_queue("mail").with_priority(3),
    )?;
    let assertions: [(Assertion, &str); 6] = [
        (|found| found.with_args(("other", 1)), r#"shop.send_mail with args ["other",1]. "#),
        (|found| found.with_kwargs(json!({})), "shop.send_mail with kwargs {}. "),
        (|found| found.on_queue("celery"), " the queue celery. "),
        (|found| found.times(2), " 2 times, found 1"),
        (|found| found.with_args(("ÅÄÖ", 1)).only().times(0), r#"with args ["ÅÄÖ",1] "#),
        (|found| found.on_queue("mail").times(0), "the queue mail exactly 0 times, found 1"),
    ];
    for (assertion, words) in assertions {
        let text = panic_of(|| assertion(jobs.assert_enqueued("shop.send_mail")));
        assert!(text.contains(words), "{words:?} is missing in: {text}");
        assert!(text.ends_with("\n  mail: shop.send_mail(\"ÅÄÖ\", 1, copy=true), priority 3"), "{text}");
    }
    let text = panic_of(|| jobs.assert_not_enqueued("shop.send_mail"));
    assert!(text.contains("no job shop.send_mail. ") && text.contains(":\n  mail: shop.send_mail("), "{text}");
    jobs.enqueue(Job::new("shop.count"))?;
    let text = panic_of(|| jobs.assert_enqueued("shop.send_mail").only());
    assert!(text.contains("job shop.send_mail ") && text.contains(" (2):\n"), "{text}");
    jobs.drain("celery")?;
    for number in 0..30 {
        jobs.enqueue(Job::new("count").with_args((number,)).with_countdown(Duration::from_secs(3600)))?;
    }
    let text = panic_of(|| jobs.assert_nothing_enqueued());
    assert!(text.contains("(31):\n") && text.ends_with("\n  and 11 more"), "{text}");
    assert!(text.contains("count(0), due in 35"), "{text}");
    Ok(())
}

#[rstest]
fn assertions_panic_at_the_callers_line(
    #[values("assert_enqueued", "with_args", "with_kwargs", "on_queue", "times", "only", "assert_not_enqueued")]
    assertion: &str,
) {
    let child = crate::child::Child::test("jobs::failing_assertions").env("ASSERTION", assertion);
    let ended = child.env("TRANSIENT_PROVIDER", crate::own_server::own_provider()).run();
    ended.assert_failed_with(&["panicked at tests/it/jobs.rs", "expected "]);
}

#[rstest]
#[ignore = "run by assertions_panic_at_the_callers_line"]
#[clean_redis]
fn failing_assertions(test_request: TestRequest) {
    let jobs = test_request.jobs();
    for _ in 0..2 {
        jobs.enqueue(Job::new("shop.count")).expect("enqueue");
    }
    match std::env::var("ASSERTION").expect("ASSERTION").as_str() {
        "assert_enqueued" => drop(jobs.assert_enqueued("shop.send_mail")),
        "with_args" => drop(jobs.assert_enqueued("shop.count").with_args(1)),
        "with_kwargs" => drop(jobs.assert_enqueued("shop.count").with_kwargs(json!({"a": 1}))),
        "on_queue" => drop(jobs.assert_enqueued("shop.count").on_queue("mail")),
        "times" => drop(jobs.assert_enqueued("shop.count").times(1)),
        "only" => {
            jobs.enqueue(Job::new("other")).expect("enqueue");
            drop(jobs.assert_enqueued("shop.count").only());
        }
        "assert_not_enqueued" => jobs.assert_not_enqueued("shop.count"),
        other => println!("no assertion {other}"),
    }
}

#[rstest]
#[clean_redis]
fn supports_priority_steps_and_a_key_prefix(test_request: TestRequest) -> Result<(), Error> {
    let jobs = test_request.jobs_with_format(Celery::new().with_key_prefix("shop:").with_priority_steps([5, 0]));
    jobs.enqueue(Job::new("low").with_priority(9))?;
    jobs.enqueue(Job::new("high").with_priority(4))?;
    let mut keys: Vec<String> = get_jobs_redis(&test_request).expect("connect").keys("*").expect("KEYS");
    keys.sort_unstable();
    assert_eq!(keys, ["shop:celery", "shop:celery\u{6}\u{16}5"]);
    assert_eq!(names(&jobs.all()?), ["high", "low"]);
    // kombu bisects the steps, and takes the last one for a priority below the first.
    let jobs = test_request.jobs_with_format(Celery::new().with_priority_steps([3, 6, 9]));
    jobs.enqueue(Job::new("below all steps").with_queue("odd"))?;
    assert!(get_jobs_redis(&test_request).expect("connect").exists::<_, bool>("odd\u{6}\u{16}9").expect("EXISTS"));
    assert_eq!(names(&jobs.pending("odd")?), ["below all steps"]);
    let error = jobs.enqueue(Job::new("wrong").with_priority(10)).expect_err("no priority");
    assert!(error.is_data() && format!("{error:?}").contains("priority 10"), "{error}");
    Ok(())
}

#[rstest]
#[clean_redis]
fn finds_jobs_of_an_unknown_priority_step(test_request: TestRequest) -> Result<(), Error> {
    test_request
        .jobs_with_format(Celery::new().with_priority_steps([0, 5]))
        .enqueue(Job::new("hidden").with_priority(5))?;
    let jobs = test_request.jobs();
    assert_eq!(names(&jobs.all()?), ["hidden"]);
    jobs.assert_enqueued("hidden").times(1);
    assert!(panic_of(|| jobs.assert_nothing_enqueued()).contains("hidden"));
    Ok(())
}

#[rstest]
#[clean_redis]
fn rejects_times_without_a_text_form(test_request: TestRequest) {
    let jobs = test_request.jobs();
    for job in [
        Job::new("far").with_countdown(Duration::MAX),
        Job::new("far").with_countdown(Duration::from_secs(10_000 * 31_536_000)),
        Job::new("far").with_eta(SystemTime::UNIX_EPOCH - Duration::from_secs(1)),
    ] {
        let error = jobs.enqueue(job).expect_err("no such time");
        assert!(error.is_data() && format!("{error:?}").contains("9999"), "{error}");
    }
    jobs.assert_nothing_enqueued();
}

#[test]
fn rejects_arguments_without_a_json_form() {
    let map = std::collections::BTreeMap::from([(vec![1], 1)]);
    assert!(panic_of(|| Job::new("x").with_args((&map,))).contains(golden("jobs::no_json")));
    assert!(panic_of(|| Job::new("x").with_kwarg("map", &map)).contains(golden("jobs::no_json")));
}
