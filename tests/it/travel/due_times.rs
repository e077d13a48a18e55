//! Due times that are not TTLs: scores, and times in queued jobs.

use std::time::{Duration, SystemTime};

use redis::Commands;
use rstest::rstest;
use transient_fixtures::jobs::{Body, Entry, KeyRole, Place};
use transient_fixtures::{Job, JobFormat, TestRequest, clean_redis, get_jobs_redis, redis, test_request};

use super::{HOUR, connect};

/// The formats with which a test has looked for jobs.
#[rstest]
#[clean_redis]
fn due_times_of_other_formats_age_too(test_request: TestRequest) {
    #[derive(Debug)]
    struct Due;
    impl JobFormat for Due {
        fn places(&self, queue: &str) -> Vec<Place> {
            vec![Place::list(format!("due:{queue}"))]
        }
        fn key_role(&self, key: &str) -> KeyRole {
            key.strip_prefix("due:").map_or(KeyRole::Unknown, |queue| KeyRole::Queue(queue.to_owned()))
        }
        fn decode(&self, entry: &Entry) -> Job {
            let seconds = entry.text().parse().expect("seconds");
            Job::new("due").with_eta(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
        }
        fn encode(&self, job: &Job) -> Result<redis::Pipeline, Box<dyn std::error::Error + Send + Sync>> {
            let since = job.eta().ok_or("no time")?.duration_since(SystemTime::UNIX_EPOCH)?;
            let mut commands = redis::pipe();
            commands.rpush(format!("due:{}", job.queue()), since.as_secs());
            Ok(commands)
        }
        fn age(&self, message: &[u8], by: Duration) -> Option<Vec<u8>> {
            let seconds: u64 = std::str::from_utf8(message).ok()?.parse().ok()?;
            Some(seconds.saturating_sub(by.as_secs()).to_string().into_bytes())
        }
    }
    let jobs = test_request.jobs_with_format(Due);
    for number in 0..3 {
        let eta = SystemTime::UNIX_EPOCH + Duration::from_secs(10_000 + number / 2);
        jobs.enqueue(Job::new("due").with_queue("x").with_eta(eta)).expect("enqueue");
    }
    // If a format is requested twice, its jobs age once.
    drop(test_request.jobs_with_format(Due));
    test_request.travel(HOUR).expect("travel");
    let mut redis = get_jobs_redis(&test_request).expect("connect");
    assert_eq!(redis.lrange::<_, Vec<u64>>("due:x", 0, -1), Ok(vec![6_400, 6_400, 6_401]));
}

/// A due time that stays would be that much later than everything else.
#[rstest]
#[clean_redis]
fn a_format_that_does_not_age_is_an_error(test_request: TestRequest) {
    #[derive(Debug)]
    struct Fixed;
    impl JobFormat for Fixed {
        fn places(&self, _: &str) -> Vec<Place> {
            vec![Place::list("fixed")]
        }
        fn key_role(&self, key: &str) -> KeyRole {
            if key == "fixed" { KeyRole::Queue("fixed".to_owned()) } else { KeyRole::Unknown }
        }
        fn decode(&self, entry: &Entry) -> Job {
            let seconds = entry.text().parse().expect("seconds");
            Job::new("fixed").with_eta(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
        }
        fn encode(&self, _: &Job) -> Result<redis::Pipeline, Box<dyn std::error::Error + Send + Sync>> {
            Err("not asked for".into())
        }
    }
    let (mut sessions, mut jobs) = (connect(&test_request), get_jobs_redis(&test_request).expect("connect"));
    sessions.set_ex::<_, _, ()>("code", "x", 5_000).expect("SETEX");
    drop(test_request.jobs_with_format(Fixed));
    // A job that is due stays due.
    jobs.rpush::<_, _, ()>("fixed", "10000").expect("RPUSH");
    test_request.travel(HOUR).expect("travel");
    let tomorrow = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("now").as_secs() + 86_400;
    jobs.rpush::<_, _, ()>("fixed", tomorrow).expect("RPUSH");
    let error = test_request.travel(HOUR).expect_err("it stays");
    assert!(error.is_data() && error.to_string().contains("fixed"), "{error}");
    // Nothing has aged.
    assert!((1_000..=1_400).contains(&sessions.ttl::<_, i64>("code").expect("TTL")));
}

/// Messages age in sorted sets, strings and hash fields.
#[rstest]
#[clean_redis]
fn due_times_in_messages_of_every_place_age(test_request: TestRequest) {
    #[derive(Debug)]
    struct Due;
    impl JobFormat for Due {
        fn places(&self, _: &str) -> Vec<Place> {
            vec![
                Place::sorted_set("due:members"),
                Place::list("due:strings").with_body(Body::string("body:")),
                Place::list("due:fields").with_body(Body::hash_field("bodies")),
            ]
        }
        fn key_role(&self, key: &str) -> KeyRole {
            if key.starts_with("due:") { KeyRole::Queue("due".to_owned()) } else { KeyRole::Other }
        }
        fn decode(&self, entry: &Entry) -> Job {
            let message = std::str::from_utf8(entry.message()).expect("text");
            Job::new("due").with_eta(SystemTime::UNIX_EPOCH + Duration::from_secs(message.parse().expect("seconds")))
        }
        fn encode(&self, _: &Job) -> Result<redis::Pipeline, Box<dyn std::error::Error + Send + Sync>> {
            Err("not asked for".into())
        }
        fn age(&self, message: &[u8], by: Duration) -> Option<Vec<u8>> {
            let seconds: u64 = std::str::from_utf8(message).ok()?.parse().ok()?;
            Some(seconds.saturating_sub(by.as_secs()).to_string().into_bytes())
        }
    }
    let mut redis = get_jobs_redis(&test_request).expect("connect");
    redis.zadd::<_, _, _, ()>("due:members", "10000", 7).expect("ZADD");
    redis.rpush::<_, _, ()>("due:strings", "a").expect("RPUSH");
    redis.set_ex::<_, _, ()>("body:a", "20000", 100_000).expect("SETEX");
    redis.rpush::<_, _, ()>("due:fields", "b").expect("RPUSH");
    redis.hset_multiple::<_, _, _, ()>("bodies", &[("b", "30000"), ("other", "x")]).expect("HSET");

    let jobs = test_request.jobs_with_format(Due);
    test_request.travel(HOUR).expect("travel");
    let due = |job: &Job| job.eta().expect("a time").duration_since(SystemTime::UNIX_EPOCH).expect("later").as_secs();
    assert_eq!(jobs.all().expect("the jobs").iter().map(due).collect::<Vec<_>>(), [6_400, 16_400, 26_400]);
    // Neighbouring values stay, and the string keeps its TTL.
    assert_eq!(redis.zscore("due:members", "6400"), Ok(7));
    assert!((90_000..=96_400).contains(&redis.ttl::<_, i64>("body:a").expect("TTL")));
    assert_eq!(redis.hget("bodies", "other"), Ok("x".to_owned()));
}

#[rstest]
#[clean_redis]
fn due_times_age_when_they_are_named(test_request: TestRequest) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("now").as_secs_f64();
    let (mut sessions, mut jobs) = (connect(&test_request), get_jobs_redis(&test_request).expect("connect"));
    for (unit, key) in [(1.0, "seconds"), (1e3, "milliseconds"), (1e6, "microseconds")] {
        jobs.zadd::<_, _, _, ()>(key, "job", ((now + 4000.0) * unit).floor()).expect("ZADD");
        sessions.zadd::<_, _, _, ()>(key, "other", ((now + 4000.0) * unit).floor()).expect("ZADD");
    }
    jobs.zadd::<_, _, _, ()>("ranking", "asa", 17).expect("ZADD");
    jobs.zadd::<_, _, _, ()>("unacked_index", "tag", now.floor()).expect("ZADD");
    sessions.set::<_, _, ()>("no set", "x").expect("SET");
    let keys = ["seconds", "milliseconds", "microseconds", "no set", "not there"];
    // Sets that are named twice, or already known, age once.
    let keys: Vec<_> = keys.into_iter().chain(["seconds", "unacked_index"]).collect();
    test_request.travel_with_due_times(HOUR, &keys).expect("travel");
    for (unit, key) in [(1.0, "seconds"), (1e3, "milliseconds"), (1e6, "microseconds")] {
        let scores: (f64, f64) =
            (jobs.zscore(key, "job").expect("ZSCORE"), sessions.zscore(key, "other").expect("ZSCORE"));
        let expected = ((now + 4000.0) * unit).floor() - 3600.0 * unit;
        assert_eq!(scores, (expected, expected), "{key}");
    }
    assert_eq!(jobs.zscore("ranking", "asa"), Ok(17.0));
    assert_eq!(jobs.zscore("unacked_index", "tag"), Ok(now.floor() - 3600.0));
}

/// Celery's own times, in the messages of all queues.
#[rstest]
#[clean_redis]
fn due_times_of_jobs_age(test_request: TestRequest) {
    let jobs = test_request.jobs();
    let hours =
        |count: u32| Job::new(format!("in {count} hours")).with_args(("eta", count)).with_countdown(HOUR * count);
    for (count, queue) in [(1, "celery"), (2, "mail"), (3, "mail")] {
        jobs.enqueue(hours(count).with_queue(queue).with_priority(6)).expect("enqueue");
    }
    jobs.enqueue(Job::new("now")).expect("enqueue");
    // In Python's format.
    let message = r#"{"body": "W1tdLCB7fSwge31d", "content-type": "application/json", "properties": {"body_encoding":
        "base64"}, "headers": {"task": "python's", "id": "1", "eta": "2100-01-01T00:00:00.123456+00:00", "n": 1.0}}"#;
    let mut redis = get_jobs_redis(&test_request).expect("connect");
    redis.lpush::<_, _, ()>("celery", message).expect("LPUSH");

    test_request.travel(HOUR * 2).expect("travel");
    let now = SystemTime::now();
    let scheduled = jobs.scheduled().expect("the jobs");
    let names: Vec<_> = scheduled.iter().filter_map(|job| job.name()).collect();
    assert_eq!(names, ["in 1 hours", "in 2 hours", "in 3 hours", "python's"]);
    let due: Vec<_> = scheduled.iter().map(|job| job.eta().is_some_and(|eta| eta <= now)).collect();
    assert_eq!(due, [true, true, false, false]);
    assert_eq!(scheduled[0].args(), ["eta".into(), serde_json::Value::from(1)]);
    assert_eq!(
        String::from_utf8(scheduled[3].raw().to_vec()).expect("UTF-8"),
        message.replace("2100-01-01T00:00:00.123456+00:00", "2099-12-31T22:00:00.123456+00:00")
    );
    jobs.assert_enqueued("now").times(1);
}

/// A job stays, however long it has been overdue.
#[rstest]
#[clean_redis]
fn jobs_survive_expire_all(test_request: TestRequest) {
    let jobs = test_request.jobs();
    jobs.enqueue(Job::new("later").with_countdown(HOUR)).expect("enqueue");
    for _ in 0..4 {
        test_request.expire_all().expect("travel");
    }
    test_request.travel(Duration::MAX).expect("travel");
    let job = jobs.pending("celery").expect("the jobs").remove(0);
    assert_eq!((job.name(), job.eta()), (Some("later"), Some(SystemTime::UNIX_EPOCH)));
}
