//! Connections to a running server, which other programs may use.

use std::time::Duration;

use transient_fixtures::redis::{Client, Connection, IntoConnectionInfo, RedisResult};

/// A server on this machine answers in a fraction of a millisecond.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// Connects, and returns the address, which has no password.
pub(crate) fn open(url: &str, database: u32) -> RedisResult<(Connection, String)> {
    let info = url.into_connection_info()?;
    let address = info.addr().to_string();
    let settings = info.redis_settings().clone().set_db(database.into());
    let client = Client::open(info.set_redis_settings(settings))?;
    let connection = client.get_connection_with_timeout(ANSWERS_WITHIN)?;
    connection.set_read_timeout(Some(ANSWERS_WITHIN))?;
    connection.set_write_timeout(Some(ANSWERS_WITHIN))?;
    Ok((connection, address))
}
