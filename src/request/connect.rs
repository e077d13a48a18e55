//! Connections of the redis crate to a request's databases.

use std::time::Duration;

#[cfg(feature = "tokio")]
use redis::aio::MultiplexedConnection;
use redis::{Client, Cmd, Connection, RedisResult, cmd};

use super::TestRequest;
use crate::server::client_name;

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
/// When the server can't be reached any more.
pub fn get_redis(test_request: &TestRequest) -> RedisResult<Connection> {
    named(test_request, &test_request.client())
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
/// When the server can't be reached any more.
pub fn get_jobs_redis(test_request: &TestRequest) -> RedisResult<Connection> {
    named(test_request, &test_request.jobs_client())
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
/// When the server can't be reached any more.
#[cfg(feature = "tokio")]
pub async fn get_async_redis(test_request: &TestRequest) -> RedisResult<MultiplexedConnection> {
    named_async(test_request, &test_request.client()).await
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
/// When the server can't be reached any more.
#[cfg(feature = "tokio")]
pub async fn get_async_jobs_redis(test_request: &TestRequest) -> RedisResult<MultiplexedConnection> {
    named_async(test_request, &test_request.jobs_client()).await
}

/// With the test's name, so that the server's CLIENT LIST reads well.
fn named(test_request: &TestRequest, client: &Client) -> RedisResult<Connection> {
    let mut connection = client.get_connection()?;
    set_name(test_request).exec(&mut connection)?;
    Ok(connection)
}

#[cfg(feature = "tokio")]
async fn named_async(test_request: &TestRequest, client: &Client) -> RedisResult<MultiplexedConnection> {
    let mut connection = client.get_multiplexed_async_connection().await?;
    set_name(test_request).exec_async(&mut connection).await?;
    Ok(connection)
}

fn set_name(test_request: &TestRequest) -> Cmd {
    cmd("CLIENT").arg("SETNAME").arg(client_name(&test_request.lease.test)).take()
}

/// Whether the server has that command.
pub(crate) fn knows(redis: &mut Connection, command: &str) -> RedisResult<bool> {
    let (known,): (redis::Value,) = cmd("COMMAND").arg("INFO").arg(command).query(redis)?;
    Ok(known != redis::Value::Nil)
}

/// A server that a test has not left paused or stopped answers in a fraction of a millisecond.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// One answer, soon.
pub(super) fn ping(test_request: &TestRequest) -> RedisResult<()> {
    let mut connection = test_request.client().get_connection_with_timeout(ANSWERS_WITHIN)?;
    connection.set_read_timeout(Some(ANSWERS_WITHIN))?;
    cmd("PING").exec(&mut connection)
}
