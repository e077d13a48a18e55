//! Random text that nobody can guess.

use redis::{Connection, RedisResult, cmd};

/// That many random bits in hexadecimal. The server makes them: its generator is made for passwords.
pub(crate) fn hexadecimal(redis: &mut Connection, bits: u32) -> RedisResult<String> {
    cmd("ACL").arg("GENPASS").arg(bits).query(redis)
}
