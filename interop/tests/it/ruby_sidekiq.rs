//! Jobs of Ruby's Sidekiq: queued by Sidekiq and read here, and queued here and done by its worker.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::Commands;
use rstest::rstest;
use serde_json::{Value, json};
use transient_fixtures::{Job, Jobs, Sidekiq, TestRequest, clean_redis, get_jobs_redis, get_redis, test_request};

use crate::python::{Worker, ids_from};

/// The version of Sidekiq. Without Sidekiq the test fails.
fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let output = Command::new("sidekiq").arg("--version").output();
        let output = output.ok().filter(|output| output.status.success());
        let output =
            output.expect("Ruby's Sidekiq is not there: install Debian's ruby-sidekiq and ruby-redis-namespace");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    })
}

/// A Sidekiq program, run in the directory of the jobs.
fn program(name: &str, test_request: &TestRequest) -> Command {
    version();
    let mut command = Command::new(name);
    command.current_dir(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("ruby"));
    command.env("JOBS_URL", test_request.jobs_url()).env("RESULTS_URL", test_request.redis_url());
    command
}

/// Calls Sidekiq; `produce.rb` documents the calls.
fn call(test_request: &TestRequest, calls: &Value) -> Vec<Value> {
    ids_from(program("ruby", test_request).arg("produce.rb"), calls)
}

/// A worker that takes jobs from the queues `default` and `money`, one at a time.
fn worker(test_request: &TestRequest) -> Worker {
    Worker::run(&mut worker_program(test_request))
}

fn worker_program(test_request: &TestRequest) -> Command {
    let mut command = program("sidekiq", test_request);
    command.args(["--require", "./workers.rb", "--concurrency", "1", "--queue", "default", "--queue", "money"]);
    command
}

/// Waits until the jobs have left this number of notes.
fn done(test_request: &TestRequest, worker: &mut Worker, count: usize) -> Vec<Value> {
    let mut redis = get_redis(test_request).expect("connect");
    let notes: Vec<String> = worker.wait_for(&format!("{count} jobs done"), || {
        Some(redis.lrange("done", 0, -1).expect("LRANGE")).filter(|notes: &Vec<String>| notes.len() >= count)
    });
    notes.iter().map(|note| serde_json::from_str(note).expect("a note")).collect()
}

fn mail(number: u8) -> Value {
    json!({"to": "Shop::SendMail", "call": ["perform_async", number]})
}

/// No negative assertion passes.
fn assert_something_enqueued(jobs: &Jobs, name: &str) {
    assert!(catch_unwind(AssertUnwindSafe(|| jobs.assert_nothing_enqueued())).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| jobs.assert_not_enqueued(name))).is_err());
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).expect("after 1970")
}

#[test]
fn it_is_the_version_that_the_page_names() {
    let page = include_str!("../../../docs/jobs.md");
    assert!(page.contains(version()), "docs/jobs.md does not name {}", version());
}

#[rstest]
#[clean_redis]
fn a_job_is_read_with_its_arguments(test_request: TestRequest) -> Result<(), Box<dyn std::error::Error>> {
    let args =
        json!(["åsa@example.com", -3, 1.5, 1e100, null, true, [[], {}], {"ÅÄÖ 🦊": ["\u{0}", "</b>"]}, u64::MAX]);
    let mut words = vec![json!("perform_async")];
    words.extend_from_slice(args.as_array().expect("an array"));
    let ids =
        call(&test_request, &json!([{"to": "Shop::SendMail", "set": {"queue": "mail", "tags": ["a"]}, "call": words}]));

    let jobs = test_request.jobs_with_format(Sidekiq::new());
    let enqueued = jobs.assert_enqueued("Shop::SendMail").with_args(&args).on_queue("mail").times(1).only();
    let job = &enqueued.jobs()[0];
    assert_eq!((json!(job.id()), job.retries(), job.eta()), (ids[0].clone(), 0, None));
    assert_something_enqueued(&jobs, "Shop::SendMail");
    assert_eq!(jobs.pending("mail")?, enqueued.jobs());
    assert_eq!(jobs.drain("mail")?, enqueued.jobs());
    jobs.assert_nothing_enqueued();
    Ok(())
}

#[rstest]
#[clean_redis]
fn jobs_are_in_their_queues_in_the_order_of_the_workers(
    test_request: TestRequest,
) -> Result<(), Box<dyn std::error::Error>> {
    let bulk = json!({"class": "Shop::SendMail", "args": [[2], [3]]});
    // A job wrapped by Active Job's adapter.
    let wrapped = json!({
        "class": "ActiveJob::QueueAdapters::SidekiqAdapter::JobWrapper", "wrapped": "ReminderJob", "queue": "mail",
        "args": [{"job_class": "ReminderJob", "queue_name": "mail", "arguments": ["asa"]}],
    });
    let calls = json!([
        mail(1),
        {"to": "Sidekiq::Client", "call": ["push_bulk", bulk]},
        {"to": "Shop::SendMail", "call": ["perform_bulk", [[4], [5]]]},
        {"to": "Sidekiq::Client", "call": ["push", wrapped]},
        {"to": "Shop::Charge", "call": ["perform_async", "no money"]},
    ]);
    let ids = call(&test_request, &calls);
    let jobs = test_request.jobs_with_format(Sidekiq::new());
    let pending = jobs.pending("default")?;
    assert_eq!(pending.iter().map(|job| job.args()[0].clone()).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    let of_pending: Vec<_> = pending.iter().map(|job| json!(job.id())).collect();
    assert_eq!(json!(of_pending), json!([ids[0], ids[1][0], ids[1][1], ids[2][0], ids[2][1]]));
    jobs.assert_enqueued("ReminderJob").on_queue("mail").times(1);
    jobs.assert_enqueued("Shop::Charge").on_queue("money").with_args(["no money"]).times(1);
    jobs.assert_not_enqueued("Shop::KeepShop");
    assert_eq!((jobs.drain("default")?, jobs.all()?.len()), (pending, 2));
    assert_something_enqueued(&jobs, "ReminderJob");
    Ok(())
}

#[rstest]
#[clean_redis]
fn a_job_for_later_is_scheduled(test_request: TestRequest) -> Result<(), Box<dyn std::error::Error>> {
    let at = SystemTime::now() + Duration::from_secs(7200);
    let bulk = json!({"class": "Shop::SendMail", "args": [[3], [4]], "at": [4_102_444_800.5, 4_102_444_801_u64]});
    let calls = json!([
        {"to": "Shop::SendMail", "call": ["perform_at", since_1970(at).as_secs_f64(), 2]},
        {"to": "Shop::SendMail", "set": {"queue": "mail"}, "call": ["perform_in", 3600, 1]},
        {"to": "Sidekiq::Client", "call": ["push_bulk", bulk]},
    ]);
    let ids = call(&test_request, &calls);
    let jobs = test_request.jobs_with_format(Sidekiq::new());
    let scheduled = jobs.scheduled()?;
    assert_eq!(scheduled.iter().map(|job| job.args()[0].clone()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(json!([scheduled[0].id(), scheduled[1].id()]), json!([ids[1], ids[0]]));
    let etas: Vec<_> = scheduled.iter().filter_map(Job::eta).collect();
    assert_eq!(
        (since_1970(etas[1]).as_millis(), since_1970(etas[2]).as_millis()),
        (since_1970(at).as_millis(), 4_102_444_800_500)
    );
    assert!(etas[0] > SystemTime::now() + Duration::from_secs(3000) && etas[0] < at, "{etas:?}");
    jobs.assert_enqueued("Shop::SendMail").times(4).only().on_queue("mail").times(1);
    assert_something_enqueued(&jobs, "Shop::SendMail");
    assert_eq!((jobs.drain("mail")?.len(), jobs.drain("default")?.len()), (1, 3));
    jobs.assert_nothing_enqueued();
    Ok(())
}

/// Jobs queued by Sidekiq and by this crate.
#[rstest]
#[clean_redis]
fn the_worker_does_what_is_due(test_request: TestRequest) -> Result<(), Box<dyn std::error::Error>> {
    let jobs = test_request.jobs_with_format(Sidekiq::new());
    let args = json!(["åsa@example.com", 3, 1.5, [null], {"ÅÄÖ 🦊": "\u{0}"}, i64::MIN]);
    let tried = Job::new("Shop::SendMail").with_args(&args).with_retries(3);
    let tried = jobs.enqueue(tried)?;
    jobs.enqueue(
        Job::new("Shop::SendMail").with_args(2).with_queue("money").with_countdown(Duration::from_secs(3600)),
    )?;
    let ids = call(&test_request, &json!([mail(1), {"to": "Shop::SendMail", "call": ["perform_in", 3500, 3]}]));
    // A drained job is unchanged after it is enqueued again.
    let drained = jobs.drain("default")?;
    for job in drained.clone() {
        jobs.enqueue(job)?;
    }
    assert_eq!(jobs.pending("default")?, drained);

    let mut worker = worker(&test_request);
    let notes = done(&test_request, &mut worker, 2);
    let ours = json!({"class": "Shop::SendMail", "jid": tried, "args": args, "queue": "default", "retry_count": 2});
    assert_eq!((&notes[0], &notes[1]["jid"]), (&ours, &ids[0]));
    // A job that is not due yet stays.
    jobs.assert_enqueued("Shop::SendMail").times(2).only();
    assert_eq!(jobs.scheduled()?.len(), 2);
    assert_something_enqueued(&jobs, "Shop::SendMail");

    test_request.travel(Duration::from_secs(3601))?;
    let notes = done(&test_request, &mut worker, 4);
    let mut done: Vec<_> = notes[2..].iter().map(|note| (note["args"][0].as_u64(), note["queue"].as_str())).collect();
    done.sort_unstable();
    assert_eq!(done, [(Some(2), Some("money")), (Some(3), Some("default"))]);
    jobs.assert_nothing_enqueued();
    Ok(())
}

/// A failed job waits for another attempt, and is dead after the last one.
#[rstest]
#[clean_redis]
fn a_failing_job_is_retried_and_then_dead(test_request: TestRequest) -> Result<(), Box<dyn std::error::Error>> {
    let jobs = test_request.jobs_with_format(Sidekiq::new());
    let charge =
        json!({"to": "Shop::Charge", "set": {"retry": 2, "backtrace": true}, "call": ["perform_async", "ÅÄÖ"]});
    let ids = call(&test_request, &json!([charge]));
    let mut worker = worker(&test_request);
    for retries in [1, 2] {
        let tried = |jobs: &[Job]| jobs.iter().any(|job| job.retries() == retries);
        let waiting = || Some(jobs.scheduled().expect("the jobs")).filter(|jobs| tried(jobs));
        let job = worker.wait_for("job for another try", waiting).remove(0);
        assert_eq!((json!(job.id()), job.queue(), job.args()), (ids[0].clone(), "money", &[json!("ÅÄÖ")][..]));
        assert!(job.eta() > Some(SystemTime::now()));
        assert_something_enqueued(&jobs, "Shop::Charge");
        test_request.travel(Duration::from_secs(4000))?;
    }
    let dead = || Some(jobs.dead().expect("the jobs")).filter(|jobs| !jobs.is_empty());
    let job = worker.wait_for("dead job", dead).remove(0);
    assert_eq!((json!(job.id()), job.queue(), job.args()), (ids[0].clone(), "money", &[json!("ÅÄÖ")][..]));
    assert_eq!((job.retries(), job.eta()), (3, None));
    jobs.assert_nothing_enqueued();

    // A message that no worker can read is dead at once. Until then it does not count as another job.
    drop(worker);
    get_jobs_redis(&test_request)?.lpush::<_, _, ()>("queue:money", "no JSON")?;
    assert_something_enqueued(&jobs, "Shop::KeepShop");
    let dead = || Some(jobs.dead().expect("the jobs")).filter(|jobs| jobs.len() == 2);
    let dead = self::worker(&test_request).wait_for("dead job", dead);
    assert!(dead.iter().any(|job| job.why_unreadable().is_some() && job.raw() == b"no JSON"), "{dead:?}");
    jobs.assert_nothing_enqueued();
    Ok(())
}

/// The metadata of Sidekiq is known, of a running process and of a killed one.
#[rstest]
#[clean_redis]
fn metadata_of_workers_is_not_a_job(test_request: TestRequest) -> Result<(), Box<dyn std::error::Error>> {
    let (jobs, mut redis) = (test_request.jobs_with_format(Sidekiq::new()), get_jobs_redis(&test_request)?);
    let mut keys = move || {
        let mut keys: Vec<String> = redis.keys("*").expect("KEYS");
        keys.sort_unstable();
        keys
    };
    jobs.enqueue(Job::new("Shop::SendMail"))?;
    jobs.enqueue(Job::new("Shop::KeepShop"))?;
    let mut worker = worker(&test_request);
    done(&test_request, &mut worker, 1);
    worker.wait_for("job at work", || keys().iter().any(|key| key.ends_with(":workers")).then_some(()));
    jobs.assert_nothing_enqueued();
    drop(worker);
    assert_eq!(
        call(&test_request, &json!([{"to": "Shop", "call": ["quiet_workers"]}]))[0].as_array().map(Vec::len),
        Some(1)
    );
    let keys = keys();
    for (start, end) in
        [("queues", ""), ("processes", ""), ("stat:processed:", ""), ("stat:failed", ""), ("", "-signals")]
    {
        assert!(keys.iter().any(|key| key.starts_with(start) && key.ends_with(end)), "{start} {end}: {keys:?}");
    }
    jobs.assert_nothing_enqueued();
    Ok(())
}

#[rstest]
#[clean_redis]
fn a_namespace_is_followed(
    test_request: TestRequest,
    #[values("shop", "sidekiq")] namespace: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    let calls = json!([mail(1), {"to": "Shop::SendMail", "call": ["perform_in", 60, 2]}]);
    let mut produce = program("ruby", &test_request);
    ids_from(produce.arg("produce.rb").env("NAMESPACE", namespace), &calls);
    let jobs = test_request.jobs_with_format(Sidekiq::new().with_namespace(namespace));
    jobs.assert_enqueued("Shop::SendMail").times(2).only();
    jobs.enqueue(Job::new("Shop::SendMail").with_args(3))?;
    // A format for other keys ignores none of them.
    assert_something_enqueued(&test_request.jobs_with_format(Sidekiq::new()), "Shop::Charge");

    test_request.travel(Duration::from_secs(61))?;
    let mut worker = Worker::run(worker_program(&test_request).env("NAMESPACE", namespace));
    let notes = done(&test_request, &mut worker, 3);
    assert_eq!(notes[..2].iter().map(|note| note["args"][0].clone()).collect::<Vec<_>>(), [1, 3]);
    jobs.assert_nothing_enqueued();
    Ok(())
}
