//! Test fixtures on a real Redis, for code that keeps transient data there: sessions, caches, job queues, throttles.
//!
//! A test asks for [`test_request`](fn@test_request) and has a Redis: its database 14 for sessions and cache, its database 15 for jobs,
//! private to it, empty when it says [`#[clean_redis]`](clean_redis), started for it when there is none, and gone when
//! the test run is gone. It is always a real server, and the test stays an ordinary `#[rstest]`.
//!
//! # The first test
//!
//! ```
//! use redis::Commands;
//! use rstest::rstest;
//! use transient_fixtures::{TestRequest, clean_redis, get_redis, test_request};
//!
//! #[rstest]
//! #[clean_redis]
//! fn brand_names_survive_the_cache(test_request: TestRequest) -> redis::RedisResult<()> {
//!     let mut redis = get_redis(&test_request)?;
//!     redis.set::<_, _, ()>("foo", "ÅÄÖ")?;
//!     assert_eq!(redis.get::<_, String>("foo")?, "ÅÄÖ");
//!     Ok(())
//! }
//! ```
//!
//! The code under test is given [`TestRequest::redis_url`], so that any client library works.
//!
//! # Where things are
//!
//! - [`test_request`](fn@test_request), [`test_settings`](fn@test_settings): the fixtures. Outside of rstest: [`TestRequest::new`],
//!   [`TestRequest::clean`].
//! - [`clean_redis`]: clean databases for one test.
//! - [`get_redis`], [`get_jobs_redis`] and their `async` twins: connections of the [`redis`] crate.
//! - [`Session`], [`Visitor`]: what the application keeps of its visitors. [`Jobs`], [`Job`]: what it has queued.
//!   Where a queue of the application's own keeps them: [`jobs::JobFormat`].
//! - [`TestRequest::travel`]: time passes. [`Snapshot`], [`Diff`], [`TestRequest::load`]: what is in the databases,
//!   compared, put back, and brought from files.
//! - [`Settings`]: test.ini and the environment. [`Server`], [`Provider`]: which server a test has.
//! - [`Error`]: why a test can't have one.

mod cache;
mod connections;
mod error;
mod failure_report;
#[cfg(feature = "tap")]
pub mod faults;
#[cfg(feature = "jobs")]
pub mod jobs;
mod lease;
mod lint;
mod macro_support;
mod provider;
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
#[cfg(feature = "tap")]
pub mod tap;
mod time;

#[cfg(feature = "tokio")]
pub use connections::{get_async_jobs_redis, get_async_redis};
pub use connections::{get_jobs_redis, get_redis};
pub use error::Error;
#[cfg(feature = "apalis")]
pub use jobs::Apalis;
#[cfg(feature = "rq")]
pub use jobs::Rq;
#[cfg(feature = "sidekiq")]
pub use jobs::Sidekiq;
#[cfg(feature = "jobs")]
pub use jobs::{Celery, Enqueued, Job, JobFormat, Jobs};
pub use provider::Server;
pub use redis;
pub use request::TestRequest;
#[doc(inline)]
pub use rstest::{test_request, test_settings};
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
pub use settings::{Provider, SameSite, Settings};
#[cfg(feature = "snapshot")]
pub use snapshot::{Diff, Snapshot};
#[cfg(feature = "tap")]
pub use tap::Tap;
/// Gives a test databases that are its own and empty.
///
/// Both test databases are emptied **before any fixture runs**, so that what a fixture puts there stays. It stands
/// above or below `#[rstest]`, `#[tokio::test]` and their like; both orders mean the same. It works on plain `#[test]`,
/// on `async` tests, on every `#[case]` and `#[values]` (each is clean), with `#[timeout]`, `#[should_panic]`,
/// `#[ignore]`, `Result` returns and `impl Trait` arguments.
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
/// fn the_seed_is_all_there_is(shop: TestRequest) {
///     let keys: Vec<String> = get_redis(&shop).unwrap().keys("*").unwrap();
///     assert_eq!(keys, ["brand:1"]);
/// }
/// ```
///
/// rstest gives attributes *above* a `#[case]` to that case alone. To clean every case, put `#[clean_redis]` above
/// `#[rstest]` or directly above `fn`.
///
/// A test that fails says, after its panic, what it has changed in its databases, which jobs wait, and how to run it
/// again with its server kept.
///
/// With `serial_test`, its lock is taken first and the server second, in whichever order the attributes stand.
///
/// # Options
///
/// `fixtures("brands", "carts")` loads `fixtures/brands.redis` and `fixtures/carts.json` of the crate under test before
/// the test and its fixtures: [`TestRequest::load`]. Feature `snapshot`, on by default.
///
/// `lint` fails a test that has passed and leaves what it should not, unless `redis.lint_allow` has a pattern for it:
///
/// - `lint = "ttl"`: keys without a timeout in the database for sessions and cache (14);
/// - `lint = "ttl <= 7d"`: those, and keys that live for longer than seven days. `<`, `>=` and `>` work as well, and the
///   units are `ms`, `s`, `m`, `h`, `d` and `w`;
/// - `lint = "empty"`: any key, in both databases.
///
/// What was loaded for the test is not looked at. `redis.lint = ttl` in test.ini says so for all tests of a crate, and
/// `lint = "none"` takes one out. A test that passes by panicking is not looked at.
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
/// `#[clean_redis(crate = "path")]` says where the test reaches this crate, if not as `transient_fixtures`:
///
/// ```
/// mod support {
///     pub use transient_fixtures;
/// }
///
/// #[test]
/// #[support::transient_fixtures::clean_redis(crate = "support::transient_fixtures")]
/// fn through_another_crate() {}
/// ```
///
/// # Panics
///
/// The test panics at its own line, with the whole report, when there is no Redis to be had.
pub use transient_fixtures_macros::clean_redis;

/// What the expansion of `#[clean_redis]` calls. Not for others: it changes with the macro.
#[doc(hidden)]
pub mod __private {
    pub use crate::macro_support::{CleanTest, OfAnything, OfResult, Returned, Test, run_clean};
}

/// The README's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
