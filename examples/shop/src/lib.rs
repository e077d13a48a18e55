//! A small web shop. Its catalogue is in a database, with a cache in Redis. Its transient data is in Redis only:
//! visitors' sessions with their carts, login codes, and the jobs of its workers.
//!
//! It does not depend on transient-fixtures. Like any application, it is configured with the URLs of its Redis.

mod brands;
mod cart;
mod database;
mod jobs;
mod login;
mod orders;
mod prices;
mod random;
mod session;

pub use brands::Brands;
pub use cart::Cart;
pub use database::Database;
pub use login::{CODE_VALID_FOR, Login, WRONG_CODES_ALLOWED};
pub use orders::{Order, Orders};
pub use prices::Prices;
pub use session::Session;

/// How long the cache keeps values, in seconds.
pub const KEPT_FOR: u64 = 3_600;
