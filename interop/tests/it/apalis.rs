//! Jobs of the Rust crate apalis-redis.

use std::any::type_name;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apalis::prelude::*;
use apalis_codec::msgpack::MsgPackCodec;
use apalis_redis::queries::fetch_next;
use apalis_redis::{Config, RedisStorage};
use redis::Commands;
use rstest::rstest;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::mpsc::unbounded_channel;
use transient_fixtures::{Apalis, Job, TestRequest, clean_redis, get_jobs_redis, test_request};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct SendMail {
    to: String,
    copies: u32,
}

fn mail(to: &str, copies: u32) -> SendMail {
    SendMail { to: to.to_owned(), copies }
}

/// The queue of mails. Its jobs have its name.
fn mails() -> &'static str {
    type_name::<SendMail>()
}

async fn storage<T>(test_request: &TestRequest) -> RedisStorage<T> {
    RedisStorage::new(apalis_redis::connect(test_request.jobs_url()).await.expect("connect"))
}

/// How a job with this address ends.
fn outcome(to: &str) -> Result<(), BoxDynError> {
    match to {
        "fails" => Err("it fails".into()),
        "aborted" => Err(AbortError::new("it is aborted").into()),
        _ => Ok(()),
    }
}

/// A worker that does this number of jobs, and records for each: recipient, number, attempt and id.
macro_rules! work {
    ($storage:expr, $name:expr, $count:expr) => {{
        let done = Arc::new(Mutex::new(Vec::new()));
        let notes = done.clone();
        let send = move |mail: SendMail, id: TaskId, attempt: Attempt, worker: WorkerContext| {
            let mut notes = notes.lock().expect("notes");
            notes.push((mail.to.clone(), mail.copies, attempt.current(), id.to_string()));
            if notes.len() == $count {
                worker.stop().expect("stop");
            }
            async move { outcome(&mail.to) }
        };
        WorkerBuilder::new($name).backend($storage).build(send).run().await.expect("a worker");
        let done = done.lock().expect("notes").clone();
        done
    }};
}

#[rstest]
#[clean_redis]
#[tokio::test]
async fn its_jobs_are_read_here(test_request: TestRequest) -> Result<(), Box<dyn std::error::Error>> {
    let jobs = test_request.jobs_with_format(Apalis::new());
    let mut storage = storage::<SendMail>(&test_request).await;
    storage.push(mail("ÅÄÖ 🦊", 3)).await?;
    let later = TaskBuilder::new(mail("later", 1)).run_in_seconds(600).task_id(TaskId::from_string("mine")).build();
    storage.push_task(later).await?;
    // A queue whose name differs from that of its type.
    let config = Config::default().queue("shop:numbers").idempotency_ttl(Some(Duration::from_secs(60)));
    let mut numbers = self::storage::<u32>(&test_request).await.with_config(config);
    numbers.push_task(TaskBuilder::new(7).idempotency_key("order 7").build()).await?;

    // The job for now is among those for later.
    assert_eq!(get_jobs_redis(&test_request)?.zcard::<_, usize>(format!("{}:scheduled", mails()))?, 2);
    jobs.assert_enqueued(mails()).on_queue(mails()).times(2).with_args(mail("ÅÄÖ 🦊", 3)).times(1);
    jobs.assert_enqueued("shop:numbers").with_args(7).times(1);
    jobs.assert_not_enqueued("shop:mail");
    let scheduled = jobs.scheduled()?;
    assert_eq!(scheduled.len(), 1);
    assert_eq!((scheduled[0].id(), scheduled[0].retries()), (Some("mine"), 0));
    assert_eq!(scheduled[0].args(), [json!({"to": "later", "copies": 1})]);
    assert_eq!(jobs.pending(mails())?.len(), 2);

    // Its scheduled job is due after a travel.
    test_request.travel(Duration::from_secs(601))?;
    assert!(jobs.scheduled()?.is_empty());
    let pending: Vec<_> = jobs.pending(mails())?.into_iter().filter_map(|job| job.id().map(str::to_owned)).collect();
    let done = work!(storage, "one", 2);
    assert_eq!(done[1], ("later".to_owned(), 1, 1, "mine".to_owned()));
    assert_eq!(done.into_iter().map(|(.., id)| id).collect::<Vec<_>>(), pending);
    jobs.assert_enqueued("shop:numbers").times(1).only();
    // The key that prevented a second enqueue has expired.
    assert!(!get_jobs_redis(&test_request)?.exists::<_, bool>("shop:numbers:idempotency:order 7")?);
    assert_eq!(jobs.drain("shop:numbers")?.len(), 1);
    jobs.assert_nothing_enqueued();
    Ok(())
}

#[rstest]
#[clean_redis]
#[tokio::test]
async fn its_worker_does_a_job_of_ours(test_request: TestRequest) -> Result<(), Box<dyn std::error::Error>> {
    let jobs = test_request.jobs_with_format(Apalis::new());
    let storage = storage::<SendMail>(&test_request).await;
    let id = jobs.enqueue(Job::new(mails()).with_args(mail("ours: ÅÄÖ", 1)))?;
    let later = jobs.enqueue(Job::new(mails()).with_args(mail("later", 2)).with_countdown(Duration::from_secs(600)))?;
    // A drained job is unchanged after it is enqueued again.
    let drained = jobs.drain(mails())?;
    for job in drained.iter().cloned() {
        jobs.enqueue(job)?;
    }
    assert_eq!(jobs.pending(mails())?, drained);
    assert_eq!(work!(storage.clone(), "one", 1), [("ours: ÅÄÖ".to_owned(), 1, 1, id)]);
    jobs.assert_enqueued(mails()).with_args(mail("later", 2)).times(1).only();
    test_request.travel(Duration::from_secs(601))?;
    assert_eq!(work!(storage, "two", 1), [("later".to_owned(), 2, 1, later)]);
    jobs.assert_nothing_enqueued();
    assert!(jobs.unacked()?.is_empty() && jobs.dead()?.is_empty());
    Ok(())
}

/// Extra metadata from its producer survives another enqueue.
#[rstest]
#[clean_redis]
#[tokio::test]
async fn metadata_stay(test_request: TestRequest) -> Result<(), Box<dyn std::error::Error>> {
    let jobs = test_request.jobs_with_format(Apalis::new());
    let mut storage = storage::<SendMail>(&test_request).await;
    let metadata = MetadataStore::from_map([("trace".to_owned(), "7".to_owned())].into());
    storage.push_task(TaskBuilder::new(mail("asa", 1)).with_metadata(metadata).max_attempts(3).build()).await?;
    for job in jobs.drain(mails())? {
        jobs.enqueue(job)?;
    }
    let (saw, mut seen) = unbounded_channel();
    let look = move |_: SendMail, metadata: MetadataStore, id: TaskId, worker: WorkerContext| {
        saw.send((metadata.get("trace").map(str::to_owned), id.to_string())).expect("send");
        worker.stop().expect("stop");
        async {}
    };
    WorkerBuilder::new("one").backend(storage).build(look).run().await?;
    let (trace, id) = seen.recv().await.expect("a job");
    assert_eq!(trace.as_deref(), Some("7"));
    let most: u32 = get_jobs_redis(&test_request)?.hget(format!("{}:meta:{id}", mails()), "max_attempts")?;
    assert_eq!(most, 3);
    Ok(())
}

/// Failed jobs wait for another attempt. Aborted jobs, and those that failed too often, are dead.
#[rstest]
#[clean_redis]
#[tokio::test]
async fn a_failing_job_is_retried_and_then_dead(test_request: TestRequest) -> Result<(), Box<dyn std::error::Error>> {
    let jobs = test_request.jobs_with_format(Apalis::new());
    let mut storage = storage::<SendMail>(&test_request).await;
    // apalis does not check this number.
    storage.push_task(TaskBuilder::new(mail("fails", 1)).max_attempts(1).build()).await?;
    storage.push(mail("aborted", 2)).await?;
    storage.push(mail("done", 3)).await?;
    work!(storage.clone(), "one", 3);
    jobs.assert_enqueued(mails()).with_args(mail("fails", 1)).times(1).only();
    assert_eq!(jobs.pending(mails())?[0].retries(), 1);
    let dead = jobs.dead()?;
    assert_eq!((dead.len(), dead[0].retries(), dead[0].queue()), (1, 1, mails()));
    assert_eq!(dead[0].args(), [json!({"to": "aborted", "copies": 2})]);

    test_request.travel(Duration::from_secs(60))?;
    assert_eq!(work!(storage.clone(), "two", 1)[0].2, 2);
    assert_eq!(jobs.drain(mails())?[0].retries(), 2);

    // The delay grows with the number of failures.
    let job = Job::new(mails()).with_args(mail("fails", 4)).with_retries(23);
    jobs.enqueue(job)?;
    work!(storage.clone(), "three", 1);
    assert_eq!((jobs.scheduled()?.len(), jobs.scheduled()?[0].retries()), (1, 24));
    test_request.travel(Duration::from_secs(60))?;
    assert_eq!(work!(storage, "four", 1)[0].2, 25);
    jobs.assert_nothing_enqueued();
    let mut copies: Vec<_> = jobs.dead()?.iter().map(|job| job.args()[0]["copies"].clone()).collect();
    copies.sort_unstable_by_key(serde_json::Value::as_u64);
    assert_eq!(copies, [2, 4]);
    Ok(())
}

/// Jobs held by a worker are unacked. If the worker is gone, another one with its name does them after some time.
#[rstest]
#[clean_redis]
#[tokio::test]
async fn jobs_held_by_a_worker_are_unacked(test_request: TestRequest) -> Result<(), Box<dyn std::error::Error>> {
    let jobs = test_request.jobs_with_format(Apalis::new());
    let mut storage = storage::<SendMail>(&test_request).await.with_config(Config::default().queue("mail"));
    storage.push(mail("asa", 1)).await?;
    let (begun, mut begins) = unbounded_channel();
    let hold = move |mail: SendMail| {
        begun.send(mail.copies).expect("send");
        std::future::pending::<()>()
    };
    let worker = tokio::spawn(WorkerBuilder::new("one").backend(storage.clone()).build(hold).run());
    assert_eq!(begins.recv().await, Some(1));
    jobs.assert_nothing_enqueued();
    let taken = jobs.unacked()?;
    assert_eq!((taken.len(), taken[0].name(), taken[0].queue()), (1, Some("mail"), "mail"));
    assert_eq!(taken[0].args(), [json!({"to": "asa", "copies": 1})]);
    worker.abort();
    assert!(worker.await.is_err_and(|error| error.is_cancelled()));
    assert_eq!(jobs.unacked()?, taken);

    // It takes as many jobs as configured. The others that are due are then in its list.
    for copies in 2..=4 {
        storage.push(mail("bo", copies)).await?;
    }
    let config = Config::default().queue("mail").batch_size(1);
    fetch_next(storage.get_connection(), &WorkerContext::new("one"), &config).await?;
    assert_eq!(get_jobs_redis(&test_request)?.llen::<_, usize>("mail:active")?, 2);
    jobs.assert_enqueued("mail").times(2).only();
    assert_eq!(jobs.unacked()?.len(), 2);

    test_request.travel(Duration::from_secs(60))?;
    let mut copies: Vec<_> = work!(storage, "one", 4).into_iter().map(|(_, copies, ..)| copies).collect();
    copies.sort_unstable();
    assert_eq!(copies, [1, 2, 3, 4]);
    jobs.assert_nothing_enqueued();
    assert!(jobs.unacked()?.is_empty());
    Ok(())
}

/// Its name is known whatever the body.
#[rstest]
#[clean_redis]
#[tokio::test]
async fn a_body_of_another_codec_is_opaque(test_request: TestRequest) -> Result<(), Box<dyn std::error::Error>> {
    let jobs = test_request.jobs_with_format(Apalis::new());
    let mut storage = storage::<SendMail>(&test_request).await.with_codec(MsgPackCodec);
    storage.push(mail("asa", 1)).await?;
    let enqueued = jobs.assert_enqueued(mails()).times(1).only();
    let refused = std::panic::catch_unwind(|| enqueued.with_args(mail("asa", 1))).expect_err("its arguments are read");
    let text = refused.downcast_ref::<String>().expect("text");
    assert!(text.contains("unreadable arguments"), "{text}");
    for job in jobs.drain(mails())? {
        assert!(job.why_opaque().is_some() && job.args().is_empty());
        jobs.enqueue(job)?;
    }
    assert_eq!(work!(storage, "one", 1)[0].0, "asa");
    jobs.assert_nothing_enqueued();
    Ok(())
}
