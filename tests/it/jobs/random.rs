//! Random queues: everything that is queued is seen, and no negative assertion passes while something is.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use proptest::prelude::*;
use redis::Commands;
use transient_fixtures::{Celery, Job, JobFormat, Jobs, TestRequest, get_jobs_redis};

/// What may be queued: jobs, now or later, and what no format can read.
#[derive(Clone, Debug)]
enum Queued {
    Job { name: u8, queue: u8, later: bool },
    Rubbish { queue: u8, bytes: Vec<u8> },
    Foreign { kind: u8, key: Vec<u8> },
}

fn queued() -> impl Strategy<Value = Queued> {
    prop_oneof![
        4 => (0..3_u8, 0..3_u8, any::<bool>()).prop_map(|(name, queue, later)| Queued::Job { name, queue, later }),
        1 => (0..3_u8, any::<Vec<u8>>()).prop_map(|(queue, bytes)| Queued::Rubbish { queue, bytes }),
        1 => (0..4_u8, any::<[u8; 6]>()).prop_map(|(kind, key)| Queued::Foreign { kind, key: key.to_vec() }),
    ]
}

fn holds(assertion: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(assertion)).is_ok()
}

/// The key of a queue's list; and what the job of a number is called in the queue of another.
type KeysAndNames = (fn(&str) -> String, fn(u8, u8) -> String);

fn its_own_name(name: u8, _queue: u8) -> String {
    format!("job {name}")
}

fn check(
    test_request: &TestRequest,
    jobs: &Jobs,
    keys_and_names: KeysAndNames,
    history: Vec<Queued>,
) -> Result<(), TestCaseError> {
    let (list_of, name_of) = keys_and_names;
    let mut redis = get_jobs_redis(test_request).expect("connect");
    let (mut names, mut unreadable, mut foreign) = (Vec::new(), 0, 0);
    for queued in history {
        match queued {
            Queued::Job { name, queue, later } => {
                let job = Job::new(name_of(name, queue)).with_args((name,)).with_queue(format!("queue {queue}"));
                jobs.enqueue(if later { job.with_countdown(Duration::from_secs(60)) } else { job }).expect("enqueue");
                names.push(name_of(name, queue));
            }
            Queued::Rubbish { queue, bytes } => {
                redis
                    .lpush::<_, _, ()>(list_of(&format!("queue {queue}")), [&[0xff], &bytes[..]].concat())
                    .expect("LPUSH");
                unreadable += 1;
            }
            Queued::Foreign { kind, key } => {
                let key = [b"foreign ", &key[..]].concat();
                let command =
                    [["SET", "x", ""], ["ZADD", "1", "x"], ["SADD", "x", ""], ["HSET", "x", "x"]][usize::from(kind)];
                let mut foreign_key = redis::cmd(command[0]);
                foreign_key.arg(&key);
                for word in command[1..].iter().filter(|word| !word.is_empty()) {
                    foreign_key.arg(*word);
                }
                foreign += u32::from(foreign_key.exec(&mut redis).is_ok());
            }
        }
    }
    let all = jobs.all().expect("the jobs");
    let mut found: Vec<_> = all.iter().filter_map(|job| job.name().map(str::to_owned)).collect();
    found.sort_unstable();
    names.sort_unstable();
    prop_assert_eq!(&found, &names);
    prop_assert_eq!(all.iter().filter(|job| job.why_unreadable().is_some()).count(), unreadable);
    let is_hidden = unreadable > 0 || foreign > 0;
    prop_assert_eq!(holds(|| jobs.assert_nothing_enqueued()), names.is_empty() && !is_hidden);
    for name in (0..3).map(|number| name_of(number, number)) {
        prop_assert_eq!(holds(|| jobs.assert_not_enqueued(&name)), !names.contains(&name) && !is_hidden);
        let is_alone = !is_hidden && !names.is_empty() && names.iter().all(|other| *other == name);
        prop_assert_eq!(holds(|| drop(jobs.assert_enqueued(&name).only())), is_alone);
    }

    // Out and in again, it is the same; and out, nothing is left but what is foreign.
    let mut drained = Vec::new();
    for queue in (0..3).map(|queue| format!("queue {queue}")) {
        let found = jobs.drain(&queue).expect("drain");
        prop_assert!(jobs.pending(&queue).expect("pending").is_empty());
        for job in found.iter().cloned() {
            jobs.enqueue(job).expect("enqueue");
        }
        prop_assert_eq!(&jobs.pending(&queue).expect("pending"), &found);
        drained.extend(jobs.drain(&queue).expect("drain"));
    }
    prop_assert_eq!(drained.len(), all.len());
    prop_assert_eq!(holds(|| jobs.assert_nothing_enqueued()), foreign == 0);
    Ok(())
}

fn run(format: impl JobFormat + Clone, keys_and_names: KeysAndNames) {
    let test_request = TestRequest::clean();
    let config = ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let jobs = test_request.jobs_with_format(format);
    let outcome = runner.run(&proptest::collection::vec(queued(), 0..12), |history| {
        test_request.flush().expect("flush");
        check(&test_request, &jobs, keys_and_names, history)
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn of_celery() {
    run(Celery::new(), (str::to_owned, its_own_name));
}

#[test]
fn of_celery_with_a_prefix() {
    run(Celery::new().with_key_prefix("shop:"), (|queue| format!("shop:{queue}"), its_own_name));
}

#[cfg(feature = "sidekiq")]
#[test]
fn of_sidekiq() {
    run(transient_fixtures::Sidekiq::new(), (|queue| format!("queue:{queue}"), its_own_name));
}

/// Its jobs have the names of their queues.
#[cfg(feature = "apalis")]
#[test]
fn of_apalis() {
    let name_of = |_, queue| format!("queue {queue}");
    run(transient_fixtures::Apalis::new(), (|queue| format!("{queue}:active"), name_of));
}

#[cfg(feature = "rq")]
#[test]
fn of_rq() {
    run(transient_fixtures::Rq::new(), (|queue| format!("rq:queue:{queue}"), its_own_name));
}

#[cfg(feature = "rq")]
#[test]
fn of_rq_with_json() {
    run(transient_fixtures::Rq::new().with_json_serializer(), (|queue| format!("rq:queue:{queue}"), its_own_name));
}

#[test]
fn of_places_of_every_kind() {
    run(super::places::Mixed, (|queue| format!("{queue}:ids"), its_own_name));
}
