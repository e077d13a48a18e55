//! Connections of the redis crate to a test's databases.

#[cfg(feature = "tokio")]
use redis::aio::MultiplexedConnection;
use redis::{Connection, RedisResult};

use crate::lease::Database;
use crate::request::TestRequest;

/// Opens a connection to the session database (14 by default). The cache is there too.
///
/// Redis stores byte strings. A `str` is stored as UTF-8.
///
/// ```
/// use redis::Commands;
/// use transient_fixtures::{TestRequest, get_redis, redis};
///
/// # fn main() -> redis::RedisResult<()> {
/// let test_request = TestRequest::clean();
/// let mut redis = get_redis(&test_request)?;
/// redis.set::<_, _, ()>("foo", "ÅÄÖ")?;
/// assert_eq!(redis.get::<_, String>("foo")?, "ÅÄÖ");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Returns an error if the server is gone, another server has its address, or the test has ended.
pub fn get_redis(test_request: &TestRequest) -> RedisResult<Connection> {
    test_request.lease.connect_for_test(Database::Sessions)
}

/// Opens a connection to the job database (15 by default).
///
/// ```
/// use redis::Commands;
/// use transient_fixtures::{TestRequest, get_jobs_redis, redis};
///
/// # fn main() -> redis::RedisResult<()> {
/// let test_request = TestRequest::clean();
/// let mut jobs = get_jobs_redis(&test_request)?;
/// jobs.lpush::<_, _, ()>("celery", "a job")?;
/// assert_eq!(jobs.llen::<_, u32>("celery")?, 1);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Returns an error if the server is gone, another server has its address, or the test has ended.
pub fn get_jobs_redis(test_request: &TestRequest) -> RedisResult<Connection> {
    test_request.lease.connect_for_test(Database::Jobs)
}

/// Opens an asynchronous connection to the session database (14 by default), on a tokio runtime. Feature `tokio`.
///
/// Don't pause the runtime's clock (`start_paused`). Timeouts then fire before a real socket answers, and most attempts
/// to connect fail.
///
/// ```
/// use redis::AsyncCommands;
/// use transient_fixtures::{TestRequest, get_async_redis, redis};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> redis::RedisResult<()> {
/// let test_request = TestRequest::clean();
/// let mut redis = get_async_redis(&test_request).await?;
/// redis.set::<_, _, ()>("foo", "ÅÄÖ").await?;
/// assert_eq!(redis.get::<_, String>("foo").await?, "ÅÄÖ");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Returns an error if the server is gone, another server has its address, or the test has ended.
#[cfg(feature = "tokio")]
pub async fn get_async_redis(test_request: &TestRequest) -> RedisResult<MultiplexedConnection> {
    test_request.lease.connect_async_for_test(Database::Sessions).await
}

/// Opens an asynchronous connection to the job database (15 by default), on a tokio runtime. Feature `tokio`.
///
/// ```
/// use redis::AsyncCommands;
/// use transient_fixtures::{TestRequest, get_async_jobs_redis, redis};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> redis::RedisResult<()> {
/// let test_request = TestRequest::clean();
/// let mut jobs = get_async_jobs_redis(&test_request).await?;
/// assert_eq!(jobs.llen::<_, u32>("celery").await?, 0);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Returns an error if the server is gone, another server has its address, or the test has ended.
#[cfg(feature = "tokio")]
pub async fn get_async_jobs_redis(test_request: &TestRequest) -> RedisResult<MultiplexedConnection> {
    test_request.lease.connect_async_for_test(Database::Jobs).await
}
