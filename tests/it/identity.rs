//! A lease belongs to one test and ends with it, despite other users, leaked threads and stale URLs.

use std::thread;
use std::time::Duration;

use redis::{Client, Commands, Connection, RedisResult};
use rstest::rstest;
use transient_fixtures::{Job, Provider, TestRequest, clean_redis, get_redis, redis, test_request};

use crate::child::Child;
use crate::golden::golden;
use crate::own_server::{self, OwnServer};

fn open(url: &str) -> RedisResult<Connection> {
    Client::open(url)?.get_connection_with_timeout(Duration::from_secs(10))
}

fn on_own_servers(tests: &str) -> Child {
    Child::tests(tests).env("TRANSIENT_PROVIDER", own_server::own_provider())
}

/// Tests of one process, run in sequence.
mod in_turn {
    use std::sync::{LazyLock, Mutex};

    use super::{
        Commands, Connection, Duration, Job, Provider, TestRequest, clean_redis, get_redis, open, redis, rstest,
        test_request, thread,
    };

    static URL: Mutex<String> = Mutex::new(String::new());

    /// The port tried first. The request itself is dropped.
    fn url() -> String {
        TestRequest::clean().redis_url().to_owned()
    }

    #[test]
    #[ignore = "run by leases_are_their_tests_alone"]
    fn a_keeps_only_the_url() {
        let url = url();
        open(&url).expect("connect").set::<_, _, ()>("mine", 1).expect("SET");
        // Another thread concurrently takes and returns a server.
        thread::spawn(|| drop(TestRequest::isolated())).join().expect("join");
        assert_eq!(open(&url).expect("the lease is held").get::<_, u32>("mine"), Ok(1));
        *URL.lock().expect("lock") = url;
    }

    #[test]
    #[ignore = "run by leases_are_their_tests_alone"]
    fn b_finds_that_urls_of_ended_leases_open_nothing() {
        let stale = URL.lock().expect("lock").clone();
        let test_request = TestRequest::clean();
        assert_ne!(test_request.server().provider(), Provider::Running);
        let error = open(&stale).map(drop).expect_err("it opens nothing");
        println!("{error}");
        // The server itself is the same.
        let port = |url: &str| url.rsplit_once(':').expect("a port").1.to_owned();
        assert_eq!(port(&stale), port(test_request.redis_url()));
        let keys: Vec<String> = get_redis(&test_request).expect("connect").keys("*").expect("KEYS");
        assert!(keys.is_empty(), "{keys:?}");
    }

    /// A leaked thread that opens the URL again for every write.
    #[rstest]
    #[ignore = "run by leases_are_their_tests_alone"]
    #[clean_redis]
    fn c_leaks_a_thread_that_reconnects(test_request: TestRequest) {
        let url = test_request.redis_url().to_owned();
        thread::spawn(move || {
            loop {
                if let Ok(mut redis) = open(&url) {
                    let _: redis::RedisResult<()> = redis.set("leaked", 1);
                }
                thread::yield_now();
            }
        });
    }

    #[rstest]
    #[ignore = "run by leases_are_their_tests_alone"]
    #[clean_redis]
    fn d_is_alone(test_request: TestRequest, #[values(0, 1, 2, 3, 4)] _turn: u32) -> redis::RedisResult<()> {
        for _ in 0..200 {
            let mut redis = get_redis(&test_request)?;
            assert_eq!(redis.keys::<_, Vec<String>>("*")?, [""; 0]);
        }
        Ok(())
    }

    #[test]
    #[ignore = "run by leases_are_their_tests_alone"]
    fn d_is_alone_a_thousand_times() {
        for _ in 0..1_000 {
            let test_request = TestRequest::isolated();
            let mut redis = get_redis(&test_request).expect("connect");
            assert_eq!(redis.keys::<_, Vec<String>>("*"), Ok(vec![]));
        }
    }

    /// An application's connection, kept for the whole process, opened with one test's URL.
    static CONNECTION: Mutex<Option<Connection>> = Mutex::new(None);

    #[rstest]
    #[ignore = "run by leases_are_their_tests_alone"]
    #[clean_redis]
    fn e_keeps_a_connection(test_request: TestRequest) {
        *CONNECTION.lock().expect("lock") = Some(open(test_request.redis_url()).expect("connect"));
    }

    #[rstest]
    #[ignore = "run by leases_are_their_tests_alone"]
    #[should_panic(expected = "the application's connection")]
    #[clean_redis]
    fn f_reports_why_it_is_broken(test_request: TestRequest) {
        let mut connection = CONNECTION.lock().expect("lock").take().expect("a connection");
        drop(test_request);
        connection.get::<_, Option<String>>("foo").expect("the application's connection");
    }

    #[rstest]
    #[ignore = "run by a_failure_report_names_the_tests_of_an_ended_server"]
    #[clean_redis]
    fn g_fails(test_request: TestRequest) {
        let stale = URL.lock().expect("lock").clone();
        let stale = if stale.is_empty() { test_request.redis_url().replace("redis://:", "redis://:x") } else { stale };
        open(&stale).map(drop).expect_err("an old password");
        panic!("on purpose");
    }

    static CLONE: Mutex<Option<TestRequest>> = Mutex::new(None);

    #[rstest]
    #[ignore = "run by leases_are_their_tests_alone"]
    #[clean_redis]
    fn i_leaks_a_clone(test_request: TestRequest) {
        *CLONE.lock().expect("lock") = Some(test_request);
    }

    #[rstest]
    #[ignore = "run by leases_are_their_tests_alone"]
    fn j_finds_that_a_stale_clone_can_do_nothing() {
        let stale = CLONE.lock().expect("lock").take().expect("a clone");
        let results = [
            stale.flush(),
            stale.travel(Duration::from_secs(1)),
            stale.load("brands"),
            stale.snapshot().map(drop),
            stale.session().set("foo", "bar"),
            stale.jobs().enqueue(Job::new("shop.mail")).map(drop),
            stale.jobs().drain("celery").map(drop),
        ];
        for result in results {
            let error = result.expect_err("the lease is over");
            assert!(error.is_server(), "{error}");
            assert!(error.to_string().contains("identity::in_turn::i_leaks_a_clone"), "{error}");
        }
        let error = get_redis(&stale).map(drop).expect_err("the lease is over");
        assert!(error.to_string().contains("identity::in_turn::i_leaks_a_clone"), "{error}");
    }

    /// A request for the whole process belongs to no test.
    static REQUEST: LazyLock<TestRequest> = LazyLock::new(TestRequest::for_process);

    #[rstest]
    #[ignore = "run by leases_are_their_tests_alone"]
    #[clean_redis]
    fn h_uses_the_static(test_request: TestRequest, #[values(1, 2, 3)] turn: u32) -> redis::RedisResult<()> {
        assert_ne!(REQUEST.server().address(), test_request.server().address());
        let turns: u32 = get_redis(&REQUEST)?.incr("turns", 1)?;
        assert_eq!(turns, turn);
        Ok(())
    }
}

#[test]
fn leases_are_their_tests_alone() {
    let ended = on_own_servers("identity::in_turn::").arguments(["--test-threads=1", "--skip", "g_fails"]).run();
    ended.assert_passed();
    // Printed when the server ends, with both tests.
    let warning = "warning: it::identity::in_turn::e_keeps_a_connection ";
    assert!(ended.output.contains(warning), "{}", ended.output);
}

#[test]
fn a_failure_report_names_the_tests_of_an_ended_server() {
    let tests =
        ["--test-threads=1", "--exact", "identity::in_turn::e_keeps_a_connection", "identity::in_turn::g_fails"];
    let ended = on_own_servers("identity::in_turn::e_keeps_a_connection").arguments(tests).run();
    ended.assert_failed_with(&["it::identity::in_turn::g_fails", "TestRequest::for_process"]);
    ended.assert_failed_with(&["1 login"]);
}

/// The lease's password works in every way that a client can send it, and is required.
#[rstest]
#[clean_redis]
fn only_the_leases_password_opens_an_own_server(test_request: TestRequest) {
    if test_request.server().provider() == Provider::Running {
        return;
    }
    let url = test_request.redis_url();
    let (password, address) = url.strip_prefix("redis://:").expect("a password").split_once('@').expect("an address");
    assert_eq!(password.len(), 32, "{password}");
    for wrong in [
        format!("redis://{address}"),
        format!("redis://:wrong@{address}"),
        format!("redis://default:@{address}"),
        format!("redis://transient-fixtures:{password}@{address}"),
    ] {
        let ping = open(&wrong).and_then(|mut redis| redis::cmd("PING").exec(&mut redis));
        assert!(ping.is_err(), "{wrong} opens the server");
    }
    for right in [url.to_owned(), format!("redis://default:{password}@{address}")] {
        open(&right).and_then(|mut redis| redis::cmd("PING").exec(&mut redis)).expect("the password opens the server");
    }
}

/// Another user of the machine gets no access, and finds no secret in the process list.
#[cfg(target_os = "linux")]
#[rstest]
#[clean_redis]
fn another_user_reads_writes_and_configures_nothing(test_request: TestRequest) -> RedisResult<()> {
    use std::os::unix::process::CommandExt;

    const NOBODY: u32 = 65_534;
    if test_request.server().provider() == Provider::Running {
        return Ok(());
    }
    let info: redis::InfoDict = redis::cmd("INFO").query(&mut get_redis(&test_request)?)?;
    let lines = std::fs::read_dir("/proc").expect("/proc").flatten().filter_map(|process| {
        std::fs::read(process.path().join("cmdline")).ok().map(|line| String::from_utf8_lossy(&line).into_owned())
    });
    let password = test_request.redis_url()["redis://:".len()..].split('@').next().expect("a password").to_owned();
    assert!(lines.into_iter().all(|line| !line.contains(&password)), "the password is in the list of processes");
    // Only root can switch users, and this needs a client.
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|this| std::os::unix::fs::MetadataExt::uid(&this) == 0);
    let port = test_request.server().address().rsplit_once(':').expect("a port").1.to_owned();
    let socket: String = info.get::<String>("process_id").map_or_else(String::new, |process| {
        let line = std::fs::read_link(format!("/proc/{process}/cwd")).unwrap_or_default();
        line.join("redis.sock").display().to_string()
    });
    for place in [["-p", &port], ["-s", &socket]] {
        for command in [&["GET", "foo"][..], &["SET", "foo", "bar"], &["CONFIG", "SET", "dir", "/tmp"], &["SAVE"]] {
            let mut client = std::process::Command::new("redis-cli");
            client.args(place).args(command).env_remove("REDISCLI_AUTH");
            if is_root {
                client.uid(NOBODY).gid(NOBODY);
            }
            let Ok(output) = client.output() else { return Ok(()) };
            let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
            let is_refused = ["NOAUTH", "Permission denied", "No such file"].iter().any(|words| said.contains(words));
            assert!(is_refused, "{place:?} {command:?}: {said}");
        }
    }
    Ok(())
}

#[rstest]
#[ignore = "run by a_password_can_be_turned_off"]
#[clean_redis]
fn has_no_password(test_request: TestRequest) {
    assert!(!test_request.redis_url().contains('@'), "{}", test_request.redis_url());
    let address = test_request.server().address();
    open(&format!("redis://{address}/14")).expect("connect").set::<_, _, ()>("foo", "bar").expect("SET");
    assert_eq!(get_redis(&test_request).expect("connect").get::<_, String>("foo").as_deref(), Ok("bar"));
}

#[test]
fn a_password_can_be_turned_off() {
    on_own_servers("identity::has_no_password").env("TRANSIENT_PASSWORD", "none").run().assert_passed();
}

/// On a worker's thread of any name, a request lasts until its last clone.
#[rstest]
#[case("worker_1")]
#[case("pool::worker")]
#[case("tokio-rt-worker")]
fn a_request_of_a_worker_is_passed_on(#[case] name: &str) {
    let worker = thread::Builder::new().name(name.to_owned());
    let test_request = worker.spawn(TestRequest::clean).expect("spawn").join().expect("join");
    get_redis(&test_request).expect("the lease is held").set::<_, _, ()>("foo", "bar").expect("SET");
}

#[test]
fn a_clean_request_empties_nothing_that_a_clone_can_see() -> RedisResult<()> {
    let one = TestRequest::new();
    get_redis(&one)?.set::<_, _, ()>("mine", 1)?;
    let error = TestRequest::try_clean().expect_err("it is not clean");
    assert!(error.is_refused(), "{error}");
    assert!(error.to_string().contains("flush()"), "{error}");
    assert_eq!(get_redis(&one)?.get::<_, u32>("mine")?, 1);
    one.flush().expect("flush");
    assert_eq!(get_redis(&one)?.get::<_, Option<u32>>("mine")?, None);
    Ok(())
}

/// Each task has its own request, and none sees another's keys.
#[test]
#[ignore = "run by tasks_are_isolated"]
fn each_task_is_alone() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let tasks: Vec<_> = (0..32)
            .map(|number| {
                tokio::spawn(async move {
                    let test_request = TestRequest::clean();
                    // Not asynchronous connections: those have a timeout for each reply, and the tasks start servers
                    // concurrently.
                    let mut redis = get_redis(&test_request).expect("connect");
                    let key = format!("task:{number}");
                    for _ in 0..5 {
                        redis.set::<_, _, ()>(&key, number).expect("SET");
                        tokio::task::yield_now().await;
                        // The same request, even if the task has moved to another thread.
                        assert_eq!(TestRequest::new().redis_url(), test_request.redis_url());
                        let keys: Vec<String> = redis.keys("*").expect("KEYS");
                        assert_eq!(keys, [key.as_str()]);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("the task passes");
        }
    });
}

#[test]
fn tasks_are_isolated() {
    on_own_servers("identity::each_task_is_alone").run().assert_passed();
}

#[test]
#[ignore = "run by isolated_requests_join_no_other"]
fn scenarios_on_one_thread() -> RedisResult<()> {
    let requests: Vec<_> = (0..8).map(|_| TestRequest::isolated()).collect();
    for (number, request) in requests.iter().enumerate() {
        get_redis(request)?.set::<_, _, ()>("number", number)?;
    }
    for (number, request) in requests.iter().enumerate() {
        assert_eq!(get_redis(request)?.get::<_, usize>("number")?, number);
    }
    // They join no other request.
    let other = TestRequest::new();
    assert!(requests.iter().all(|request| request.redis_url() != other.redis_url()));
    Ok(())
}

#[test]
fn isolated_requests_join_no_other() {
    on_own_servers("identity::scenarios_on_one_thread").run().assert_passed();
}

#[rstest]
#[ignore = "run by a_request_beside_a_test_is_warned_of"]
#[clean_redis]
fn makes_requests_beside_itself(test_request: TestRequest) {
    let url = test_request.redis_url().to_owned();
    let in_thread = thread::spawn(|| TestRequest::new().redis_url().to_owned()).join().expect("join");
    assert_ne!(in_thread, url);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let in_task = runtime.block_on(async {
        // The test itself, not a task.
        assert_eq!(TestRequest::new().redis_url(), url);
        tokio::spawn(async { TestRequest::new().redis_url().to_owned() }).await.expect("join")
    });
    assert_ne!(in_task, url);
}

#[test]
fn a_request_beside_a_test_is_warned_of() {
    let ended = on_own_servers("identity::makes_requests_beside_itself").run();
    ended.assert_passed();
    let warning = golden("lease::second_server");
    assert_eq!(ended.output.matches(warning).count(), 2, "{}", ended.output);
    assert!(ended.output.contains("it::identity::makes_requests_beside_itself"), "{}", ended.output);
}

/// A connection to a shared server for which this very thread or task waits.
#[test]
#[ignore = "run by waiting_for_oneself_is_an_error_at_once"]
fn asks_for_two_turns() {
    let _one = TestRequest::isolated();
    let error = TestRequest::try_isolated().expect_err("it waits for itself");
    assert!(error.is_busy(), "{error}");
    println!("{error}");
}

#[test]
fn waiting_for_oneself_is_an_error_at_once() {
    let server = OwnServer::start();
    let child = Child::test("identity::asks_for_two_turns").env("TRANSIENT_REDIS_URL", server.url());
    let ended = child.env("TRANSIENT_LEASE_TIMEOUT", "600").run();
    ended.assert_passed();
    assert!(ended.output.contains(golden("lease::waits_for_itself")), "{}", ended.output);
}

/// A thread that waits for a shared server, and whose name belongs to no test.
mod workers {
    use std::sync::Barrier;

    use super::{Duration, TestRequest, clean_redis, rstest, test_request, thread};

    static HELD: Barrier = Barrier::new(2);

    fn ask() -> Result<(), transient_fixtures::Error> {
        let worker = thread::Builder::new().name("tokio-rt-worker".to_owned());
        worker.spawn(|| TestRequest::try_clean().map(drop)).expect("spawn").join().expect("join")
    }

    #[rstest]
    #[ignore = "run by a_thread_that_waits_for_its_test_is_an_error_at_once"]
    #[clean_redis]
    fn waits_for_its_own(test_request: TestRequest) {
        let error = ask().expect_err("it waits for itself");
        assert!(error.is_busy(), "{error}");
        drop(test_request);
    }

    #[rstest]
    #[ignore = "run by a_thread_of_another_test_waits"]
    #[clean_redis]
    fn beside_has_the_server(test_request: TestRequest) {
        HELD.wait();
        let go_on = std::env::var_os("GO_ON").expect("a file");
        while !std::path::Path::new(&go_on).exists() {
            thread::sleep(Duration::from_millis(5));
        }
        drop(test_request);
    }

    #[test]
    #[ignore = "run by a_thread_of_another_test_waits"]
    fn beside_waits() {
        HELD.wait();
        ask().expect("its turn comes");
    }
}

#[test]
fn a_thread_of_another_test_waits() {
    let server = OwnServer::start();
    let go_on = server.directory.path().join("go on");
    let child = Child::tests("identity::workers::beside").arguments(["--test-threads=2"]).env("GO_ON", &go_on);
    let child = child.env("TRANSIENT_REDIS_URL", server.url()).start();
    child.wait_for(golden("lease::may_wait_for_itself"));
    std::fs::write(go_on, "").expect("write");
    child.wait(Duration::from_secs(100)).assert_passed();
}

#[rstest]
#[case(&["--exact"])]
#[case(&["--test-threads=1"])]
#[case(&["--test-threads", "1"])]
fn a_thread_that_waits_for_its_test_is_an_error_at_once(#[case] arguments: &[&'static str]) {
    let server = OwnServer::start();
    let child = Child::tests("identity::workers::waits_for_its_own").arguments(arguments.iter().copied());
    child.env("TRANSIENT_REDIS_URL", server.url()).env("TRANSIENT_LEASE_TIMEOUT", "600").run().assert_passed();
}

#[test]
#[ignore = "run by a_static_request_does_not_keep_a_shared_server"]
fn wants_a_server_for_the_process() {
    let error = TestRequest::try_for_process().expect_err("the server is shared");
    assert!(error.is_refused(), "{error}");
    assert!(error.to_string().contains("TRANSIENT_PROVIDER=process"), "{error}");
    // The server is free again.
    drop(TestRequest::clean());
}

#[test]
fn a_static_request_does_not_keep_a_shared_server() {
    let server = OwnServer::start();
    Child::test("identity::wants_a_server_for_the_process")
        .env("TRANSIENT_REDIS_URL", server.url())
        .run()
        .assert_passed();
}

/// The timeout applies to each holder, however many there are.
#[rstest]
#[ignore = "run by the_timeout_restarts_with_each_holder"]
fn takes_its_turn(#[values(1, 2, 3, 4, 5, 6)] _number: u32) {
    let test_request = TestRequest::isolated();
    thread::sleep(Duration::from_millis(700));
    drop(test_request);
}

#[test]
fn the_timeout_restarts_with_each_holder() {
    let server = OwnServer::start();
    let child = Child::tests("identity::takes_its_turn").arguments(["--test-threads=6"]);
    // Six turns of 0.7 s exceed the timeout, but each is less than a fifth of it.
    let ended = child.env("TRANSIENT_REDIS_URL", server.url()).env("TRANSIENT_LEASE_TIMEOUT", "4").run();
    ended.assert_passed();
}
