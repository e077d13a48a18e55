//! Locks and leaders.

use redis::{Commands, Connection, RedisResult, cmd};
use rstest::rstest;
use transient_fixtures::races::{Client, Outcomes};
use transient_fixtures::{TestRequest, clean_redis, test_request};

use super::{Form, connect, explore, finds_the_race_and_the_half_fix, nx};

const RELEASE: &str = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0";
const RENEW: &str = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('EXPIRE', KEYS[1], 60) or 0";

fn script(redis: &mut Connection, script: &str, token: &str) -> RedisResult<()> {
    cmd("EVAL").arg(script).arg(1).arg("lock").arg(token).exec(redis)
}

/// The lock stays for ever if its holder dies; in the half fix, if it dies between two commands.
#[rstest]
#[clean_redis]
fn lock_without_expiry(test_request: TestRequest) {
    fn work(client: &Client, form: Form) -> RedisResult<()> {
        let mut redis = connect(client)?;
        let has_lock: bool = match form {
            Form::Right => redis.set_options("lock", client.name(), nx())?,
            _ => redis.set_nx("lock", client.name())?,
        };
        if !has_lock {
            return Ok(());
        }
        if form == Form::Half {
            redis.expire::<_, ()>("lock", 60)?;
        }
        client.point("work");
        script(&mut redis, RELEASE, client.name())
    }
    finds_the_race_and_the_half_fix(|form| {
        explore(&test_request)
            .client("a", move |client| work(client, form))
            .client("b", move |client| work(client, form))
            .dying("a")
            .check(|redis, _| assert_ne!(redis.ttl::<_, i64>("lock").unwrap(), -1))
    });
}

/// Returns true if it got the lock and still had it after its work.
fn kept(redis: &mut Connection, client: &Client) -> RedisResult<bool> {
    client.point("work");
    redis.get::<_, Option<String>>("lock").map(|holder| holder.as_deref() == Some(client.name()))
}

/// If `b` got the lock, it had it until it released it. Only the life of the lock of `a` ends.
fn b_kept_its_lock(outcomes: &Outcomes) {
    assert_ne!(outcomes.value::<Option<bool>>("b"), Some(&Some(false)), "{:?}", outcomes.expired());
}

/// After its lock has expired, a client releases the lock of the next one.
#[rstest]
#[clean_redis]
fn release_of_the_lock_of_another(test_request: TestRequest) {
    fn work(client: &Client, form: Form) -> RedisResult<Option<bool>> {
        let mut redis = connect(client)?;
        if !redis.set_options("lock", client.name(), nx())? {
            return Ok(None);
        }
        let kept = kept(&mut redis, client)?;
        match form {
            Form::Wrong => redis.del::<_, ()>("lock")?,
            Form::Half => {
                if redis.get::<_, Option<String>>("lock")?.as_deref() == Some(client.name()) {
                    redis.del::<_, ()>("lock")?;
                }
            }
            Form::Right => script(&mut redis, RELEASE, client.name())?,
        }
        Ok(Some(kept))
    }
    finds_the_race_and_the_half_fix(|form| {
        explore(&test_request)
            .client("a", move |client| work(client, form))
            .client("b", move |client| work(client, form))
            .expiring_of("a", "lock")
            .check(|_, outcomes| b_kept_its_lock(outcomes))
    });
}

/// A client renews its lock after another has got it.
#[rstest]
#[clean_redis]
fn renewal_after_the_lock_was_lost(test_request: TestRequest) {
    fn renew(redis: &mut Connection, name: &str, form: Form) -> RedisResult<()> {
        let is_own = |redis: &mut Connection| -> RedisResult<bool> {
            redis.get::<_, Option<String>>("lock").map(|holder| holder.as_deref() == Some(name))
        };
        match form {
            Form::Wrong => redis.set_ex("lock", name, 60),
            Form::Half if is_own(redis)? => redis.set_ex("lock", name, 60),
            Form::Half => Ok(()),
            Form::Right => script(redis, RENEW, name),
        }
    }
    finds_the_race_and_the_half_fix(|form| {
        explore(&test_request)
            .client("a", move |client| -> RedisResult<()> {
                let mut redis = connect(client)?;
                if redis.set_options("lock", "a", nx())? {
                    client.point("work");
                    renew(&mut redis, "a", form)?;
                    script(&mut redis, RELEASE, "a")?;
                }
                Ok(())
            })
            .client("b", |client| -> RedisResult<Option<bool>> {
                let mut redis = connect(client)?;
                if redis.set_options("lock", "b", nx())? { kept(&mut redis, client).map(Some) } else { Ok(None) }
            })
            .expiring_of("a", "lock")
            .check(|_, outcomes| b_kept_its_lock(outcomes))
    });
}

/// Two nodes believe that they are the leader. The half fix reads the name back.
#[rstest]
#[clean_redis]
fn leader_election(test_request: TestRequest) {
    fn is_leader(client: &Client, form: Form) -> RedisResult<bool> {
        let mut redis = connect(client)?;
        if form == Form::Right {
            return redis.set_options("leader", client.name(), nx());
        }
        if redis.exists("leader")? {
            return Ok(false);
        }
        redis.set_ex::<_, _, ()>("leader", client.name(), 60)?;
        Ok(form == Form::Wrong || redis.get::<_, String>("leader")? == client.name())
    }
    finds_the_race_and_the_half_fix(|form| {
        explore(&test_request)
            .client("a", move |client| is_leader(client, form))
            .client("b", move |client| is_leader(client, form))
            .check(|_, outcomes| assert_ne!(outcomes.value::<bool>("a"), outcomes.value("b")))
    });
}

/// A client waits for the lock in a loop. The wrong one takes it when it has found it free.
#[rstest]
#[clean_redis]
fn lock_taken_after_it_was_free(test_request: TestRequest) {
    fn work(client: &Client, form: Form) -> RedisResult<()> {
        let mut redis = connect(client)?;
        if form == Form::Right {
            while !redis.set_options::<_, _, bool>("lock", client.name(), nx())? {}
        } else {
            while redis.exists("lock")? {}
            redis.set_ex::<_, _, ()>("lock", client.name(), 60)?;
        }
        assert_eq!(redis.get::<_, String>("lock")?, client.name());
        redis.del("lock")
    }
    super::finds_the_race(|form| {
        explore(&test_request)
            .client("a", move |client| work(client, form))
            .client("b", move |client| work(client, form))
            .check(|_, _| ())
    });
}
