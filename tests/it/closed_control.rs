//! The connection that holds a shared server is closed during a test, or the server loses its data.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use redis::{Commands, RedisResult};
use rstest::rstest;
use tempfile::TempDir;
use transient_fixtures::{TestRequest, clean_redis, get_redis, redis, test_request};

use crate::child::{Child, Running};
use crate::golden::golden;
use crate::own_server::OwnServer;

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(100);
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Writes a key and waits for a file.
#[rstest]
#[ignore = "run by the tests below"]
#[clean_redis]
fn holds(test_request: TestRequest) -> RedisResult<()> {
    get_redis(&test_request)?.set::<_, _, ()>("left:1", "ours")?;
    println!("ready");
    let go_on = std::env::var_os("GO_ON").expect("a file");
    wait_until("the file", || Path::new(&go_on).exists());
    get_redis(&test_request)?.set::<_, _, ()>("left:2", "ours")
}

/// Waits until the lease is reported lost.
#[rstest]
#[ignore = "run by the tests below"]
#[clean_redis]
fn is_lost(test_request: TestRequest) {
    println!("ready");
    wait_until("a lost lease", || test_request.flush().is_err());
    let error = test_request.session().set("name", "ours").expect_err("the lease is lost");
    assert!(error.is_server(), "{error}");
    println!("{error}");
    get_redis(&test_request).map(drop).expect_err("the lease is lost");
}

/// Leaves a key on a server that accepts no more keys.
#[rstest]
#[ignore = "run by a_full_server_without_names_gives_no_permission"]
#[clean_redis]
fn fills_the_server(test_request: TestRequest) -> RedisResult<()> {
    let mut redis = get_redis(&test_request)?;
    redis.set::<_, _, ()>("left:1", "ours")?;
    redis::cmd("CONFIG").arg(&["SET", "maxmemory", "1"]).exec(&mut redis)
}

struct World {
    server: OwnServer,
    caches: [TempDir; 2],
}

impl World {
    fn new(arguments: &[&str]) -> Self {
        let directory = || TempDir::new().expect("a directory");
        Self { server: OwnServer::with(directory(), arguments), caches: [directory(), directory()] }
    }

    fn child(&self, test: &str, cache: usize) -> Child {
        let child = Child::test(&format!("closed_control::{test}")).env("TRANSIENT_REDIS_URL", self.server.url());
        child.env("XDG_CACHE_HOME", self.caches[cache].path()).env("GO_ON", self.go_on())
    }

    /// The test with this name, after it has printed that it is ready.
    fn start(&self, test: &str) -> Running {
        let running = self.child(test, 0).start();
        running.wait_for("ready");
        running
    }

    fn go_on(&self) -> std::path::PathBuf {
        self.server.directory.path().join("go on")
    }

    /// The lines of CLIENT LIST that contain this.
    fn clients(&self, words: &str) -> Vec<String> {
        let list: String = redis::cmd("CLIENT").arg("LIST").query(&mut self.server.connection(0)).expect("CLIENT LIST");
        list.lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
    }

    fn holder(&self) -> Option<u64> {
        self.clients("name=transient-fixtures:lease:").first().map(|line| field(line, "id"))
    }

    fn close(&self, client: u64) {
        redis::cmd("CLIENT")
            .arg("KILL")
            .arg("ID")
            .arg(client)
            .exec(&mut self.server.connection(0))
            .expect("CLIENT KILL");
    }
}

fn field(line: &str, name: &str) -> u64 {
    let value = line.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('=')).expect(name);
    value.parse().expect("a number")
}

/// A test of another user, who has another cache, waits until the first has ended.
fn assert_the_other_waits(world: &World, first: Running) {
    let other = world.child("holds", 1).start();
    wait_until("a test that waits", || !world.clients("name=transient-fixtures:waits:").is_empty());
    assert!(!other.output().contains("ready"));
    fs::write(world.go_on(), "").expect("write");
    for child in [first, other] {
        child.wait(Duration::from_secs(100)).assert_passed();
    }
}

#[test]
fn a_lease_outlives_the_timeout_of_idle_connections() {
    let world = World::new(&["--timeout", "1"]);
    let first = world.start("holds");
    wait_until("a connection of four seconds", || {
        world.clients("name=transient-fixtures:lease:").iter().any(|line| field(line, "age") >= 4)
    });
    assert_the_other_waits(&world, first);
}

#[test]
fn a_lease_outlives_its_connection() {
    let world = World::new(&[]);
    let first = world.start("holds");
    for _ in 0..3 {
        let holder = world.holder().expect("a holder");
        world.close(holder);
        wait_until("another connection", || world.holder().is_some_and(|now| now != holder));
    }
    assert_the_other_waits(&world, first);
}

#[test]
fn keys_left_by_a_test_are_remembered_if_the_connection_was_closed() {
    let world = World::new(&[]);
    let child = world.start("holds");
    world.close(world.holder().expect("a holder"));
    fs::write(world.go_on(), "").expect("write");
    child.wait(Duration::from_secs(100)).assert_passed();
    world.server.connection(14).set::<_, _, ()>("shop:order:1", "production").expect("SET");
    let refused = world.child("holds", 0).run();
    refused.assert_failed_with(&["database 14", "1 key", golden("report::refused::foreign_keys")]);
    assert_eq!(world.server.connection(14).get("shop:order:1"), Ok("production".to_owned()));
    world.server.connection(14).del::<_, ()>("shop:order:1").expect("DEL");
    world.child("holds", 1).run().assert_passed();
}

#[test]
fn a_lease_that_another_test_has_taken_writes_nothing() {
    let world = World::new(&[]);
    let child = world.start("is_lost");
    // Like another test's connection.
    let mut other = world.server.connection(14);
    let old = world.holder().expect("a holder");
    redis::cmd("CLIENT").arg("SETNAME").arg("transient-fixtures:lease:1:other").exec(&mut other).expect("SETNAME");
    world.close(old);
    child.wait_for(golden("lease::lost"));
    other.set::<_, _, ()>("shop:order:1", "production").expect("SET");
    child.wait(Duration::from_secs(100)).assert_passed();
    assert_eq!(other.get("shop:order:1"), Ok("production".to_owned()));
    // The key counts as theirs only.
    drop(other);
    world.child("holds", 0).run().assert_failed_with(&["database 14", "1 key"]);
    assert_eq!(world.server.connection(14).get("shop:order:1"), Ok("production".to_owned()));
}

/// While a process is stopped, other tests can come and go.
#[test]
fn a_process_that_was_stopped_has_lost_its_lease() {
    let world = World::new(&[]);
    let child = world.start("is_lost");
    child.stop();
    world.close(world.holder().expect("a holder"));
    // Longer than the five seconds after which a closed connection counts as a lost lease.
    thread::sleep(Duration::from_secs(6));
    child.go_on();
    child.wait_for(golden("lease::lost"));
    child.wait(Duration::from_secs(100)).assert_passed();
}

#[test]
fn a_full_server_without_names_gives_no_permission() {
    let world = World::new(&["--maxmemory-policy", "noeviction"]);
    let ended = world.child("fills_the_server", 0).run();
    ended.assert_passed();
    assert!(ended.output.contains(golden("lease::not_left")), "{}", ended.output);
    let mut redis = world.server.connection(14);
    redis::cmd("CONFIG").arg(&["SET", "maxmemory", "0"]).exec(&mut redis).expect("CONFIG SET");
    redis.set::<_, _, ()>("shop:order:1", "production").expect("SET");
    for _ in 0..2 {
        world.child("fills_the_server", 0).run().assert_failed_with(&["database 14", "2 keys"]);
    }
    assert_eq!(redis.get("shop:order:1"), Ok("production".to_owned()));
}
