//! Other people's programs through a tap: they notice nothing, and it sees what they do.

use std::collections::BTreeSet;
use std::process::Command;

use redis::Commands as _;
use rstest::rstest;
use serde_json::json;
use transient_fixtures::tap::{Commands, Tap};
use transient_fixtures::{Job, TestRequest, clean_redis, get_redis, test_request};

use crate::python::{self, Shop, Worker};

/// How many random commands each client sends.
const COMMANDS: usize = 400;

fn names(commands: &Commands) -> BTreeSet<String> {
    commands.iter().map(|command| command.name().to_owned()).collect()
}

/// Every command that can have a reply has one, and no connection was closed for its bytes.
fn assert_understood(tap: &Tap) {
    assert!(tap.malformed().is_empty(), "{:?}", tap.malformed());
    // After QUIT, a client can close the connection before the reply is there.
    let unanswered = tap.commands().only(|command| command.reply().is_none() && !command.is("QUIT"));
    assert_eq!(unanswered.len(), 0, "{unanswered}");
}

#[rstest]
#[clean_redis]
fn redis_benchmark(test_request: TestRequest, #[values(false, true)] is_resp3: bool) {
    let tap = test_request.tap().expect("a tap");
    let client = redis::Client::open(tap.redis_url()).expect("a URL");
    let info = client.get_connection_info().clone();
    let address = info.addr().to_string();
    let (host, port) = address.rsplit_once(':').expect("a port");
    for pipelined in ["1", "16"] {
        let mut command = Command::new("redis-benchmark");
        command.args(["-h", host, "-p", port, "--dbnum", "14", "-q", "-n", "200", "-c", "5", "-r", "100"]);
        command.args(["-P", pipelined]);
        if let Some(password) = info.redis_settings().password() {
            command.args(["-a", password]);
        }
        if is_resp3 {
            command.arg("-3");
        }
        let output = command.output().expect("redis-benchmark");
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains("MSET (10 keys)") && !text.contains("rror"), "{text}");
    }
    let names = names(&tap.commands());
    for name in [
        "PING", "SET", "GET", "INCR", "LPUSH", "RPUSH", "LPOP", "RPOP", "SADD", "HSET", "SPOP", "ZADD", "ZPOPMIN",
        "LRANGE", "MSET",
    ] {
        assert!(names.contains(name), "{name}: {names:?}");
    }
    assert!(tap.malformed().is_empty(), "{:?}", tap.malformed());
    // It closes connections with commands under way.
    let commands = tap.commands();
    let answered = commands.iter().filter(|command| command.reply().is_some()).count();
    assert!(answered > 2 * 15 * 200, "{answered} of {}", commands.len());
    assert!(commands.iter().all(|command| command.reply().is_none_or(|reply| !reply.is_error())), "an error");
}

#[rstest]
#[clean_redis]
fn redis_py(test_request: TestRequest, #[values(2, 3)] protocol: u8) {
    let tap = test_request.tap().expect("a tap");
    let mut command = python::python();
    command.args(["random_commands.py", test_request.redis_url(), tap.redis_url()]);
    let output = command.args([protocol.to_string(), COMMANDS.to_string()]).output().expect("python");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let replies: usize = String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number");
    let commands = tap.commands().from_client("random");
    assert!(replies >= COMMANDS && commands.len() > replies, "{replies}, {}", commands.len());
    assert_understood(&tap);
}

/// An LCG: equal on both sides.
fn random_words(count: usize) -> Vec<(&'static str, Vec<String>)> {
    const SHAPES: [(&str, &[&str]); 16] = [
        ("SET", &["key", "value"]),
        ("GET", &["key"]),
        ("INCR", &["key"]),
        ("DEL", &["key"]),
        ("RPUSH", &["key", "value"]),
        ("LRANGE", &["key", "0", "-1"]),
        ("HSET", &["key", "f", "value"]),
        ("HGETALL", &["key"]),
        ("SADD", &["key", "value"]),
        ("SMEMBERS", &["key"]),
        ("ZADD", &["key", "1.5", "value"]),
        ("ZRANGE", &["key", "0", "-1", "WITHSCORES"]),
        ("MGET", &["key", "key"]),
        ("TYPE", &["key"]),
        ("NOSUCH", &["value"]),
        ("EVAL", &["return {1, false, {ok='x'}, ARGV[1]}", "1", "key", "value"]),
    ];
    let mut seed = 7_u64;
    let mut below = move |end: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).expect("31 bits") % end
    };
    (0..count)
        .map(|_| {
            let (name, words) = SHAPES[below(SHAPES.len())];
            let words = words.iter().map(|word| match *word {
                "key" => ["a", "b", "c"][below(3)].to_owned(),
                "value" => ["7", "ÅÄÖ", "\r\n$-1\r\n", ""][below(4)].to_owned(),
                word => word.to_owned(),
            });
            (name, words.collect())
        })
        .collect()
}

/// With the errors' texts.
async fn replies_of_fred(url: &str, is_resp3: bool) -> Vec<String> {
    use fred::prelude::{Builder, ClientLike, Config};
    use fred::types::{CustomCommand, RespVersion, Value};

    let mut config = Config::from_url(url).expect("a URL");
    config.version = if is_resp3 { RespVersion::RESP3 } else { RespVersion::RESP2 };
    let client = Builder::from_config(config).build().expect("a client");
    client.init().await.expect("connect");
    let mut replies = Vec::new();
    for (name, words) in random_words(COMMANDS) {
        let command = CustomCommand::new_static(name, None::<u16>, false);
        let reply: Result<Value, _> = client.custom(command, words).await;
        replies.push(reply.map_or_else(|error| error.to_string(), |value| format!("{value:?}")));
    }
    client.quit().await.expect("QUIT");
    replies
}

#[rstest]
#[clean_redis]
#[tokio::test]
async fn fred_10(test_request: TestRequest, #[values(false, true)] is_resp3: bool) {
    let direct = replies_of_fred(test_request.redis_url(), is_resp3).await;
    test_request.flush().expect("flush");
    let tap = test_request.tap().expect("a tap");
    let tapped = replies_of_fred(tap.redis_url(), is_resp3).await;
    assert_eq!(tapped, direct);
    assert!(tap.commands().without_handshakes().len() >= COMMANDS);
    assert_understood(&tap);
}

async fn replies_of_deadpool(url: &str) -> Vec<String> {
    use deadpool_redis::{Config, Runtime, redis};

    let pool = Config::from_url(url).create_pool(Some(Runtime::Tokio1)).expect("a pool");
    let mut replies = Vec::new();
    for (name, words) in random_words(COMMANDS) {
        let mut connection = pool.get().await.expect("a connection");
        let reply: Result<redis::Value, _> = redis::cmd(name).arg(&words).query_async(&mut connection).await;
        replies.push(format!("{reply:?}"));
    }
    // Several at once.
    let tasks = (0..20_u32).map(|number| {
        let pool = pool.clone();
        tokio::spawn(async move {
            let mut connection = pool.get().await.expect("a connection");
            let key = format!("task:{number}");
            let mut pipe = redis::pipe();
            pipe.atomic().set(&key, number).get(&key).query_async::<(String, u32)>(&mut connection).await
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        replies.push(format!("{:?}", task.await.expect("a task")));
    }
    replies
}

#[rstest]
#[clean_redis]
#[tokio::test]
async fn deadpool_redis(test_request: TestRequest) {
    let direct = replies_of_deadpool(test_request.redis_url()).await;
    test_request.flush().expect("flush");
    let tap = test_request.tap().expect("a tap");
    assert_eq!(replies_of_deadpool(tap.redis_url()).await, direct);
    assert_eq!(tap.commands().named("EXEC").len(), 20);
    assert_understood(&tap);
}

#[rstest]
#[clean_redis]
fn a_celery_worker(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let jobs = test_request.jobs();
    jobs.enqueue(Job::new("shop.send_mail").with_args(("ÅÄÖ", 3))).expect("enqueue");
    let mut worker = Worker::start_at((tap.jobs_url(), tap.redis_url()), "5.7", "celery", &json!({}));
    let mut redis = get_redis(&test_request).expect("connect");
    let note = worker.wait_for("a job done", || redis.lindex::<_, Option<String>>("done", 0).expect("LINDEX"));
    let note: serde_json::Value = serde_json::from_str(&note).expect("a note");
    assert_eq!(note["args"], json!(["ÅÄÖ", 3]));
    worker.wait_for("acknowledgement", || jobs.unacked().expect("unacked").is_empty().then_some(()));
    drop(worker);
    let commands = tap.commands();
    let names = names(&commands);
    for name in ["BRPOP", "HSET", "ZADD", "HDEL", "ZREM", "RPUSH"] {
        assert!(names.contains(name), "{name}: {commands}");
    }
    assert!(commands.named("BRPOP").iter().all(|command| command.database() == 15));
    assert!(tap.malformed().is_empty(), "{:?}", tap.malformed());
}

#[rstest]
#[clean_redis]
fn a_pyramid_shop(test_request: TestRequest) {
    let tap = test_request.tap().expect("a tap");
    let mut shop = Shop::open("1.8", &test_request, &json!({"redis.sessions.redis_url": tap.redis_url()}));
    let visitor = test_request.visitor();
    visitor.log_in("åsa@example.com").expect("log in");
    let cookie = visitor.cookie();
    assert_eq!(shop.post("/set_cart", &cookie, json!(["brand-1", "ÅÄÖ 🦊"])).status, 200);
    tap.mark("the page");
    let page = shop.post("/show", &cookie, ()).body;
    assert_eq!(page, json!({"user": "åsa@example.com", "cart": ["brand-1", "ÅÄÖ 🦊"], "is_new": false}));
    let key = visitor.session().key();
    let commands = tap.commands().since("the page").without_handshakes();
    assert!(!commands.clone().with_key(&key).is_empty(), "{commands}");
    commands.budget().round_trips(..=3).never("KEYS").check();
    assert_understood(&tap);
}
