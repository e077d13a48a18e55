//! Jobs of the Rust crate rusty-sidekiq, which speaks Sidekiq's format.

use std::time::Duration;

use async_trait::async_trait;
use redis::Commands;
use rstest::rstest;
use serde_json::json;
use sidekiq::{Processor, RedisConnectionManager, RedisPool, Scheduled, Worker, with_custom_namespace};
use transient_fixtures::{Job, Sidekiq, TestRequest, clean_redis, get_jobs_redis, get_redis, test_request};

/// Leaves a note for the test, or fails.
#[derive(Clone)]
struct Note {
    url: String,
}

#[async_trait]
impl Worker<(String, u32)> for Note {
    async fn perform(&self, (text, copies): (String, u32)) -> sidekiq::Result<()> {
        if text == "fails" {
            return Err(sidekiq::Error::Message(text));
        }
        let mut redis = redis::Client::open(self.url.as_str())?.get_connection()?;
        Ok(redis.rpush("done", format!("{text} {copies}"))?)
    }
}

async fn pool(test_request: &TestRequest) -> RedisPool {
    let manager = RedisConnectionManager::new(test_request.jobs_url()).expect("a URL");
    bb8::Pool::builder().build(manager).await.expect("connections")
}

fn processor(test_request: &TestRequest, pool: &RedisPool) -> Processor {
    let mut processor = Processor::new(pool.clone(), vec!["mail".to_owned()]);
    processor.register(Note { url: test_request.redis_url().to_owned() });
    processor
}

#[rstest]
#[clean_redis]
#[tokio::test]
async fn its_jobs_are_read_here(test_request: TestRequest) -> Result<(), Box<dyn std::error::Error>> {
    let (pool, jobs) = (pool(&test_request).await, test_request.jobs_with_format(Sidekiq::new()));
    Note::opts().queue("mail").perform_async(&pool, ("ÅÄÖ 🦊".to_owned(), 3)).await?;
    Note::opts().queue("mail").perform_in(&pool, Duration::from_secs(600), ("later".to_owned(), 1)).await?;
    Note::opts().queue("other").perform_in(&pool, Duration::from_secs(900), ("other".to_owned(), 1)).await?;

    let enqueued = jobs.assert_enqueued("Note").times(3).only().on_queue("mail").times(2);
    enqueued.with_args(("ÅÄÖ 🦊", 3)).times(1);
    let scheduled = jobs.scheduled()?;
    assert_eq!(scheduled.iter().map(|job| job.args()[0].clone()).collect::<Vec<_>>(), ["later", "other"]);
    assert_eq!(jobs.pending("mail")?.len(), 2);

    // Its scheduled job is due after a travel.
    test_request.travel(Duration::from_secs(601))?;
    let sets = vec!["retry".to_owned(), "schedule".to_owned()];
    assert_eq!(Scheduled::new(pool.clone()).enqueue_jobs(chrono::Utc::now(), &sets).await.expect("enqueue"), 1);
    assert_eq!(jobs.scheduled()?.len(), 1);
    assert_eq!((jobs.drain("mail")?.len(), jobs.drain("other")?.len()), (2, 1));
    jobs.assert_nothing_enqueued();
    Ok(())
}

#[rstest]
#[clean_redis]
#[tokio::test]
async fn its_worker_does_a_job_of_ours(test_request: TestRequest) -> Result<(), Box<dyn std::error::Error>> {
    let (pool, jobs) = (pool(&test_request).await, test_request.jobs_with_format(Sidekiq::new()));
    let id = jobs.enqueue(Job::new("Note").with_args(("ours: ÅÄÖ", 1)).with_queue("mail"))?;
    jobs.enqueue(Job::new("Note").with_args(("later", 2)).with_queue("mail").with_countdown(Duration::from_secs(600)))?;
    // A drained job is unchanged after it is enqueued again.
    for job in jobs.drain("mail")? {
        jobs.enqueue(job)?;
    }
    assert_eq!(jobs.pending("mail")?[0].id(), Some(id.as_str()));
    let mut processor = processor(&test_request, &pool);
    processor.process_one_tick_once().await?;
    test_request.travel(Duration::from_secs(601))?;
    let sets = vec!["schedule".to_owned()];
    assert_eq!(Scheduled::new(pool.clone()).enqueue_jobs(chrono::Utc::now(), &sets).await.expect("enqueue"), 1);
    processor.process_one_tick_once().await?;
    let done: Vec<String> = get_redis(&test_request)?.lrange("done", 0, -1)?;
    assert_eq!(done, ["ours: ÅÄÖ 1", "later 2"]);
    jobs.assert_nothing_enqueued();
    Ok(())
}

/// A failed job waits for another attempt, and is dead after the last one.
#[rstest]
#[clean_redis]
#[tokio::test]
async fn a_failing_job_is_retried_and_then_dead(test_request: TestRequest) -> Result<(), Box<dyn std::error::Error>> {
    let (pool, jobs) = (pool(&test_request).await, test_request.jobs_with_format(Sidekiq::new()));
    let mut processor = processor(&test_request, &pool);
    Note::opts().queue("mail").perform_async(&pool, ("fails".to_owned(), 1)).await?;
    processor.process_one_tick_once().await?;
    let job = jobs.scheduled()?.remove(0);
    assert_eq!((job.retries(), job.queue(), job.args()), (1, "mail", &[json!("fails"), json!(1)][..]));
    jobs.assert_enqueued("Note").times(1).only();
    jobs.drain("mail")?;

    Note::opts().queue("mail").retry(false).perform_async(&pool, ("fails".to_owned(), 2)).await?;
    processor.process_one_tick_once().await?;
    jobs.assert_nothing_enqueued();
    assert_eq!(jobs.dead()?[0].args(), [json!("fails"), json!(2)]);
    Ok(())
}

#[rstest]
#[clean_redis]
#[tokio::test]
async fn a_namespace_is_followed(test_request: TestRequest) -> Result<(), Box<dyn std::error::Error>> {
    let manager = RedisConnectionManager::new(test_request.jobs_url())?;
    let customizer = with_custom_namespace("shop".to_owned());
    let pool = bb8::Pool::builder().connection_customizer(customizer).build(manager).await?;
    Note::opts().perform_async(&pool, ("x".to_owned(), 1)).await?;
    Note::opts().perform_in(&pool, Duration::from_secs(60), ("y".to_owned(), 1)).await?;
    let jobs = test_request.jobs_with_format(Sidekiq::new().with_namespace("shop"));
    jobs.assert_enqueued("Note").on_queue("default").times(2).only();
    // A format for other keys ignores none of them.
    let other = test_request.jobs_with_format(Sidekiq::new());
    let passed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| other.assert_nothing_enqueued()));
    assert!(passed.is_err());
    assert!(get_jobs_redis(&test_request)?.exists::<_, bool>("shop:schedule")?);
    Ok(())
}
