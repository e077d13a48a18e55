//! A Celery worker does jobs queued by this crate, and its unacked jobs are read: 5.2 in the module
//! `celery_worker_5_2`, 5.7 otherwise.

use std::time::{Duration, SystemTime};

use redis::Commands;
use rstest::rstest;
use serde_json::{Value, json};
use transient_fixtures::{Celery, Error, Job, TestRequest, clean_redis, get_redis, test_request};

use crate::python::{self, Worker};

/// The Celery version of this module.
fn version() -> &'static str {
    if module_path!().ends_with("5_2") { "5.2" } else { "5.7" }
}

fn produce(test_request: &TestRequest, conf: &Value, calls: &Value) -> Vec<Value> {
    python::produce(test_request, version(), conf, calls)
}

/// Waits until the tasks have left this number of notes.
fn done(test_request: &TestRequest, worker: &mut Worker, count: usize) -> Vec<Value> {
    let mut redis = get_redis(test_request).expect("connect");
    let notes: Vec<String> = worker.wait_for(&format!("{count} jobs done"), || {
        Some(redis.lrange("done", 0, -1).expect("LRANGE")).filter(|notes: &Vec<String>| notes.len() >= count)
    });
    notes.iter().map(|note| serde_json::from_str(note).expect("a note")).collect()
}

#[rstest]
#[clean_redis]
fn a_job_is_done_with_its_arguments(test_request: TestRequest) -> Result<(), Error> {
    let jobs = test_request.jobs();
    let job = Job::new("shop.send_mail").with_args(("åsa@example.com", 3, 1.5, [None::<u8>], "\u{0}🦊"));
    let id = jobs.enqueue(job.with_kwarg("copy", true).with_kwarg("ämne", json!({"Hej": []})))?;
    let mut worker = Worker::start(&test_request, version(), "celery", &json!({}));
    let note = &done(&test_request, &mut worker, 1)[0];
    assert_eq!(note["args"], json!(["åsa@example.com", 3, 1.5, [null], "\u{0}🦊"]));
    assert_eq!(note["kwargs"], json!({"copy": true, "ämne": {"Hej": []}}));
    assert_eq!(
        (&note["id"], &note["retries"], &note["routing_key"], &note["priority"]),
        (&json!(id), &json!(0), &json!("celery"), &json!(0))
    );
    worker.wait_for("acknowledgement", || jobs.unacked().expect("taken").is_empty().then_some(()));
    jobs.assert_nothing_enqueued();
    Ok(())
}

/// In the order of `pending`, from the queue's lists of all priorities.
#[rstest]
#[clean_redis]
fn jobs_are_done_in_the_order_of_their_priorities(test_request: TestRequest) -> Result<(), Error> {
    let jobs = test_request.jobs();
    for priority in (0..=9).rev() {
        jobs.enqueue(Job::new("shop.send_mail").with_args(priority).with_priority(priority).with_queue("mail"))?;
    }
    let expected: Vec<_> = jobs.pending("mail")?.into_iter().map(|job| job.args()[0].clone()).collect();
    assert_eq!(json!(expected), json!([2, 1, 0, 5, 4, 3, 8, 7, 6, 9]));
    let mut worker = Worker::start(&test_request, version(), "mail", &json!({}));
    let notes = done(&test_request, &mut worker, 10);
    assert_eq!(notes.iter().map(|note| note["args"][0].clone()).collect::<Vec<_>>(), expected);
    assert!(notes.iter().all(|note| note["priority"] == note["args"][0]), "{notes:?}");
    assert!(notes.iter().all(|note| note["routing_key"] == "mail"), "{notes:?}");
    Ok(())
}

#[rstest]
#[clean_redis]
fn a_job_for_later_is_done_later(test_request: TestRequest) -> Result<(), Error> {
    let mut worker = Worker::start(&test_request, version(), "celery", &json!({}));
    let jobs = test_request.jobs();
    // The worker is ready once it has done this job.
    jobs.enqueue(Job::new("shop.send_mail"))?;
    done(&test_request, &mut worker, 1);
    let due = SystemTime::now() + Duration::from_secs(1);
    jobs.enqueue(Job::new("shop.send_mail").with_eta(due))?;
    done(&test_request, &mut worker, 2);
    assert!(SystemTime::now() >= due, "{:?} too early", due.duration_since(SystemTime::now()));
    Ok(())
}

/// With six digits after the decimal point. Celery before 5.3 takes the digits for microseconds, and drops the job if
/// there are too many.
#[rstest]
#[clean_redis]
fn the_time_of_a_job_is_written_as_celery_writes_it(test_request: TestRequest) -> Result<(), Error> {
    let jobs = test_request.jobs();
    let eta = SystemTime::UNIX_EPOCH + Duration::new(4_102_542_245, 123_456_789);
    jobs.enqueue(Job::new("shop.send_mail").with_eta(eta))?;
    let options = json!({"countdown": 3600});
    produce(&test_request, &json!({}), &json!([{"task": "shop.send_mail", "options": options}]));
    let written = jobs.pending("celery")?.into_iter().map(|job| {
        let message: Value = serde_json::from_slice(job.raw()).expect("a message");
        message["headers"]["eta"].as_str().expect("an ETA").to_owned()
    });
    let shapes: Vec<_> = written.map(|eta| eta.replace(|letter: char| letter.is_ascii_digit(), "0")).collect();
    assert_eq!(shapes[0], shapes[1]);
    assert_eq!(jobs.pending("celery")?[0].eta(), Some(eta - Duration::from_nanos(789)));
    Ok(())
}

/// Whichever side queued the jobs.
#[rstest]
#[clean_redis]
fn jobs_held_by_a_worker_are_unacked_and_scheduled(test_request: TestRequest) -> Result<(), Error> {
    let jobs = test_request.jobs();
    let job = Job::new("shop.send_mail").with_args(("ours: ÅÄÖ",)).with_kwarg("copy", true).with_priority(3);
    let job = job.with_countdown(Duration::from_secs(3600)).with_queue("mail");
    let ours = jobs.enqueue(job)?;
    let options = json!({"countdown": 7200, "queue": "mail"});
    let call = json!([{"task": "shop.send_mail", "args": ["theirs: ÅÄÖ"], "options": options}]);
    let theirs = produce(&test_request, &json!({}), &call).remove(0);
    let before = jobs.scheduled()?;
    assert_eq!(before.len(), 2);

    let mut worker = Worker::start(&test_request, version(), "mail", &json!({}));
    worker.wait_for("jobs taken", || (jobs.unacked().expect("taken").len() == 2).then_some(()));
    jobs.assert_nothing_enqueued();
    let held = jobs.scheduled()?;
    assert_eq!(json!([held[0].id(), held[1].id()]), json!([ours, theirs]));
    for (held, before) in held.iter().zip(&before) {
        // Equal in every field, though the message's text differs.
        assert!(!held.raw().is_empty());
        assert_eq!(held.clone().with_raw(before.raw()), *before);
    }
    Ok(())
}

#[rstest]
#[clean_redis]
fn a_retried_job_counts_its_retries(test_request: TestRequest) -> Result<(), Error> {
    let jobs = test_request.jobs();
    let id = jobs.enqueue(Job::new("shop.charge").with_args(("ÅÄÖ", 100)).with_kwarg("currency", "SEK"))?;
    let mut worker = Worker::start(&test_request, version(), "celery", &json!({}));
    worker.wait_for("job for another try", || (!jobs.pending("later").expect("pending").is_empty()).then_some(()));
    let enqueued = jobs.assert_enqueued("shop.charge").on_queue("later").with_args(("ÅÄÖ", 100));
    let job = enqueued.with_kwargs(json!({"currency": "SEK"})).times(1).jobs()[0].clone();
    assert_eq!((job.retries(), job.id()), (1, Some(id.as_str())));
    drop(worker);

    // The worker also reads the number of retries of our jobs.
    jobs.drain("later")?;
    let job = Job::new("shop.charge").with_args(("again",)).with_retries(2);
    jobs.enqueue(job)?;
    let mut worker = Worker::start(&test_request, version(), "celery", &json!({}));
    assert_eq!(done(&test_request, &mut worker, 1)[0]["retries"], 2);
    Ok(())
}

#[rstest]
#[clean_redis]
fn a_worker_with_transport_options_finds_jobs(test_request: TestRequest) -> Result<(), Error> {
    let conf = json!({"broker_transport_options": {"global_keyprefix": "shop:", "priority_steps": [0, 5]}});
    let jobs = test_request.jobs_with_format(Celery::new().with_key_prefix("shop:").with_priority_steps([0, 5]));
    jobs.enqueue(Job::new("shop.send_mail").with_args(1).with_priority(7))?;
    jobs.enqueue(Job::new("shop.send_mail").with_args(2))?;
    jobs.enqueue(Job::new("shop.send_mail").with_args(3).with_countdown(Duration::from_secs(3600)))?;
    let mut worker = Worker::start(&test_request, version(), "celery", &conf);
    let notes = done(&test_request, &mut worker, 2);
    assert_eq!((&notes[0]["args"], &notes[1]["args"]), (&json!([2]), &json!([1])));
    worker.wait_for("one job held", || (jobs.unacked().expect("taken").len() == 1).then_some(()));
    assert_eq!((jobs.unacked()?[0].args(), jobs.unacked()?[0].queue()), (&[json!(3)][..], "celery"));
    Ok(())
}

/// The first of them passes its result to the next.
#[rstest]
#[clean_redis]
fn a_chain_goes_on(test_request: TestRequest) {
    let mail = |number: u8| json!({"task": "shop.send_mail", "args": [number]});
    produce(&test_request, &json!({}), &json!([{"chain": [mail(1), mail(2)]}]));
    let mut worker = Worker::start(&test_request, version(), "celery", &json!({}));
    let notes = done(&test_request, &mut worker, 2);
    assert_eq!((&notes[0]["args"], &notes[1]["args"]), (&json!([1]), &json!([null, 2])));
}
