//! Connections of the redis crate to a request's databases.

#[cfg(feature = "tokio")]
use redis::aio::MultiplexedConnection;
use redis::{Connection, RedisResult};

use crate::lease::Database;
use crate::request::TestRequest;

/// A connection to the database for sessions and cache (14). Redis stores byte strings: what a `str` was comes back as
/// its UTF-8.
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
/// When the server can't be reached any more, another one is at its address, or the test has ended.
pub fn get_redis(test_request: &TestRequest) -> RedisResult<Connection> {
    test_request.lease.connect_for_test(Database::Sessions)
}

/// A connection to the database for jobs (15).
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
/// When the server can't be reached any more, another one is at its address, or the test has ended.
pub fn get_jobs_redis(test_request: &TestRequest) -> RedisResult<Connection> {
    test_request.lease.connect_for_test(Database::Jobs)
}

/// An asynchronous connection to the database for sessions and cache (14), on a tokio runtime.
///
/// Don't pause the runtime's clock (`start_paused`): real sockets don't wait for it, and most connects time out.
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
/// When the server can't be reached any more, another one is at its address, or the test has ended.
#[cfg(feature = "tokio")]
pub async fn get_async_redis(test_request: &TestRequest) -> RedisResult<MultiplexedConnection> {
    test_request.lease.connect_async_for_test(Database::Sessions).await
}

/// An asynchronous connection to the database for jobs (15), on a tokio runtime.
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
/// When the server can't be reached any more, another one is at its address, or the test has ended.
#[cfg(feature = "tokio")]
pub async fn get_async_jobs_redis(test_request: &TestRequest) -> RedisResult<MultiplexedConnection> {
    test_request.lease.connect_async_for_test(Database::Jobs).await
}
