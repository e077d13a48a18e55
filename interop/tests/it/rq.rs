//! Jobs of Python's RQ, versions 1, 2 and 3.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, SystemTime};

use redis::Commands;
use rstest::rstest;
use serde_json::{Value, json};
use transient_fixtures::{Error, Job, Rq, TestRequest, clean_redis, get_jobs_redis, get_redis, test_request};

use crate::python::{Worker, rq_produce, rq_work};

const JSON: &str = "rq.serializers.JSONSerializer";

/// Every kind of JSON value.
fn everything() -> Value {
    json!([
        "åsa@example.com",
        3,
        -1.5e300,
        null,
        [true, [], {}],
        {"ÅÄÖ 🦊": "\u{0}"},
        u64::MAX,
        i64::MIN,
        "x".repeat(100_000),
        (0..3_000).collect::<Vec<_>>(),
        [{"key": "value"}, {"key": "value"}],
        f64::MIN_POSITIVE,
    ])
}

/// The notes left by jobs: their arguments by position and by name.
fn done(test_request: &TestRequest) -> Vec<Value> {
    let done: Vec<String> = get_redis(test_request).expect("connect").lrange("done", 0, -1).expect("LRANGE");
    done.iter().map(|note| serde_json::from_str(note).expect("JSON")).collect()
}

fn firsts(jobs: &[Job]) -> Vec<&str> {
    jobs.iter().filter_map(|job| job.args().first()?.as_str()).collect()
}

fn assert_due_in(seconds: u64, job: &Job) {
    let left = job.eta().expect("an ETA").duration_since(SystemTime::now()).expect("in the future");
    assert!((seconds.saturating_sub(90)..=seconds).contains(&left.as_secs()), "{left:?}");
}

fn holds(assertion: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(assertion)).is_ok()
}

#[rstest]
#[clean_redis]
fn its_jobs_are_read_here(
    test_request: TestRequest,
    #[values("1.16", "2.12", "3.0")] version: &str,
    #[values(None, Some(JSON))] serializer: Option<&str>,
) -> Result<(), Error> {
    let kwargs = json!({"copy": true, "ämne": "Hej"});
    let call = |first: &str| json!({"do": "note", "queue": "kö", "serializer": serializer, "args": [first]});
    let with = |first: &str, name: &str, value: Value| {
        let mut call = call(first);
        call[name] = value;
        call
    };
    let calls = json!([
        {"do": "note", "queue": "kö", "serializer": serializer, "args": everything(), "kwargs": kwargs,
            "options": {"job_id": "mine_1", "meta": {"a": 1}, "ttl": 7200, "timeout": 60}},
        call("second"),
        with("in front", "options", json!({"at_front": true})),
        with("later", "in", json!(3600)),
        with("soon", "in", json!(600)),
        with("after the second", "after", json!(1)),
        with("tried often", "retry", json!({"max": 3, "interval": 60})),
        with("canceled", "cancel", json!(true)),
    ]);
    let ids = rq_produce(&test_request, version, &calls);

    let jobs = test_request.jobs_with_format(Rq::new());
    let pending = jobs.pending("kö")?;
    assert_eq!(
        firsts(&pending),
        ["in front", "åsa@example.com", "second", "tried often", "soon", "later", "after the second"]
    );
    assert_eq!(jobs.all()?, pending);
    assert_eq!(
        pending.iter().filter_map(|job| job.id()).map(Value::from).collect::<Vec<_>>(),
        [&ids[2], &ids[0], &ids[1], &ids[6], &ids[4], &ids[3], &ids[5]].map(Value::clone)
    );
    assert_eq!(pending[1].id(), Some("mine_1"));
    let enqueued = jobs.assert_enqueued("rq_tasks.note").on_queue("kö").times(7).only();
    enqueued.with_args(everything()).with_kwargs(&kwargs).times(1);
    assert!(pending.iter().all(|job| job.why_opaque().is_none() && job.why_unreadable().is_none()), "{pending:?}");
    assert!(!holds(|| jobs.assert_not_enqueued("rq_tasks.note")));
    jobs.assert_not_enqueued("rq_tasks.fail");

    let scheduled = jobs.scheduled()?;
    assert_eq!(firsts(&scheduled), ["soon", "later"]);
    assert_due_in(600, &scheduled[0]);
    assert_due_in(3600, &scheduled[1]);
    test_request.travel(Duration::from_secs(500))?;
    assert_due_in(100, &jobs.scheduled()?[0]);

    // Jobs that were drained and enqueued again are done by RQ's worker.
    let drained = jobs.drain("kö")?;
    assert_eq!(drained.len(), 7);
    jobs.assert_nothing_enqueued();
    for job in drained.clone() {
        jobs.enqueue(job)?;
    }
    assert_eq!(jobs.pending("kö")?, drained);
    test_request.travel(Duration::from_secs(3600))?;
    rq_work(&test_request, version, serializer, &["kö"]);
    let firsts: Vec<_> = done(&test_request).iter().map(|note| note[0][0].as_str().map(str::to_owned)).collect();
    let expected = ["in front", "åsa@example.com", "second", "tried often", "soon", "later", "after the second"];
    assert_eq!(firsts, expected.map(|text| Some(text.to_owned())));
    // All of RQ's other keys are known.
    jobs.assert_nothing_enqueued();
    assert!(jobs.unacked()?.is_empty() && jobs.dead()?.is_empty());
    Ok(())
}

#[rstest]
#[clean_redis]
fn its_worker_does_a_job_of_ours(
    test_request: TestRequest,
    #[values("1.16", "2.12", "3.0")] version: &str,
    #[values(None, Some(JSON))] serializer: Option<&str>,
) -> Result<(), Error> {
    let format = if serializer.is_some() { Rq::new().with_json_serializer() } else { Rq::new() };
    let (jobs, kwargs) = (test_request.jobs_with_format(format), json!({"copy": true, "ämne": "Hej"}));
    let job = Job::new("rq_tasks.note").with_args(everything()).with_kwarg("copy", true).with_kwarg("ämne", "Hej");
    let job = job.with_queue("kö").with_group("spring");
    jobs.enqueue(job)?;
    let later =
        Job::new("rq_tasks.note").with_args(("later",)).with_queue("kö").with_countdown(Duration::from_secs(600));
    let id = jobs.enqueue(later.with_id("later_1"))?;
    jobs.enqueue(Job::new("rq_tasks.fail").with_args((1,)).with_queue("kö"))?;

    rq_work(&test_request, version, serializer, &["kö"]);
    assert_eq!(done(&test_request), [json!([everything(), kwargs])]);
    jobs.assert_enqueued("rq_tasks.note").with_args(("later",)).times(1).only();
    let dead = jobs.dead()?.remove(0);
    assert_eq!((dead.name(), dead.args(), dead.queue()), (Some("rq_tasks.fail"), &[json!(1)][..], "kö"));

    test_request.travel(Duration::from_secs(601))?;
    rq_work(&test_request, version, serializer, &["kö"]);
    assert_eq!(done(&test_request)[1], json!([["later"], {}]));
    jobs.assert_nothing_enqueued();
    // RQ itself has stored the job now.
    let status: String =
        get_jobs_redis(&test_request).expect("connect").hget(format!("rq:job:{id}"), "status").expect("HGET");
    assert_eq!(status, "finished");
    Ok(())
}

/// A failed job waits for another attempt, and is dead after the last one.
#[rstest]
#[clean_redis]
fn a_failing_job_is_retried_and_then_dead(
    test_request: TestRequest,
    #[values("1.16", "2.12", "3.0")] version: &str,
) -> Result<(), Error> {
    let jobs = test_request.jobs_with_format(Rq::new());
    let retry = json!({"max": 1, "interval": 600});
    rq_produce(&test_request, version, &json!([{"do": "fail", "queue": "mail", "args": ["x"], "retry": retry}]));
    rq_work(&test_request, version, None, &["mail"]);
    assert_due_in(600, &jobs.scheduled()?[0]);
    jobs.assert_enqueued("rq_tasks.fail").with_args(("x",)).on_queue("mail").times(1).only();
    assert!(jobs.dead()?.is_empty());

    test_request.travel(Duration::from_secs(601))?;
    rq_work(&test_request, version, None, &["mail"]);
    jobs.assert_nothing_enqueued();
    assert_eq!(firsts(&jobs.dead()?), ["x"]);
    Ok(())
}

#[rstest]
#[clean_redis]
fn a_running_job_is_unacked(
    test_request: TestRequest,
    #[values("1.16", "2.12", "3.0")] version: &str,
) -> Result<(), Error> {
    let (jobs, mut redis) = (test_request.jobs_with_format(Rq::new()), get_redis(&test_request).expect("connect"));
    let id = jobs.enqueue(Job::new("rq_tasks.wait").with_args(("x",)).with_queue("mail"))?;
    let mut worker = Worker::of_rq(&test_request, version, "mail");
    worker.wait_for("job", || redis.exists::<_, bool>("waits").expect("EXISTS").then_some(()));
    jobs.assert_nothing_enqueued();
    let taken = jobs.unacked()?;
    assert_eq!((taken.len(), firsts(&taken), taken[0].queue()), (1, vec!["x"], "mail"));
    assert_eq!(taken[0].id(), Some(id.as_str()));
    redis.rpush::<_, _, ()>("go", 1).expect("RPUSH");
    worker.wait_for("end", || jobs.unacked().expect("the jobs").is_empty().then_some(()));
    jobs.assert_nothing_enqueued();

    // By a job that has not started yet.
    rq_produce(&test_request, version, &json!([{"do": "note", "queue": "other", "args": ["y"], "take": true}]));
    assert_eq!(firsts(&jobs.unacked()?), ["y"]);
    jobs.assert_nothing_enqueued();
    Ok(())
}

/// The name is known whatever the arguments. If RQ itself does not know it, no negative assertion passes.
#[rstest]
#[clean_redis]
fn arguments_that_only_python_can_read_are_opaque(
    test_request: TestRequest,
    #[values("1.16", "2.12", "3.0")] version: &str,
) -> Result<(), Error> {
    let jobs = test_request.jobs_with_format(Rq::new());
    rq_produce(
        &test_request,
        version,
        &json!([
            {"do": "note", "queue": "mail", "args": ["x"], "date": true},
            {"do": "Mailer.send", "queue": "mail", "args": ["x"]},
            {"do": "note", "queue": "late", "args": ["x"], "date": true, "in": 600},
        ]),
    );
    let pending = jobs.pending("mail")?;
    assert!(pending.iter().all(|job| job.why_opaque().is_some() && job.why_unreadable().is_none()), "{pending:?}");
    jobs.assert_enqueued("rq_tasks.note").times(2);
    // RQ's name for the function.
    jobs.assert_enqueued("send").times(1);
    assert!(!holds(|| jobs.assert_not_enqueued("rq_tasks.note")));
    assert!(!holds(|| drop(jobs.assert_enqueued("rq_tasks.note").with_args(("x",)))));
    jobs.assert_not_enqueued("rq_tasks.fail");
    test_request.travel(Duration::from_secs(500))?;
    assert_due_in(100, &jobs.scheduled()?[0]);

    // With the application's serializer.
    rq_produce(
        &test_request,
        version,
        &json!([{"do": "fail", "queue": "mail", "args": ["x"], "serializer": "rq_serializer.Reversed"}]),
    );
    let unreadable = jobs.pending("mail")?.pop().expect("a job");
    assert!(unreadable.why_unreadable().is_some() && unreadable.id().is_some(), "{unreadable:?}");
    assert!(!holds(|| jobs.assert_not_enqueued("rq_tasks.fail")));
    assert!(!holds(|| jobs.assert_not_enqueued("rq_tasks.other")));
    Ok(())
}

/// Groups and cron jobs need RQ 2 or later; rate limits and key prefixes need RQ 3.
#[rstest]
#[clean_redis]
fn keys_of_newer_versions_are_known(
    test_request: TestRequest,
    #[values("2.12", "3.0")] version: &str,
) -> Result<(), Error> {
    let jobs = test_request.jobs_with_format(Rq::new());
    let note = |first: &str, name: &str, value: Value| {
        let mut call = json!({"do": "note", "queue": "mail", "args": [first]});
        call[name] = value;
        call
    };
    let grouped = note("of a group", "group", json!("spring"));
    rq_produce(&test_request, version, &json!([grouped, note("by cron", "cron", json!(3600))]));
    assert_eq!(jobs.pending("mail")?[0].group(), Some("spring"));
    assert_eq!(firsts(jobs.assert_enqueued("rq_tasks.note").only().jobs()), ["of a group", "by cron"]);
    rq_work(&test_request, version, None, &["mail"]);
    jobs.assert_nothing_enqueued();
    if version == "2.12" {
        return Ok(());
    }

    let limited = |first| note(first, "rate_limit", json!(["smtp", 1]));
    rq_produce(&test_request, version, &json!([limited("let through"), limited("held back")]));
    assert_eq!(firsts(&jobs.pending("mail")?), ["let through"]);
    let enqueued = jobs.assert_enqueued("rq_tasks.note").on_queue("mail").times(2).only();
    assert_eq!(firsts(enqueued.jobs()), ["let through", "held back"]);
    test_request.travel(Duration::from_secs(60))?;
    rq_work(&test_request, version, None, &["mail"]);
    assert_eq!(done(&test_request).len(), 4);
    jobs.assert_nothing_enqueued();
    Ok(())
}

#[rstest]
#[clean_redis]
fn a_prefix_is_followed(test_request: TestRequest) -> Result<(), Error> {
    let jobs = test_request.jobs_with_format(Rq::new().with_key_prefix("shop:rq"));
    let prefix = "3.0 RQ_KEY_PREFIX=shop:rq";
    rq_produce(&test_request, prefix, &json!([{"do": "note", "queue": "mail", "args": ["theirs"]}]));
    jobs.enqueue(Job::new("rq_tasks.note").with_args(("ours",)).with_queue("mail"))?;
    assert_eq!(firsts(jobs.assert_enqueued("rq_tasks.note").times(2).only().jobs()), ["theirs", "ours"]);
    // A format for other keys ignores none of them.
    assert!(!holds(|| test_request.jobs_with_format(Rq::new()).assert_nothing_enqueued()));
    rq_work(&test_request, prefix, None, &["mail"]);
    assert_eq!(done(&test_request).len(), 2);
    jobs.assert_nothing_enqueued();
    Ok(())
}

/// Jobs of the package rq-scheduler, which keeps them in a separate sorted set.
#[rstest]
#[clean_redis]
fn a_job_of_rq_scheduler_waits(test_request: TestRequest) -> Result<(), Error> {
    let jobs = test_request.jobs_with_format(Rq::new());
    let later = json!({"do": "note", "queue": "mail", "args": ["x"], "rq_scheduler": 600});
    rq_produce(&test_request, "2.12", &json!([later]));
    jobs.assert_enqueued("rq_tasks.note").with_args(("x",)).on_queue("mail").times(1).only();
    assert!(!holds(|| jobs.assert_nothing_enqueued()));
    assert_due_in(600, &jobs.scheduled()?[0]);
    test_request.travel(Duration::from_secs(500))?;
    assert_due_in(100, &jobs.scheduled()?[0]);
    Ok(())
}
