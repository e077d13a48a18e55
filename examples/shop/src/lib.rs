//! A small web shop: its catalogue in a database and a cache of it in Redis, and, in Redis only, what is transient:
//! visitors' sessions with their carts, the codes that log them in, and the jobs of its workers.
//!
//! It knows nothing of transient-fixtures. Like any application it is given the URLs of its Redis.

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
