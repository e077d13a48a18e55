//! The guard refuses databases, and their data is still there afterwards.

use std::time::{Duration, Instant};

use redis::Commands;
use rstest::rstest;
use tempfile::TempDir;
use transient_fixtures::{TestRequest, clean_redis, redis, test_request};

use crate::child::{Child, Ended};
use crate::golden::golden;
use crate::own_server::OwnServer;

const MARKER: &str = "transient-fixtures:left";

/// The children run this. It would clear the databases.
#[rstest]
#[clean_redis]
fn clears(test_request: TestRequest) {
    crate::clean::assert_clean_but_for(&[], &test_request);
}

/// The same for a test that clears nothing, but whose code can write.
#[rstest]
fn writes(test_request: TestRequest) {
    crate::clean::leave_dirt(&test_request);
}

/// A child with its own memory of earlier runs.
fn child(test: &str, cache: &TempDir) -> Child {
    Child::test(test).env("XDG_CACHE_HOME", cache.path())
}

fn on(server: &OwnServer, test: &str, cache: &TempDir) -> Child {
    child(test, cache).env("TRANSIENT_REDIS_URL", server.url())
}

fn cache() -> TempDir {
    TempDir::new().expect("a directory")
}

/// Data in every database, without a marker.
fn foreign_data(server: &OwnServer) {
    for database in 0..16 {
        server.connection(database).set::<_, _, ()>("cart:1", "production").expect("SET");
    }
}

#[track_caller]
fn assert_untouched(server: &OwnServer) {
    for database in 0..16 {
        let mut connection = server.connection(database);
        assert_eq!(connection.keys::<_, Vec<String>>("*").expect("KEYS"), ["cart:1"], "database {database}");
        assert_eq!(connection.get::<_, String>("cart:1").expect("GET"), "production");
    }
}

#[track_caller]
fn assert_refused(ended: &Ended, words: &[&str]) {
    ended.assert_failed_with(words);
    ended.assert_failed_with(&["panicked at tests/it/guard.rs"]);
}

#[rstest]
fn foreign_keys_are_not_touched(#[values("guard::clears", "guard::writes")] test: &str) {
    let (server, cache) = (OwnServer::start(), cache());
    foreign_data(&server);
    let ended = on(&server, test, &cache).run();
    assert_refused(&ended, &["database 14", "1 key", "cart:…", "TRANSIENT_ADOPT=1"]);
    assert_untouched(&server);
    // Being refused once does not make the server known.
    assert_refused(&on(&server, test, &cache).run(), &["database 14 holds 1 key"]);
    assert_untouched(&server);
}

#[test]
fn foreign_jobs_are_not_touched() {
    let (server, cache) = (OwnServer::start(), cache());
    server.connection(15).rpush::<_, _, ()>("celery", "production job").expect("RPUSH");
    assert_refused(&on(&server, "guard::clears", &cache).run(), &["database 15 holds 1 key"]);
    assert_eq!(server.connection(15).llen::<_, u32>("celery"), Ok(1));
}

#[test]
fn adopted_data_is_cleared_and_other_databases_are_not() {
    let (server, cache) = (OwnServer::start(), cache());
    foreign_data(&server);
    on(&server, "guard::clears", &cache).env("TRANSIENT_ADOPT", "1").run().assert_passed();
    for database in 0..14 {
        assert_eq!(server.connection(database).get::<_, String>("cart:1").expect("GET"), "production");
    }
    assert!(!server.connection(14).exists::<_, bool>("cart:1").expect("EXISTS"));
}

/// Writes, and waits to be killed.
#[rstest]
#[ignore = "run by keys_of_a_killed_run_are_known_by_its_note"]
#[clean_redis]
fn writes_and_waits(test_request: TestRequest) {
    crate::clean::leave_dirt(&test_request);
    println!("written");
    loop {
        std::thread::park();
    }
}

#[test]
fn keys_of_a_killed_run_are_known_by_its_note() {
    let (server, cache) = (OwnServer::start(), cache());
    let mut killed = on(&server, "guard::writes_and_waits", &cache).start();
    killed.wait_for("written");
    killed.child.kill().expect("SIGKILL");
    killed.child.wait().expect("reap");
    assert!(!server.connection(14).exists::<_, bool>(MARKER).expect("EXISTS"));
    on(&server, "guard::clears", &cache).run().assert_passed();
}

/// A note is valid for one lease only. Keys written later into an empty database are not the tests'.
#[test]
fn later_keys_in_a_database_of_tests_are_not_theirs() {
    let (server, cache) = (OwnServer::start(), cache());
    on(&server, "guard::clears", &cache).run().assert_passed();
    for database in [14, 15] {
        redis::cmd("FLUSHDB").exec(&mut server.connection(database)).expect("FLUSHDB");
    }
    foreign_data(&server);
    assert_refused(&on(&server, "guard::clears", &cache).run(), &["database 14 holds 1 key"]);
    assert_untouched(&server);
}

#[test]
fn keys_of_an_earlier_run_are_known_by_the_marker() {
    let (server, memory) = (OwnServer::start(), cache());
    on(&server, "guard::clears", &memory).run().assert_passed();
    // A restart changes the run_id. Another cache directory simulates one.
    on(&server, "guard::clears", &cache()).run().assert_passed();
    // An empty database has no marker, and the marker does not outlive a lease.
    on(&server, "clean::matrix::by_hand", &memory).run().assert_passed();
    let keys: Vec<String> = server.connection(14).keys("*").expect("KEYS");
    assert_eq!(keys.len(), 2, "{keys:?}");
}

#[test]
fn a_restart_with_persistence_is_recognised() {
    let (mut directory, memory) = (TempDir::new().expect("a directory"), cache());
    for _ in 0..2 {
        let server = OwnServer::with(directory, &[]);
        on(&server, "guard::clears", &memory).run().assert_passed();
        redis::cmd("SAVE").exec(&mut server.connection(0)).expect("SAVE");
        directory = server.stop();
    }
}

#[test]
fn a_replica_is_not_touched() {
    let (master, replica, cache) = (OwnServer::start(), OwnServer::start(), cache());
    foreign_data(&master);
    let mut connection = replica.connection(0);
    redis::cmd("REPLICAOF").arg("127.0.0.1").arg(master.port).exec(&mut connection).expect("REPLICAOF");
    wait_until(&replica, |info| info.contains("master_link_status:up"));
    let ended = on(&replica, "guard::clears", &cache).env("TRANSIENT_ADOPT", "1").run();
    assert_refused(&ended, &[golden("report::refused::replica")]);
    assert_untouched(&master);
    assert_untouched(&replica);
}

#[test]
fn a_loading_server_is_not_touched() {
    let (first, memory) = (OwnServer::start(), cache());
    let mut connection = first.connection(14);
    redis::cmd("DEBUG").arg("POPULATE").exec(&mut connection).expect_err("DEBUG is off by default");
    let mut keys = redis::pipe();
    for key in 0..2_000 {
        keys.set(format!("a key of some length, number {key}"), "production").ignore();
    }
    keys.exec(&mut connection).expect("SET");
    redis::cmd("SAVE").exec(&mut connection).expect("SAVE");
    // Each key takes 2 ms to load, and the server answers after every kilobyte.
    let server =
        OwnServer::with(first.stop(), &["--key-load-delay", "2000", "--loading-process-events-interval-bytes", "1024"]);
    let ended = on(&server, "guard::clears", &memory).env("TRANSIENT_ADOPT", "1").run();
    assert_refused(&ended, &["still loading"]);
    // All keys loaded by then are there.
    wait_until(&server, |info| info.contains("\nloading:0"));
    assert_eq!(redis::cmd("DBSIZE").query::<u32>(&mut server.connection(14)), Ok(2_000));
}

#[test]
fn a_cluster_is_not_touched() {
    let server = OwnServer::with(TempDir::new().expect("a directory"), &["--cluster-enabled", "yes"]);
    let mut connection = server.connection(0);
    redis::cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(0).arg(16_383).exec(&mut connection).expect("CLUSTER");
    wait_until(&server, |_| connection.set::<_, _, ()>("cart:1", "production").is_ok());
    let ended = on(&server, "guard::clears", &cache()).env("TRANSIENT_ADOPT", "1").run();
    assert_refused(&ended, &["cluster", golden("report::refused::mode")]);
    assert_eq!(server.connection(0).get::<_, String>("cart:1"), Ok("production".to_owned()));
}

/// A sentinel has no data, and is not a server that tests can use.
#[test]
fn a_sentinel_is_not_touched() {
    let directory = TempDir::new().expect("a directory");
    let config = directory.path().join("sentinel.conf");
    std::fs::write(&config, "").expect("write");
    let server = OwnServer::sentinel(directory, &config);
    assert_refused(&on(&server, "guard::clears", &cache()).run(), &["sentinel", golden("report::refused::mode")]);
}

/// Waits until the server reports this about itself.
#[track_caller]
fn wait_until(server: &OwnServer, mut is_so: impl FnMut(&str) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let info: String = redis::cmd("INFO").query(&mut server.connection(0)).expect("INFO");
        if is_so(&info) {
            return;
        }
        assert!(Instant::now() < deadline, "{info}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_server_with_too_few_databases_is_not_touched() {
    let server = OwnServer::with(TempDir::new().expect("a directory"), &["--databases", "15"]);
    server.connection(0).set::<_, _, ()>("cart:1", "production").expect("SET");
    let ended = on(&server, "guard::clears", &cache()).run();
    assert_refused(&ended, &["no database 15", "databases 16 in redis.conf"]);
    assert_eq!(server.connection(0).get::<_, String>("cart:1").expect("GET"), "production");
}

/// Only the environment can name a server on another machine, because test.ini is shared and copied.
#[test]
fn another_machine_is_not_touched() {
    let directory = cache();
    let ini = directory.path().join("test.ini");
    // TEST-NET-1 (RFC 5737), which has no hosts. It is refused before anything is sent.
    std::fs::write(&ini, "[app:main]\nredis.sessions.url = redis://:hush@192.0.2.1:6379/14\n").expect("write");
    let ended = child("guard::clears", &directory).env("TRANSIENT_TEST_INI", &ini).run();
    assert_refused(&ended, &[golden("report::refused::not_local"), "redis://***@192.0.2.1:6379"]);
    assert!(!ended.output.contains("hush"), "{}", ended.output);
    // No server was contacted.
    assert!(!ended.output.contains(golden("running::timed_out")), "{}", ended.output);
}

/// Names are resolved before anything is sent. A name that does not resolve is passed over.
#[test]
fn a_name_that_does_not_resolve_is_passed_over() {
    let directory = cache();
    let ini = directory.path().join("test.ini");
    std::fs::write(&ini, "[app:main]\nredis.sessions.url = redis://no-such-host.invalid:6379\n").expect("write");
    let child = child("guard::clears", &directory).env("TRANSIENT_TEST_INI", &ini);
    let ended = child.env("TRANSIENT_PROVIDER", "running").run();
    ended.assert_failed_with(&["redis://no-such-host.invalid", golden("report::no_server")]);
}

/// A guessed server is left alone, and the test starts its own. `.ci/run` provides the unknown server.
#[test]
fn a_named_server_is_an_error_but_a_guessed_one_is_not() {
    let server = OwnServer::start();
    foreign_data(&server);
    let directory = cache();
    let ini = directory.path().join("test.ini");
    std::fs::write(&ini, format!("[app:main]\nredis.sessions.url = {}\n", server.url())).expect("write");
    let ended = child("guard::clears", &directory).env("TRANSIENT_TEST_INI", &ini).run();
    assert_refused(&ended, &["database 14 holds 1 key"]);
    assert_untouched(&server);
}

#[rstest]
#[case("0, 15")]
#[case("1, 15")]
#[case("14, 3")]
#[case("14, 14")]
fn no_other_database_can_be_named(#[case] databases: &str) {
    let (server, directory) = (OwnServer::start(), cache());
    foreign_data(&server);
    let ini = directory.path().join("test.ini");
    std::fs::write(&ini, format!("[app:main]\nredis.databases = {databases}\n")).expect("write");
    let child = on(&server, "guard::clears", &directory).env("TRANSIENT_ADOPT", "1").env("TRANSIENT_TEST_INI", &ini);
    child.run().assert_failed_with(&["test.ini:2", "redis.databases", " 0, 1 and 3"]);
    assert_untouched(&server);
}

#[test]
fn another_pair_can_be_named() {
    let (server, directory) = (OwnServer::start(), cache());
    let ini = directory.path().join("test.ini");
    std::fs::write(&ini, "[app:main]\nredis.databases = 6, 7\n").expect("write");
    on(&server, "guard::clears", &directory).env("TRANSIENT_TEST_INI", &ini).run().assert_passed();
    assert!(server.connection(6).exists::<_, bool>("dirt").expect("EXISTS"));
    assert!(server.connection(7).exists::<_, bool>("dirt").expect("EXISTS"));
}

/// On another owner's server, the crate only reads server state and clears two databases.
#[test]
fn nothing_server_wide_is_sent_to_a_running_server() {
    let server = OwnServer::start();
    on(&server, "guard::clears", &cache()).run().assert_passed();
    let stats: String = redis::cmd("INFO").arg("commandstats").query(&mut server.connection(0)).expect("INFO");
    assert!(stats.contains("cmdstat_flushdb:calls=2,"), "{stats}");
    for command in ["flushall", "config|set", "config:", "script", "function", "shutdown", "kill"] {
        assert!(!stats.contains(command), "{command} in {stats}");
    }
    let memory: redis::InfoDict = redis::cmd("INFO").arg("memory").query(&mut server.connection(0)).expect("INFO");
    // The two commands that begin and end a lease.
    assert!(memory.get::<u32>("number_of_cached_scripts").is_none_or(|scripts| scripts <= 2), "{memory:?}");
}

/// That tests have used two databases of a server does not cover its other databases.
#[test]
fn another_pair_of_a_known_server_is_not_touched() {
    let (server, directory) = (OwnServer::start(), cache());
    on(&server, "guard::clears", &directory).run().assert_passed();
    server.connection(6).set::<_, _, ()>("cart:1", "production").expect("SET");
    let ini = directory.path().join("test.ini");
    std::fs::write(&ini, "[app:main]\nredis.databases = 6, 7\n").expect("write");
    let ended = on(&server, "guard::clears", &directory).env("TRANSIENT_TEST_INI", &ini).run();
    assert_refused(&ended, &["database 6 holds 1 key"]);
    assert_eq!(server.connection(6).get::<_, String>("cart:1").expect("GET"), "production");
}
