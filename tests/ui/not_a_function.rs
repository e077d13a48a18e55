use transient_fixtures::clean_redis;

#[clean_redis]
struct Cart;

#[clean_redis]
mod tests {}

#[clean_redis]
pub use std::mem;

fn main() {
    // The item still exists, so the mistake is reported once.
    let _ = Cart;
}
