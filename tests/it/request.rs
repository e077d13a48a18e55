//! `TestRequest` and its accessors.

use std::collections::HashSet;
use std::sync::{Arc, Barrier};
use std::thread;

use redis::Commands;
use rstest::rstest;
use transient_fixtures::{
    Provider, TestRequest, clean_redis, get_async_jobs_redis, get_async_redis, get_jobs_redis, get_redis, redis,
    test_request,
};

#[rstest]
#[clean_redis]
fn bytes_come_back(test_request: TestRequest) -> redis::RedisResult<()> {
    let mut redis = get_redis(&test_request)?;
    redis.set::<_, _, ()>("foo", "ÅÄÖ")?;
    assert_eq!(redis.get::<_, Vec<u8>>("foo")?, b"\xc3\x85\xc3\x84\xc3\x96");
    assert_eq!(redis.get::<_, String>("foo")?, "ÅÄÖ");
    redis.set::<_, _, ()>(b"\x00\xff", b"\xff\x00")?;
    assert_eq!(redis.get::<_, Vec<u8>>(b"\x00\xff")?, b"\xff\x00");
    Ok(())
}

#[rstest]
#[clean_redis]
fn the_two_databases_differ(test_request: TestRequest) -> redis::RedisResult<()> {
    let database = |connection: &mut redis::Connection| -> redis::RedisResult<String> {
        let info: String = redis::cmd("CLIENT").arg("INFO").query(connection)?;
        Ok(info.split_whitespace().find_map(|field| field.strip_prefix("db=")).expect("a database").to_owned())
    };
    assert_eq!(database(&mut get_redis(&test_request)?)?, "14");
    assert_eq!(database(&mut get_jobs_redis(&test_request)?)?, "15");
    assert_eq!(database(&mut test_request.client().get_connection()?)?, "14");
    assert_eq!(database(&mut test_request.jobs_client().get_connection()?)?, "15");
    assert_eq!(database(&mut redis::Client::open(test_request.redis_url())?.get_connection()?)?, "14");
    assert_eq!(database(&mut redis::Client::open(test_request.jobs_url())?.get_connection()?)?, "15");
    Ok(())
}

/// In both flavours of a runtime, the fixture can block, and start and end servers.
#[rstest]
#[tokio::test]
async fn inside_a_current_thread_runtime(test_request: TestRequest) -> redis::RedisResult<()> {
    let mut redis = get_async_redis(&test_request).await?;
    redis::cmd("PING").exec_async(&mut redis).await?;
    drop(test_request);
    redis::cmd("PING").exec_async(&mut get_async_jobs_redis(&TestRequest::clean()).await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn inside_a_multi_thread_runtime() -> redis::RedisResult<()> {
    let test_request = TestRequest::try_clean().expect("a request");
    let clone = test_request.clone();
    let pong =
        tokio::spawn(
            async move { redis::cmd("PING").query_async::<String>(&mut get_async_redis(&clone).await?).await },
        );
    assert_eq!(pong.await.expect("join")?, "PONG");
    let blocking = tokio::task::spawn_blocking(move || get_redis(&test_request).map(|_| ()));
    blocking.await.expect("join")
}

#[test]
fn requests_of_one_thread_share_a_lease() -> redis::RedisResult<()> {
    let first = TestRequest::clean();
    get_redis(&first)?.set::<_, _, ()>("foo", "bar")?;
    let second = TestRequest::new();
    assert_eq!(get_redis(&second)?.get::<_, Option<String>>("foo")?.as_deref(), Some("bar"));
    // It joins the request, and does not empty the databases.
    let third = TestRequest::clean();
    assert_eq!(get_redis(&third)?.get::<_, Option<String>>("foo")?.as_deref(), Some("bar"));
    third.flush().expect("flush");
    assert!(get_redis(&first)?.get::<_, Option<String>>("foo")?.is_none());
    get_redis(&first)?.set::<_, _, ()>("foo", "bar")?;
    drop((first, second, third));
    // Without a clone alive, the request is new.
    assert!(get_redis(&TestRequest::clean())?.get::<_, Option<String>>("foo")?.is_none());
    Ok(())
}

#[test]
fn requests_of_several_threads_never_share_a_lease() {
    let barrier = Arc::new(Barrier::new(4));
    let threads: Vec<_> = (0..4)
        .map(|number| {
            let barrier = barrier.clone();
            thread::spawn(move || {
                let test_request = TestRequest::clean();
                let mut redis = get_redis(&test_request).expect("connect");
                // On a running server the leases follow each other, so a test must not wait for the others there.
                let alone = test_request.server().provider() == Provider::Running;
                let wait = || if alone { true } else { barrier.wait().is_leader() };
                wait();
                redis.set::<_, _, ()>("number", number).expect("SET");
                wait();
                assert_eq!(redis.get::<_, i32>("number"), Ok(number));
                (alone, test_request.redis_url().to_owned())
            })
        })
        .collect();
    let urls: HashSet<_> = threads.into_iter().map(|thread| thread.join().expect("join")).collect();
    assert!(urls.len() == 4 || urls.iter().all(|(alone, _)| *alone), "{urls:?}");
}

#[rstest]
fn a_server_describes_itself(test_request: TestRequest) -> redis::RedisResult<()> {
    let server = test_request.server();
    let info: redis::InfoDict = redis::cmd("INFO").query(&mut get_redis(&test_request)?)?;
    let version = if server.product() == "Valkey" { "valkey_version" } else { "redis_version" };
    assert_eq!(info.get::<String>(version).as_deref(), server.version());
    let port = test_request.redis_url().rsplit_once(':').expect("a port").1.trim_end_matches("/14");
    assert!(server.address().ends_with(port), "{}", server.address());
    assert!(
        server.cli_command().contains(&format!("-p {port}")) && server.cli_command().ends_with("-n 14"),
        "{}",
        server.cli_command()
    );
    let line = format!(
        "{} {} at {} ({})",
        server.product(),
        server.version().expect("a version"),
        server.address(),
        server.provider()
    );
    assert_eq!(server.to_string(), line);
    Ok(())
}

/// CI states the provider that it has prepared. On another one the run would prove nothing.
#[rstest]
fn the_server_is_from_the_expected_provider(test_request: TestRequest) {
    if let Ok(expected) = std::env::var("EXPECTED_PROVIDER") {
        assert_eq!(test_request.server().provider().to_string(), expected);
    }
}

#[test]
fn a_request_can_cross_threads() {
    fn crosses<T: Clone + Send + Sync + 'static>() {}
    crosses::<TestRequest>();
    crosses::<transient_fixtures::Settings>();
    crosses::<transient_fixtures::Server>();
    crosses::<transient_fixtures::Error>();
}

#[rstest]
fn debug_shows_no_password(test_request: TestRequest) {
    let text = format!("{test_request:?}");
    assert!(text.contains("databases: Databases { sessions: 14, jobs: 15 }") && !text.contains("redis://"), "{text}");
}
