//! Jobs in Sidekiq's format. `interop/` tests against Sidekiq and rusty-sidekiq.

use crate::panics::panic_of;
use redis::Commands;
use rstest::rstest;
use transient_fixtures::{Job, Sidekiq, TestRequest, clean_redis, get_jobs_redis, redis, test_request};

/// Each counts only with its own type: a list with this name is the queue of another library.
#[rstest]
#[case::queues(&["SADD", "queues", "mail"])]
#[case::processes(&["SADD", "processes", "shop:1:0123456789ab"])]
#[case::cleanup(&["SET", "process_cleanup", "1"])]
#[case::process(&["HSET", "shop:1:0123456789ab", "info", "{}"])]
#[case::work(&["HSET", "shop:1:0123456789ab:work", "tid", "{}"])]
#[case::workers(&["HSET", "shop:1:0123456789ab:workers", "tid", "{}"])]
#[case::count(&["SET", "stat:processed:2026-11-26", "1"])]
#[case::metrics(&["HSET", "j|20261126|4:51", "SendMail|p", "1"])]
#[case::unique(&["SET", "unique:0123", "1"])]
#[case::unique_of_rusty_sidekiq(&["SET", "sidekiq:unique:mail:SendMail:0123", ""])]
#[clean_redis]
fn ignores_metadata_of_sidekiq(test_request: TestRequest, #[case] note: &[&str]) -> redis::RedisResult<()> {
    let (jobs, mut redis) = (test_request.jobs_with_format(Sidekiq::new()), get_jobs_redis(&test_request)?);
    redis::cmd(note[0]).arg(&note[1..]).exec(&mut redis)?;
    jobs.assert_nothing_enqueued();

    redis.del::<_, ()>(note[1])?;
    redis.lpush::<_, _, ()>(note[1], "a job")?;
    let expected = format!("{:?} (list)", note[1]);
    assert!(panic_of(|| jobs.assert_nothing_enqueued()).contains(&expected));
    assert!(panic_of(|| jobs.assert_not_enqueued("SendMail")).contains(&expected));
    Ok(())
}

#[rstest]
#[clean_redis]
fn recognises_signals_of_processes_only(test_request: TestRequest) -> redis::RedisResult<()> {
    let (jobs, mut redis) = (test_request.jobs_with_format(Sidekiq::new()), get_jobs_redis(&test_request)?);
    redis.lpush::<_, _, ()>("shop:1:0123456789ab-signals", "TSTP")?;
    jobs.assert_nothing_enqueued();
    redis.lpush::<_, _, ()>("traffic-signals", "a job")?;
    assert!(panic_of(|| jobs.assert_nothing_enqueued()).contains("\"traffic-signals\" (list)"));
    Ok(())
}

/// The namespace can look like the name of a metadata key.
#[rstest]
#[clean_redis]
fn negative_assertions_fail_over_another_namespace(
    test_request: TestRequest,
    #[values("sidekiq", "stat", "unique", "limit", "periodic")] namespace: &str,
    #[values(false, true)] later: bool,
) -> Result<(), transient_fixtures::Error> {
    let job = Job::new("SendMail");
    let job = if later { job.with_countdown(std::time::Duration::from_secs(60)) } else { job };
    test_request.jobs_with_format(Sidekiq::new().with_namespace(namespace)).enqueue(job)?;
    let jobs = test_request.jobs_with_format(Sidekiq::new());
    let key = if later { "schedule\" (zset)" } else { "queue:default\" (list)" };
    let text = panic_of(|| jobs.assert_not_enqueued("SendMail"));
    assert!(text.contains(&format!("\"{namespace}:{key}")), "{text}");
    Ok(())
}
