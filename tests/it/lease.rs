//! Which tests can use which server at which time.

use std::fs;
use std::time::Duration;

use redis::Commands;
use rstest::rstest;
use tempfile::TempDir;
use transient_fixtures::{TestRequest, clean_redis, get_redis, redis, test_request};

use crate::child::Child;
use crate::golden::golden;
use crate::own_server::{self, OwnServer};

/// Tests that would see each other's keys if they shared a database.
mod crosstalk {
    use super::{Commands, Duration, TestRequest, clean_redis, get_redis, redis, rstest, test_request};

    #[rstest]
    #[clean_redis]
    fn sees_only_itself(
        test_request: TestRequest,
        #[values(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)] number: u32,
    ) -> redis::RedisResult<()> {
        let mut redis = get_redis(&test_request)?;
        redis.set::<_, _, ()>(format!("key:{number}:{}", std::process::id()), number)?;
        std::thread::sleep(Duration::from_millis(u64::from(number % 5)));
        assert_eq!(redis.keys::<_, Vec<String>>("*")?, [format!("key:{number}:{}", std::process::id())]);
        Ok(())
    }

    /// Not clean, but still alone.
    #[rstest]
    fn clears_by_hand(
        test_request: TestRequest,
        #[values(0, 1, 2, 3, 4, 5, 6, 7)] number: u32,
    ) -> redis::RedisResult<()> {
        let mut redis = get_redis(&test_request)?;
        redis::cmd("FLUSHDB").exec(&mut redis)?;
        redis.set::<_, _, ()>("by hand", number)?;
        std::thread::sleep(Duration::from_millis(u64::from(number % 5)));
        assert_eq!(redis.keys::<_, Vec<String>>("*")?, ["by hand"]);
        assert_eq!(redis.get::<_, u32>("by hand")?, number);
        Ok(())
    }
}

#[test]
fn two_runs_on_one_running_server_take_turns() {
    let server = OwnServer::start();
    let start = || {
        let child = Child::tests("lease::crosstalk::").arguments(["--test-threads=16"]);
        child.env("TRANSIENT_REDIS_URL", server.url()).start()
    };
    let (one, two) = (start(), start());
    one.wait(Duration::from_secs(60)).assert_passed();
    two.wait(Duration::from_secs(60)).assert_passed();
}

#[test]
fn two_runs_on_started_servers_are_isolated() {
    let start = || {
        let child = Child::tests("lease::crosstalk::").arguments(["--test-threads=16"]);
        child.env("TRANSIENT_PROVIDER", own_server::own_provider()).start()
    };
    let (one, two) = (start(), start());
    one.wait(Duration::from_secs(60)).assert_passed();
    two.wait(Duration::from_secs(60)).assert_passed();
}

/// Keeps its server until it is told to continue.
#[rstest]
#[ignore = "run by the tests below"]
#[clean_redis]
fn holds(test_request: TestRequest) {
    println!("holding {}", test_request.server());
    let until = std::env::var_os("GO_ON").expect("a file");
    while !std::path::Path::new(&until).exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[rstest]
#[clean_redis]
fn uses(test_request: TestRequest) {
    assert!(!test_request.redis_url().is_empty());
}

#[test]
fn a_waiter_times_out_with_the_name_of_the_holder() {
    let (server, directory) = (OwnServer::start(), TempDir::new().expect("a directory"));
    let go_on = directory.path().join("go on");
    let holder = Child::test("lease::holds").env("TRANSIENT_REDIS_URL", server.url()).env("GO_ON", &go_on).start();
    holder.wait_for("holding");
    let waiter = Child::test("lease::uses").env("TRANSIENT_REDIS_URL", server.url());
    let ended = waiter.env("TRANSIENT_LEASE_TIMEOUT", "1").run();
    let name = format!("it::lease::holds (process {})", holder.child.id());
    ended.assert_failed_with(&[&name, "TRANSIENT_PROVIDER=process"]);
    fs::write(go_on, "").expect("write");
    holder.wait(Duration::from_secs(30)).assert_passed();
    Child::test("lease::uses").env("TRANSIENT_REDIS_URL", server.url()).run().assert_passed();
}

#[test]
fn a_waiter_prints_the_holder() {
    let (server, directory) = (OwnServer::start(), TempDir::new().expect("a directory"));
    let go_on = directory.path().join("go on");
    let holder = Child::test("lease::holds").env("TRANSIENT_REDIS_URL", server.url()).env("GO_ON", &go_on).start();
    holder.wait_for("holding");
    let waiter = Child::test("lease::uses").env("TRANSIENT_REDIS_URL", server.url()).start();
    waiter.wait_for(&format!("it::lease::holds (process {})", holder.child.id()));
    fs::write(go_on, "").expect("write");
    waiter.wait(Duration::from_secs(60)).assert_passed();
}

/// A holder that is stopped, like after Ctrl-Z, while others wait.
#[test]
fn a_stopped_waiter_is_passed() {
    let (server, directory) = (OwnServer::start(), TempDir::new().expect("a directory"));
    let go_on = directory.path().join("go on");
    let holder = Child::test("lease::holds").env("TRANSIENT_REDIS_URL", server.url()).env("GO_ON", &go_on).start();
    holder.wait_for("holding");
    let front = Child::test("lease::uses").env("TRANSIENT_REDIS_URL", server.url()).start();
    front.wait_for("waiting for");
    front.stop();
    fs::write(go_on, "").expect("write");
    holder.wait(Duration::from_secs(30)).assert_passed();
    let other = Child::test("lease::uses").env("TRANSIENT_REDIS_URL", server.url()).start();
    let ended = other.wait(Duration::from_secs(30));
    front.go_on();
    ended.assert_passed();
    front.wait(Duration::from_secs(60)).assert_passed();
}

#[test]
fn a_dead_holder_does_not_block_others() {
    let (server, directory) = (OwnServer::start(), TempDir::new().expect("a directory"));
    let go_on = directory.path().join("go on");
    let mut holder = Child::test("lease::holds").env("TRANSIENT_REDIS_URL", server.url()).env("GO_ON", &go_on).start();
    holder.wait_for("holding");
    holder.child.kill().expect("SIGKILL");
    holder.child.wait().expect("reap");
    let ended = Child::test("lease::uses").env("TRANSIENT_REDIS_URL", server.url()).run();
    ended.assert_passed();
    assert!(ended.took < Duration::from_secs(15), "{:?}", ended.took);
}

mod leaks {
    use super::{Duration, TestRequest, clean_redis, rstest, test_request};

    #[rstest]
    #[timeout(Duration::from_millis(50))]
    #[should_panic(expected = "expired")]
    #[clean_redis]
    fn a_times_out(test_request: TestRequest) {
        std::thread::sleep(Duration::from_secs(5));
        drop(test_request);
    }

    #[rstest]
    #[clean_redis]
    fn b_follows(test_request: TestRequest) {
        crate::clean::assert_clean_but_for(&[], &test_request);
    }

    #[rstest]
    #[clean_redis]
    fn c_forgets(test_request: TestRequest) {
        std::mem::forget(test_request);
    }

    #[rstest]
    #[clean_redis]
    fn d_follows(test_request: TestRequest) {
        crate::clean::assert_clean_but_for(&[], &test_request);
    }

    // The same without the attribute, so the end of the test is not known.

    #[rstest]
    #[timeout(Duration::from_millis(50))]
    #[should_panic(expected = "expired")]
    fn e_times_out_without_the_attribute(test_request: TestRequest) {
        std::thread::sleep(Duration::from_secs(30));
        drop(test_request);
    }

    #[rstest]
    fn f_forgets_without_the_attribute(test_request: TestRequest) {
        std::mem::forget(test_request);
    }

    #[rstest]
    #[should_panic(expected = "on purpose")]
    fn g_forgets_and_panics(test_request: TestRequest) {
        std::mem::forget(test_request);
        panic!("on purpose");
    }

    /// Without an argument, the request belongs to the body, on the thread that rstest leaves running.
    #[rstest]
    #[timeout(Duration::from_millis(500))]
    #[should_panic(expected = "expired")]
    fn g_times_out_with_its_own_request() {
        let test_request = TestRequest::new();
        std::thread::sleep(Duration::from_secs(30));
        drop(test_request);
    }

    /// A thread that is named after its work instead of a test passes its request on.
    #[rstest]
    fn h_makes_a_request_in_a_thread_of_a_runtime() {
        let builder = std::thread::Builder::new().name("tokio-rt-worker".to_owned());
        let test_request = builder.spawn(TestRequest::clean).expect("a thread").join().expect("join");
        crate::clean::assert_clean_but_for(&[], &test_request);
    }

    #[rstest]
    fn i_follows(test_request: TestRequest) {
        assert!(!test_request.redis_url().is_empty());
    }
}

#[test]
fn a_timeout_or_a_leaked_clone_does_not_block_a_running_server() {
    let server = OwnServer::start();
    let child = Child::tests("lease::leaks::").arguments(["--test-threads=1"]);
    let ended = child.env("TRANSIENT_REDIS_URL", server.url()).run();
    ended.assert_passed();
    assert!(ended.took < Duration::from_secs(20), "{:?}", ended.took);
    for test in [
        "c_forgets",
        "e_times_out_without_the_attribute",
        "f_forgets_without_the_attribute",
        "g_times_out_with_its_own_request",
    ] {
        let warning = format!("warning: it::lease::leaks::{test} ");
        let is_warning = |line: &str| line.contains(&warning) && line.contains(golden("lease::released_in_use"));
        assert!(ended.output.lines().any(is_warning), "{}", ended.output);
    }
}

/// A thread without a clone waits for its own test. The report names this cause, in bounded time.
#[rstest]
#[ignore = "run by a_thread_without_a_clone_gets_a_report"]
#[clean_redis]
fn asks_again_in_a_thread(test_request: TestRequest) {
    let error = std::thread::spawn(|| TestRequest::try_new().expect_err("it is taken")).join().expect("join");
    assert!(error.is_busy() && !error.is_no_server(), "{error}");
    println!("{error}");
    drop(test_request);
}

#[test]
fn a_thread_without_a_clone_gets_a_report() {
    let server = OwnServer::start();
    // Without a timeout, the report comes at once.
    let child = Child::test("lease::asks_again_in_a_thread").env("TRANSIENT_REDIS_URL", server.url());
    let ended = child.env("TRANSIENT_LEASE_TIMEOUT", "600").run();
    ended.assert_passed();
    assert!(ended.output.contains(golden("lease::waits_for_itself")), "{}", ended.output);
}

/// Consecutive tests share one server, even if their async connections close late.
mod one_server {
    use super::{TestRequest, clean_redis, get_redis, redis, rstest, test_request};

    #[rstest]
    #[clean_redis]
    fn sync(test_request: TestRequest, #[values(1, 2, 3)] _number: u32) -> redis::RedisResult<()> {
        println!("sync at {}", test_request.redis_url());
        redis::cmd("PING").exec(&mut get_redis(&test_request)?)
    }

    #[rstest]
    #[tokio::test]
    #[clean_redis]
    async fn on_tokio(test_request: TestRequest, #[values(1, 2, 3)] _number: u32) -> redis::RedisResult<()> {
        println!("tokio at {}", test_request.redis_url());
        let mut redis = transient_fixtures::get_async_redis(&test_request).await?;
        redis::cmd("PING").exec_async(&mut redis).await
    }

    #[rstest]
    fn not_clean(test_request: TestRequest, #[values(1, 2, 3)] _number: u32) {
        println!("not clean at {}", test_request.redis_url());
    }
}

#[test]
fn consecutive_tests_share_one_server() {
    let child = Child::tests("lease::one_server::").arguments(["--test-threads=1"]);
    let ended = child.env("TRANSIENT_PROVIDER", own_server::own_provider()).run();
    ended.assert_passed();
    let urls: std::collections::HashSet<_> =
        ended.output.lines().filter_map(|line| line.split_once("@127.0.0.1:")).map(|(_, port)| port).collect();
    assert_eq!(urls.len(), 1, "{}", ended.output);
}

/// Changes to a server other than keys do not reach the next test of the process.
mod lasting {
    use std::collections::BTreeMap;

    use super::{TestRequest, clean_redis, get_redis, redis, rstest, test_request};

    /// The whole configuration, except the values that differ between two servers of one kind.
    fn config(redis: &mut redis::Connection) -> BTreeMap<String, String> {
        let mut config: BTreeMap<String, String> =
            redis::cmd("CONFIG").arg("GET").arg("*").query(redis).expect("CONFIG GET");
        config.retain(|name, _| {
            !["port", "dir", "unixsocket", "logfile", "pidfile", "requirepass"].contains(&name.as_str())
        });
        config
    }

    fn run(redis: &mut redis::Connection, command: &str) {
        let mut words = command.split(' ');
        let mut command = redis::cmd(words.next().expect("a command"));
        for word in words {
            command.arg(word);
        }
        command.exec(redis).expect("the command");
    }

    const FUNCTION: &str = "#!lua name=left\nredis.register_function('left', function() end)";

    #[rstest]
    #[ignore = "run by a_lease_finds_its_server_as_new"]
    #[clean_redis]
    fn a_changes_it(test_request: TestRequest) {
        let mut redis = get_redis(&test_request).expect("connect");
        println!("config: {:?}", config(&mut redis));
        println!("server: {}", test_request.server().address());
        match std::env::var("CHANGE").expect("CHANGE").as_str() {
            "config" => run(&mut redis, "CONFIG SET maxmemory 123mb"),
            "hidden config" => {
                run(&mut redis, "CONFIG SET maxmemory 123mb");
                run(&mut redis, "CONFIG RESETSTAT");
            }
            "hidden config, seen" => {
                run(&mut redis, "CONFIG SET maxmemory 123mb");
                run(&mut redis, "CONFIG RESETSTAT");
                run(&mut redis, "INFO stats");
                run(&mut redis, "INFO stats");
            }
            "acl" => run(&mut redis, "ACL SETUSER visitor on >hush +@all"),
            "script" => run(&mut redis, "EVAL return{1} 0"),
            "function" => redis::cmd("FUNCTION").arg("LOAD").arg(FUNCTION).exec(&mut redis).expect("FUNCTION LOAD"),
            "database" => {
                run(&mut redis, "SELECT 7");
                run(&mut redis, "SET left behind");
            }
            "subscriber" => {
                let connection = Box::leak(Box::new(get_redis(&test_request).expect("connect")));
                connection.as_pubsub().subscribe("news").expect("SUBSCRIBE");
                std::mem::forget(get_redis(&test_request).expect("connect"));
            }
            "pause" => run(&mut redis, "CLIENT PAUSE 30000 WRITE"),
            "pause all" => run(&mut redis, "CLIENT PAUSE 600000 ALL"),
            "nothing" => {}
            other => panic!("{other}"),
        }
    }

    #[rstest]
    #[ignore = "run by a_lease_finds_its_server_as_new"]
    #[clean_redis]
    fn b_finds_it_as_new(test_request: TestRequest) -> redis::RedisResult<()> {
        let mut redis = get_redis(&test_request)?;
        println!("config: {:?}", config(&mut redis));
        println!("server: {}", test_request.server().address());
        assert_eq!(redis::cmd("INFO").arg("keyspace").query::<String>(&mut redis)?.trim(), "# Keyspace");
        assert_eq!(redis::cmd("ACL").arg("USERS").query::<Vec<String>>(&mut redis)?, ["default", "transient-fixtures"]);
        // The SHA-1 of `return{1}`.
        let known = redis::cmd("EVALSHA").arg("7da067d306ba2950a9b8ae9ef59deade71ff5b36").arg(0).exec(&mut redis);
        assert_eq!(known.expect_err("no script").code(), Some("NOSCRIPT"));
        let memory: redis::InfoDict = redis::cmd("INFO").arg("memory").query(&mut redis)?;
        assert_eq!(memory.get::<u32>("number_of_cached_scripts"), Some(0));
        assert_eq!(redis::cmd("FUNCTION").arg("LIST").query::<Vec<redis::Value>>(&mut redis)?, []);
        assert_eq!(redis::cmd("PUBSUB").arg("CHANNELS").query::<Vec<String>>(&mut redis)?, [""; 0]);
        redis::cmd("SET").arg("foo").arg("bar").exec(&mut redis)
    }
}

#[rstest]
#[case("nothing", true)]
#[case("script", true)]
#[case("function", true)]
#[case("database", true)]
#[case("config", false)]
#[case("hidden config", false)]
#[case("hidden config, seen", false)]
#[case("acl", false)]
#[case("subscriber", false)]
#[case("pause", false)]
#[case("pause all", false)]
fn a_lease_finds_its_server_as_new(#[case] change: &str, #[case] same_server: bool) {
    let child = Child::tests("lease::lasting::").arguments(["--test-threads=1"]).env("CHANGE", change);
    let ended = child.env("TRANSIENT_PROVIDER", own_server::own_provider()).run();
    ended.assert_passed();
    let said = |word: &str| -> Vec<String> {
        ended.output.lines().filter_map(|line| Some(line.split_once(word)?.1.to_owned())).collect()
    };
    let (config, address) = (said("config: "), said("server: "));
    assert_eq!((config.len(), address.len()), (2, 2), "{}", ended.output);
    assert_eq!(config[0], config[1]);
    assert_eq!(address[0] == address[1], same_server, "{address:?}");
}

/// CLIENT LIST identifies the clients.
#[rstest]
#[clean_redis]
#[tokio::test]
async fn connections_carry_the_name_of_the_test(test_request: TestRequest) -> redis::RedisResult<()> {
    let mut redis = get_redis(&test_request)?;
    let _jobs = transient_fixtures::get_jobs_redis(&test_request)?;
    let _async = transient_fixtures::get_async_redis(&test_request).await?;
    let _async_jobs = transient_fixtures::get_async_jobs_redis(&test_request).await?;
    let list: String = redis::cmd("CLIENT").arg("LIST").query(&mut redis)?;
    let test = "it::lease::connections_carry_the_name_of_the_test";
    let name = format!(" name=transient-fixtures:{}:{test} ", std::process::id());
    // The four above and, on a started server, ours.
    let ours = usize::from(test_request.server().provider() != transient_fixtures::Provider::Running);
    assert_eq!(list.lines().filter(|line| line.contains(&name)).count(), 4 + ours, "{list}");
    Ok(())
}

/// A process that returns the server and takes it again at once does not starve the others.
mod hog {
    use super::{TestRequest, redis};

    #[test]
    #[ignore = "run by no_waiter_starves"]
    fn takes_it_again_and_again() {
        let until = std::env::var_os("GO_ON").expect("a file");
        while !std::path::Path::new(&until).exists() {
            let test_request = TestRequest::isolated();
            let connection = &mut test_request.client().get_connection().expect("connect");
            redis::cmd("PING").exec(connection).expect("PING");
        }
    }
}

#[test]
fn no_waiter_starves() {
    let (server, directory) = (OwnServer::start(), TempDir::new().expect("a directory"));
    let until = directory.path().join("go on");
    let hogs = (0..3).map(|_| {
        let hog = Child::test("lease::hog::takes_it_again_and_again").env("TRANSIENT_REDIS_URL", server.url());
        hog.env("GO_ON", &until).start()
    });
    let hogs: Vec<_> = hogs.collect();
    for hog in &hogs {
        hog.wait_for("(running)");
    }
    // They continue until this one has had its turn.
    let ended = Child::test("lease::uses").env("TRANSIENT_REDIS_URL", server.url()).run();
    ended.assert_passed();
    fs::write(until, "").expect("write");
    for hog in hogs {
        hog.wait(Duration::from_secs(60)).assert_passed();
    }
}
