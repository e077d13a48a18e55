//! Enqueueing jobs that were read from a queue.

use std::time::Duration;

use redis::Commands;
use rstest::rstest;
use serde_json::json;
use transient_fixtures::{Celery, Error, Job, TestRequest, clean_redis, get_jobs_redis, test_request};

use super::{message, names, places::Mixed};

/// A test can catch the panic of an assertion about a job.
#[test]
fn jobs_and_assertions_are_unwind_safe() {
    fn assert_auto_traits<T: Send + Sync + std::panic::UnwindSafe + std::panic::RefUnwindSafe>() {}
    assert_auto_traits::<Job>();
    assert_auto_traits::<transient_fixtures::EnqueuedAssertion>();
}

#[rstest]
#[clean_redis]
fn every_builder_clears_the_raw_message(test_request: TestRequest) -> Result<(), Error> {
    let jobs = test_request.jobs();
    let raw = message(|message| message["headers"]["shadow"] = json!("shown"));
    get_jobs_redis(&test_request).expect("connect").lpush::<_, _, ()>("celery", &raw).expect("LPUSH");
    let job = jobs.drain("celery")?.remove(0);
    let now = std::time::SystemTime::now();
    let builders: [fn(Job, std::time::SystemTime) -> Job; 12] = [
        |job, _| job.with_args(("asa@example.com",)),
        |job, _| job.with_kwarg("copy", true),
        |job, _| job.with_queue("celery"),
        |job, _| job.with_priority(0),
        |job, now| job.with_expires(now + Duration::from_secs(60)),
        |job, now| job.with_eta(now),
        |job, _| job.with_countdown(Duration::ZERO),
        |job, _| job.with_id("1"),
        |job, _| job.with_retries(0),
        |job, _| job.with_group("spring"),
        |job, _| job.with_root("1"),
        |job, _| job.with_opaque("pickled").with_args(()),
    ];
    for builder in builders {
        let changed = builder(job.clone(), now);
        assert!(changed.raw().is_empty());
        jobs.enqueue(changed)?;
        let found = jobs.drain("celery")?.remove(0);
        assert_ne!(found.raw(), raw.as_bytes());
        assert_eq!(found.name(), Some("shop.send_mail"));
    }
    assert_eq!(job.raw(), raw.as_bytes());
    Ok(())
}

/// Celery's format keeps even the fields that a job does not have.
#[rstest]
#[clean_redis]
fn an_unacked_job_is_enqueued_with_its_whole_message(test_request: TestRequest) -> Result<(), Error> {
    let (jobs, mut redis) = (test_request.jobs(), get_jobs_redis(&test_request).expect("connect"));
    // Neither the order of the fields nor the number survives a serde_json::Value.
    let raw = message(|message| message["headers"]["shadow"] = json!("shown"));
    let raw = raw.replacen('{', r#"{"zoo": 12345678901234567890123,  "body_size": 1e3, "#, 1);
    redis.hset::<_, _, _, ()>("unacked", "tag", format!(r#"[{raw}, "", "mail"]"#)).expect("HSET");
    jobs.enqueue(jobs.unacked()?.remove(0))?;
    let found = jobs.drain("mail")?.remove(0);
    assert_eq!(std::str::from_utf8(found.raw()).expect("UTF-8"), raw);
    Ok(())
}

#[rstest]
#[clean_redis]
fn a_message_is_enqueued_as_the_test_wrote_it(test_request: TestRequest) -> Result<(), Error> {
    let jobs = test_request.jobs();
    jobs.enqueue(Job::new("broken").with_queue("mail").with_raw("broken"))?;
    assert_eq!(jobs.drain("mail")?[0].raw(), b"broken");
    Ok(())
}

/// Its raw message means nothing to the other format.
#[rstest]
#[clean_redis]
fn a_job_of_another_format_is_encoded_anew(test_request: TestRequest) -> Result<(), Error> {
    let prefixed = test_request.jobs_with_format(Celery::new().with_key_prefix("shop:"));
    let mixed = test_request.jobs_with_format(Mixed);
    let id = prefixed.enqueue(Job::new("shop.send_mail").with_queue("mail"))?;
    assert_eq!(mixed.enqueue(prefixed.drain("mail")?.remove(0))?, id);
    let found = mixed.drain("mail")?;
    assert_eq!(names(&found), ["shop.send_mail"]);
    assert_eq!(prefixed.enqueue(found[0].clone())?, id);
    assert_eq!(names(&prefixed.pending("mail")?), ["shop.send_mail"]);
    Ok(())
}

#[rstest]
#[clean_redis]
fn a_body_keeps_its_ttl(test_request: TestRequest) -> Result<(), Error> {
    let (jobs, mut redis) = (test_request.jobs_with_format(Mixed), get_jobs_redis(&test_request).expect("connect"));
    for (id, seconds) in [("brief", Some(100)), ("lasting", None)] {
        jobs.enqueue(Job::new("name").with_id(id).with_queue("mail"))?;
        if let Some(seconds) = seconds {
            redis.expire::<_, ()>(format!("job:{id}"), seconds).expect("EXPIRE");
        }
    }
    let drained = jobs.drain("mail")?;
    assert!(!redis.exists::<_, bool>(&["job:brief", "job:lasting"]).expect("EXISTS"));
    for job in drained {
        jobs.enqueue(job)?;
    }
    let mut ttls = || ["job:brief", "job:lasting"].map(|key| redis.ttl::<_, i64>(key).expect("TTL"));
    assert!(matches!(ttls(), [90..=100, -1]), "{:?}", ttls());

    // Also when the job is still there.
    for job in jobs.pending("mail")? {
        jobs.enqueue(job)?;
    }
    assert!(matches!(ttls(), [90..=100, -1]), "{:?}", ttls());
    Ok(())
}
