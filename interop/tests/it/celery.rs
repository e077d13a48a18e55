//! Reads jobs queued by Celery: 5.2 in the module `celery_5_2`, 5.7 otherwise.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, SystemTime};

use rstest::rstest;
use serde_json::{Value, json};
use transient_fixtures::{Celery, Error, Job, TestRequest, clean_redis, test_request};

use crate::python;

/// The Celery version of this module.
fn version() -> &'static str {
    if module_path!().ends_with("5_2") { "5.2" } else { "5.7" }
}

fn produce(test_request: &TestRequest, conf: &Value, calls: &Value) -> Vec<Value> {
    python::produce(test_request, version(), conf, calls)
}

/// The first argument of each job, which is a number in these tests.
fn numbers(jobs: &[Job]) -> Vec<u64> {
    jobs.iter().filter_map(|job| job.args()[0].as_u64()).collect()
}

fn mail(number: u64, options: &Value) -> Value {
    json!({"task": "shop.send_mail", "args": [number], "options": options})
}

fn assert_due_in(seconds: u64, job: &Job) {
    let left = job.eta().expect("an ETA").duration_since(SystemTime::now()).expect("in the future");
    assert!((seconds.saturating_sub(90)..=seconds).contains(&left.as_secs()), "{left:?}");
}

#[rstest]
#[clean_redis]
fn a_job_is_read_with_its_arguments(test_request: TestRequest) -> Result<(), Error> {
    let args = json!(["åsa@example.com", 3, 1.5, null, [true], {"ÅÄÖ 🦊": "\u{0}"}]);
    let kwargs = json!({"copy": true, "ämne": "Hej"});
    let call = json!([{"task": "shop.send_mail", "args": args, "kwargs": kwargs}]);
    let ids = produce(&test_request, &json!({}), &call);

    let jobs = test_request.jobs();
    let enqueued = jobs.assert_enqueued("shop.send_mail").with_args(&args).with_kwargs(&kwargs).on_queue("celery");
    let enqueued = enqueued.times(1);
    let job = &enqueued.jobs()[0];
    assert_eq!((json!(job.id()), job.retries(), job.eta(), job.priority()), (ids[0].clone(), 0, None, Some(0)));
    assert_eq!(jobs.pending("celery")?, enqueued.jobs());
    assert_eq!(jobs.drain("celery")?, enqueued.jobs());
    jobs.assert_nothing_enqueued();
    Ok(())
}

#[rstest]
#[clean_redis]
fn jobs_are_in_the_queues_of_the_application(test_request: TestRequest) -> Result<(), Error> {
    let conf = json!({"task_default_queue": "shop", "task_routes": {"shop.charge": {"queue": "money"}}});
    let charge = json!({"task": "shop.charge", "args": [3]});
    produce(&test_request, &conf, &json!([mail(1, &json!({})), mail(2, &json!({"queue": "kö"})), charge]));
    let jobs = test_request.jobs();
    assert_eq!(numbers(&jobs.pending("shop")?), [1]);
    assert_eq!(numbers(&jobs.pending("kö")?), [2]);
    jobs.assert_enqueued("shop.charge").on_queue("money").times(1);
    jobs.assert_enqueued("shop.send_mail").times(2);
    jobs.assert_not_enqueued("shop.tidy_up");
    Ok(())
}

#[rstest]
#[clean_redis]
fn a_job_for_later_is_scheduled(
    test_request: TestRequest,
    #[values(json!({}), json!({"timezone": "Europe/Helsinki", "enable_utc": false}))] conf: Value,
) -> Result<(), Error> {
    let calls = json!([
        mail(1, &json!({"countdown": 3600})),
        mail(2, &json!({"countdown": 60})),
        mail(3, &json!({})),
        mail(4, &json!({"eta": "2100-01-02T03:04:05.5", "queue": "mail"})),
        mail(5, &json!({"eta": "2100-01-02T05:04:06+02:00"})),
    ]);
    produce(&test_request, &conf, &calls);
    let jobs = test_request.jobs();
    let scheduled = jobs.scheduled()?;
    assert_eq!(numbers(&scheduled), [2, 1, 4, 5]);
    assert_due_in(60, &scheduled[0]);
    assert_due_in(3600, &scheduled[1]);
    let between = scheduled[3].eta().expect("an ETA").duration_since(scheduled[2].eta().expect("an ETA"));
    assert_eq!(between.expect("later"), Duration::from_millis(500));
    assert_eq!(numbers(&jobs.pending("celery")?), [1, 2, 3, 5]);
    Ok(())
}

/// Highest priority first (0 on Redis). Within a step, first in, first out.
#[rstest]
#[clean_redis]
fn priorities_are_read_and_put_in_order(test_request: TestRequest) -> Result<(), Error> {
    let calls: Vec<_> = (0..=9).rev().map(|number| mail(number, &json!({"priority": number}))).collect();
    produce(&test_request, &json!({}), &calls.into());
    let jobs = test_request.jobs();
    let pending = jobs.pending("celery")?;
    assert_eq!(numbers(&pending), [2, 1, 0, 5, 4, 3, 8, 7, 6, 9]);
    assert!(pending.iter().all(|job| job.priority().map(u64::from) == job.args()[0].as_u64()), "{pending:?}");
    assert_eq!(jobs.all()?, pending);
    assert_eq!(jobs.drain("celery")?, pending);
    jobs.assert_nothing_enqueued();
    Ok(())
}

#[rstest]
#[clean_redis]
fn the_applications_default_priority_is_read(test_request: TestRequest) -> Result<(), Error> {
    let conf = json!({"task_queue_max_priority": 10, "task_default_priority": 5});
    produce(&test_request, &conf, &json!([mail(1, &json!({}))]));
    assert_eq!(test_request.jobs().pending("celery")?[0].priority(), Some(5));
    Ok(())
}

#[rstest]
#[clean_redis]
fn transport_options_are_followed(test_request: TestRequest) -> Result<(), Error> {
    let conf = json!({"broker_transport_options": {"global_keyprefix": "shop:", "priority_steps": [0, 5]}});
    let calls: Vec<_> = (0..=9).map(|number| mail(number, &json!({"priority": 9 - number}))).collect();
    produce(&test_request, &conf, &calls.into());
    let jobs = test_request.jobs_with_format(Celery::new().with_key_prefix("shop:").with_priority_steps([0, 5]));
    assert_eq!(numbers(&jobs.pending("celery")?), [5, 6, 7, 8, 9, 0, 1, 2, 3, 4]);
    jobs.assert_enqueued("shop.send_mail").on_queue("celery").times(10);
    assert_eq!(jobs.drain("celery")?.len(), 10);
    jobs.assert_nothing_enqueued();
    Ok(())
}

#[rstest]
#[clean_redis]
fn a_group_queues_all_jobs_and_a_chain_the_first(test_request: TestRequest) -> Result<(), Error> {
    let group: Vec<_> = (1..=3).map(|number| mail(number, &json!({}))).collect();
    let chain = json!([mail(10, &json!({})), mail(20, &json!({}))]);
    let ids = produce(&test_request, &json!({}), &json!([{"group": group}, {"chain": chain}]));
    let pending = test_request.jobs().pending("celery")?;
    assert_eq!(numbers(&pending), [1, 2, 3, 10]);
    assert_eq!(json!(pending[..3].iter().map(|job| job.id()).collect::<Vec<_>>()), ids[0]);
    Ok(())
}

/// Known by its headers, and never dropped by reading the queue.
#[rstest]
#[clean_redis]
fn a_pickled_job_is_known_and_opaque(test_request: TestRequest) -> Result<(), Error> {
    let options = json!({"serializer": "pickle", "countdown": 3600, "priority": 3, "expires": 7200});
    let ids = produce(&test_request, &json!({}), &json!([mail(1, &options)]));
    produce(&test_request, &json!({}), &json!([{"task": "shop.charge", "args": [2]}]));
    let jobs = test_request.jobs();
    let enqueued = jobs.assert_enqueued("shop.send_mail").on_queue("celery").times(1);
    let job = enqueued.jobs()[0].clone();
    assert_eq!((json!(job.id()), json!(job.root())), (ids[0].clone(), ids[0].clone()));
    assert_eq!((job.priority(), job.retries(), job.why_unreadable()), (Some(3), 0, None));
    assert_due_in(3600, &job);
    assert!(job.expires() > job.eta());
    assert!(job.why_opaque().is_some_and(|why| why.contains("application/x-python-serialize")), "{job:?}");
    assert!(catch_unwind(AssertUnwindSafe(|| test_request.jobs().assert_not_enqueued("shop.send_mail"))).is_err());
    assert!(
        catch_unwind(AssertUnwindSafe(|| test_request.jobs().assert_enqueued("shop.send_mail").with_args((1,))))
            .is_err()
    );
    jobs.assert_enqueued("shop.charge").with_args((2,)).times(1);

    test_request.travel(Duration::from_secs(1800))?;
    assert_due_in(1800, &jobs.scheduled()?[0]);
    assert_eq!(jobs.drain("celery")?.len(), 2);
    jobs.assert_nothing_enqueued();
    Ok(())
}

#[rstest]
#[case::zlib(json!({"task_compression": "zlib"}))]
#[case::gzip(json!({"task_compression": "gzip"}))]
#[case::bzip2(json!({"task_compression": "bzip2"}))]
#[case::protocol_1(json!({"task_protocol": 1}))]
#[case::protocol_1_compressed(json!({"task_protocol": 1, "task_compression": "zlib"}))]
#[clean_redis]
fn other_forms_of_json_are_read(test_request: TestRequest, #[case] conf: Value) -> Result<(), Error> {
    let ids = produce(&test_request, &conf, &json!([mail(1, &json!({"countdown": 3600}))]));
    let jobs = test_request.jobs();
    let enqueued = jobs.assert_enqueued("shop.send_mail").with_args((1,)).times(1).only();
    assert_eq!(json!(enqueued.jobs()[0].id()), ids[0]);
    assert_due_in(3600, &jobs.scheduled()?[0]);
    Ok(())
}

#[rstest]
#[clean_redis]
fn an_unreadable_job_passes_no_negative_assertion(test_request: TestRequest) -> Result<(), Error> {
    let conf = json!({"task_protocol": 1});
    produce(&test_request, &conf, &json!([mail(1, &json!({"serializer": "pickle"}))]));
    assert!(test_request.jobs().pending("celery")?[0].why_unreadable().is_some());
    assert!(catch_unwind(AssertUnwindSafe(|| test_request.jobs().assert_not_enqueued("shop.charge"))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| test_request.jobs().assert_nothing_enqueued())).is_err());
    test_request.jobs().drain("celery")?;
    test_request.jobs().assert_nothing_enqueued();
    Ok(())
}
