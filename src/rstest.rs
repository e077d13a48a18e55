//! The fixtures of rstest.
//!
//! A fixture of rstest is a function and a type of one name, and a test's argument of that name calls `default` of the
//! type. They are written out here instead of made by `#[fixture]`, which makes a `default` that hides its caller: so
//! a test that can't run panics at the author's line. It also leaves the version of rstest to the author.

use crate::report;
use crate::request::TestRequest;
use crate::settings::{self, Settings};

/// A fixture: the request that a test works on, with its settings and its Redis.
///
/// Every `test_request` of one test, and of the test's other fixtures, is the same request. Nothing is cleared, unless
/// [`#[clean_redis]`](crate::clean_redis) stands on the test.
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
/// At the author's line, with the whole report, when there is no Redis to be had.
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

/// A fixture: the settings that a test runs with, from test.ini and the environment.
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
/// At the author's line, with the whole report, when the settings are wrong.
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
