//! Random histories of one address, against a model of who owns which keys. No key of an application is ever lost, and
//! no run is refused over keys that only tests wrote, except in the cases that docs/data-safety.md names.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use redis::{Commands, RedisResult};
use rstest::rstest;
use tempfile::TempDir;
use transient_fixtures::{TestRequest, clean_redis, get_jobs_redis, get_redis, redis, test_request};

use crate::child::Child;
use crate::golden::golden;
use crate::own_server::OwnServer;

const MARKER: &str = "transient-fixtures:left";

/// The test databases, and two databases that no test touches.
const DATABASES: [u32; 4] = [14, 15, 0, 1];
const OF_TESTS: [u32; 2] = [14, 15];

/// The number of histories. Manual runs can try more.
fn cases() -> u32 {
    std::env::var("MODEL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(20)
}

fn writes(test_request: &TestRequest) -> RedisResult<()> {
    let key = std::env::var("MODEL_KEY").expect("MODEL_KEY");
    get_redis(test_request)?.set::<_, _, ()>(&key, "a test's")?;
    get_jobs_redis(test_request)?.set::<_, _, ()>(&key, "a test's")?;
    if std::env::var_os("MODEL_WAIT").is_some() {
        println!("written");
        loop {
            std::thread::park();
        }
    }
    Ok(())
}

#[rstest]
#[ignore = "run by no_key_of_an_application_is_ever_lost"]
#[clean_redis]
fn clean(test_request: TestRequest) -> RedisResult<()> {
    writes(&test_request)
}

#[rstest]
#[ignore = "run by no_key_of_an_application_is_ever_lost"]
fn unclean(test_request: TestRequest) -> RedisResult<()> {
    writes(&test_request)
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Run { clean: bool, cache: usize },
    KilledRun { clean: bool, cache: usize },
    AdoptingRun { cache: usize },
    ApplicationWrites { database: usize, number: u8 },
    ApplicationDeletes { database: usize, number: u8 },
    AnotherClientDeletesTheTestsKeys,
    Restart { with_data: bool },
    Replaced,
    CacheWiped { cache: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any::<bool>(), 0..2_usize).prop_map(|(clean, cache)| Step::Run { clean, cache }),
        2 => (any::<bool>(), 0..2_usize).prop_map(|(clean, cache)| Step::KilledRun { clean, cache }),
        1 => (0..2_usize).prop_map(|cache| Step::AdoptingRun { cache }),
        4 => (0..4_usize, 0..3_u8).prop_map(|(database, number)| Step::ApplicationWrites { database, number }),
        2 => (0..4_usize, 0..3_u8).prop_map(|(database, number)| Step::ApplicationDeletes { database, number }),
        1 => Just(Step::AnotherClientDeletesTheTestsKeys),
        2 => any::<bool>().prop_map(|with_data| Step::Restart { with_data }),
        1 => Just(Step::Replaced),
        1 => (0..2_usize).prop_map(|cache| Step::CacheWiped { cache }),
    ]
}

/// The owner of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Tests,
    Application,
    /// An application's key, written after a run was killed or adopted. It counts as the tests'.
    Conceded,
}

/// The guarantees for one address.
#[derive(Default)]
struct Model {
    keys: BTreeMap<u32, BTreeMap<String, Owner>>,
    /// The names of the keys that the last release left in each test database.
    left: BTreeMap<u32, BTreeSet<String>>,
    /// For each cache: whether a lease on this server was begun and not released.
    open: [bool; 2],
    /// Whether a run was killed, and no other has ended on this data since.
    was_killed: bool,
}

impl Model {
    fn keys(&mut self, database: u32) -> &mut BTreeMap<String, Owner> {
        self.keys.entry(database).or_default()
    }

    /// Whether a run that begins now is accepted.
    fn lets_in(&mut self, cache: usize) -> bool {
        OF_TESTS.into_iter().all(|database| {
            let left = self.left.get(&database).cloned();
            let is_open = self.open[cache];
            let keys = self.keys(database);
            match left {
                Some(left) => keys.keys().all(|key| left.contains(key)),
                None => is_open || keys.is_empty(),
            }
        })
    }

    /// Over keys that only tests wrote, a run is refused only after a killed one whose note this cache lacks: the
    /// server has restarted since, or the killed run had another cache.
    fn assert_refusal_is_documented(&mut self, cache: usize) {
        let is_foreign =
            OF_TESTS.into_iter().any(|database| self.keys(database).values().any(|owner| *owner == Owner::Application));
        assert!(
            is_foreign || (self.was_killed && !self.open[cache]),
            "refused over keys that only tests wrote: {:?}",
            self.keys
        );
    }

    fn begins(&mut self, clean: bool, cache: usize, adopts: bool) {
        for database in OF_TESTS {
            let concedes = adopts || (self.open[cache] && !self.left.contains_key(&database));
            self.left.remove(&database);
            let keys = self.keys(database);
            for owner in keys.values_mut().filter(|owner| concedes && **owner == Owner::Application) {
                *owner = Owner::Conceded;
            }
            if clean {
                let lost = keys.values().any(|owner| *owner == Owner::Application);
                assert!(!lost, "the model itself loses a key of an application: {keys:?}");
                keys.clear();
            }
        }
        self.open[cache] = true;
    }

    fn ends(&mut self, cache: usize) {
        for database in OF_TESTS {
            let names: BTreeSet<_> = self.keys(database).keys().cloned().collect();
            if !names.is_empty() {
                self.left.insert(database, names);
            }
        }
        self.open[cache] = false;
        self.was_killed = false;
    }

    /// A server with another `run_id` takes the address.
    fn is_another_server(&mut self, with_data: bool) {
        self.open = [false; 2];
        if !with_data {
            self.keys.clear();
            self.left.clear();
            self.was_killed = false;
        }
    }
}

fn kill_when_written(child: Child) {
    let mut running = child.env("MODEL_WAIT", "1").start();
    running.wait_for("written");
    running.child.kill().expect("SIGKILL");
    running.child.wait().expect("reap");
}

struct World {
    server: Option<OwnServer>,
    port: u16,
    caches: Vec<TempDir>,
    model: Model,
    runs: u32,
}

impl World {
    fn new() -> Self {
        let server = OwnServer::start();
        let caches = (0..2).map(|_| TempDir::new().expect("a directory")).collect();
        Self { port: server.port, server: Some(server), caches, model: Model::default(), runs: 0 }
    }

    fn server(&self) -> &OwnServer {
        self.server.as_ref().expect("a server")
    }

    fn child(&mut self, clean: bool, cache: usize) -> (Child, String) {
        self.runs += 1;
        let key = format!("test:{}", self.runs);
        let child = Child::test(if clean { "model::clean" } else { "model::unclean" });
        let child = child.env("TRANSIENT_REDIS_URL", self.server().url()).env("MODEL_KEY", &key);
        (child.env("XDG_CACHE_HOME", self.caches[cache].path()), key)
    }

    fn began(&mut self, clean: bool, cache: usize, adopts: bool, key: &str) {
        self.model.begins(clean, cache, adopts);
        for database in OF_TESTS {
            self.model.keys(database).insert(key.to_owned(), Owner::Tests);
        }
    }

    fn replace(&mut self, with_data: bool) {
        if with_data {
            redis::cmd("SAVE").exec(&mut self.server().connection(0)).expect("SAVE");
        }
        let directory = self.server.take().expect("a server").stop();
        let directory = if with_data { directory } else { TempDir::new().expect("a directory") };
        self.server = Some(OwnServer::on(self.port, directory, &[]));
        self.model.is_another_server(with_data);
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Run { clean, cache } => {
                let lets_in = self.model.lets_in(cache);
                let (child, key) = self.child(clean, cache);
                let ended = child.run();
                assert_eq!(ended.passed, lets_in, "{}", ended.output);
                if lets_in {
                    self.began(clean, cache, false, &key);
                    self.model.ends(cache);
                } else {
                    self.model.assert_refusal_is_documented(cache);
                    assert!(ended.output.contains(golden("report::refused::foreign_keys")), "{}", ended.output);
                }
            }
            Step::KilledRun { clean, cache } => {
                let lets_in = self.model.lets_in(cache);
                let (child, key) = self.child(clean, cache);
                if lets_in {
                    kill_when_written(child);
                    self.began(clean, cache, false, &key);
                    self.model.was_killed = true;
                } else {
                    self.model.assert_refusal_is_documented(cache);
                    assert!(!child.run().passed);
                }
            }
            Step::AdoptingRun { cache } => {
                let (child, key) = self.child(true, cache);
                child.env("TRANSIENT_ADOPT", "1").run().assert_passed();
                self.began(true, cache, true, &key);
                self.model.ends(cache);
            }
            Step::ApplicationWrites { database, number } => {
                let (database, key) = (DATABASES[database], format!("shop:{number}"));
                self.server().connection(database).set::<_, _, ()>(&key, "production").expect("SET");
                // If a test has left a key with this name, it counts as the test's.
                let known = self.model.left.get(&database).is_some_and(|left| left.contains(&key));
                let owner = if known { Owner::Conceded } else { Owner::Application };
                self.model.keys(database).insert(key, owner);
            }
            Step::ApplicationDeletes { database, number } => {
                let (database, key) = (DATABASES[database], format!("shop:{number}"));
                self.server().connection(database).del::<_, ()>(&key).expect("DEL");
                self.model.keys(database).remove(&key);
            }
            Step::AnotherClientDeletesTheTestsKeys => {
                for database in OF_TESTS {
                    let keys: Vec<_> = self.model.keys(database).keys().cloned().collect();
                    for key in keys.into_iter().filter(|key| key.starts_with("test:")) {
                        self.server().connection(database).del::<_, ()>(&key).expect("DEL");
                        self.model.keys(database).remove(&key);
                    }
                }
            }
            Step::Restart { with_data } => self.replace(with_data),
            Step::Replaced => {
                self.replace(false);
                self.take(Step::ApplicationWrites { database: 0, number: 0 });
            }
            Step::CacheWiped { cache } => {
                self.caches[cache] = TempDir::new().expect("a directory");
                self.model.open[cache] = false;
            }
        }
    }

    /// The databases hold exactly the keys of the model.
    fn check(&mut self) {
        for database in DATABASES {
            let keys: BTreeSet<String> = self.server().connection(database).keys("*").expect("KEYS");
            let keys: BTreeSet<_> = keys.into_iter().filter(|key| key != MARKER).collect();
            let expected: BTreeSet<_> = self.model.keys(database).keys().cloned().collect();
            assert_eq!(keys, expected, "database {database}");
        }
    }
}

#[test]
fn no_key_of_an_application_is_ever_lost() {
    let mut runner = TestRunner::new(Config { cases: cases(), failure_persistence: None, ..Config::default() });
    let histories = prop::collection::vec(step(), 1..10);
    let outcome = runner.run(&histories, |history| {
        let mut world = World::new();
        for step in history {
            world.take(step);
            world.check();
        }
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

/// The server that was there before counts as gone, and its notes are removed. They could not be told from those of a
/// server that has restarted.
#[test]
fn another_server_in_between_makes_keys_of_a_killed_run_foreign() {
    let (directory, cache) = (TempDir::new().expect("a directory"), TempDir::new().expect("a directory"));
    let (address, servers) = (directory.path().join("redis.sock"), [OwnServer::start(), OwnServer::start()]);
    let at = |server: usize| {
        let _ = std::fs::remove_file(&address);
        std::os::unix::fs::symlink(servers[server].socket(), &address).expect("link");
        let child = Child::test("model::unclean").env("TRANSIENT_REDIS_URL", format!("unix://{}", address.display()));
        child.env("MODEL_KEY", "test:1").env("XDG_CACHE_HOME", cache.path())
    };
    kill_when_written(at(0));
    at(0).run().assert_passed();
    kill_when_written(at(0));
    at(1).run().assert_passed();
    at(0).run().assert_failed_with(&[golden("report::refused::foreign_keys")]);
    assert_eq!(servers[0].connection(14).get("test:1"), Ok("a test's".to_owned()));
    at(0).env("TRANSIENT_ADOPT", "1").run().assert_passed();
}
