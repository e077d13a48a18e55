//! Caches, carts, sessions and limits.

use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::thread;

use redis::{Commands, Connection, RedisResult, cmd, pipe};
use rstest::rstest;
use transient_fixtures::races::Client;
use transient_fixtures::{TestRequest, clean_redis, test_request};

use super::{Database, Form, connect, explore, finds_the_race, finds_the_race_and_the_half_fix, nx};

/// Fills the cache only if the version is still the one that was read before the database.
const FILL: &str =
    "if (redis.call('GET', KEYS[1]) or '0') == ARGV[1] then redis.call('SETEX', KEYS[2], 60, ARGV[2]) end";

fn read_price(client: &Client, database: &Database, form: Form) -> RedisResult<()> {
    let mut redis = connect(client)?;
    let version: Option<u32> = if form == Form::Right { redis.get("price:version")? } else { None };
    if redis.exists("price")? {
        return Ok(());
    }
    client.point("read the database");
    let price = database.read();
    if form == Form::Right {
        let version = version.unwrap_or_default();
        return cmd("EVAL").arg(FILL).arg(2).arg("price:version").arg("price").arg(version).arg(price).exec(&mut redis);
    }
    redis.set_ex("price", price, 60)
}

fn new_version(redis: &mut Connection) -> RedisResult<()> {
    pipe().atomic().incr("price:version", 1).del("price").exec(redis)
}

/// No price, or the one of the database.
fn price_is_fresh(redis: &mut Connection, database: &Database) {
    let price: Option<u32> = redis.get("price").unwrap();
    assert!(price.is_none_or(|price| price == database.read()), "{price:?}");
}

/// The reader fills the cache with the old value after the writer has deleted it.
#[rstest]
#[clean_redis]
fn stale_refill(test_request: TestRequest) {
    let database = Database::default();
    let (reader, writer) = (database.clone(), database.clone());
    finds_the_race(|form| {
        let (reader, writer) = (reader.clone(), writer.clone());
        explore(&test_request)
            .seed(|_| database.write(1))
            .client("reader", move |client| read_price(client, &reader, form))
            .client("writer", move |client| {
                let mut redis = connect(client)?;
                client.point("write the database");
                writer.write(2);
                if form == Form::Right { new_version(&mut redis) } else { redis.del("price") }
            })
            .check(|redis, _| price_is_fresh(redis, &database))
    });
}

/// The writer deletes before it writes; the half fix also deletes afterwards.
#[rstest]
#[clean_redis]
fn double_delete(test_request: TestRequest) {
    let database = Database::default();
    finds_the_race_and_the_half_fix(|form| {
        let (reader, writer) = (database.clone(), database.clone());
        explore(&test_request)
            .seed(|_| database.write(1))
            .client("reader", move |client| read_price(client, &reader, form))
            .client("writer", move |client| -> RedisResult<()> {
                let mut redis = connect(client)?;
                redis.del::<_, ()>("price")?;
                client.point("write the database");
                writer.write(2);
                match form {
                    Form::Wrong => Ok(()),
                    Form::Half => redis.del("price"),
                    Form::Right => new_version(&mut redis),
                }
            })
            .check(|redis, _| price_is_fresh(redis, &database))
    });
}

/// A marker says that the value is being written. The reader looks at it too early, or, in the half fix, just before it
/// fills the cache. The right writer leaves a value that the reader does not overwrite.
#[rstest]
#[clean_redis]
fn two_phase_invalidation(test_request: TestRequest) {
    let database = Database::default();
    finds_the_race_and_the_half_fix(|form| {
        let (reader, writer) = (database.clone(), database.clone());
        explore(&test_request)
            .seed(|_| database.write(1))
            .client("reader", move |client| -> RedisResult<()> {
                let mut redis = connect(client)?;
                if form == Form::Wrong && redis.exists("writing")? {
                    return Ok(());
                }
                client.point("read the database");
                let price = reader.read();
                if form == Form::Half && redis.exists("writing")? {
                    return Ok(());
                }
                match form {
                    Form::Right => redis.set_options("price", price, nx()),
                    _ => redis.set_ex("price", price, 60),
                }
            })
            .client("writer", move |client| -> RedisResult<()> {
                let mut redis = connect(client)?;
                if form == Form::Right {
                    client.point("write the database");
                    writer.write(2);
                    return redis.set_ex("price", 2, 60);
                }
                redis.set_ex::<_, _, ()>("writing", 1, 60)?;
                client.point("write the database");
                writer.write(2);
                pipe().atomic().del("price").del("writing").exec(&mut redis)
            })
            .check(|redis, _| price_is_fresh(redis, &database))
    });
}

/// Who gets the lock after another has filled the cache must look into the cache again.
#[rstest]
#[clean_redis]
fn double_checked_fill(test_request: TestRequest) {
    let loads = Database::default();
    finds_the_race(|form| {
        let read = |loads: Database| {
            move |client: &Client| -> RedisResult<()> {
                let mut redis = connect(client)?;
                if redis.exists("page")? || !redis.set_options("lock", client.name(), nx())? {
                    return Ok(());
                }
                if form == Form::Wrong || !redis.exists("page")? {
                    client.point("load");
                    loads.add();
                    redis.set_ex::<_, _, ()>("page", "the page", 60)?;
                }
                redis.del("lock")
            }
        };
        explore(&test_request)
            .seed(|_| loads.write(0))
            .client("a", read(loads.clone()))
            .client("b", read(loads.clone()))
            .check(|_, _| assert_eq!(loads.read(), 1))
    });
}

/// A page is cached while its tag is flushed. Afterwards no flush finds it.
#[rstest]
#[clean_redis]
fn tagged_entries(test_request: TestRequest) {
    const FLUSH: &str = "
        for _, page in ipairs(redis.call('SMEMBERS', KEYS[1])) do redis.call('DEL', page) end
        redis.call('DEL', KEYS[1])";
    finds_the_race_and_the_half_fix(|form| {
        explore(&test_request)
            .seed(|redis| pipe().sadd("tag", "page:1").set("page:1", "x").exec(redis))
            .client("page", move |client| -> RedisResult<()> {
                let mut redis = connect(client)?;
                match form {
                    Form::Wrong => {
                        redis.set_ex::<_, _, ()>("page:2", "x", 60)?;
                        redis.sadd("tag", "page:2")
                    }
                    Form::Half => {
                        redis.sadd::<_, _, ()>("tag", "page:2")?;
                        redis.set_ex("page:2", "x", 60)
                    }
                    Form::Right => pipe().atomic().set_ex("page:2", "x", 60).sadd("tag", "page:2").exec(&mut redis),
                }
            })
            .client("flush", move |client| -> RedisResult<()> {
                let mut redis = connect(client)?;
                if form == Form::Right {
                    return cmd("EVAL").arg(FLUSH).arg(1).arg("tag").exec(&mut redis);
                }
                for page in redis.smembers::<_, Vec<String>>("tag")? {
                    redis.del::<_, ()>(page)?;
                }
                redis.del("tag")
            })
            .check(|redis, _| {
                let (is_cached, is_tagged): (bool, bool) =
                    (redis.exists("page:2").unwrap(), redis.sismember("tag", "page:2").unwrap());
                assert!(is_tagged || !is_cached);
            })
    });
}

/// Two tabs put something into the cart. The right form retries.
#[rstest]
#[clean_redis]
fn cart_that_is_read_and_written(test_request: TestRequest) {
    fn add(client: &Client, form: Form) -> RedisResult<()> {
        let mut redis = connect(client)?;
        loop {
            if form != Form::Wrong {
                cmd("WATCH").arg("cart").exec(&mut redis)?;
            }
            let cart: Option<String> = redis.get("cart")?;
            let cart = format!("{}{} ", cart.unwrap_or_default(), client.name());
            if form == Form::Wrong {
                return redis.set("cart", cart);
            }
            let written: Option<()> = pipe().atomic().set("cart", cart).ignore().query(&mut redis)?;
            // The half fix ignores that the cart had changed.
            if written.is_some() || form == Form::Half {
                return Ok(());
            }
        }
    }
    finds_the_race_and_the_half_fix(|form| {
        explore(&test_request)
            .client("phone", move |client| add(client, form))
            .client("laptop", move |client| add(client, form))
            .check(|redis, _| {
                let cart: String = redis.get("cart").unwrap();
                assert!(cart.contains("phone") && cart.contains("laptop"), "{cart}");
            })
    });
}

/// A slow request writes its whole session back, and another has added a flash message meanwhile.
#[rstest]
#[clean_redis]
fn session_written_back_over_a_flash_message(test_request: TestRequest) {
    fn request(client: &Client, form: Form, key: &str) -> RedisResult<()> {
        let mut redis = connect(client)?;
        if form == Form::Right {
            return redis.hset("session", key, 1);
        }
        let session: Option<String> = redis.get("session")?;
        redis.set_ex("session", format!("{} {key}", session.unwrap_or_default()), 60)
    }
    finds_the_race(|form| {
        explore(&test_request)
            .client("report", move |client| request(client, form, "last_seen"))
            .client("order", move |client| request(client, form, "flash"))
            .check(move |redis, _| {
                let has_flash = if form == Form::Right {
                    redis.hexists("session", "flash").unwrap()
                } else {
                    redis.get::<_, String>("session").unwrap().contains("flash")
                };
                assert!(has_flash);
            })
    });
}

/// One visit is allowed, but both are.
#[rstest]
#[clean_redis]
fn limiter_that_reads_first(test_request: TestRequest) {
    fn is_allowed(client: &Client, form: Form) -> RedisResult<bool> {
        let mut redis = connect(client)?;
        if form == Form::Right {
            return redis.incr::<_, _, u32>("limit", 1).map(|count| count <= 1);
        }
        let count: Option<u32> = redis.get("limit")?;
        let count = count.unwrap_or_default();
        if count >= 1 {
            return Ok(false);
        }
        if form == Form::Half {
            redis.incr::<_, _, ()>("limit", 1)?;
        } else {
            redis.set::<_, _, ()>("limit", count + 1)?;
        }
        Ok(true)
    }
    finds_the_race_and_the_half_fix(|form| {
        explore(&test_request)
            .client("a", move |client| is_allowed(client, form))
            .client("b", move |client| is_allowed(client, form))
            .check(|_, outcomes| assert_ne!(outcomes.value::<bool>("a"), outcomes.value("b")))
    });
}

/// A counter without a TTL: the client dies before EXPIRE, or, in the half fix, the key expires before INCR.
#[rstest]
#[clean_redis]
fn incr_and_expire_apart(test_request: TestRequest) {
    const COUNT: &str = "
        local count = redis.call('INCR', KEYS[1])
        if count == 1 then redis.call('EXPIRE', KEYS[1], 60) end
        return count";
    fn count(client: &Client, form: Form) -> RedisResult<()> {
        let mut redis = connect(client)?;
        match form {
            Form::Wrong => {
                if redis.incr::<_, _, u32>("limit", 1)? == 1 {
                    redis.expire::<_, ()>("limit", 60)?;
                }
                Ok(())
            }
            Form::Half => {
                redis.set_options::<_, _, ()>("limit", 0, nx())?;
                redis.incr("limit", 1)
            }
            Form::Right => cmd("EVAL").arg(COUNT).arg(1).arg("limit").exec(&mut redis),
        }
    }
    finds_the_race_and_the_half_fix(|form| {
        explore(&test_request)
            .client("a", move |client| count(client, form))
            .client("b", move |client| count(client, form))
            .dying("a")
            .expiring("limit")
            .check(|redis, _| assert_ne!(redis.ttl::<_, i64>("limit").unwrap(), -1))
    });
}

/// WATCH after GET protects nothing; the half fix sells although EXEC did not execute.
#[rstest]
#[clean_redis]
fn watch_after_get(test_request: TestRequest) {
    fn buy(client: &Client, form: Form) -> RedisResult<bool> {
        let mut redis = connect(client)?;
        if form != Form::Wrong {
            cmd("WATCH").arg("stock").exec(&mut redis)?;
        }
        if redis.get::<_, u32>("stock")? == 0 {
            return Ok(false);
        }
        if form == Form::Wrong {
            cmd("WATCH").arg("stock").exec(&mut redis)?;
        }
        let sold: Option<()> = pipe().atomic().decr("stock", 1).ignore().query(&mut redis)?;
        Ok(sold.is_some() || form == Form::Half)
    }
    finds_the_race_and_the_half_fix(|form| {
        explore(&test_request)
            .seed(|redis| redis.set::<_, _, ()>("stock", 1))
            .client("a", move |client| buy(client, form))
            .client("b", move |client| buy(client, form))
            .check(|redis, outcomes| {
                assert_eq!(redis.get::<_, i64>("stock").unwrap(), 0);
                let sold = ["a", "b"].into_iter().filter(|client| outcomes.value(client) == Some(&true)).count();
                assert_eq!(sold, 1);
            })
    });
}

/// The invalidation is published before the database is written, so the other process reads the old value again.
#[rstest]
#[clean_redis]
fn invalidation_published_before_the_write(test_request: TestRequest) {
    let (database, cached) = (Database::default(), Database::default());
    finds_the_race(|form| {
        let (reader, cache, writer) = (database.clone(), cached.clone(), database.clone());
        explore(&test_request)
            .seed(|_| {
                database.write(1);
                cached.write(1);
            })
            .client("reader", move |client| -> RedisResult<()> {
                let mut redis = connect(client)?;
                let mut messages = redis.as_pubsub();
                messages.subscribe("prices")?;
                client.point("subscribed");
                messages.get_message()?;
                client.point("read the database");
                cache.write(reader.read());
                Ok(())
            })
            .client("writer", move |client| -> RedisResult<()> {
                client.after("subscribed");
                let mut redis = connect(client)?;
                if form == Form::Wrong {
                    redis.publish::<_, _, ()>("prices", 1)?;
                }
                client.point("write the database");
                writer.write(2);
                if form == Form::Right {
                    redis.publish::<_, _, ()>("prices", 1)?;
                }
                Ok(())
            })
            .check(|_, _| assert_eq!(cached.read(), database.read()))
    });
}

/// A reply is stored in the process's own cache after the invalidation of its key has arrived. The right form marks the
/// key before it reads, and stores nothing if the mark is gone.
#[rstest]
#[clean_redis]
fn own_cache_filled_after_its_invalidation(test_request: TestRequest) {
    /// The value, 0 while it is being read, `None` if there is none.
    type Cache = Arc<Mutex<Option<u32>>>;

    /// Handles invalidations until it is told to stop.
    fn listen(client: &Client, mut redis: Connection, is_ready: &Sender<()>, cache: &Cache) -> RedisResult<()> {
        let mut messages = redis.as_pubsub();
        messages.subscribe("__redis__:invalidate")?;
        is_ready.send(()).expect("the reader");
        while messages.get_message()?.get_payload::<String>().as_deref() != Ok("stop") {
            client.point("invalidate");
            *cache.lock().unwrap() = None;
        }
        Ok(())
    }

    fn read(client: &Client, form: Form, cache: &Cache) -> RedisResult<()> {
        let mut listener = connect(client)?;
        let id: u64 = cmd("CLIENT").arg("ID").query(&mut listener)?;
        let (sender, receiver) = mpsc::channel();
        let (of_listener, invalidated) = (client.clone(), cache.clone());
        let thread = thread::spawn(move || listen(&of_listener, listener, &sender, &invalidated));
        receiver.recv().expect("the listener");
        let mut redis = connect(client)?;
        cmd("CLIENT").arg("TRACKING").arg("ON").arg("REDIRECT").arg(id).exec(&mut redis)?;
        if form == Form::Right {
            *cache.lock().unwrap() = Some(0);
        }
        let price = redis.get("price")?;
        client.point("store");
        let mut cached = cache.lock().unwrap();
        if form == Form::Wrong || cached.is_some() {
            *cached = Some(price);
        }
        drop(cached);
        client.after("written");
        redis.publish::<_, _, ()>("__redis__:invalidate", "stop")?;
        thread.join().expect("the listener")
    }

    let cache = Cache::default();
    finds_the_race(|form| {
        let own = cache.clone();
        explore(&test_request)
            .seed(|redis| {
                *cache.lock().unwrap() = None;
                redis.set::<_, _, ()>("price", 1)
            })
            .client("reader", move |client| read(client, form, &own))
            .client("writer", |client| -> RedisResult<()> {
                connect(client)?.set::<_, _, ()>("price", 2)?;
                client.point("written");
                Ok(())
            })
            .check(|redis, _| {
                let cached = *cache.lock().unwrap();
                assert!(cached.is_none_or(|cached| cached == redis.get::<_, u32>("price").unwrap()), "{cached:?}");
            })
    });
}
