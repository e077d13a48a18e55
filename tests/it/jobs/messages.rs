//! Messages of Celery with all kinds of bodies, and assertions over everything that can't be read.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use redis::Commands;
use rstest::rstest;
use serde_json::{Value, json};
use transient_fixtures::{Celery, Error, Job, TestRequest, clean_redis, get_jobs_redis, test_request};

use super::message;

use crate::golden::golden;
use crate::panics::panic_of;

fn queue(test_request: &TestRequest, message: &str) {
    get_jobs_redis(test_request).expect("connect").lpush::<_, _, ()>("celery", message).expect("LPUSH");
}

/// Returns a message with every header that is read.
fn with_body(content_type: &str, compression: Option<&str>, body: &str) -> String {
    message(|message| {
        message["content-type"] = json!(content_type);
        message["body"] = json!(body);
        message["headers"] = json!({
            "task": "shop.send_mail", "id": "7", "retries": 2, "compression": compression, "group": "spring",
            "root_id": "6", "eta": "2100-01-01T00:00:00+00:00", "expires": "2100-01-02T00:00:00+00:00",
        });
        message["properties"]["priority"] = json!(3);
    })
}

#[rstest]
#[case::pickle("application/x-python-serialize", None, "application/x-python-serialize, not JSON")]
#[case::yaml("application/x-yaml", None, "application/x-yaml, not JSON")]
#[case::msgpack("application/x-msgpack", None, "application/x-msgpack, not JSON")]
#[case::zstd("application/json", Some("application/zstd"), "(application/zstd)")]
#[case::broken("application/json", Some("application/x-gzip"), "(application/x-gzip)")]
#[case::no_base64("application/json", None, golden("jobs::other_body"))]
#[clean_redis]
fn reads_the_headers_of_jobs_with_opaque_arguments(
    test_request: TestRequest,
    #[case] content_type: &str,
    #[case] compression: Option<&str>,
    #[case] why: &str,
) -> Result<(), Error> {
    let raw = with_body(content_type, compression, "gAJdcQAu");
    queue(&test_request, &raw);
    let jobs = test_request.jobs();
    let job = jobs.pending("celery")?.remove(0);
    assert_eq!((job.name(), job.id()), (Some("shop.send_mail"), Some("7")));
    assert_eq!((job.group(), job.root()), (Some("spring"), Some("6")));
    assert_eq!((job.retries(), job.priority(), job.why_unreadable()), (2, Some(3), None));
    let seconds = |time: Option<SystemTime>| time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    assert_eq!(seconds(job.eta()), Some(Duration::from_secs(4_102_444_800)));
    assert_eq!(seconds(job.expires()), Some(Duration::from_secs(4_102_531_200)));
    assert!(job.why_opaque().is_some_and(|opaque| opaque.contains(why)), "{job:?}");
    assert!(job.args().is_empty() && job.kwargs().is_empty());

    jobs.assert_enqueued("shop.send_mail").on_queue("celery").times(1).only();
    assert!(panic_of(|| jobs.assert_not_enqueued("shop.send_mail")).contains(why));
    assert!(panic_of(|| jobs.assert_enqueued("shop.send_mail").with_args(())).contains(why));
    assert!(panic_of(|| jobs.assert_enqueued("shop.send_mail").with_kwargs(json!({}))).contains(why));
    jobs.assert_not_enqueued("shop.other");
    assert_eq!(jobs.scheduled()?, std::slice::from_ref(&job));

    test_request.travel(Duration::from_secs(3600))?;
    assert_eq!(jobs.scheduled()?[0].eta(), job.eta().map(|eta| eta - Duration::from_secs(3600)));

    // It can be enqueued unchanged, but not in another form.
    let drained = jobs.drain("celery")?.remove(0);
    jobs.enqueue(drained.clone())?;
    assert_eq!(jobs.pending("celery")?, std::slice::from_ref(&drained));
    let error = jobs.enqueue(drained.with_queue("mail")).expect_err("no arguments");
    assert!(error.is_data() && format!("{error:?}").contains("unreadable arguments"), "{error}");
    Ok(())
}

#[rstest]
#[case::zlib("application/x-gzip", "eJyLjlZKLE50SK1IzC3ISdVLzs9VitVRqFZKzi+oVLJSKCkqTa0F8mtjASllDiQ=")]
#[case::bzip2(
    "application/x-bz2",
    "QlpoOTFBWSZTWTItye8AAAafgFAFABBAAAAKKgbeaiAAMUAGI000aEU0/UJhMamZqkQjYo9jm2JyEuEZh8pZvWRQYud0Cd8/F3JFOFCQMi3J7w=="
)]
#[clean_redis]
fn reads_compressed_arguments(test_request: TestRequest, #[case] compression: &str, #[case] body: &str) {
    queue(&test_request, &with_body("application/json", Some(compression), body));
    let enqueued = test_request.jobs().assert_enqueued("shop.send_mail").with_args(("asa@example.com",));
    enqueued.with_kwargs(json!({"copy": true})).times(1).only();
}

#[rstest]
#[clean_redis]
fn reads_a_body_without_base64(test_request: TestRequest) {
    queue(
        &test_request,
        &message(|message| {
            message["body"] = json!("[[1], {}, {}]");
            message["properties"].as_object_mut().expect("an object").remove("body_encoding");
        }),
    );
    test_request.jobs().assert_enqueued("shop.send_mail").with_args((1,)).only();
}

/// Returns a message of protocol 1, which has everything in the body.
fn old_message(body: &Value) -> String {
    message(|message| {
        message["headers"] = json!({});
        message["body"] = json!(BASE64_STANDARD.encode(body.to_string()));
    })
}

#[rstest]
#[clean_redis]
fn reads_protocol_1_from_the_body(test_request: TestRequest) -> Result<(), Error> {
    let body = json!({
        "task": "shop.send_mail", "id": "1", "args": ["ÅÄÖ"], "kwargs": {"copy": true}, "retries": 1,
        "eta": "2100-01-01T00:00:00+00:00", "expires": null, "taskset": "spring", "utc": true,
    });
    queue(&test_request, &old_message(&body));
    let jobs = test_request.jobs();
    let found = jobs.assert_enqueued("shop.send_mail").with_args(("ÅÄÖ",)).with_kwargs(json!({"copy": true})).only();
    let job = found.jobs()[0].clone();
    assert_eq!((job.id(), job.group(), job.retries()), (Some("1"), Some("spring"), 1));
    test_request.travel(Duration::from_secs(3600))?;
    assert_eq!(jobs.scheduled()?[0].eta(), job.eta().map(|eta| eta - Duration::from_secs(3600)));

    // A body that can't be read can be any job.
    queue(
        &test_request,
        &message(|message| {
            message["headers"] = json!({});
            message["content-type"] = json!("application/x-python-serialize");
        }),
    );
    assert!(jobs.pending("celery")?[1].why_unreadable().is_some());
    assert!(panic_of(|| jobs.assert_not_enqueued("shop.other")).contains("application/x-python-serialize"));
    Ok(())
}

/// The body of a job of protocol 1, with an argument like its due time, and a number that is no f64.
const OLD_BODY: &str = r#"{"task": "shop.send_mail", "id": "1", "args": ["\u00c5", 12345678901234567890123], "kwargs":
    {"eta": "2100-01-01T00:00:00+00:00"}, "retries": 1, "eta": "2100-01-01T00:00:00+00:00", "expires": null}"#;

/// Only the due time changes.
#[rstest]
#[clean_redis]
fn protocol_1_ages_with_and_without_base64(
    test_request: TestRequest,
    #[values(true, false)] base64: bool,
) -> Result<(), Error> {
    let encode = |body: &str| if base64 { BASE64_STANDARD.encode(body) } else { body.to_owned() };
    let with_body = |body: &str| {
        message(|message| {
            message["headers"] = json!({});
            message["body"] = json!(encode(body));
            message["properties"]["body_encoding"] = json!(base64.then_some("base64"));
        })
    };
    queue(&test_request, &with_body(OLD_BODY));
    test_request.travel(Duration::from_secs(3600))?;
    let job = test_request.jobs().pending("celery")?.remove(0);
    let own = "\"eta\": \"2100-01-01T00:00:00+00:00\", \"expires\"";
    let aged = OLD_BODY.replace(own, "\"eta\": \"2099-12-31T23:00:00.000000+00:00\", \"expires\"");
    assert_eq!(std::str::from_utf8(job.raw()).expect("UTF-8"), with_body(&aged));
    Ok(())
}

#[rstest]
#[clean_redis]
fn protocol_1_ages_in_a_compressed_body(test_request: TestRequest) -> Result<(), Error> {
    // The body above.
    let body = "eNqrVipJLM5WslJQKs7IL9ArTs1Lic9NzMxR0lFQykwBiRuCmIlF6cVATrRSTKmBQbIpUMjQyNjE1MzcwtIAhRULVJxdDlHOpQAE1UqpJYkgc4wMDQx0DQyBKMTAwAqMtMGkUi1QT1FqSVFmKsgOQyCPoBaQmoqCzCKwjrzSnJxaAF46Mps=";
    let old = message(|message| {
        message["headers"] = json!({"compression": "application/x-gzip"});
        message["body"] = json!(body);
    });
    queue(&test_request, &old);
    let jobs = test_request.jobs();
    let before = jobs.pending("celery")?.remove(0);
    test_request.travel(Duration::from_secs(3600))?;
    let job = jobs.pending("celery")?.remove(0);
    assert_eq!(before.eta().map(|eta| eta - Duration::from_secs(3600)), job.eta());
    assert!(job.eta().is_some() && job.id() == Some("1"), "{job:?}");
    assert_eq!((job.args(), job.kwargs()), (before.args(), before.kwargs()));
    Ok(())
}

/// Nothing here compresses with bzip2. An error is better than a job that stays where it is.
#[rstest]
#[clean_redis]
fn a_due_time_that_can_not_be_changed_is_an_error(test_request: TestRequest) -> Result<(), Error> {
    let body = "QlpoOTFBWSZTWSIE8LcAADWbgFAPcBAEAKbv3IogAFQ1MUNqAADMUEqNEMJoYgGQ8aLKsJFfLtUvMPoIaHqCogwkITNQwAmEFEiEpjlxSDbdRB9Ej0q8TiFS4GzVQfi7kinChIEQJ4W4";
    let mut redis = get_jobs_redis(&test_request).expect("connect");
    redis.set_ex::<_, _, ()>("celery-task-meta-1", "{}", 100_000).expect("SETEX");
    let old = message(|message| {
        message["headers"] = json!({"compression": "application/x-bz2"});
        message["body"] = json!(body);
    });
    queue(&test_request, &old);
    let jobs = test_request.jobs();
    let error = test_request.travel(Duration::from_secs(3600)).expect_err("bzip2");
    assert!(error.is_data() && error.to_string().contains(golden("jobs::not_aged")), "{error}");
    assert!(error.to_string().contains("\"shop.send_mail\""), "{error}");
    assert!(redis.ttl::<_, u32>("celery-task-meta-1").expect("TTL") > 99_000);
    assert_eq!(jobs.drain("celery")?[0].raw(), old.as_bytes());
    test_request.travel(Duration::from_secs(3600))
}

/// Each key can hold jobs in a layout that the format does not know.
#[rstest]
#[case::no_utf8(&["RPUSH", "k\u{e9}", "job"], true, "list")]
#[case::sorted_set(&["ZADD", "schedule", "1", "job"], false, "\"schedule\" (zset)")]
#[case::stream(&["XADD", "events", "*", "job", "1"], false, "\"events\" (stream)")]
#[case::string(&["SET", "job:1", "{}"], false, "\"job:1\" (string)")]
#[case::hash(&["HSET", "jobs", "1", "{}"], false, "\"jobs\" (hash)")]
#[case::set(&["SADD", "ids", "1"], false, "\"ids\" (set)")]
#[case::other_prefix(&["ZADD", "shop:unacked_index", "1", "tag"], false, "\"shop:unacked_index\" (zset)")]
#[case::taken_of_another_type(&["SET", "unacked", "text"], false, "\"unacked\" (string)")]
#[clean_redis]
fn negative_assertions_fail_over_unknown_keys(
    test_request: TestRequest,
    #[case] command: &[&str],
    #[case] latin_1: bool,
    #[case] words: &str,
) -> Result<(), Error> {
    let mut redis = get_jobs_redis(&test_request).expect("connect");
    let latin_1 = |word: &&str| -> Vec<u8> {
        if latin_1 { word.chars().map(|letter| letter as u8).collect() } else { word.as_bytes().to_vec() }
    };
    let words_of_command: Vec<_> = command.iter().map(latin_1).collect();
    redis::cmd(command[0]).arg(&words_of_command[1..]).exec(&mut redis).expect("a command");
    let jobs = test_request.jobs();
    assert!(panic_of(|| jobs.assert_nothing_enqueued()).contains(words));
    assert!(panic_of(|| jobs.assert_not_enqueued("shop.send_mail")).contains(words));
    jobs.enqueue(Job::new("shop.send_mail"))?;
    assert!(panic_of(|| jobs.assert_enqueued("shop.send_mail").times(1).only()).contains(words));
    jobs.drain("celery")?;
    if !latin_1(&"\u{e9}").starts_with(&[0xe9]) {
        jobs.ignoring_keys(command[1]).assert_nothing_enqueued();
    }
    Ok(())
}

/// Also with a key prefix. Its times age.
#[rstest]
#[clean_redis]
fn ignores_metadata_of_kombu(test_request: TestRequest) -> Result<(), Error> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("now").as_secs();
    let mut redis = get_jobs_redis(&test_request).expect("connect");
    let mut note = |prefix: &str| {
        redis.sadd::<_, _, ()>(format!("{prefix}_kombu.binding.celery"), "celery").expect("SADD");
        redis.sadd::<_, _, ()>(format!("{prefix}_kombu.binding_permanent.celery"), "celery").expect("SADD");
        redis.zadd::<_, _, _, ()>(format!("{prefix}_kombu.binding_deadlines"), "x", now * 1000).expect("ZADD");
        redis.zadd::<_, _, _, ()>(format!("{prefix}unacked_index"), "tag", now).expect("ZADD");
        redis.set::<_, _, ()>(format!("{prefix}unacked_mutex"), "x").expect("SET");
        redis.set::<_, _, ()>(format!("{prefix}celery-task-meta-1"), "{}").expect("SET");
        redis.set::<_, _, ()>(format!("{prefix}celery-taskset-meta-1.s"), 2).expect("SET");
        redis.zadd::<_, _, _, ()>(format!("{prefix}celery-taskset-meta-1.j"), "{}", 0).expect("ZADD");
        redis.rpush::<_, _, ()>(format!("{prefix}8d5f.reply.celery.pidbox"), "{}").expect("RPUSH");
    };
    note("");
    test_request.jobs().assert_nothing_enqueued();
    test_request.flush()?;
    note("shop:");
    let jobs = test_request.jobs_with_format(Celery::new().with_key_prefix("shop:"));
    jobs.assert_nothing_enqueued();
    test_request.travel(Duration::from_secs(3600))?;
    assert_eq!(redis.zscore("shop:unacked_index", "tag"), Ok(now - 3600));
    assert_eq!(redis.zscore("shop:_kombu.binding_deadlines", "x"), Ok((now - 3600) * 1000));
    Ok(())
}

/// Such a list can be the queue of another library.
#[rstest]
#[clean_redis]
fn negative_assertions_fail_over_lists_named_like_metadata(
    test_request: TestRequest,
    #[values("_kombu.binding.mail", "unacked_mutex", "celery-task-meta-mail", "chord-unlock-mail")] key: &str,
) {
    get_jobs_redis(&test_request).expect("connect").lpush::<_, _, ()>(key, "a job").expect("LPUSH");
    let text = panic_of(|| test_request.jobs().assert_not_enqueued("shop.send_mail"));
    assert!(text.contains(&format!("{key:?} (list)")), "{text}");
}
