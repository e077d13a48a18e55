//! Random text that can't be guessed.

use redis::{Connection, RedisResult, cmd};

/// Returns this number of random bits in hexadecimal. The server makes them with its generator for passwords.
pub(crate) fn hexadecimal(redis: &mut Connection, bits: u32) -> RedisResult<String> {
    cmd("ACL").arg("GENPASS").arg(bits).query(redis)
}
