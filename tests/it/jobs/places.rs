//! A format with places of every kind.

use std::error::Error as StdError;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::Commands;
use rstest::rstest;
use transient_fixtures::jobs::{Body, Entry, KeyRole, Place, TimeUnit};
use transient_fixtures::{Error, Job, JobFormat, TestRequest, clean_redis, get_jobs_redis, redis, test_request};

use super::names;
use crate::child::Child;
use crate::golden::golden;
use crate::own_server::OwnServer;
use crate::panics::panic_of;

/// Ids in a list, in a sorted set by due time (milliseconds), in a stream with a group, and in one set of unacked jobs
/// for each worker. The names of the jobs are in strings, or in a hash.
#[derive(Clone, Debug)]
pub(super) struct Mixed;

impl JobFormat for Mixed {
    fn places(&self, queue: &str) -> Vec<Place> {
        vec![
            Place::list(format!("{queue}:ids")).with_body(Body::string("job:")),
            Place::sorted_set(format!("{queue}:later"))
                .with_due_times(TimeUnit::MILLISECONDS)
                .with_body(Body::hash_field("jobs")),
            Place::stream(format!("{queue}:stream"), Some("workers")),
            Place::sorted_set(format!("{queue}:dead"))
                .with_timestamps(TimeUnit::SECONDS)
                .dead()
                .with_body(Body::string("job:")),
        ]
    }
    fn key_role(&self, key: &str) -> KeyRole {
        match key.split_once(':') {
            Some(("job", _)) => KeyRole::Other,
            Some((_, worker)) if worker.starts_with("taken:") => {
                KeyRole::Place(Place::set(key).unacked().with_body(Body::string("job:").with_id_before('@')))
            }
            Some((queue, "ids" | "later" | "stream" | "dead")) => KeyRole::Queue(queue.to_owned()),
            None if key == "jobs" => KeyRole::Other,
            None if key == "beats" => KeyRole::Timestamps(TimeUnit::SECONDS),
            _ => KeyRole::Unknown,
        }
    }
    fn decode(&self, entry: &Entry) -> Job {
        let name = entry.field("name").unwrap_or(entry.message());
        Job::new(String::from_utf8_lossy(name)).with_id(entry.text())
    }
    fn encode(&self, job: &Job) -> Result<redis::Pipeline, Box<dyn StdError + Send + Sync>> {
        let (id, name) = (job.id().ok_or("no id")?, job.name().ok_or("no name")?);
        let mut commands = redis::pipe();
        if let Some(eta) = job.eta() {
            let due = u64::try_from(eta.duration_since(UNIX_EPOCH)?.as_millis())?;
            commands.hset("jobs", id, name).zadd(format!("{}:later", job.queue()), id, due);
        } else {
            commands.set(format!("job:{id}"), name).rpush(format!("{}:ids", job.queue()), id);
        }
        Ok(commands)
    }
}

#[rstest]
#[clean_redis]
fn reads_drains_and_restores_every_kind_of_place(test_request: TestRequest) -> Result<(), Box<dyn StdError>> {
    let (jobs, mut redis) = (test_request.jobs_with_format(Mixed), get_jobs_redis(&test_request)?);
    let due = UNIX_EPOCH + Duration::from_millis(4_102_444_800_123);
    jobs.enqueue(Job::new("now").with_queue("q"))?;
    jobs.enqueue(Job::new("later").with_queue("q").with_eta(due))?;
    for name in ["given", "done", "waits"] {
        redis.xadd::<_, _, _, _, ()>("q:stream", "*", &[("name", name)])?;
        if name == "done" {
            redis.xgroup_create::<_, _, _, ()>("q:stream", "workers", "0")?;
            let read: redis::Value = redis::cmd("XREADGROUP")
                .arg(&["GROUP", "workers", "one", "COUNT", "2", "STREAMS", "q:stream", ">"])
                .query(&mut redis)?;
            let redis::Value::Array(_) = read else { panic!("{read:?}") };
            let ids: redis::streams::StreamRangeReply = redis.xrange_all("q:stream")?;
            redis.xack::<_, _, _, ()>("q:stream", "workers", &[&ids.ids[1].id])?;
        }
    }
    redis.sadd::<_, _, ()>("q:taken:one", "7@one")?;
    redis.set::<_, _, ()>("job:7", "taken")?;
    redis.zadd::<_, _, _, ()>("q:dead", "8", 4_102_444_800_u64)?;
    redis.set::<_, _, ()>("job:8", "dead")?;
    redis.zadd::<_, _, _, ()>("beats", "one", 4_102_444_800_u64)?;

    assert_eq!(names(&jobs.pending("q")?), ["now", "later", "waits"]);
    assert_eq!(jobs.all()?, jobs.pending("q")?);
    assert_eq!((names(&jobs.scheduled()?), jobs.scheduled()?[0].eta()), (vec!["later"], Some(due)));
    assert_eq!(names(&jobs.unacked()?), ["given", "taken"]);
    assert_eq!((names(&jobs.dead()?), jobs.dead()?[0].eta()), (vec!["dead"], None));

    let drained = jobs.drain("q")?;
    assert_eq!(names(&drained), ["now", "later", "waits"]);
    jobs.assert_nothing_enqueued();
    assert!(!redis.exists::<_, bool>(&["q:ids", "q:later", "jobs"])?);
    assert_eq!(names(&jobs.unacked()?), ["given", "taken"]);
    for job in drained.clone() {
        jobs.enqueue(job)?;
    }
    assert_eq!(names(&jobs.pending("q")?), ["now", "later", "waits"]);
    assert_eq!(jobs.pending("q")?[..2], drained[..2]);

    test_request.travel(Duration::from_secs(3600))?;
    assert_eq!(jobs.scheduled()?[0].eta(), Some(due - Duration::from_secs(3600)));
    assert_eq!(redis.zscore::<_, _, u64>("beats", "one")?, 4_102_441_200);
    assert_eq!(redis.zscore::<_, _, u64>("q:dead", "8")?, 4_102_441_200);
    Ok(())
}

#[rstest]
#[clean_redis]
fn negative_assertions_fail_over_an_id_without_a_job(test_request: TestRequest) -> Result<(), Error> {
    let (jobs, mut redis) = (test_request.jobs_with_format(Mixed), get_jobs_redis(&test_request).expect("connect"));
    redis.rpush::<_, _, ()>("q:ids", "9").expect("RPUSH");
    let text = panic_of(|| jobs.assert_not_enqueued("now"));
    assert!(text.contains("1 bytes: \"9\"") && text.contains(golden("jobs::NO_BODY_OF_ID")), "{text}");
    redis.del::<_, ()>("q:ids").expect("DEL");
    redis.set::<_, _, ()>("q:ids", "no list").expect("SET");
    assert!(panic_of(|| jobs.assert_nothing_enqueued()).contains("\"q:ids\" (string)"));
    Ok(())
}

/// It is one step, so concurrent producers do not delay it.
#[rstest]
#[clean_redis]
fn drains_while_producers_enqueue(test_request: TestRequest) -> Result<(), Error> {
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut redis = get_jobs_redis(&test_request).expect("connect");
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                redis.lpush::<_, _, ()>("celery", "x").expect("LPUSH");
            }
        });
        let jobs = test_request.jobs();
        let began = SystemTime::now();
        let result = (0..20).try_for_each(|_| jobs.drain("celery").map(drop));
        done.store(true, std::sync::atomic::Ordering::SeqCst);
        assert!(began.elapsed().expect("a time") < Duration::from_secs(10));
        result
    })
}

/// Each id belongs to a body at every moment, and there is always one.
#[rstest]
#[clean_redis]
fn ids_and_bodies_are_read_at_one_moment(test_request: TestRequest) -> Result<(), Error> {
    let done = std::sync::atomic::AtomicBool::new(false);
    let replace = |number: u64| {
        let mut replace = redis::pipe();
        replace.atomic().del(format!("job:{number}")).del("q:ids");
        replace.set(format!("job:{}", number + 1), "name").rpush("q:ids", number + 1);
        replace
    };
    let mut redis = get_jobs_redis(&test_request).expect("connect");
    replace(0).exec(&mut redis).expect("the first job");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1.. {
                if done.load(std::sync::atomic::Ordering::SeqCst) {
                    break;
                }
                replace(number).exec(&mut redis).expect("another job");
            }
        });
        let jobs = test_request.jobs_with_format(Mixed);
        let result = (0..200).try_for_each(|_| {
            for found in [jobs.pending("q")?, jobs.all()?] {
                assert!(found.len() == 1 && found[0].name() == Some("name"), "{found:?}");
            }
            Ok(())
        });
        done.store(true, std::sync::atomic::Ordering::SeqCst);
        result
    })
}

/// RESP3 has sets, maps and numbers where RESP2 has arrays.
#[test]
fn reads_places_in_resp3() {
    let server = OwnServer::start();
    let url = format!("{}?protocol=resp3", server.url());
    Child::test("jobs::places::in_resp3").env("TRANSIENT_REDIS_URL", url).run().assert_passed();
}

#[rstest]
#[ignore = "run by reads_places_in_resp3"]
#[clean_redis]
fn in_resp3(test_request: TestRequest) -> Result<(), Error> {
    /// Names in places of every type, and in a hash for an id.
    #[derive(Debug)]
    struct Names;
    impl JobFormat for Names {
        fn places(&self, _: &str) -> Vec<Place> {
            let later = Place::sorted_set("names:later").with_due_times(TimeUnit::SECONDS);
            let ids = Place::list("names:ids").with_body(Body::hash("job:"));
            vec![Place::list("names:list"), Place::set("names:set"), Place::hash("names:hash"), later, ids]
        }
        fn key_role(&self, key: &str) -> KeyRole {
            if key.starts_with("names:") { KeyRole::Queue("names".to_owned()) } else { KeyRole::Unknown }
        }
        fn decode(&self, entry: &Entry) -> Job {
            Job::new(String::from_utf8_lossy(entry.field("name").unwrap_or(entry.value())))
        }
        fn encode(&self, _: &Job) -> Result<redis::Pipeline, Box<dyn StdError + Send + Sync>> {
            Err("not asked for".into())
        }
    }
    let mut redis = get_jobs_redis(&test_request).expect("connect");
    redis.rpush::<_, _, ()>("names:list", "one").expect("RPUSH");
    redis.sadd::<_, _, ()>("names:set", "two").expect("SADD");
    redis.hset::<_, _, _, ()>("names:hash", "field", "three").expect("HSET");
    redis.zadd::<_, _, _, ()>("names:later", "four", 1.5).expect("ZADD");
    redis.rpush::<_, _, ()>("names:ids", "5").expect("RPUSH");
    redis.hset::<_, _, _, ()>("job:5", "name", "five").expect("HSET");
    let found: redis::Value = redis.smembers("names:set").expect("SMEMBERS");
    assert!(matches!(found, redis::Value::Set(_)), "{found:?}");

    let jobs = test_request.jobs_with_format(Names).all()?;
    assert_eq!(names(&jobs), ["one", "two", "three", "four", "five"]);
    assert_eq!(jobs[3].eta(), Some(UNIX_EPOCH + Duration::from_millis(1_500)));
    Ok(())
}
