//! Programs with one bug each, and the same programs without it. Sweeps find each bug, and pass the fixed programs.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use redis::{Client, Commands, Connection, ExistenceCheck, RedisResult, SetExpiry, SetOptions, cmd, pipe};
use rstest::rstest;
use transient_fixtures::faults::{self, Run, Sweep};
use transient_fixtures::{TestRequest, clean_redis, test_request};

use crate::panics::panic_of;

fn connect(run: &Run) -> RedisResult<Connection> {
    Client::open(run.redis_url())?.get_connection()
}

/// Asserts that the sweep fails with the bug, and passes without it.
fn finds_the_bug<'a>(sweep: impl Fn(bool) -> Sweep<'a>) {
    let panic = panic_of(|| sweep(true).check());
    // A case fails, and not the run without a fault.
    assert!(panic.contains("TRANSIENT_REPLAY='"), "{panic}");
    sweep(false).check();
}

/// A login gives the session a new id. A failure between the two commands loses the session.
#[rstest]
#[clean_redis]
fn lost_session(test_request: TestRequest) {
    fn log_in(run: &Run, is_wrong: bool) -> RedisResult<()> {
        let mut redis = connect(run)?;
        let session: String = redis.get("session:old")?;
        if is_wrong {
            redis.del::<_, ()>("session:old")?;
            redis.set_ex("session:new", session, 60)
        } else {
            pipe().atomic().set_ex("session:new", session, 60).del("session:old").exec(&mut redis)
        }
    }
    finds_the_bug(|is_wrong| {
        faults::sweep(&test_request, move |run| _ = log_in(run, is_wrong))
            .seed(|redis| redis.set_ex::<_, _, ()>("session:old", "asa", 60))
            .cutting()
            .then(|redis| assert_eq!(redis.exists::<_, u32>(&["session:old", "session:new"]).unwrap(), 1))
    });
}

/// The reply is lost, and the retry queues the job again.
#[rstest]
#[clean_redis]
fn duplicate_job(test_request: TestRequest) {
    fn enqueue(run: &Run, is_wrong: bool) -> RedisResult<()> {
        let mut redis = connect(run)?;
        if is_wrong { redis.lpush("mail", "order 7") } else { redis.sadd("mail", "order 7") }
    }
    finds_the_bug(|is_wrong| {
        let with_retry = move |run: &Run| enqueue(run, is_wrong).or_else(|_| enqueue(run, is_wrong));
        faults::sweep(&test_request, with_retry).cutting().then(move |redis| {
            let count: u32 = if is_wrong { redis.llen("mail").unwrap() } else { redis.scard("mail").unwrap() };
            assert_eq!(count, 1);
        })
    });
}

/// RPOP removes the job, but its reply is lost.
#[rstest]
#[clean_redis]
fn job_lost_after_rpop(test_request: TestRequest) {
    fn work(run: &Run, is_wrong: bool) -> RedisResult<()> {
        let mut redis = connect(run)?;
        if is_wrong {
            let job: Option<String> = redis.rpop("mail", None)?;
            return redis.sadd("done", job);
        }
        let job: String = redis.lmove("mail", "taken", redis::Direction::Right, redis::Direction::Left)?;
        redis.sadd::<_, _, ()>("done", &job)?;
        redis.lrem("taken", 1, job)
    }
    finds_the_bug(|is_wrong| {
        faults::sweep(&test_request, move |run| _ = work(run, is_wrong))
            .seed(|redis| redis.lpush::<_, _, ()>("mail", "order 7"))
            .cutting()
            .then(|redis| assert!(redis.exists::<_, u32>(&["mail", "taken", "done"]).unwrap() > 0))
    });
}

/// The price changes, and the cache keeps the old one.
#[rstest]
#[clean_redis]
fn stale_cache_after_a_failed_del(test_request: TestRequest) {
    let database = Arc::new(AtomicU32::new(1));
    let change = |run: &Run, is_wrong: bool, database: &AtomicU32| -> RedisResult<()> {
        if is_wrong {
            database.store(2, Ordering::SeqCst);
            return connect(run)?.del("price");
        }
        connect(run)?.del::<_, ()>("price")?;
        database.store(2, Ordering::SeqCst);
        Ok(())
    };
    finds_the_bug(|is_wrong| {
        let (scenario, seed, then) = (database.clone(), database.clone(), database.clone());
        faults::sweep(&test_request, move |run| _ = change(run, is_wrong, &scenario))
            .seed(move |redis| {
                seed.store(1, Ordering::SeqCst);
                redis.set::<_, _, ()>("price", 1)
            })
            .cutting()
            .then(move |redis| {
                let cached: Option<u32> = redis.get("price").unwrap();
                assert!(cached.is_none_or(|price| price == then.load(Ordering::SeqCst)));
            })
    });
}

/// The reply is lost, and the retry counts the visit again.
#[rstest]
#[clean_redis]
fn retry_that_counts_twice(test_request: TestRequest) {
    fn count(run: &Run, is_wrong: bool) -> RedisResult<()> {
        let mut redis = connect(run)?;
        if is_wrong { redis.incr("visits", 1) } else { redis.sadd("visits", "visit 7") }
    }
    finds_the_bug(|is_wrong| {
        let with_retry = move |run: &Run| _ = count(run, is_wrong).or_else(|_| count(run, is_wrong));
        faults::sweep(&test_request, with_retry).cutting().then(move |redis| {
            let visits: u32 = if is_wrong { redis.get("visits").unwrap() } else { redis.scard("visits").unwrap() };
            assert_eq!(visits, 1);
        })
    });
}

/// The limiter's counter never expires if EXPIRE fails after INCR.
#[rstest]
#[clean_redis]
fn incr_and_expire_apart(test_request: TestRequest) {
    fn count(run: &Run, is_wrong: bool) -> RedisResult<()> {
        let mut redis = connect(run)?;
        if is_wrong {
            redis.incr::<_, _, u32>("limit:asa", 1)?;
            return redis.expire("limit:asa", 60);
        }
        pipe().atomic().incr("limit:asa", 1).expire("limit:asa", 60).exec(&mut redis)
    }
    finds_the_bug(|is_wrong| {
        faults::sweep(&test_request, move |run| _ = count(run, is_wrong))
            .then(|redis| assert_ne!(redis.ttl::<_, i64>("limit:asa").unwrap(), -1))
            .cutting()
    });
}

/// The holder fails before it releases a lock that never expires.
#[rstest]
#[clean_redis]
fn lock_never_released(test_request: TestRequest) {
    fn with_lock(run: &Run, is_wrong: bool) -> RedisResult<()> {
        let mut redis = connect(run)?;
        let options = SetOptions::default().conditional_set(ExistenceCheck::NX);
        let options = if is_wrong { options } else { options.with_expiration(SetExpiry::EX(30)) };
        redis.set_options::<_, _, ()>("lock", "token", options)?;
        redis.incr::<_, _, ()>("work", 1)?;
        redis.del("lock")
    }
    finds_the_bug(|is_wrong| {
        faults::sweep(&test_request, move |run| _ = with_lock(run, is_wrong))
            .cutting()
            .then(|redis| assert_ne!(redis.ttl::<_, i64>("lock").unwrap(), -1))
    });
}

/// The order is cached, but the database transaction fails.
#[rstest]
#[clean_redis]
fn cache_written_before_the_commit(test_request: TestRequest) {
    fn order(run: &Run, is_wrong: bool) -> Result<(), Box<dyn std::error::Error>> {
        let mut redis = connect(run)?;
        if is_wrong {
            redis.set_ex::<_, _, ()>("order:7", "paid", 60)?;
        }
        run.point("commit")?;
        redis.set_ex::<_, _, ()>("committed", 1, 60)?;
        if !is_wrong {
            redis.set_ex::<_, _, ()>("order:7", "paid", 60)?;
        }
        Ok(())
    }
    finds_the_bug(|is_wrong| {
        faults::sweep(&test_request, move |run| _ = order(run, is_wrong)).failing_points().then(|redis| {
            let (cached, committed): (bool, bool) =
                (redis.exists("order:7").unwrap(), redis.exists("committed").unwrap());
            assert!(committed || !cached);
        })
    });
}

/// An error of the cache becomes an error of the page.
#[rstest]
#[clean_redis]
fn cache_error_shown_to_the_user(test_request: TestRequest) {
    fn page(run: &Run, is_wrong: bool) -> RedisResult<String> {
        let cached = connect(run).and_then(|mut redis| redis.get::<_, Option<String>>("page"));
        let cached = if is_wrong { cached? } else { cached.unwrap_or_default() };
        Ok(cached.unwrap_or_else(|| "the page".to_owned()))
    }
    finds_the_bug(|is_wrong| faults::sweep(&test_request, move |run| page(run, is_wrong)));
}

/// A hand-written client takes a late reply for the reply to its next command.
#[rstest]
#[clean_redis]
fn connection_used_again_after_a_late_reply(test_request: TestRequest) {
    struct Plain(TcpStream);

    impl Plain {
        fn connect(url: &str) -> Self {
            let info = Client::open(url).unwrap().get_connection_info().clone();
            let stream = TcpStream::connect(info.addr().to_string()).expect("connect");
            let mut plain = Self(stream);
            if let Some(password) = info.redis_settings().password() {
                plain.0.write_all(format!("AUTH {password}\r\n").as_bytes()).expect("write");
                plain.line();
            }
            plain.0.write_all(b"SELECT 14\r\n").expect("write");
            plain.line();
            plain.0.set_read_timeout(Some(Duration::from_millis(40))).expect("a timeout");
            plain
        }

        /// One line of a reply; empty after the timeout.
        fn line(&mut self) -> String {
            let (mut line, mut byte) = (String::new(), [0]);
            while !line.ends_with('\n') && matches!(self.0.read(&mut byte), Ok(1)) {
                line.push(byte[0].into());
            }
            line.trim_end().to_owned()
        }

        fn strlen(&mut self, key: &str) -> String {
            let _ = self.0.write_all(format!("STRLEN {key}\r\n").as_bytes());
            self.line()
        }
    }
    fn read(run: &Run, is_wrong: bool) {
        let mut redis = Plain::connect(run.redis_url());
        if redis.strlen("long").is_empty() {
            if is_wrong {
                // Wait for the reply to the first command.
                std::thread::sleep(Duration::from_millis(200));
            } else {
                redis = Plain::connect(run.redis_url());
            }
        }
        let short = redis.strlen("short");
        assert!(short.is_empty() || short == ":1", "{short}");
    }
    finds_the_bug(|is_wrong| {
        faults::sweep(&test_request, move |run| read(run, is_wrong))
            .seed(|redis| pipe().set("long", "1234").set("short", "1").exec(redis))
            .late(Duration::from_millis(100))
    });
}

/// The fallback writes the value without its TTL.
#[rstest]
#[clean_redis]
fn ttl_dropped_by_a_later_set(test_request: TestRequest) {
    fn refresh(run: &Run, is_wrong: bool) -> RedisResult<()> {
        let keeping = || -> RedisResult<()> {
            connect(run)?.set_options("page", "new", SetOptions::default().with_expiration(SetExpiry::KEEPTTL))
        };
        if keeping().is_ok() {
            return RedisResult::Ok(());
        }
        if is_wrong { connect(run)?.set("page", "new") } else { connect(run)?.set_ex("page", "new", 60) }
    }
    finds_the_bug(|is_wrong| {
        faults::sweep(&test_request, move |run| _ = refresh(run, is_wrong))
            .seed(|redis| redis.set_ex::<_, _, ()>("page", "old", 60))
            .cutting()
            .then(|redis| assert!(redis.ttl::<_, i64>("page").unwrap() > 0))
    });
}

/// The key disappears between EXISTS and GET.
#[rstest]
#[clean_redis]
fn exists_then_get(test_request: TestRequest) {
    fn read(run: &Run, is_wrong: bool) {
        let Ok(mut redis) = connect(run) else { return };
        if is_wrong {
            if let Ok(true) = redis.exists::<_, bool>("page") {
                let page: RedisResult<Option<String>> = redis.get("page");
                assert!(page.is_err() || page.unwrap().is_some());
            }
        } else {
            let _page: RedisResult<Option<String>> = redis.get("page");
        }
    }
    finds_the_bug(|is_wrong| {
        faults::sweep(&test_request, move |run| read(run, is_wrong))
            .seed(|redis| redis.set::<_, _, ()>("page", "the page"))
            .losing_each_key()
    });
}

/// An error is taken for an empty cart, and the cart is overwritten.
#[rstest]
#[clean_redis]
fn moved_taken_for_nil(test_request: TestRequest) {
    fn add(run: &Run, is_wrong: bool) -> RedisResult<()> {
        let mut redis = connect(run)?;
        let cart: RedisResult<Option<String>> = redis.get("cart");
        let cart = if is_wrong { cart.unwrap_or_default() } else { cart? };
        redis.set("cart", format!("{} brand:2", cart.unwrap_or_default()))
    }
    finds_the_bug(|is_wrong| {
        faults::sweep(&test_request, move |run| _ = add(run, is_wrong))
            .seed(|redis| redis.set::<_, _, ()>("cart", "brand:1"))
            .replying("MOVED 3999 127.0.0.1:7001")
            .then(|redis| assert!(redis.get::<_, String>("cart").unwrap().contains("brand:1")))
    });
}

/// The client reconnects, but does not subscribe again.
#[rstest]
#[clean_redis]
fn subscription_lost_after_a_cut(test_request: TestRequest) {
    fn listen(run: &Run, is_wrong: bool) -> RedisResult<()> {
        let client = Client::open(run.redis_url())?;
        let subscribe = |redis: &mut Connection| cmd("SUBSCRIBE").arg("news").exec(redis);
        let mut subscriber = client.get_connection()?;
        if subscribe(&mut subscriber).is_err() {
            subscriber = client.get_connection()?;
            if !is_wrong {
                subscribe(&mut subscriber)?;
            }
        }
        if let Ok(listeners) = client.get_connection()?.publish::<_, _, u32>("news", "x") {
            assert!(listeners > 0, "no client is subscribed");
        }
        drop(subscriber);
        Ok(())
    }
    finds_the_bug(|is_wrong| faults::sweep(&test_request, move |run| listen(run, is_wrong)).cutting());
}

/// The job is acknowledged before the mail is sent.
#[rstest]
#[clean_redis]
fn acknowledged_before_it_is_done(test_request: TestRequest) {
    fn work(run: &Run, is_wrong: bool) -> Result<(), Box<dyn std::error::Error>> {
        let mut redis = connect(run)?;
        let job: String = redis.lmove("mail", "taken", redis::Direction::Right, redis::Direction::Left)?;
        if is_wrong {
            redis.lrem::<_, _, ()>("taken", 1, &job)?;
        }
        run.point("send the mail")?;
        redis.set::<_, _, ()>("sent", 1)?;
        redis.lrem::<_, _, ()>("taken", 1, &job)?;
        Ok(())
    }
    finds_the_bug(|is_wrong| {
        faults::sweep(&test_request, move |run| _ = work(run, is_wrong))
            .seed(|redis| redis.lpush::<_, _, ()>("mail", "order 7"))
            .failing_points()
            .then(|redis| assert!(redis.exists::<_, u32>(&["mail", "taken", "sent"]).unwrap() > 0))
    });
}

/// A failed warm-up is never retried.
#[rstest]
#[clean_redis]
fn warm_up_that_is_never_retried(test_request: TestRequest) {
    fn warm_up(run: &Run, is_wrong: bool) -> RedisResult<()> {
        let mut redis = connect(run)?;
        if redis.exists("warm")? {
            return Ok(());
        }
        if is_wrong {
            redis.set::<_, _, ()>("warm", 1)?;
        }
        redis.set_ex::<_, _, ()>("page", "the page", 60)?;
        redis.set("warm", 1)
    }
    finds_the_bug(|is_wrong| {
        faults::sweep(&test_request, move |run| _ = warm_up(run, is_wrong))
            .cutting()
            .again()
            .then(|redis| assert!(redis.exists::<_, bool>("page").unwrap()))
    });
}
