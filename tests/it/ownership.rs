//! Who owns the keys in a shared server's test databases. Only the tests' keys are ever deleted.

use std::fs;
use std::path::Path;
use std::time::Duration;

use redis::{Commands, RedisResult};
use rstest::rstest;
use tempfile::TempDir;
use transient_fixtures::{Job, TestRequest, clean_redis, get_jobs_redis, get_redis, redis, test_request};

use crate::child::{Child, Ended};
use crate::golden::golden;
use crate::own_server::OwnServer;

const MARKER: &str = "transient-fixtures:left";

/// Leaves its own keys in both databases of a clean server.
#[rstest]
#[ignore = "run by the tests below"]
#[clean_redis]
fn leaves_keys(test_request: TestRequest) -> RedisResult<()> {
    get_redis(&test_request)?.set::<_, _, ()>("left:1", "ours")?;
    get_redis(&test_request)?.set::<_, _, ()>(&b"left:\xff\r\n"[..], "ours")?;
    get_redis(&test_request)?.set_ex::<_, _, ()>("left:soon over", "ours", 1)?;
    get_jobs_redis(&test_request)?.rpush("queue", "ours")
}

/// Clears nothing, and leaves all keys.
#[rstest]
#[ignore = "run by the tests below"]
fn clears_nothing(test_request: TestRequest) -> RedisResult<()> {
    redis::cmd("PING").exec(&mut get_redis(&test_request)?)
}

fn run(test: &str, server: &OwnServer, cache: &Path) -> Ended {
    child(test, server, cache).run()
}

fn child(test: &str, server: &OwnServer, cache: &Path) -> Child {
    Child::test(&format!("ownership::{test}")).env("TRANSIENT_REDIS_URL", server.url()).env("XDG_CACHE_HOME", cache)
}

fn cache() -> TempDir {
    TempDir::new().expect("a directory")
}

fn put(server: &OwnServer, database: u32, key: &str) {
    server.connection(database).set::<_, _, ()>(key, "production").expect("SET");
}

#[track_caller]
fn assert_there(server: &OwnServer, database: u32, key: &str) {
    let value: Option<String> = server.connection(database).get(key).expect("GET");
    assert_eq!(value.as_deref(), Some("production"), "{key} of database {database}");
}

#[track_caller]
fn assert_refused(ended: &Ended, database: u32) {
    ended.assert_failed_with(&[&format!("database {database}"), "1 key", golden("report::refused::foreign_keys")]);
}

/// An application that begins to use a database that tests have used.
#[rstest]
fn keys_that_appear_after_a_test_are_foreign(
    #[values("leaves_keys", "clears_nothing")] next: &str,
    #[values(14, 15)] database: u32,
) {
    let (server, cache) = (OwnServer::start(), cache());
    run("leaves_keys", &server, cache.path()).assert_passed();
    put(&server, database, "shop:order:1");
    assert_refused(&run(next, &server, cache.path()), database);
    assert_there(&server, database, "shop:order:1");
    // Keys left by tests still count as theirs.
    server.connection(database).del::<_, ()>("shop:order:1").expect("DEL");
    run(next, &server, cache.path()).assert_passed();
}

#[test]
fn a_marker_covers_existing_keys_but_no_later_ones() {
    let (directory, cache) = (TempDir::new().expect("a directory"), cache());
    let server = OwnServer::with(directory, &[]);
    run("leaves_keys", &server, cache.path()).assert_passed();
    assert!(server.connection(14).exists::<_, bool>(MARKER).expect("EXISTS"));
    put(&server, 14, "shop:order:1");
    redis::cmd("SAVE").exec(&mut server.connection(0)).expect("SAVE");
    let server = OwnServer::with(server.stop(), &[]);
    assert_refused(&run("leaves_keys", &server, cache.path()), 14);
    assert_there(&server, 14, "shop:order:1");
}

#[test]
fn adopting_covers_existing_keys() {
    let (server, cache) = (OwnServer::start(), cache());
    put(&server, 14, "shop:order:1");
    let adopted = child("leaves_keys", &server, cache.path()).env("TRANSIENT_ADOPT", "1").run();
    adopted.assert_passed();
    assert!(
        adopted.output.contains("1 key") && adopted.output.contains(golden("lease::adopted, cleared, one key")),
        "{}",
        adopted.output
    );
    put(&server, 14, "shop:order:2");
    assert_refused(&run("leaves_keys", &server, cache.path()), 14);
    assert_there(&server, 14, "shop:order:2");
}

/// Adoption requires a named server, since test.ini is shared by a team.
#[test]
fn adopting_by_test_ini_is_for_the_server_that_it_names() {
    let (server, cache, directory) = (OwnServer::start(), cache(), cache());
    put(&server, 14, "shop:order:1");
    let ini = directory.path().join("test.ini");
    fs::write(&ini, format!("[app:main]\nredis.adopt = true\nredis.sessions.url = {}\n", server.url())).expect("write");
    let child =
        Child::test("ownership::leaves_keys").env("TRANSIENT_TEST_INI", &ini).env("XDG_CACHE_HOME", cache.path());
    let ended = child.run();
    ended.assert_passed();
    assert!(ended.output.contains("(running)"), "{}", ended.output);
    assert!(!server.connection(14).exists::<_, bool>("shop:order:1").expect("EXISTS"));
}

/// In a separate network namespace, where 127.0.0.1:6379 is a server that no setting names.
#[rstest]
#[case::foreign("redis.download = true", false)]
#[case::not_adopted("redis.adopt = true", false)]
fn a_guessed_server_with_foreign_data_is_passed_over(#[case] setting: &str, #[case] cleared: bool) {
    if crate::own_server::own_provider() != "process" {
        return;
    }
    let (directory, cache) = (cache(), cache());
    let ini = directory.path().join("test.ini");
    fs::write(&ini, format!("[app:main]\n{setting}\n")).expect("write");
    let server = crate::own_server::binary().display().to_string();
    let script = format!(
        "ip link set lo up; cd {directory}
        {server} --port 6379 --bind 127.0.0.1 --save '' >/dev/null & server=$!
        until {cli} ping >/dev/null 2>&1; do sleep 0.05; done
        {test} ownership::leaves_keys --exact --include-ignored --nocapture 2>&1
        {cli} -n 14 flushdb; {cli} -n 15 flushdb; {cli} -n 14 set shop:order:1 paid; {cli} -n 15 rpush queue x
        {test} ownership::leaves_keys --exact --include-ignored --nocapture 2>&1
        echo \"order: $({cli} -n 14 get shop:order:1), queue: $({cli} -n 15 llen queue)\"; kill $server",
        directory = directory.path().display(),
        cli = server.replace("-server", "-cli"),
        test = std::env::current_exe().expect("this binary").display(),
    );
    let mut command = std::process::Command::new("unshare");
    command.args(["--map-root-user", "--net", "/bin/sh", "-c", &script]).env("XDG_CACHE_HOME", cache.path());
    command.env_remove("TRANSIENT_REDIS_URL").env_remove("TRANSIENT_PROVIDER").env("TRANSIENT_TEST_INI", &ini);
    let output = command.output().expect("unshare");
    let output = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.matches("1 passed").count(), 2, "{output}");
    assert!(output.contains("(running)") && output.contains("(process)"), "{output}");
    assert_eq!(output.contains("order: paid, queue: 1"), !cleared, "{output}");
    assert!(output.contains("database 14 holds 1 key"), "{output}");
}

/// Another server replaces a test's started server during the test.
#[rstest]
#[ignore = "run by a_replacement_server_is_not_touched"]
#[clean_redis]
fn is_moved_to_another_server(test_request: TestRequest) -> RedisResult<()> {
    get_redis(&test_request)?.set::<_, _, ()>("left:1", "ours")?;
    let snapshot = test_request.snapshot().expect("snapshot");
    println!("ready");
    let go_on = std::env::var_os("GO_ON").expect("a file");
    while !Path::new(&go_on).exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let (session, jobs) = (test_request.session(), test_request.jobs());
    let results = [
        ("restore", test_request.restore(&snapshot)),
        ("travel", test_request.travel(Duration::from_secs(5_000))),
        ("travel_with_due_times", test_request.travel_with_due_times(Duration::from_secs(5_000), &["schedule"])),
        ("expire_all", test_request.expire_all()),
        ("load", test_request.load("brands")),
        ("flush", test_request.flush()),
        ("session", session.set("name", "ours")),
        ("invalidate", session.invalidate()),
        ("log_in", test_request.visitor().log_in("asa")),
        ("drain", jobs.drain("queue").map(drop)),
        ("enqueue", jobs.enqueue(Job::new("shop.mail")).map(drop)),
        ("snapshot", test_request.snapshot().map(drop)),
    ];
    for (what, result) in results {
        let error = result.expect_err(what);
        assert!(error.is_server(), "{what}: {error}");
    }
    for connection in [get_redis(&test_request), get_jobs_redis(&test_request)] {
        connection.map(drop).expect_err("it is another server");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let connection = runtime.block_on(transient_fixtures::get_async_redis(&test_request));
    connection.map(drop).expect_err("it is another server");
    Ok(())
}

#[test]
fn a_replacement_server_is_not_touched() {
    let (first, cache, directory) = (OwnServer::start(), cache(), cache());
    let (port, go_on) = (first.port, directory.path().join("go on"));
    let child = child("is_moved_to_another_server", &first, cache.path()).env("GO_ON", &go_on).start();
    child.wait_for("ready");
    drop(first);
    let second = OwnServer::on(port, TempDir::new().expect("a directory"), &[]);
    for database in [14, 15] {
        put(&second, database, "shop:order:1");
        second.connection(database).expire::<_, ()>("shop:order:1", 1_000).expect("EXPIRE");
        second.connection(database).rpush::<_, _, ()>("queue", "production").expect("RPUSH");
        second.connection(database).zadd::<_, _, _, ()>("schedule", "production", 1_000_000).expect("ZADD");
    }
    fs::write(go_on, "").expect("write");
    child.wait(Duration::from_secs(60)).assert_passed();
    for database in [14, 15] {
        let mut connection = second.connection(database);
        assert_there(&second, database, "shop:order:1");
        assert!(connection.ttl::<_, i64>("shop:order:1").expect("TTL") > 500);
        assert_eq!(connection.llen::<_, u32>("queue"), Ok(1));
        assert_eq!(connection.zscore::<_, _, f64>("schedule", "production"), Ok(1_000_000.0));
        assert_eq!(redis::cmd("DBSIZE").query::<u32>(&mut connection), Ok(3));
    }
}

/// A clone that outlives its test meets the server of another test.
mod stale {
    use std::sync::Mutex;

    use super::{
        Commands, Duration, Job, RedisResult, TestRequest, clean_redis, get_redis, redis, rstest, test_request,
    };

    static CLONE: Mutex<Option<TestRequest>> = Mutex::new(None);
    static CONNECTION: Mutex<Option<redis::Connection>> = Mutex::new(None);

    #[rstest]
    #[ignore = "run by a_stale_clone_touches_nothing"]
    #[clean_redis]
    fn a_leaks_a_clone_and_a_connection(test_request: TestRequest) {
        *CONNECTION.lock().expect("lock") = Some(get_redis(&test_request).expect("connect"));
        *CLONE.lock().expect("lock") = Some(test_request);
    }

    #[rstest]
    #[ignore = "run by a_stale_clone_touches_nothing"]
    #[clean_redis]
    fn b_is_not_touched(test_request: TestRequest) -> RedisResult<()> {
        let mut connection = CONNECTION.lock().expect("lock").take().expect("a connection");
        connection.set::<_, _, ()>("stale", "stale").expect_err("it was closed");
        let mut redis = get_redis(&test_request)?;
        redis.set_ex::<_, _, ()>("mine", "mine", 1_000)?;
        let stale = CLONE.lock().expect("lock").take().expect("a clone");
        let snapshot = test_request.snapshot().expect("snapshot");
        let results = [
            stale.restore(&snapshot),
            stale.travel(Duration::from_secs(500)),
            stale.load("brands"),
            stale.flush(),
            stale.session().set("name", "stale"),
            stale.jobs().enqueue(Job::new("shop.mail")).map(drop),
        ];
        for result in results {
            let error = result.expect_err("the lease is over");
            assert!(error.is_server() && error.to_string().contains("a_leaks_a_clone_and_a_connection"), "{error}");
        }
        get_redis(&stale).map(drop).expect_err("the lease is over");
        assert!(redis.ttl::<_, i64>("mine")? > 900);
        assert_eq!(redis::cmd("DBSIZE").query::<u32>(&mut redis)?, 1);
        Ok(())
    }
}

#[test]
fn a_stale_clone_touches_nothing() {
    let (server, cache) = (OwnServer::start(), cache());
    let child = Child::tests("ownership::stale::").arguments(["--test-threads=1"]);
    child.env("TRANSIENT_REDIS_URL", server.url()).env("XDG_CACHE_HOME", cache.path()).run().assert_passed();
}

/// Data of earlier versions: a marker that names no keys, and files that state "used once".
#[test]
fn an_upgrade_loses_nothing() {
    let (server, cache) = (OwnServer::start(), cache());
    let run_id = server.run_id();
    let running = cache.path().join("transient-fixtures/running");
    fs::create_dir_all(&running).expect("mkdir");
    for database in [14, 15] {
        fs::write(running.join(format!("{run_id}.{database}")), "").expect("write");
    }
    put(&server, 14, "shop:order:1");
    server.connection(14).set::<_, _, ()>("transient-fixtures:left-by-tests", "").expect("SET");
    assert_refused(&run("leaves_keys", &server, cache.path()), 14);
    assert_there(&server, 14, "shop:order:1");
    server.connection(14).del::<_, ()>("shop:order:1").expect("DEL");
    // The old marker itself is ours.
    run("leaves_keys", &server, cache.path()).assert_passed();
    assert!(!server.connection(14).exists::<_, bool>("transient-fixtures:left-by-tests").expect("EXISTS"));
}

#[test]
fn a_foreign_key_with_the_marker_s_name_is_kept() {
    let (server, cache) = (OwnServer::start(), cache());
    server.connection(14).rpush::<_, _, ()>(MARKER, "production").expect("RPUSH");
    put(&server, 14, "shop:order:1");
    run("leaves_keys", &server, cache.path()).assert_failed_with(&[
        "database 14",
        "2 keys",
        golden("report::refused::foreign_keys"),
    ]);
    assert_eq!(server.connection(14).llen::<_, u32>(MARKER), Ok(1));
    for other in ["", "rubbish", "\u{1}\u{2}", "production"] {
        redis::cmd("DEL").arg(MARKER).exec(&mut server.connection(14)).expect("DEL");
        server.connection(14).set::<_, _, ()>(MARKER, other).expect("SET");
        run("leaves_keys", &server, cache.path())
            .assert_failed_with(&["database 14", golden("report::refused::foreign_keys")]);
        assert_there(&server, 14, "shop:order:1");
        assert_eq!(server.connection(14).get(MARKER), Ok(Some(other.to_owned())));
    }
}

/// The same if it is the only key in its database.
#[rstest]
fn a_key_named_like_the_marker_is_not_dropped(
    #[values("leaves_keys", "clears_nothing")] next: &str,
    #[values(14, 15)] database: u32,
    #[values("transient-fixtures:left", "transient-fixtures:left-by-tests")] name: &str,
    #[values("SET", "RPUSH")] command: &str,
) {
    let (server, cache) = (OwnServer::start(), cache());
    let put = redis::cmd(command).arg(name).arg("production").to_owned();
    put.exec(&mut server.connection(database)).expect(command);
    assert_refused(&run(next, &server, cache.path()), database);
    assert!(server.connection(database).exists::<_, bool>(name).expect("EXISTS"));
}

/// An old note of a killed run does not outweigh the keys of a later lease from another cache.
#[test]
fn a_marker_is_newer_than_a_note() {
    let (server, ours, other) = (OwnServer::start(), cache(), cache());
    run("leaves_keys", &server, ours.path()).assert_passed();
    // Like a killed run leaves it.
    let run_id = server.run_id();
    for database in [14, 15] {
        let note = ours.path().join(format!("transient-fixtures/running/{run_id}.{database}.open"));
        fs::write(note, "").expect("write");
    }
    run("clears_nothing", &server, other.path()).assert_passed();
    put(&server, 14, "shop:order:1");
    assert_refused(&run("leaves_keys", &server, ours.path()), 14);
    assert_there(&server, 14, "shop:order:1");
}

#[rstest]
fn too_many_keys_need_adoption(#[values("leaves_too_many", "leaves_long_names")] test: &str) {
    let (server, cache) = (OwnServer::start(), cache());
    run("leaves_keys", &server, cache.path()).assert_passed();
    for database in [14, 15] {
        redis::cmd("FLUSHDB").exec(&mut server.connection(database)).expect("FLUSHDB");
    }
    let ended = child(test, &server, cache.path()).run();
    ended.assert_passed();
    let refused = run("leaves_keys", &server, cache.path());
    refused.assert_failed_with(&["TRANSIENT_ADOPT=1"]);
    child("leaves_keys", &server, cache.path()).env("TRANSIENT_ADOPT", "1").run().assert_passed();
}

#[rstest]
#[ignore = "run by too_many_keys_need_adoption"]
#[clean_redis]
fn leaves_too_many(test_request: TestRequest) -> RedisResult<()> {
    let fill = "for number = 1, 100001 do redis.call('SET', 'left:' .. number, '') end";
    redis::cmd("EVAL").arg(fill).arg(0).exec(&mut get_redis(&test_request)?)
}

/// More than 16 MiB of names.
#[rstest]
#[ignore = "run by too_many_keys_need_adoption"]
#[clean_redis]
fn leaves_long_names(test_request: TestRequest) -> RedisResult<()> {
    let fill = "for number = 1, 17 do redis.call('SET', string.rep('x', 1048576) .. number, '') end";
    redis::cmd("EVAL").arg(fill).arg(0).exec(&mut get_redis(&test_request)?)
}

/// Deleted by another client, or evicted by the server.
#[test]
fn without_its_marker_a_test_s_keys_are_refused() {
    let (server, cache) = (OwnServer::start(), cache());
    run("leaves_keys", &server, cache.path()).assert_passed();
    redis::cmd("DEL").arg(MARKER).exec(&mut server.connection(15)).expect("DEL");
    assert_refused(&run("leaves_keys", &server, cache.path()), 15);
    child("leaves_keys", &server, cache.path()).env("TRANSIENT_ADOPT", "1").run().assert_passed();
}

/// A thread that has the server's URL, and continues after its test has ended.
#[test]
fn keys_written_by_a_thread_after_its_test_are_refused() {
    let (server, cache, directory) = (OwnServer::start(), cache(), cache());
    let go_on = directory.path().join("go on");
    let child = Child::tests("ownership::late::").arguments(["--test-threads=1"]);
    let child = child.env("TRANSIENT_REDIS_URL", server.url()).env("XDG_CACHE_HOME", cache.path());
    child.env("GO_ON", &go_on).run().assert_passed();
    assert_refused(&run("leaves_keys", &server, cache.path()), 14);
}

mod late {
    use std::sync::Mutex;
    use std::thread::JoinHandle;

    use super::{Commands, Path, RedisResult, TestRequest, clean_redis, redis, rstest, test_request};

    static LATE: Mutex<Option<JoinHandle<RedisResult<()>>>> = Mutex::new(None);

    #[rstest]
    #[ignore = "run by keys_written_by_a_thread_after_its_test_are_refused"]
    #[clean_redis]
    fn a_starts_a_thread(test_request: TestRequest) -> RedisResult<()> {
        let mut connection = redis::Client::open(test_request.redis_url())?.get_connection()?;
        let write = move || {
            let go_on = std::env::var_os("GO_ON").expect("a file");
            while !Path::new(&go_on).exists() {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            connection.set("late", "ours")
        };
        *LATE.lock().expect("lock") = Some(std::thread::spawn(write));
        Ok(())
    }

    #[test]
    #[ignore = "run by keys_written_by_a_thread_after_its_test_are_refused"]
    fn b_lets_it_write() {
        std::fs::write(std::env::var_os("GO_ON").expect("a file"), "").expect("write");
        let late = LATE.lock().expect("lock").take().expect("a thread");
        late.join().expect("no panic").expect("SET");
    }
}

#[test]
fn records_of_a_server_that_is_gone_are_removed() {
    let (first, cache) = (OwnServer::start(), cache());
    let port = first.port;
    run("leaves_keys", &first, cache.path()).assert_passed();
    let running = cache.path().join("transient-fixtures/running");
    let files = || fs::read_dir(&running).expect("read").flatten().count();
    let before = files();
    drop(first);
    for _ in 0..3 {
        let server = OwnServer::on(port, TempDir::new().expect("a directory"), &[]);
        run("leaves_keys", &server, cache.path()).assert_passed();
    }
    assert_eq!(files(), before);
}

/// A note of a killed run can be older than the last use of the server.
#[test]
fn records_of_a_server_in_use_are_kept() {
    let (server, cache) = (OwnServer::start(), cache());
    let running = cache.path().join("transient-fixtures/running");
    fs::create_dir_all(&running).expect("mkdir");
    for (name, days) in [("used", 0), ("used.14.open", 40), ("gone", 40), ("gone.14.open", 40)] {
        let file = fs::File::create(running.join(name)).expect("create");
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(days * 24 * 60 * 60)).expect("a time");
    }
    run("leaves_keys", &server, cache.path()).assert_passed();
    let is_there = |name: &str| running.join(name).exists();
    assert!(is_there("used") && is_there("used.14.open"));
    assert!(!is_there("gone") && !is_there("gone.14.open"));
}

/// Tests of two cache directories, like those of two users or two containers, on one server.
#[test]
fn two_cache_directories_take_turns() {
    let server = OwnServer::start();
    let caches: Vec<_> = (0..3).map(|_| cache()).collect();
    let start = |cache: &TempDir| {
        let child = Child::tests("lease::crosstalk::").arguments(["--test-threads=4"]);
        child.env("TRANSIENT_REDIS_URL", server.url()).env("XDG_CACHE_HOME", cache.path()).start()
    };
    let children: Vec<_> = caches.iter().map(start).collect();
    for child in children {
        child.wait(Duration::from_secs(120)).assert_passed();
    }
}
