//! Jobs of the Rust crate celery, which speaks Celery's protocol 2 without kombu.

// A message written by `celery::task`.
#![allow(non_local_definitions)]

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ::celery::Celery;
use ::celery::prelude::*;
use redis::Commands;
use rstest::rstest;
use serde_json::json;
use transient_fixtures::{Job, TestRequest, clean_redis, get_redis, test_request};

/// Leaves a note for the test.
#[celery::task(name = "shop.note")]
fn note(url: String, text: String, copies: u32) -> TaskResult<()> {
    let client = redis::Client::open(url).with_unexpected_err(|| "URL")?;
    let mut connection = client.get_connection().with_unexpected_err(|| "connect")?;
    let () = connection.rpush("done", format!("{text} {copies}")).with_unexpected_err(|| "RPUSH")?;
    Ok(())
}

async fn shop(test_request: &TestRequest) -> Arc<Celery> {
    let url = test_request.jobs_url().to_owned();
    let app = ::celery::app!(broker = RedisBroker { url }, tasks = [note], task_routes = ["*" => "notes"]);
    app.await.expect("an application")
}

/// Waits until there is this number of notes.
async fn notes(test_request: &TestRequest, count: usize) -> Vec<String> {
    let mut redis = get_redis(test_request).expect("connect");
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let notes: Vec<String> = redis.lrange("done", 0, -1).expect("LRANGE");
        if notes.len() >= count {
            return notes;
        }
        assert!(Instant::now() < deadline, "{notes:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[rstest]
#[clean_redis]
#[tokio::test]
async fn its_jobs_are_read_here(test_request: TestRequest) -> Result<(), transient_fixtures::Error> {
    let (shop, jobs) = (shop(&test_request).await, test_request.jobs());
    let id = shop.send_task(note::new("url".to_owned(), "ÅÄÖ 🦊".to_owned(), 3)).await.expect("send").task_id;
    let enqueued = jobs.assert_enqueued("shop.note").on_queue("notes").times(1);
    // It passes all arguments by name.
    let enqueued = enqueued.with_kwargs(json!({"url": "url", "text": "ÅÄÖ 🦊", "copies": 3})).with_args(());
    assert_eq!(enqueued.jobs()[0].id(), Some(id.as_str()));

    let later = note::new("url".to_owned(), "later".to_owned(), 1).with_countdown(600);
    shop.send_task(later).await.expect("send");
    let scheduled = jobs.scheduled()?;
    assert_eq!(scheduled.len(), 1);
    let wait = scheduled[0].eta().expect("an ETA").duration_since(SystemTime::now()).expect("in the future");
    assert!((540..=600).contains(&wait.as_secs()), "{wait:?}");
    assert_eq!(jobs.drain("notes")?.len(), 2);
    jobs.assert_nothing_enqueued();
    Ok(())
}

#[rstest]
#[clean_redis]
#[tokio::test]
async fn its_worker_does_a_job_of_ours(test_request: TestRequest) -> Result<(), transient_fixtures::Error> {
    let (shop, jobs, url) = (shop(&test_request).await, test_request.jobs(), test_request.redis_url());
    jobs.enqueue(Job::new("shop.note").with_args((url, "by position: ÅÄÖ", 1)).with_queue("notes"))?;
    let by_name =
        Job::new("shop.note").with_kwarg("url", url).with_kwarg("text", "by name: 🦊").with_kwarg("copies", 2);
    jobs.enqueue(by_name.with_queue("notes").with_countdown(Duration::from_secs(1)))?;
    // The worker can't be moved to another thread.
    let done = tokio::select! {
        ended = shop.consume_from(&["notes"]) => panic!("the worker has ended: {ended:?}"),
        done = notes(&test_request, 2) => done,
    };
    assert_eq!(done, ["by position: ÅÄÖ 1", "by name: 🦊 2"]);
    jobs.assert_nothing_enqueued();
    Ok(())
}
