//! The rstest fixtures.
//!
//! An rstest fixture is a function and a type with the same name. A test argument of that name calls `default` of the
//! type. `#[fixture]` would generate a `default` without `#[track_caller]`, and a test that can't run would not panic
//! at the author's line. Writing them by hand also leaves the version of rstest to the author.

use crate::report;
use crate::request::TestRequest;
use crate::settings::{self, Settings};

/// Returns the [`TestRequest`] of a test, with its settings and its Redis. An rstest fixture.
///
/// All `test_request` arguments of one test and of its other fixtures are the same request. The databases are emptied
/// only if the test has [`#[clean_redis]`](crate::clean_redis).
///
/// ```
/// use redis::Commands;
/// use rstest::rstest;
/// use transient_fixtures::{TestRequest, get_redis, redis, test_request};
///
/// #[rstest]
/// fn brand_names_come_back(test_request: TestRequest) -> redis::RedisResult<()> {
///     let mut redis = get_redis(&test_request)?;
///     redis.set::<_, _, ()>("foo", "ÅÄÖ")?;
///     assert_eq!(redis.get::<_, String>("foo")?, "ÅÄÖ");
///     Ok(())
/// }
/// ```
///
/// # Panics
///
/// Panics at the test's line, with the whole report, if no Redis is available.
#[must_use]
#[track_caller]
pub fn test_request() -> TestRequest {
    TestRequest::new()
}

#[doc(hidden)]
#[allow(non_camel_case_types)]
#[derive(Debug)]
pub struct test_request {}

impl test_request {
    #[doc(hidden)]
    #[must_use]
    #[track_caller]
    #[allow(clippy::should_implement_trait)]
    pub fn default() -> TestRequest {
        test_request()
    }

    #[doc(hidden)]
    #[must_use]
    #[track_caller]
    pub fn get() -> TestRequest {
        test_request()
    }
}

/// Returns the [`Settings`] of a test, from test.ini and the environment. An rstest fixture.
///
/// ```
/// use rstest::rstest;
/// use transient_fixtures::{Settings, test_settings};
///
/// #[rstest]
/// fn sessions_live_for_a_year(test_settings: Settings) {
///     assert_eq!(test_settings.session_timeout().as_secs(), 31_536_000);
/// }
/// ```
///
/// # Panics
///
/// Panics at the test's line, with the whole report, if the settings are invalid.
#[must_use]
#[track_caller]
pub fn test_settings() -> Settings {
    match settings::of_process() {
        Ok(settings) => settings.clone(),
        Err(error) => panic!("{}", report::settings_unusable(&error)),
    }
}

#[doc(hidden)]
#[allow(non_camel_case_types)]
#[derive(Debug)]
pub struct test_settings {}

impl test_settings {
    #[doc(hidden)]
    #[must_use]
    #[track_caller]
    #[allow(clippy::should_implement_trait)]
    pub fn default() -> Settings {
        test_settings()
    }

    #[doc(hidden)]
    #[must_use]
    #[track_caller]
    pub fn get() -> Settings {
        test_settings()
    }
}
