//! Test fixtures on a real Redis, for code that keeps transient data there: sessions, caches, job queues, rate limits.
//!
//! A test takes the argument [`test_request`](fn@test_request) and gets two databases of a real Redis or Valkey server
//! that no other test uses until it ends: the *session database* (14 by default) for sessions and cache, and the *job
//! database* (15 by default). Both are empty with [`#[clean_redis]`](clean_redis). If no server is running, one is
//! started for the tests and stopped after them. Tests do not affect each other, stay ordinary `#[rstest]` or `#[test]`
//! functions, and pass a URL to the code under test, so that any Redis client works.
//!
//! # The first test
//!
//! ```sh
//! cargo add --dev transient-fixtures redis rstest
//! ```
//!
//! ```
//! use redis::Commands;
//! use rstest::rstest;
//! use transient_fixtures::{TestRequest, clean_redis, get_redis, test_request};
//!
//! /// The code under test.
//! fn remember_price(redis_url: &str, article: u32, cents: u64) -> redis::RedisResult<()> {
//!     redis::Client::open(redis_url)?.get_connection()?.set_ex(format!("price:{article}"), cents, 3600)
//! }
//!
//! #[rstest]
//! #[clean_redis]
//! fn prices_are_cached(test_request: TestRequest) -> redis::RedisResult<()> {
//!     remember_price(test_request.redis_url(), 1, 12_900)?;
//!
//!     let mut redis = get_redis(&test_request)?;
//!     assert_eq!(redis.get::<_, u64>("price:1")?, 12_900);
//!     assert!(redis.ttl::<_, i64>("price:1")? > 3590);
//!     Ok(())
//! }
//! ```
//!
//! # Where things are
//!
//! - Getting a request: the fixture [`test_request`](fn@test_request) with [`#[clean_redis]`](clean_redis); without
//!   rstest, [`TestRequest::clean`] and [`TestRequest::new`].
//! - Connecting: [`TestRequest::redis_url`], [`TestRequest::jobs_url`], or [`get_redis`], [`get_jobs_redis`] and their
//!   `async` variants for the [`redis`] crate.
//! - Sessions: [`TestRequest::session`] and [`TestRequest::visitor`] read and write the sessions of the application.
//!   [`SessionFormat`] adds a format.
//! - Jobs: [`TestRequest::jobs`] lists, asserts, drains and enqueues the jobs of the application.
//!   [`JobFormat`] adds a format.
//! - Time: [`TestRequest::travel`] makes TTLs run down and keys expire; [`TestRequest::assert_ttl`] checks TTLs.
//! - Data: [`TestRequest::snapshot`], [`Snapshot::diff`] and [`TestRequest::restore`] capture, compare and put back
//!   both databases; [`TestRequest::load`] loads data fixtures from files.
//! - Commands: [`TestRequest::tap`] records them and injects faults; [`faults::sweep`] injects a fault at each;
//!   [`races::explore`] runs several clients in every order of them.
//! - Configuration: [`Settings`] from `test.ini` and the environment, and its fixture
//!   [`test_settings`](fn@test_settings). [`Server`] and [`Provider`] describe the server of a test.
//! - [`Error`] and [`Result`]: the error type of this crate.
//! - [`guide`]: a page on each of these topics, recipes, and the unsupported features.
//!
//! # When not to use it
//!
//! - Tests that need Redis Cluster, Sentinel, replication or modules: a test gets one plain server.
//! - Code that only calls a cache trait: a mock is enough, and faster.
//! - Benchmarks of Redis itself: the server runs without persistence and shares the machine with the tests.

// docs.rs labels each item with the features that it needs.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "tap")]
mod affinity;
#[cfg(feature = "snapshot")]
mod backup;
mod cache;
mod command_server;
mod connections;
mod error;
mod failure_report;
#[cfg(feature = "tap")]
pub mod faults;
pub mod guide;
mod hex;
#[cfg(feature = "jobs")]
pub mod jobs;
mod kept;
mod lease;
mod lint;
mod macro_support;
mod provider;
#[cfg(feature = "tap")]
pub mod races;
mod random;
mod redis_io;
mod report;
mod request;
mod rstest;
#[cfg(feature = "snapshot")]
mod seed;
#[cfg(feature = "session")]
mod sessions;
mod settings;
#[cfg(feature = "snapshot")]
pub mod snapshot;
mod sync;
#[cfg(feature = "tap")]
pub mod tap;
mod time;

#[cfg(feature = "tokio")]
pub use connections::{get_async_jobs_redis, get_async_redis};
pub use connections::{get_jobs_redis, get_redis};
pub use error::{Error, Result};
#[cfg(feature = "apalis")]
#[doc(inline)]
pub use jobs::Apalis;
#[cfg(feature = "rq")]
#[doc(inline)]
pub use jobs::Rq;
#[cfg(feature = "sidekiq")]
#[doc(inline)]
pub use jobs::Sidekiq;
#[cfg(feature = "jobs")]
#[doc(inline)]
pub use jobs::{Celery, EnqueuedAssertion, Job, JobFormat, Jobs};
pub use provider::Server;
pub use redis;
pub use request::TestRequest;
// A glob, because it leaves out the hidden types that the fixtures share their names with.
pub use rstest::*;
#[cfg(any(feature = "session", feature = "jobs"))]
pub use serde_json;
#[cfg(feature = "actix-session")]
pub use sessions::ActixSession;
#[cfg(feature = "tower-sessions")]
pub use sessions::TowerSessions;
#[cfg(feature = "session")]
pub use sessions::{
    AxumSession, FlashQueue, Pyramid, Session, SessionCookie, SessionData, SessionFormat, SessionStorage,
    SessionValues, StoredSession, Visitor,
};
pub use settings::{Databases, Provider, SameSite, Settings};
#[cfg(feature = "snapshot")]
#[doc(inline)]
pub use snapshot::{Diff, Snapshot};
#[cfg(feature = "tap")]
#[doc(inline)]
pub use tap::Tap;
/// Gives a test two empty databases that no other test uses until it ends.
///
/// Both test databases are emptied **before any fixture runs**, so the data of fixtures stays. The attribute can be
/// above or below `#[rstest]`, `#[tokio::test]` and the like. It works on plain `#[test]` functions and `async` tests,
/// with every `#[case]` and `#[values]` (each starts clean), `#[timeout]`, `#[should_panic]`, `#[ignore]`, `Result`
/// return types and `impl Trait` arguments.
///
/// ```
/// use redis::Commands;
/// use rstest::{fixture, rstest};
/// use transient_fixtures::{TestRequest, clean_redis, get_redis, test_request};
///
/// #[fixture]
/// fn shop(test_request: TestRequest) -> TestRequest {
///     let mut redis = get_redis(&test_request).unwrap();
///     redis.set::<_, _, ()>("brand:1", "Ångström").unwrap();
///     test_request
/// }
///
/// #[rstest]
/// #[clean_redis]
/// fn the_shop_has_one_brand(shop: TestRequest) {
///     let keys: Vec<String> = get_redis(&shop).unwrap().keys("*").unwrap();
///     assert_eq!(keys, ["brand:1"]);
/// }
/// ```
///
/// rstest applies attributes *above* a `#[case]` to that case only. To clean every case, put `#[clean_redis]` above
/// `#[rstest]` or directly above `fn`.
///
/// When a test fails, a report after its panic lists the changes to its databases, its queued jobs, and the command
/// that runs it again and keeps its server.
///
/// With `serial_test`, the lock is always taken before the server, in either order of the attributes.
///
/// # Options
///
/// `fixtures("brands", "carts")` loads the data fixtures `fixtures/brands.redis` and `fixtures/carts.json` before the
/// test and its rstest fixtures, as [`TestRequest::load`] does. It needs the feature `snapshot`, which is on by
/// default.
///
/// `lint` fails a test that passes but leaves keys that it should not, except keys that a pattern of `redis.lint_allow`
/// matches:
///
/// - `lint = "ttl"`: keys without a TTL in the session database;
/// - `lint = "ttl <= 7d"`: also keys with a TTL of more than seven days. `<`, `>=` and `>` work too, and the units are
///   `ms`, `s`, `m`, `h`, `d` and `w`;
/// - `lint = "empty"`: any key, in both databases.
///
/// Keys that were loaded as data fixtures are ignored. `redis.lint = ttl` in test.ini lints all tests of a crate, and
/// `lint = "none"` exempts one. `#[should_panic]` tests that panic are not linted.
///
/// ```
/// use redis::Commands;
/// use rstest::rstest;
/// use transient_fixtures::{TestRequest, clean_redis, get_redis, test_request};
///
/// #[rstest]
/// #[clean_redis(lint = "ttl")]
/// fn prices_expire(test_request: TestRequest) -> redis::RedisResult<()> {
///     get_redis(&test_request)?.set_ex("price:1", 12_900, 3600)
/// }
/// ```
///
/// `crate = "path"` sets the path of this crate, if it is not `::transient_fixtures`:
///
/// ```
/// mod support {
///     pub use transient_fixtures;
/// }
///
/// #[test]
/// #[support::transient_fixtures::clean_redis(crate = "support::transient_fixtures")]
/// fn uses_a_reexport() {}
/// ```
///
/// # Panics
///
/// The test panics at its own line, with the full report, if it cannot get a Redis server.
#[doc(inline)]
pub use transient_fixtures_macros::clean_redis;

/// Implementation detail of `#[clean_redis]`; exempt from semver.
#[doc(hidden)]
pub mod __private {
    pub use crate::macro_support::{CleanTest, OfAnything, OfResult, Returned, Test, run_clean};
}

/// What the program `cargo-transient` needs of the same version of this crate; exempt from semver.
#[doc(hidden)]
pub mod __cargo_transient {
    #[cfg(feature = "snapshot")]
    pub use crate::backup::*;
    #[cfg(feature = "tap")]
    pub use crate::command_server::CommandTap;
    pub use crate::command_server::{CommandServer, TimeTravel, diagnose, providers, running_settings, start_command};
    pub use crate::kept::{Kept, list};
    pub use crate::provider::select::ORDER as PROVIDERS;
    pub use crate::settings::{Access, ServerOptions};
    #[cfg(feature = "tap")]
    pub use crate::tap::{
        arguments::name_of,
        keys::{keys, matches},
        record::{is_handshake, line},
        rewrite::{ChangesReply, Rewrite, Rewritten, TakesReply},
    };
}

/// Compiles the code of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
