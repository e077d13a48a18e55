//! Time travel on any server. `.ci/run` tests it on every version.

mod due_times;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use redis::{Commands, Connection};
use rstest::rstest;
use tempfile::TempDir;
use transient_fixtures::{Provider, TestRequest, clean_redis, get_jobs_redis, get_redis, redis, test_request};

use crate::child::Child;
use crate::golden::golden;
use crate::own_server::{self, OwnServer};

const HOUR: Duration = Duration::from_secs(3600);

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn connect(test_request: &TestRequest) -> Connection {
    get_redis(test_request).expect("connect")
}

fn on_database(test_request: &TestRequest, database: u32) -> Connection {
    let mut redis = connect(test_request);
    redis::cmd("SELECT").arg(database).exec(&mut redis).expect("SELECT");
    redis
}

/// Stops concurrent threads, even if the test fails. Otherwise they would never be joined.
struct Over(AtomicBool);

impl Over {
    fn is(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// They stop when the guard is dropped.
    fn guard(&self) -> impl Drop + '_ {
        struct Guard<'over>(&'over Over);
        impl Drop for Guard<'_> {
            fn drop(&mut self) {
                self.0.0.store(true, Ordering::SeqCst);
            }
        }
        Guard(self)
    }
}

/// For tests that would change a server that others can use.
fn is_ours(test_request: &TestRequest) -> bool {
    let ours = test_request.server().provider() != Provider::Running;
    if !ours {
        println!("not on a server that we have not started");
    }
    ours
}

fn keys(redis: &mut Connection) -> Vec<String> {
    let mut keys: Vec<String> = redis.keys("*").expect("KEYS");
    keys.sort_unstable();
    keys
}

#[rstest]
#[clean_redis]
fn keys_age_and_expire(test_request: TestRequest) {
    let (mut sessions, mut jobs) = (connect(&test_request), get_jobs_redis(&test_request).expect("connect"));
    for redis in [&mut sessions, &mut jobs] {
        redis.set_ex::<_, _, ()>("short", "x", 100).expect("SETEX");
        redis.set_ex::<_, _, ()>("long", "x", 31_536_000).expect("SETEX");
        redis.set::<_, _, ()>("eternal", "x").expect("SET");
        redis.rpush::<_, _, ()>("list", "x").expect("RPUSH");
        redis.expire::<_, ()>("list", 50).expect("EXPIRE");
    }
    test_request.travel(seconds(40)).expect("travel");
    test_request.assert_ttl("short", seconds(55)..=seconds(60));
    test_request.assert_ttl("list", seconds(5)..=seconds(10));
    test_request.travel(seconds(30)).expect("travel");
    for redis in [&mut sessions, &mut jobs] {
        assert_eq!(redis::cmd("DBSIZE").query::<u32>(redis), Ok(3));
        assert_eq!(keys(redis), ["eternal", "long", "short"]);
        assert_eq!(redis.ttl::<_, i64>("eternal"), Ok(-1));
        let left: u64 = redis.ttl("long").expect("TTL");
        assert!((31_536_000 - 80..=31_536_000 - 70).contains(&left), "{left}");
    }
    test_request.expire_all().expect("travel");
    assert_eq!((keys(&mut sessions), keys(&mut jobs)), (vec!["eternal".to_owned()], vec!["eternal".to_owned()]));
}

#[rstest]
#[clean_redis]
fn expired_keys_are_published(test_request: TestRequest) {
    if !is_ours(&test_request) {
        return;
    }
    let mut redis = connect(&test_request);
    redis::cmd("CONFIG").arg("SET").arg("notify-keyspace-events").arg("Exg").exec(&mut redis).expect("CONFIG SET");
    for number in 0..300 {
        redis.set_ex::<_, _, ()>(format!("key:{number}"), "x", 100 + number).expect("SETEX");
    }
    let mut listener = connect(&test_request);
    let mut listener = listener.as_pubsub();
    listener.set_read_timeout(Some(seconds(5))).expect("a timeout");
    listener.psubscribe("__keyevent@14__:expired").expect("PSUBSCRIBE");
    listener.psubscribe("__keyevent@14__:del").expect("PSUBSCRIBE");
    test_request.travel(HOUR).expect("travel");
    let mut ended: Vec<String> = (0..300)
        .map(|_| {
            let message = listener.get_message().expect("a message");
            assert!(message.get_channel_name().ends_with(":expired"), "{message:?}");
            message.get_payload().expect("a key")
        })
        .collect();
    ended.sort_unstable();
    ended.dedup();
    assert_eq!(ended.len(), 300);
}

/// While other clients read and write, none sees only one of two equal keys, or different TTLs.
#[rstest]
#[clean_redis]
fn no_client_sees_a_half_aged_database(test_request: TestRequest) {
    let mut redis = connect(&test_request);
    for number in 0..2_000 {
        redis.set_ex::<_, _, ()>(format!("filler:{number}"), "x", 50_000 + number).expect("SETEX");
    }
    let over = Over(AtomicBool::new(false));
    thread::scope(|scope| {
        let guard = over.guard();
        let reader = scope.spawn(|| {
            let (mut redis, mut seen, mut gone) = (connect(&test_request), 0_u32, 0_u32);
            let mut both = redis::pipe();
            both.atomic().pttl("a").pttl("z").cmd("SELECT").arg(15).ignore().pttl("jobs");
            both.cmd("SELECT").arg(14).ignore();
            while !over.is() {
                let (a, z, jobs): (i64, i64, i64) = both.query(&mut redis).expect("PTTL");
                if a == -2 {
                    // Between expiry and the next round, all three are missing.
                    assert!(z == -2 && jobs == -2, "{a} {z} {jobs}");
                    gone += 1;
                } else {
                    // A half-aged key would be 300 s off. A pause of the machine is shorter.
                    assert!((a - z).abs() < 100_000 && (a - jobs).abs() < 100_000, "{a} {z} {jobs}");
                    seen += 1;
                }
            }
            (seen, gone)
        });
        for _ in 0..20 {
            let mut set = redis::pipe();
            set.atomic();
            // By the server's clock, which can differ.
            let (now, _): (u64, u64) = redis::cmd("TIME").query(&mut redis).expect("TIME");
            let end = (now + 1_000) * 1_000;
            for (database, key) in [(14, "a"), (14, "z"), (15, "jobs")] {
                set.cmd("SELECT").arg(database).ignore().set(key, "x").ignore();
                set.cmd("PEXPIREAT").arg(key).arg(end).ignore();
            }
            set.cmd("SELECT").arg(14).ignore().exec(&mut redis).expect("SET");
            for _ in 0..4 {
                test_request.travel(seconds(300)).expect("travel");
            }
        }
        drop(guard);
        let (seen, gone) = reader.join().expect("the reader");
        assert!(seen > 0 && gone > 0, "the reader saw {seen} rounds with the keys and {gone} without");
    });
}

/// A key that another client refreshes constantly never expires, and never ages by more than one travel.
#[rstest]
#[clean_redis]
fn a_key_refreshed_during_travel_is_not_aged_twice(test_request: TestRequest) {
    let mut redis = connect(&test_request);
    redis.set_ex::<_, _, ()>("refreshed", "x", 1_000).expect("SETEX");
    let (over, writes) = (Over(AtomicBool::new(false)), AtomicU64::new(0));
    thread::scope(|scope| {
        let _guard = over.guard();
        scope.spawn(|| {
            let mut redis = connect(&test_request);
            while !over.is() {
                redis.set_ex::<_, _, ()>("refreshed", "x", 1_000).expect("SETEX");
                writes.fetch_add(1, Ordering::SeqCst);
            }
        });
        for _ in 0..50 {
            test_request.travel(seconds(600)).expect("travel");
            let left: i64 = redis.ttl("refreshed").expect("TTL");
            assert!(left >= 300, "{left}");
            // Two more, since one can be in flight.
            let before = writes.load(Ordering::SeqCst);
            while writes.load(Ordering::SeqCst) < before + 2 {
                thread::yield_now();
            }
        }
    });
}

#[rstest]
#[clean_redis]
fn other_databases_are_not_touched(test_request: TestRequest) {
    if test_request.server().has_whole_clock() {
        return println!("with the whole clock, the whole server ages");
    }
    if !is_ours(&test_request) {
        return;
    }
    let others = (0..16).filter(|database| ![14, 15].contains(database));
    for database in others.clone() {
        on_database(&test_request, database).set_ex::<_, _, ()>("theirs", "x", 100).expect("SETEX");
    }
    connect(&test_request).set_ex::<_, _, ()>("ours", "x", 100).expect("SETEX");
    test_request.expire_all().expect("travel");
    for database in others {
        let left: i64 = on_database(&test_request, database).ttl("theirs").expect("TTL");
        assert!(left > 90, "database {database}: {left}");
    }
    assert!(keys(&mut connect(&test_request)).is_empty());
}

/// On servers with TTLs for hash fields (Redis 7.4, Valkey 9).
#[rstest]
#[clean_redis]
fn hash_fields_age_too(test_request: TestRequest) {
    let mut redis = connect(&test_request);
    let () = redis.hset_multiple("visitor", &[("code", 1), ("name", 2), ("cart", 3)]).expect("HSET");
    let expire = |field: &str, seconds: u32, redis: &mut Connection| {
        redis::cmd("HEXPIRE").arg("visitor").arg(seconds).arg("FIELDS").arg(1).arg(field).exec(redis)
    };
    if let Err(error) = expire("code", 100, &mut redis) {
        assert!(error.to_string().contains("unknown command"), "{error}");
        return println!("{} gives fields no timeouts", test_request.server());
    }
    expire("cart", 1000, &mut redis).expect("HEXPIRE");
    test_request.travel(seconds(90)).expect("travel");
    let left: Vec<i64> =
        redis::cmd("HTTL").arg(&["visitor", "FIELDS", "3", "code", "name", "cart"]).query(&mut redis).expect("HTTL");
    assert!((5..=10).contains(&left[0]) && left[1] == -1 && (905..=910).contains(&left[2]), "{left:?}");
    test_request.travel(seconds(20)).expect("travel");
    let mut fields: Vec<String> = redis.hkeys("visitor").expect("HKEYS");
    fields.sort_unstable();
    assert_eq!(fields, ["cart", "name"]);
    assert_eq!(redis.hget::<_, _, Option<u32>>("visitor", "code"), Ok(None));
    // Not only hidden: the fields no longer count, and a hash without fields does not exist.
    assert_eq!(redis.hlen::<_, u32>("visitor"), Ok(2));
    redis.hset::<_, _, _, ()>("code", "asa", 1).expect("HSET");
    redis::cmd("HEXPIRE").arg(&["code", "100", "FIELDS", "1", "asa"]).exec(&mut redis).expect("HEXPIRE");
    test_request.expire_all().expect("travel");
    assert_eq!(redis.exists::<_, bool>("code"), Ok(false));
    assert_eq!(redis::cmd("DBSIZE").query::<u32>(&mut redis), Ok(1));
    assert_eq!(redis.hkeys::<_, Vec<String>>("visitor"), Ok(vec!["name".to_owned()]));
}

/// Expired keys are removed, or travel returns an error. This server is configured to keep them.
#[test]
fn a_travel_that_does_not_finish_is_an_error() {
    let server = OwnServer::start();
    let (known,): (redis::Value,) =
        redis::cmd("COMMAND").arg(&["INFO", "HEXPIRE"]).query(&mut server.connection(0)).expect("COMMAND");
    if known == redis::Value::Nil {
        return println!("{} gives fields no timeouts", own_server::binary().display());
    }
    let server = OwnServer::with(TempDir::new().expect("a directory"), &["--enable-debug-command", "yes"]);
    redis::cmd("DEBUG").arg(&["SET-ACTIVE-EXPIRE", "0"]).exec(&mut server.connection(0)).expect("DEBUG");
    Child::test("travel::travels_past_a_field").env("TRANSIENT_REDIS_URL", server.url()).run().assert_passed();
}

#[rstest]
#[ignore = "run by the test above"]
#[clean_redis]
fn travels_past_a_field(test_request: TestRequest) {
    let mut redis = connect(&test_request);
    redis.hset::<_, _, _, ()>("visitor", "code", 1).expect("HSET");
    redis::cmd("HEXPIRE").arg(&["visitor", "100", "FIELDS", "1", "code"]).exec(&mut redis).expect("HEXPIRE");
    let error = test_request.travel(HOUR).expect_err("the field stays");
    assert!(error.is_server() && error.to_string().contains(golden("travel::fields_stay")), "{error}");
}

/// Redis counts milliseconds.
#[rstest]
#[clean_redis]
fn parts_of_a_millisecond_add_up(test_request: TestRequest) {
    let mut redis = connect(&test_request);
    redis.zadd::<_, _, _, ()>("due", "job", 1_000_000_000_000_u64).expect("ZADD");
    redis.pset_ex::<_, _, ()>("code", "x", 100_000_000).expect("PSETEX");
    for _ in 0..240 {
        test_request.clone().travel_with_due_times(Duration::from_micros(999), &["due"]).expect("travel");
    }
    test_request.travel_with_due_times(Duration::from_micros(1_240), &["due"]).expect("travel");
    // 241 ms in all.
    assert_eq!(redis.zscore("due", "job"), Ok(1_000_000_000_000_u64 - 241));
    assert!(redis.pttl::<_, i64>("code").expect("PTTL") <= 100_000_000 - 241);
}

/// The code under test can hold connections of a runtime concurrently.
async fn travels(test_request: &TestRequest) {
    let mut redis = transient_fixtures::get_async_redis(test_request).await.expect("connect");
    let () = redis::AsyncCommands::set_ex(&mut redis, "code", "x", 300).await.expect("SETEX");
    test_request.travel(seconds(299)).expect("travel");
    assert_eq!(redis::AsyncCommands::exists(&mut redis, "code").await, Ok(true));
    test_request.travel(seconds(2)).expect("travel");
    assert_eq!(redis::AsyncCommands::exists(&mut redis, "code").await, Ok(false));
}

#[rstest]
#[clean_redis]
#[tokio::test]
async fn time_passes_on_a_runtime_of_one_thread(test_request: TestRequest) {
    travels(&test_request).await;
}

#[rstest]
#[clean_redis]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_passes_on_a_runtime_of_two_threads(test_request: TestRequest) {
    let of_a_task = test_request.clone();
    tokio::spawn(async move { travels(&of_a_task).await }).await.expect("the task");
}

/// An expiry is reached however far away it is.
#[rstest]
#[clean_redis]
fn expire_all_expires_every_ttl(test_request: TestRequest) {
    if test_request.server().has_whole_clock() {
        return println!("no clock goes further than a thousand years");
    }
    let mut redis = connect(&test_request);
    let ends = [100_000_000_000_u64, 1_000_000_000_000_000];
    for seconds in ends {
        redis.set_ex::<_, _, ()>(seconds, "x", seconds).expect("SETEX");
    }
    // A number with an exponent is not a time, so such an expiry ages like any other key.
    test_request.travel(HOUR).expect("travel");
    let left: u64 = redis.ttl(ends[1]).expect("TTL");
    assert!((ends[1] - 3_700..=ends[1] - 3_600).contains(&left), "{left}");
    test_request.travel_to_expiry(&ends[0].to_string()).expect("travel");
    assert_eq!(keys(&mut redis), [ends[1].to_string()]);
    test_request.expire_all().expect("travel");
    assert!(keys(&mut redis).is_empty());
}

/// If both test databases have a key with this name, the one in the session database is meant.
#[rstest]
#[clean_redis]
fn a_key_is_looked_for_in_the_sessions_first(test_request: TestRequest) {
    connect(&test_request).set::<_, _, ()>("both", "x").expect("SET");
    let mut jobs = get_jobs_redis(&test_request).expect("connect");
    jobs.set_ex::<_, _, ()>("both", "x", 100).expect("SETEX");
    jobs.set_ex::<_, _, ()>("job", "x", 100).expect("SETEX");
    assert_eq!(test_request.ttl("both").expect("ttl"), None);
    assert!(test_request.travel_to_expiry("both").expect_err("no end").is_data());
    test_request.assert_ttl("job", ..=seconds(100));
}

#[rstest]
#[clean_redis]
fn travels_to_one_expiry_and_not_the_next(test_request: TestRequest) {
    let (mut redis, mut jobs) = (connect(&test_request), get_jobs_redis(&test_request).expect("connect"));
    redis.set_ex::<_, _, ()>("first", "x", 500).expect("SETEX");
    redis.set_ex::<_, _, ()>("second", "x", 560).expect("SETEX");
    jobs.set_ex::<_, _, ()>("job", "x", 900).expect("SETEX");
    test_request.travel_to_expiry("first").expect("travel");
    assert_eq!(keys(&mut redis), ["second"]);
    test_request.travel_to_expiry("job").expect("travel");
    assert!(keys(&mut jobs).is_empty());
    redis.set::<_, _, ()>("eternal", "x").expect("SET");
    for key in ["eternal", "nowhere"] {
        let error = test_request.travel_to_expiry(key).expect_err("no end");
        assert!(error.is_data() && error.to_string().contains(&format!("{key:?}")), "{error}");
    }
}

#[rstest]
#[clean_redis]
fn ttl_assertions_describe_the_failure(test_request: TestRequest) {
    let mut redis = connect(&test_request);
    redis.set_ex::<_, _, ()>("cached", "x", 300).expect("SETEX");
    redis.set::<_, _, ()>("forgotten", "x").expect("SET");
    test_request.assert_ttl("cached", ..=seconds(300));
    test_request.assert_ttl("cached", seconds(290)..);
    assert_eq!(test_request.ttl("forgotten").expect("ttl"), None);
    // A pattern covers all matching keys in both databases. A key with exactly that name takes precedence.
    let mut jobs = get_jobs_redis(&test_request).expect("connect");
    for (key, life) in [("code:1", 100), ("code:2", 200), ("code[", 900)] {
        redis.set_ex::<_, _, ()>(key, "x", life).expect("SETEX");
        jobs.set_ex::<_, _, ()>(key, "x", life + 50).expect("SETEX");
    }
    test_request.assert_ttl("code:?", seconds(90)..=seconds(250));
    test_request.assert_ttl("c*:[12]", seconds(90)..=seconds(250));
    test_request.assert_ttl("code[", seconds(890)..=seconds(900));
    for (key, words) in [
        ("code:*", r#""code:1""#),
        ("*forg*", r#"0ns..10s for "forgotten""#),
        ("other:*", golden("travel::other_ttl, no key")),
        ("cached", r#"0ns..10s for "cached""#),
        ("forgotten", golden("travel::other_ttl, none")),
        ("nowhere", golden("travel::other_ttl, no key")),
    ] {
        let panic = catch_unwind(AssertUnwindSafe(|| test_request.assert_ttl(key, Duration::ZERO..seconds(10))));
        let text = panic.expect_err("the assertion holds").downcast::<String>().expect("text");
        assert!(text.contains(words), "{words:?} is missing in: {text}");
    }
}

/// travel(d) equals waiting for d, in both databases.
#[rstest]
#[clean_redis]
fn travelling_is_waiting(test_request: TestRequest) {
    // More than a second between keys that expire and keys that don't, because the machine can be busy.
    let lives = [200_u64, 500, 30_000, 60_000];
    let wait = seconds(1);
    for travels in [false, true] {
        let databases = [14, 15].map(|database| on_database(&test_request, database));
        for mut redis in databases {
            redis::cmd("FLUSHDB").exec(&mut redis).expect("FLUSHDB");
            for life in lives {
                redis.pset_ex::<_, _, ()>(life, "x", life).expect("PSETEX");
            }
        }
        if travels {
            test_request.travel(wait).expect("travel");
        } else {
            thread::sleep(wait);
        }
        for database in [14, 15] {
            let mut redis = on_database(&test_request, database);
            assert_eq!(keys(&mut redis), ["30000", "60000"], "travels: {travels}");
            let left: u64 = redis.pttl("60000").expect("PTTL");
            assert!((40_000..=59_000).contains(&left), "travels: {travels}, {left}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// travel(a), travel(b) and travel(a + b) leave the same keys with the same TTLs.
    #[test]
    fn two_travels_are_one(
        lives in proptest::collection::vec(proptest::option::of(1_000_u64..100_000_000), 1..30),
        a in 0_u64..100_000_000,
        b in 0_u64..100_000_000,
    ) {
        let test_request = TestRequest::clean();
        let mut redis = connect(&test_request);
        let mut left_after = |travels: &[u64]| {
            redis::cmd("FLUSHDB").exec(&mut redis).expect("FLUSHDB");
            let start = Instant::now();
            for (number, life) in lives.iter().enumerate() {
                redis.set::<_, _, ()>(number, "x").expect("SET");
                if let Some(life) = life {
                    redis.pexpire::<_, ()>(number, i64::try_from(*life).expect("milliseconds")).expect("PEXPIRE");
                }
            }
            for time in travels {
                test_request.travel(Duration::from_millis(*time)).expect("travel");
            }
            let left: Vec<i64> = (0..lives.len()).map(|number| redis.pttl(number).expect("PTTL")).collect();
            (left, i64::try_from(start.elapsed().as_millis()).expect("milliseconds"))
        };
        let (by_two, two_took) = left_after(&[a, b]);
        let (by_one, one_took) = left_after(&[a + b]);
        // Before Redis 7.2, TTLs up to 10 ms expire at once, and rounding takes two more.
        let took = two_took.max(one_took) + 20;
        for (number, life) in lives.iter().enumerate() {
            let (two, one) = (by_two[number], by_one[number]);
            let Some(life) = life else {
                prop_assert_eq!((two, one), (-1, -1));
                continue;
            };
            let expected = i64::try_from(*life).expect("milliseconds") - i64::try_from(a + b).expect("milliseconds");
            if expected > took {
                let range = expected - took..=expected + 2;
                prop_assert!(range.contains(&two) && range.contains(&one), "{two} {one} {expected}");
            } else if expected <= 0 {
                prop_assert_eq!((two, one), (-2, -2));
            }
            // Otherwise too close to its expiry to decide.
        }
    }
}
