//! Jobs in the format of apalis-redis. `interop/` tests against the crate itself.

use std::time::{Duration, SystemTime};

use redis::Commands;
use rstest::rstest;
use serde_json::json;
use transient_fixtures::{Apalis, Error, Job, TestRequest, clean_redis, get_jobs_redis, test_request};

use super::names;

use crate::golden::golden;
use crate::panics::panic_of;

#[rstest]
#[clean_redis]
fn reads_back_an_enqueued_job(test_request: TestRequest) -> Result<(), Error> {
    let jobs = test_request.jobs_with_format(Apalis::new());
    let eta = SystemTime::UNIX_EPOCH + Duration::from_millis(4_102_444_800_500);
    let job = Job::new("shop::SendMail").with_args(json!({"to": "ÅÄÖ"}));
    let id = jobs.enqueue(job.clone().with_eta(eta))?;
    jobs.enqueue(job)?;
    jobs.enqueue(Job::new("shop::CleanUp").with_queue("shop::CleanUp"))?;
    jobs.assert_enqueued("shop::SendMail").with_args([json!({"to": "ÅÄÖ"})]).on_queue("shop::SendMail").times(2);
    jobs.assert_enqueued("shop::CleanUp").with_args(()).times(1);
    let scheduled = jobs.scheduled()?;
    assert_eq!((scheduled.len(), scheduled[0].id(), scheduled[0].eta()), (1, Some(id.as_str()), Some(eta)));
    assert_eq!(jobs.pending("shop::SendMail")?[1], scheduled[0]);
    assert_eq!((jobs.drain("shop::SendMail")?.len(), jobs.drain("shop::CleanUp")?.len()), (2, 1));
    assert!(get_jobs_redis(&test_request).expect("connect").keys::<_, Vec<String>>("*").expect("KEYS").is_empty());
    Ok(())
}

/// Like apalis, this does not distinguish overdue jobs from immediate ones.
#[rstest]
#[clean_redis]
fn a_due_job_has_no_eta(test_request: TestRequest) -> Result<(), Error> {
    let jobs = test_request.jobs_with_format(Apalis::new());
    jobs.enqueue(Job::new("overdue").with_eta(SystemTime::UNIX_EPOCH))?;
    jobs.enqueue(Job::new("later").with_countdown(Duration::from_secs(600)))?;
    assert_eq!(names(&jobs.scheduled()?), ["later"]);
    test_request.travel(Duration::from_secs(601))?;
    assert!(jobs.scheduled()?.is_empty());
    assert_eq!((jobs.pending("later")?[0].eta(), jobs.all()?.len()), (None, 2));
    Ok(())
}

#[rstest]
#[case(Job::new("mail").with_queue("shop"), "\"shop\"")]
#[case(Job::new("mail").with_args((1, 2)), golden("jobs::ONE_ARGUMENT"))]
#[case(Job::new("mail").with_kwarg("to", "asa"), golden("jobs::no_kwargs"))]
#[case(Job::new("mail").with_priority(3), golden("jobs::no_priority_or_expiry"))]
#[case(Job::new("mail").with_expires(SystemTime::now()), golden("jobs::no_priority_or_expiry"))]
#[clean_redis]
fn rejects_jobs_that_apalis_cannot_express(test_request: TestRequest, #[case] job: Job, #[case] why: &str) {
    let error = test_request.jobs_with_format(Apalis::new()).enqueue(job).expect_err("a job of another kind");
    assert!(error.is_data() && format!("{error:?}").contains(why), "{error:?}");
    test_request.jobs_with_format(Apalis::new()).assert_nothing_enqueued();
}

/// An id lacks its arguments, or the metadata that its worker needs.
#[rstest]
#[case("data", golden("jobs::NO_BODY_OF_ID"))]
#[case("meta:1", golden("jobs::NO_ATTEMPTS"))]
#[clean_redis]
fn negative_assertions_fail_over_half_a_job(test_request: TestRequest, #[case] missing: &str, #[case] why: &str) {
    let (jobs, mut redis) =
        (test_request.jobs_with_format(Apalis::new()), get_jobs_redis(&test_request).expect("connect"));
    // The id equals the text of the arguments.
    jobs.enqueue(Job::new("mail").with_args(1).with_id("1")).expect("enqueue");
    redis.del::<_, ()>(format!("mail:{missing}")).expect("DEL");
    for text in [panic_of(|| jobs.assert_not_enqueued("other")), panic_of(|| jobs.assert_nothing_enqueued())] {
        assert!(text.contains("mail: unreadable (") && text.contains(why), "{text}");
    }
    assert_eq!(jobs.pending("mail").expect("the jobs")[0].name(), None);
}

/// Its name is known anyway.
#[rstest]
#[clean_redis]
fn a_body_that_is_not_json_is_opaque(test_request: TestRequest) -> Result<(), Error> {
    let (jobs, mut redis) =
        (test_request.jobs_with_format(Apalis::new()), get_jobs_redis(&test_request).expect("connect"));
    jobs.enqueue(Job::new("mail").with_id("1"))?;
    redis.hset::<_, _, &[u8], ()>("mail:data", "1", b"\x92\xa3asa\x01").expect("HSET");
    jobs.assert_not_enqueued("other");
    let text = panic_of(|| jobs.assert_enqueued("mail").times(1).only().with_args(("asa", 1)));
    assert!(text.contains(golden("jobs::other_body")), "{text}");
    let job = jobs.drain("mail")?.remove(0);
    jobs.enqueue(job.clone())?;
    assert_eq!(jobs.pending("mail")?, std::slice::from_ref(&job));
    let error = jobs.enqueue(job.with_retries(1)).expect_err("unreadable");
    assert!(error.is_data() && format!("{error:?}").contains("unreadable arguments"), "{error}");
    Ok(())
}

/// Each counts only with its own type, because a queue can have any name.
#[rstest]
#[clean_redis]
fn ignores_other_keys_of_apalis(test_request: TestRequest) -> Result<(), Box<dyn std::error::Error>> {
    let (jobs, mut redis) = (test_request.jobs_with_format(Apalis::new()), get_jobs_redis(&test_request)?);
    redis.hset::<_, _, _, ()>("a::B:data", "1", "{}")?;
    redis.hset::<_, _, _, ()>("a::B:meta:1", "attempts", 1)?;
    redis.hset::<_, _, _, ()>("a::B:workers:metadata:one:two", "service", "x")?;
    redis.set::<_, _, ()>("a::B:idempotency:order:7", "1")?;
    redis.sadd::<_, _, ()>("a::B:done", "1")?;
    redis.sadd::<_, _, ()>("a::B:dead", "1")?;
    redis.sadd::<_, _, ()>("a::B:inflight:one:two", "1")?;
    redis.lpush::<_, _, ()>("a::B:signal", 1)?;
    redis.zadd::<_, _, _, ()>("a::B:workers", "one:two", 4_102_444_800_u64)?;
    redis.zadd::<_, _, _, ()>("core:apalis:queues:list", "a::B:workers", 4_102_444_800_u64)?;
    jobs.assert_nothing_enqueued();
    assert_eq!((names(&jobs.unacked()?), names(&jobs.dead()?)), (vec!["a::B"], vec!["a::B"]));
    assert_eq!(jobs.unacked()?[0].queue(), "a::B");
    test_request.travel(Duration::from_secs(3600))?;
    for key in ["a::B:workers", "core:apalis:queues:list"] {
        assert_eq!(redis.zrange_withscores::<_, Vec<(String, u64)>>(key, 0, -1)?[0].1, 4_102_441_200, "{key}");
    }

    for key in ["data", "meta:1", "done", "dead", "inflight:one", "workers", "workers:metadata:one", "idempotency:7"] {
        let key = format!("other:{key}");
        redis.rpush::<_, _, ()>(&key, "a job")?;
        assert!(panic_of(|| jobs.assert_nothing_enqueued()).contains(&format!("{key:?} (list)")), "{key}");
        redis.del::<_, ()>(&key)?;
    }
    for queue in ["x:meta:1", "x:inflight:one", "x:idempotency:7", "x:workers", "x:data", "core:apalis:queues"] {
        jobs.enqueue(Job::new(queue))?;
        redis.rpush::<_, _, ()>(format!("{queue}:active"), "2")?;
        assert!(panic_of(|| jobs.assert_not_enqueued("mail")).contains(&format!("{queue}: {queue}()")), "{queue}");
        assert_eq!(jobs.drain(queue)?.len(), 2);
        jobs.assert_nothing_enqueued();
    }
    Ok(())
}
