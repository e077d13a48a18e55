//! Jobs, messages and payments.

use redis::{Commands, RedisResult, pipe};
use rstest::rstest;
use transient_fixtures::races::Client;
use transient_fixtures::{TestRequest, clean_redis, test_request};

use super::{Database, Form, connect, explore, finds_the_race, finds_the_race_and_the_half_fix, nx};

/// A message that is delivered twice is handled twice. The half fix looks again, after its work.
#[rstest]
#[clean_redis]
fn exists_and_set_apart(test_request: TestRequest) {
    fn handle(client: &Client, form: Form) -> RedisResult<()> {
        let mut redis = connect(client)?;
        if form == Form::Right {
            if redis.set_options("seen:7", 1, nx())? {
                redis.incr::<_, _, ()>("handled", 1)?;
            }
            return Ok(());
        }
        if redis.exists("seen:7")? {
            return Ok(());
        }
        if form == Form::Half && redis.exists("seen:7")? {
            return Ok(());
        }
        redis.set_ex::<_, _, ()>("seen:7", 1, 60)?;
        redis.incr("handled", 1)
    }
    finds_the_race_and_the_half_fix(|form| {
        explore(&test_request)
            .client("a", move |client| handle(client, form))
            .client("b", move |client| handle(client, form))
            .check(|redis, _| assert_eq!(redis.get::<_, u32>("handled").unwrap(), 1))
    });
}

/// Two schedulers move the same due job into the queue. The half fix ignores whether it has removed the job itself.
#[rstest]
#[clean_redis]
fn job_promoted_twice(test_request: TestRequest) {
    fn promote(client: &Client, form: Form) -> RedisResult<()> {
        let mut redis = connect(client)?;
        let due: Vec<String> = redis.zrangebyscore("scheduled", 0, 10)?;
        for job in due {
            if form == Form::Wrong {
                redis.lpush::<_, _, ()>("queue", &job)?;
            }
            let removed: u32 = redis.zrem("scheduled", &job)?;
            if form == Form::Half || (form == Form::Right && removed == 1) {
                redis.lpush::<_, _, ()>("queue", &job)?;
            }
        }
        Ok(())
    }
    finds_the_race_and_the_half_fix(|form| {
        explore(&test_request)
            .seed(|redis| redis.zadd::<_, _, _, ()>("scheduled", "mail", 7))
            .client("a", move |client| promote(client, form))
            .client("b", move |client| promote(client, form))
            .check(|redis, _| assert_eq!(redis.llen::<_, u32>("queue").unwrap(), 1))
    });
}

/// The job waits for its ETA, the visibility timeout passes, and another worker gets the job as well.
#[rstest]
#[clean_redis]
fn eta_beyond_the_visibility_timeout(test_request: TestRequest) {
    fn execute(client: &Client, form: Form) -> RedisResult<()> {
        let mut redis = connect(client)?;
        if form == Form::Right && !redis.set_options("done:7", 1, nx())? {
            return Ok(());
        }
        redis.incr("executed", 1)
    }
    finds_the_race(|form| {
        explore(&test_request)
            .seed(|redis| redis.set_ex::<_, _, ()>("unacked:7", "mail", 3600))
            .client("worker", move |client| {
                client.point("wait for the ETA");
                execute(client, form)
            })
            .client("other worker", move |client| -> RedisResult<()> {
                let is_taken: bool = connect(client)?.exists("unacked:7")?;
                if is_taken { Ok(()) } else { execute(client, form) }
            })
            .expiring("unacked:*")
            .check(|redis, _| assert_eq!(redis.get::<_, u32>("executed").unwrap(), 1))
    });
}

/// The checker takes a job for stalled that its worker has just finished.
#[rstest]
#[clean_redis]
fn stalled_job_checker(test_request: TestRequest) {
    finds_the_race(|form| {
        explore(&test_request)
            .seed(|redis| pipe().lpush("active", "mail").set_ex("heartbeat", 1, 60).exec(redis))
            .client("worker", move |client| -> RedisResult<()> {
                let mut redis = connect(client)?;
                if form == Form::Right {
                    return pipe().atomic().lrem("active", 1, "mail").incr("done", 1).del("heartbeat").exec(&mut redis);
                }
                redis.del::<_, ()>("heartbeat")?;
                redis.incr::<_, _, ()>("done", 1)?;
                redis.lrem("active", 1, "mail")
            })
            .client("checker", move |client| -> RedisResult<()> {
                let mut redis = connect(client)?;
                if redis.exists("heartbeat")? {
                    return Ok(());
                }
                let removed: u32 = redis.lrem("active", 1, "mail")?;
                if removed == 1 { redis.rpush("queue", "mail") } else { Ok(()) }
            })
            .check(|redis, _| {
                let (done, queued): (Option<u32>, u32) = (redis.get("done").unwrap(), redis.llen("queue").unwrap());
                assert_eq!(done.unwrap_or_default() + queued, 1);
            })
    });
}

/// A retry finds the key of the first attempt, which died before it charged.
#[rstest]
#[clean_redis]
fn idempotency_key(test_request: TestRequest) {
    /// Returns true if the customer is told that the order is paid.
    fn pay(client: &Client, form: Form, charges: &Database) -> RedisResult<bool> {
        let mut redis = connect(client)?;
        if redis.set_options("idempotency:7", "pending", nx())? {
            client.point("charge");
            charges.add();
            redis.set_ex::<_, _, ()>("idempotency:7", "paid", 60)?;
            return Ok(true);
        }
        // The right form does not take a pending payment for a paid one.
        Ok(form == Form::Wrong || redis.get::<_, Option<String>>("idempotency:7")?.as_deref() == Some("paid"))
    }
    let charges = Database::default();
    finds_the_race(|form| {
        let (first, retry) = (charges.clone(), charges.clone());
        explore(&test_request)
            .seed(|_| charges.write(0))
            .client("first", move |client| pay(client, form, &first))
            .client("retry", move |client| pay(client, form, &retry))
            .dying("first")
            .check(|_, outcomes| {
                let is_told = outcomes.value("first") == Some(&true) || outcomes.value("retry") == Some(&true);
                assert!(charges.read() <= 1 && (charges.read() == 1 || !is_told));
            })
    });
}

/// A worker takes a job from the queue and notes it elsewhere. It dies in between, and the job is lost.
#[rstest]
#[clean_redis]
fn job_lost_between_two_lists(test_request: TestRequest) {
    fn work(client: &Client, form: Form) -> RedisResult<()> {
        let mut redis = connect(client)?;
        let job: Option<String> = match form {
            Form::Right => redis.lmove("queue", "taken", redis::Direction::Right, redis::Direction::Left)?,
            _ => redis.rpop("queue", None)?,
        };
        let Some(job) = job else { return Ok(()) };
        if form == Form::Wrong {
            redis.lpush::<_, _, ()>("taken", &job)?;
        }
        redis.incr::<_, _, ()>("done", 1)?;
        redis.lrem("taken", 1, job)
    }
    finds_the_race(|form| {
        explore(&test_request)
            .seed(|redis| redis.lpush::<_, _, ()>("queue", "mail"))
            .client("a", move |client| work(client, form))
            .client("b", move |client| work(client, form))
            .dying("a")
            .check(|redis, _| assert!(redis.exists::<_, u32>(&["queue", "taken", "done"]).unwrap() > 0))
    });
}
