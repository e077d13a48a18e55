//! Queues: how long it takes to list them.

use std::collections::HashMap;
use std::hint::black_box;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use redis::{Connection, cmd};
use serde_json::Value;
use transient_fixtures::{Apalis, Celery, Job, JobFormat, Rq, Sidekiq, TestRequest, get_jobs_redis};

use super::{in_turns, row, time};

const JOBS: usize = 10_000;

/// Listing a queue in each format, and one read of the same data with the necessary decoding by hand.
pub(super) fn jobs() {
    let value = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).expect("JSON");
    listed("Celery", Celery::new(), "celery", |redis| {
        let raw: Vec<Vec<u8>> = cmd("LRANGE").arg("celery").arg(0).arg(-1).query(redis).expect("LRANGE");
        let decode = |raw: &Vec<u8>| {
            let body = BASE64_STANDARD.decode(value(raw)["body"].as_str().expect("a body")).expect("Base64");
            // Only the arguments are kept, as our list needs no more.
            Value::Array(serde_json::from_slice::<(Vec<Value>, Value, Value)>(&body).expect("JSON").0)
        };
        raw.iter().map(decode).collect()
    });
    listed("Sidekiq", Sidekiq::new(), "mail", |redis| {
        let raw: Vec<Vec<u8>> = cmd("LRANGE").arg("queue:mail").arg(0).arg(-1).query(redis).expect("LRANGE");
        raw.iter().map(|raw| value(raw)["args"].take()).collect()
    });
    listed("RQ", Rq::new().with_json_serializer(), "mail", |redis| {
        let ids: Vec<String> = cmd("LRANGE").arg("rq:queue:mail").arg(0).arg(-1).query(redis).expect("LRANGE");
        let mut read = redis::pipe();
        ids.iter().fold(&mut read, |read, id| read.hgetall(format!("rq:job:{id}")));
        let hashes: Vec<HashMap<String, Vec<u8>>> = read.query(redis).expect("HGETALL");
        let decode = |job: &HashMap<String, Vec<u8>>| {
            value(&miniz_oxide::inflate::decompress_to_vec_zlib(&job["data"]).expect("zlib"))[2].take()
        };
        hashes.iter().map(decode).collect()
    });
    listed("apalis", Apalis::new(), "mail", |redis| {
        let ids: Vec<(String, f64)> =
            cmd("ZRANGE").arg("mail:scheduled").arg(&["0", "-1", "WITHSCORES"]).query(redis).expect("ZRANGE");
        let mut read = redis::pipe();
        read.cmd("HMGET").arg("mail:data").arg(ids.iter().map(|(id, _)| id).collect::<Vec<_>>());
        ids.iter().fold(&mut read, |read, (id, _)| read.hgetall(format!("mail:meta:{id}")));
        let mut answers = read.query::<Vec<redis::Value>>(redis).expect("HGETALL").into_iter();
        let data: Vec<Vec<u8>> = redis::from_redis_value(answers.next().expect("the data")).expect("bytes");
        let hashes = answers.map(|hash| redis::from_redis_value::<HashMap<String, String>>(hash).expect("a hash"));
        assert!(hashes.into_iter().all(|hash| hash["attempts"] == "0"));
        data.iter().map(|data| value(data)).collect()
    });
}

fn listed(name: &str, format: impl JobFormat, queue: &str, mut read: impl FnMut(&mut Connection) -> Vec<Value>) {
    let test_request = TestRequest::clean();
    let jobs = test_request.jobs_with_format(format);
    for number in 0..JOBS {
        let arguments = ("asa@example.com", number);
        let job = match name {
            // It names a job after its queue, and gives it one argument.
            "apalis" => Job::new(queue).with_args([arguments]),
            _ => Job::new("shop.send_mail").with_queue(queue).with_args(arguments),
        };
        jobs.enqueue(job).expect("enqueue");
    }
    let mut redis = get_jobs_redis(&test_request).expect("connect");
    let ours = || time(|| assert_eq!(black_box(jobs.pending(queue).expect("pending")).len(), JOBS));
    let by_hand = || time(|| assert_eq!(black_box(read(&mut redis)).len(), JOBS));
    let (ours, floor) = in_turns(20, ours, by_hand);
    let figure = format!("10,000 queued jobs of {name} listed");
    row(&figure, ours, ("one read of the same data and decoding by hand", floor), "1.2");
}
