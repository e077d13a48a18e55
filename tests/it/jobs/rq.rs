//! Jobs in RQ's format. `interop/` tests against RQ itself.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::{Commands, Connection};
use rstest::rstest;
use serde_json::{Value, json};
use transient_fixtures::{Error, Job, Rq, TestRequest, clean_redis, get_jobs_redis, redis, test_request};

use super::names;

use crate::golden::golden;
use crate::panics::panic_of;

const HOUR: Duration = Duration::from_secs(3600);

fn connect(test_request: &TestRequest) -> Connection {
    get_jobs_redis(test_request).expect("connect")
}

/// Writes a job like RQ does, but uncompressed.
fn put_job(redis: &mut Connection, id: &str, data: &[u8]) {
    let fields: [(&str, &[u8]); 4] = [("data", data), ("origin", b"mail"), ("status", b"queued"), ("group_id", b"")];
    redis.hset_multiple::<_, _, _, ()>(format!("rq:job:{id}"), &fields).expect("HSET");
}

fn call(name: &str, args: &Value) -> Vec<u8> {
    json!([name, null, args, {}]).to_string().into_bytes()
}

#[rstest]
#[clean_redis]
fn reads_back_an_enqueued_job(
    test_request: TestRequest,
    #[values(Rq::new(), Rq::new().with_json_serializer(), Rq::new().with_key_prefix("shop:rq"))] format: Rq,
) -> Result<(), Error> {
    let jobs = test_request.jobs_with_format(format);
    let args = json!(["ÅÄÖ 🦊", 3, -1.5, null, [true, []], {"a": {"b": "\u{0}"}}, u64::MAX, i64::MIN]);
    let job = Job::new("shop.send_mail").with_args(&args).with_kwarg("copy", true).with_queue("kö");
    let job = job.with_retries(2).with_group("spring");
    let id = jobs.enqueue(job.clone())?;
    let later = job.clone().with_eta(UNIX_EPOCH + Duration::from_millis(4_102_444_800_500));
    jobs.enqueue(later.clone().with_id("later_1-A"))?;

    let found = jobs.pending("kö")?;
    assert_eq!((found[0].id(), found[1].id()), (Some(id.as_str()), Some("later_1-A")));
    assert_eq!(jobs.all()?, found);
    assert_eq!(jobs.drain("kö")?, found);
    jobs.assert_nothing_enqueued();
    for job in found.clone() {
        jobs.enqueue(job)?;
    }
    assert_eq!(jobs.pending("kö")?, found);
    let with_one_id = |jobs: Vec<Job>| jobs.into_iter().map(|job| job.with_id("1")).collect::<Vec<_>>();
    assert_eq!(with_one_id(found), with_one_id(vec![job, later]));
    Ok(())
}

/// Due times and expiries age. A score without an expiry stays.
#[rstest]
#[clean_redis]
fn times_in_registries_age(test_request: TestRequest) -> Result<(), Error> {
    let (jobs, mut redis) = (test_request.jobs_with_format(Rq::new()), connect(&test_request));
    jobs.enqueue(Job::new("later").with_queue("mail").with_countdown(HOUR * 3))?;
    let sets = [
        "deferred:mail",
        "ready:mail",
        "wip:mail",
        "failed:mail",
        "finished:mail",
        "canceled:mail",
        "executions:1",
        "rl:smtp:rate_limited",
        "rl:smtp:allowed",
        "scheduler:scheduled_jobs",
        "cron_job:daily:jobs",
        "cron_jobs",
        "cron_schedulers",
    ];
    for set in sets {
        let members = [(4_102_444_800_i64, "1"), (-1, "always")];
        redis.zadd_multiple::<_, _, _, ()>(format!("rq:{set}"), &members).expect("ZADD");
    }
    test_request.travel(HOUR)?;
    let left =
        jobs.pending("mail")?[0].eta().expect("a time").duration_since(SystemTime::now()).expect("in the future");
    assert!(left > HOUR && left <= HOUR * 2, "{left:?}");
    for set in sets {
        assert_eq!(redis.zscore(format!("rq:{set}"), "1"), Ok(4_102_441_200_i64), "{set}");
        assert_eq!(redis.zscore(format!("rq:{set}"), "always"), Ok(-1), "{set}");
    }
    Ok(())
}

#[rstest]
#[case::list("queue:mail", true)]
#[case::later("scheduled:mail", true)]
#[case::after_another_job("deferred:mail", true)]
#[case::after_another_job_that_is_done("ready:mail", true)]
#[case::another_package("scheduler:scheduled_jobs", false)]
#[case::held_back("rl:smtp:rate_limited", false)]
#[case::being_compacted("queue:_compact:5", false)]
#[clean_redis]
fn lists_every_job_that_will_run(
    test_request: TestRequest,
    #[case] key: &str,
    #[case] in_queue: bool,
) -> Result<(), Error> {
    let (jobs, mut redis) = (test_request.jobs_with_format(Rq::new()), connect(&test_request));
    put_job(&mut redis, "1", &call("shop.send_mail", &json!([1])));
    let key = format!("rq:{key}");
    if key.starts_with("rq:queue") {
        redis.rpush::<_, _, ()>(&key, "1").expect("RPUSH");
    } else {
        redis.zadd::<_, _, _, ()>(&key, "1", 4_102_444_800_u64).expect("ZADD");
    }
    let enqueued = jobs.assert_enqueued("shop.send_mail").with_args((1,)).times(1).only();
    let eta = enqueued.jobs()[0].eta().is_some();
    assert_eq!(eta, key.contains("scheduled"), "{key}");
    assert_eq!(enqueued.jobs()[0].queue(), if key.contains("compact") { "_compact:5" } else { "mail" });
    assert!(panic_of(|| jobs.assert_not_enqueued("shop.send_mail")).contains("shop.send_mail(1)"));
    assert!(panic_of(|| jobs.assert_nothing_enqueued()).contains("shop.send_mail(1)"));
    jobs.assert_not_enqueued("shop.other");
    assert_eq!(jobs.pending("mail")?.len(), usize::from(in_queue));
    assert!(jobs.unacked()?.is_empty() && jobs.dead()?.is_empty());

    // Its hash is missing.
    redis.del::<_, ()>("rq:job:1").expect("DEL");
    let text = panic_of(|| jobs.assert_not_enqueued("shop.other"));
    assert!(text.contains("1 bytes: \"1\"") && text.contains(golden("jobs::NO_BODY_OF_ID")), "{text}");
    assert_eq!(jobs.drain("mail")?.len(), usize::from(in_queue));
    Ok(())
}

#[rstest]
#[clean_redis]
fn unacked_and_failed_jobs_do_not_wait(test_request: TestRequest) -> Result<(), Error> {
    let (jobs, mut redis) = (test_request.jobs_with_format(Rq::new()), connect(&test_request));
    for (id, name) in [("1", "moved"), ("2", "runs"), ("3:x", "runs on RQ 1"), ("4", "failed"), ("5", "done")] {
        put_job(&mut redis, id, &call(name, &json!([])));
    }
    let execution = "0123456789abcdef0123456789abcdef";
    redis.rpush::<_, _, ()>("rq:queue:mail:intermediate", "1").expect("RPUSH");
    redis.zadd::<_, _, _, ()>("rq:wip:mail", format!("2:{execution}"), 2).expect("ZADD");
    redis.zadd::<_, _, _, ()>("rq:wip:mail", "3:x", 3).expect("ZADD");
    redis.zadd::<_, _, _, ()>("rq:failed:mail", "4", 4).expect("ZADD");
    redis.zadd::<_, _, _, ()>("rq:finished:mail", "5", 5).expect("ZADD");
    redis.zadd::<_, _, _, ()>("rq:canceled:mail", "6", 6).expect("ZADD");
    let taken = jobs.unacked()?;
    assert_eq!(names(&taken), ["moved", "runs", "runs on RQ 1"]);
    assert_eq!(taken.iter().filter_map(|job| job.id()).collect::<Vec<_>>(), ["1", "2", "3:x"]);
    assert_eq!(names(&jobs.dead()?), ["failed"]);
    assert!(jobs.scheduled()?.is_empty());
    jobs.assert_nothing_enqueued();
    Ok(())
}

const DATE: &[u8] =
    b"\x80\x05\x959\0\0\0\0\0\0\0(\x8c\x0eshop.send_mail\x94N\x8c\x08datetime\x94\x8c\x04date\x94\x93\x94\
    C\x04\x084\x01\x01\x94\x85\x94R\x94\x85\x94}\x94t\x94.";
const OLD_DATE: &[u8] =
    b"\x80\x02(X\x0e\0\0\0shop.send_mailq\0Ncdatetime\ndate\nq\x01c_codecs\nencode\nq\x02X\x04\0\0\0\
    \x084\x01\x01q\x03X\x06\0\0\0latin1q\x04\x86q\x05Rq\x06\x85q\x07Rq\x08\x85q\t}q\ntq\x0b.";
const BYTES: &[u8] = b"\x80\x05\x95\x1e\0\0\0\0\0\0\0(\x8c\x0eshop.send_mail\x94NC\x01x\x94\x85\x94}\x94t\x94.";
const SET: &[u8] =
    b"\x80\x05\x95\"\0\0\0\0\0\0\0(\x8c\x0eshop.send_mail\x94N\x8f\x94(\x8c\x01x\x94\x90\x85\x94}\x94t\x94.";
const NAN: &[u8] = b"\x80\x05\x95#\0\0\0\0\0\0\0(\x8c\x0eshop.send_mail\x94NG\x7f\xf8\0\0\0\0\0\0\x85\x94}\x94t\x94.";
const KEY: &[u8] = b"\x80\x05\x95!\0\0\0\0\0\0\0(\x8c\x0eshop.send_mail\x94N}\x94K\x01K\x02s\x85\x94}\x94t\x94.";
const OBJECT: &[u8] =
    b"\x80\x05\x95=\0\0\0\0\0\0\0(\x8c\x0eshop.send_mail\x94N\x8c\x04shop\x94\x8c\x05Money\x94\x93\x94)\x81\
    \x94}\x94\x8c\x06amount\x94K\x03sb\x85\x94}\x94t\x94.";
/// The same list twice.
const SHARED: &[u8] = b"\x80\x05\x95!\0\0\0\0\0\0\0(\x8c\x0eshop.send_mail\x94N]\x94K\x01ah\x01\x86\x94}\x94t\x94.";

/// The name is known anyway.
#[rstest]
#[case::date(DATE, golden("jobs::NO_PLAIN_PICKLE"))]
#[case::date_of_protocol_2(OLD_DATE, golden("jobs::NO_PLAIN_PICKLE"))]
#[case::cut_off(&DATE[..30], golden("jobs::NO_PLAIN_PICKLE"))]
#[case::object(OBJECT, golden("jobs::NO_PLAIN_PICKLE"))]
#[case::the_same_twice(SHARED, golden("jobs::NO_PLAIN_PICKLE"))]
#[case::bytes(BYTES, golden("jobs::NO_PLAIN_PICKLE"))]
#[case::set(SET, golden("jobs::NO_PLAIN_PICKLE"))]
#[case::nan(NAN, golden("jobs::NO_PLAIN_PICKLE"))]
#[case::key_that_is_not_text(KEY, golden("jobs::NO_PLAIN_PICKLE"))]
#[case::nan_in_json(br#" ["shop.send_mail", null, [NaN], {}]"#, golden("jobs::no_json_data"))]
#[case::not_four(br#"["shop.send_mail", null]"#, golden("jobs::other_data"))]
#[clean_redis]
fn unreadable_arguments_are_opaque(
    test_request: TestRequest,
    #[case] data: &[u8],
    #[case] why: &str,
) -> Result<(), Error> {
    let (jobs, mut redis) = (test_request.jobs_with_format(Rq::new()), connect(&test_request));
    put_job(&mut redis, "1", data);
    redis.rpush::<_, _, ()>("rq:queue:mail", "1").expect("RPUSH");
    let job = jobs.assert_enqueued("shop.send_mail").times(1).only().jobs()[0].clone();
    assert!(job.why_opaque().is_some_and(|opaque| opaque.contains(why)), "{job:?}");
    assert_eq!((job.raw(), job.id(), job.why_unreadable()), (data, Some("1"), None));
    assert!(panic_of(|| jobs.assert_not_enqueued("shop.send_mail")).contains(why));
    assert!(panic_of(|| jobs.assert_enqueued("shop.send_mail").with_args(())).contains(why));
    jobs.assert_not_enqueued("shop.other");

    // It can be enqueued unchanged, but not in another form.
    let drained = jobs.drain("mail")?.remove(0);
    jobs.enqueue(drained.clone())?;
    assert_eq!(redis.hget::<_, _, Vec<u8>>("rq:job:1", "data").expect("HGET"), data);
    let error = jobs.enqueue(drained.with_queue("other")).expect_err("no arguments");
    assert!(error.is_data() && format!("{error:?}").contains("unreadable arguments"), "{error}");
    Ok(())
}

#[rstest]
#[case::another_serializer(b"\x94\xaeshop.send_mail\xc0\x91\x01\x80", golden("jobs::no_json_data"))]
#[case::no_name(b"\x80\x05N.", golden("jobs::other_data"))]
#[case::no_list(br#"{"f": "shop.send_mail"}"#, golden("jobs::other_data"))]
#[case::name_is_not_text(b"[1, null, [], {}]", golden("jobs::other_data"))]
#[case::short(b"\x80", golden("jobs::NO_PLAIN_PICKLE"))]
#[case::cut_off_in_the_name(b"\x80\x05\x959\0\0\0\0\0\0\0(\x8c\x0eshop", golden("jobs::NO_PLAIN_PICKLE"))]
#[case::empty(b"", golden("jobs::no_json_data"))]
#[clean_redis]
fn data_without_a_function_name_is_unreadable(
    test_request: TestRequest,
    #[case] data: &[u8],
    #[case] why: &str,
) -> Result<(), Error> {
    let (jobs, mut redis) = (test_request.jobs_with_format(Rq::new()), connect(&test_request));
    put_job(&mut redis, "1", data);
    redis.rpush::<_, _, ()>("rq:queue:mail", "1").expect("RPUSH");
    let job = jobs.pending("mail")?.remove(0);
    assert!(job.why_unreadable().is_some_and(|text| text.contains(why)), "{job:?}");
    assert_eq!((job.id(), job.queue(), job.name()), (Some("1"), "mail", None));
    assert!(panic_of(|| jobs.assert_not_enqueued("shop.other")).contains(why));

    // Its hash has no data, or is of another type.
    redis.hdel::<_, _, ()>("rq:job:1", "data").expect("HDEL");
    assert!(panic_of(|| jobs.assert_not_enqueued("shop.other")).contains(golden("jobs::NO_DATA")));
    redis.set::<_, _, ()>("rq:job:1", "text").expect("SET");
    assert!(panic_of(|| jobs.assert_nothing_enqueued()).contains("WRONGTYPE"));
    Ok(())
}

#[rstest]
#[clean_redis]
fn negative_assertions_fail_over_broken_data(
    test_request: TestRequest,
    #[values(DATE, OLD_DATE, OBJECT, SHARED)] data: &[u8],
) {
    let (jobs, mut redis) = (test_request.jobs_with_format(Rq::new()), connect(&test_request));
    redis.rpush::<_, _, ()>("rq:queue:mail", "1").expect("RPUSH");
    for place in 0..data.len() {
        for broken in [data[..place].to_vec(), [&data[..place], b"\xff", &data[place + 1..]].concat()] {
            // The name itself can be broken.
            let is_named = broken.windows(14).any(|part| part == b"shop.send_mail");
            put_job(&mut redis, "1", &broken);
            panic_of(|| jobs.assert_nothing_enqueued());
            let job = jobs.pending("mail").expect("the jobs").remove(0);
            if is_named || job.name().is_none() {
                panic_of(|| jobs.assert_not_enqueued("shop.send_mail"));
            }
        }
    }
}

/// Numbers beyond 64 bits become floats.
#[rstest]
#[clean_redis]
fn reads_pickles_of_protocol_2(test_request: TestRequest) {
    let (jobs, mut redis) = (test_request.jobs_with_format(Rq::new()), connect(&test_request));
    let data = b"\x80\x02(X\x0e\0\0\0shop.send_mailq\0NX\x04\0\0\0\xc3\xa5saq\x01]q\x02(G?\xf8\0\0\0\0\0\0N}q\x03\
        X\x01\0\0\0aq\x04\x88se\x86q\x05}q\x06X\x01\0\0\0nq\x07\x8a\t\0\0\0\0\0\0\0\0@stq\x08.";
    put_job(&mut redis, "1", data);
    redis.rpush::<_, _, ()>("rq:queue:mail", "1").expect("RPUSH");
    let enqueued = jobs.assert_enqueued("shop.send_mail").with_args(("åsa", (1.5, (), json!({"a": true}))));
    enqueued.with_kwargs(json!({"n": 2_f64.powi(70)})).times(1);
}

/// Each counts only with its own type: a list with this name is the queue of another library.
#[rstest]
#[case::queues(&["SADD", "queues", "rq:queue:mail"])]
#[case::workers(&["SADD", "workers", "x"])]
#[case::workers_of_a_queue(&["SADD", "workers:mail", "x"])]
#[case::worker(&["HSET", "worker:one", "birth", "x"])]
#[case::executions_of_a_worker(&["SADD", "worker:one:executions", "x"])]
#[case::job(&["HSET", "job:1", "data", "x"])]
#[case::dependents(&["SADD", "job:1:dependents", "x"])]
#[case::dependencies(&["SADD", "job::1:dependencies", "x"])]
#[case::execution(&["HSET", "execution:1:2", "id", "x"])]
#[case::results(&["XADD", "results:1", "*", "type", "1"])]
#[case::group(&["SADD", "group:spring", "x"])]
#[case::groups(&["SADD", "groups", "spring"])]
#[case::lock_of_groups(&["SET", "clean_groups", "1"])]
#[case::lock_of_registries(&["SET", "clean_registries:mail", "1"])]
#[case::first_seen(&["SET", "queue:mail:intermediate:first_seen:1", "1"])]
#[case::scheduler(&["HSET", "scheduler:one", "pid", "1"])]
#[case::lock_of_a_scheduler(&["SET", "scheduler-lock:mail", "1"])]
#[case::cron(&["HSET", "cron_scheduler:one", "pid", "1"])]
#[case::suspended(&["SET", "suspended", "1"])]
#[case::rate_limits(&["SADD", "rl-keys", "smtp"])]
#[case::rate_limit(&["HSET", "rl:smtp", "concurrency", "1"])]
#[case::instance_of_rq_scheduler(&["HSET", "scheduler_instance:one", "birth", "1"])]
#[case::lock_of_rq_scheduler(&["SET", "scheduler_lock", "1"])]
#[clean_redis]
fn ignores_metadata_of_rq(test_request: TestRequest, #[case] note: &[&str]) {
    let (jobs, mut redis) = (test_request.jobs_with_format(Rq::new()), connect(&test_request));
    let key = format!("rq:{}", note[1]);
    redis::cmd(note[0]).arg(&key).arg(&note[2..]).exec(&mut redis).expect("a note");
    jobs.assert_nothing_enqueued();
    // It is unknown with another prefix.
    let other = test_request.jobs_with_format(Rq::new().with_key_prefix("shop"));
    assert!(panic_of(|| other.assert_not_enqueued("shop.send_mail")).contains(&key));

    redis.del::<_, ()>(&key).expect("DEL");
    redis.lpush::<_, _, ()>(&key, "a job").expect("LPUSH");
    assert!(panic_of(|| jobs.assert_nothing_enqueued()).contains(&format!("{key:?} (list)")));
    assert!(panic_of(|| jobs.assert_not_enqueued("shop.send_mail")).contains(&format!("{key:?} (list)")));
}

#[rstest]
#[clean_redis]
fn negative_assertions_fail_over_unknown_keys(
    test_request: TestRequest,
    #[values("rq:registry:mail", "rq:other", "rq", "rqueue", "celery", "rq:finished:mail", "rq:deferred:mail")]
    key: &str,
) {
    connect(&test_request).set::<_, _, ()>(key, "x").expect("SET");
    let text = panic_of(|| test_request.jobs_with_format(Rq::new()).assert_nothing_enqueued());
    assert!(text.contains(&format!("{key:?} (string)")), "{text}");
}

/// The prefix can look like the name of a metadata key.
#[rstest]
#[clean_redis]
fn negative_assertions_fail_over_another_prefix(
    test_request: TestRequest,
    #[values("rq:job", "rq:worker", "rq:group", "rq:rl", "rq:scheduler", "rq:results")] prefix: &str,
    #[values(false, true)] later: bool,
) -> Result<(), Error> {
    let job = Job::new("shop.send_mail");
    let job = if later { job.with_countdown(HOUR) } else { job };
    test_request.jobs_with_format(Rq::new().with_key_prefix(prefix)).enqueue(job)?;
    let jobs = test_request.jobs_with_format(Rq::new());
    let key = if later { "scheduled:default\" (zset)" } else { "queue:default\" (list)" };
    let text = panic_of(|| jobs.assert_not_enqueued("shop.send_mail"));
    assert!(text.contains(&format!("\"{prefix}:{key}")), "{text}");
    Ok(())
}

#[rstest]
#[case(Job::new("x").with_priority(1), golden("jobs::no_priority_or_expiry"))]
#[case(Job::new("x").with_expires(SystemTime::now()), golden("jobs::no_priority_or_expiry"))]
#[case(Job::new("x").with_id("a:b"), "\"a:b\"")]
#[case(Job::new("x").with_id(""), "\"\"")]
#[clean_redis]
fn rejects_jobs_that_rq_cannot_express(test_request: TestRequest, #[case] job: Job, #[case] why: &str) {
    let jobs = test_request.jobs_with_format(Rq::new());
    let error = jobs.enqueue(job).expect_err("no such job");
    assert!(error.is_data() && format!("{error:?}").contains(why), "{error:?}");
    jobs.assert_nothing_enqueued();
}
