//! What a visitor wants to buy.

use std::collections::BTreeMap;

use redis::RedisResult;
use serde_json::Value;

use crate::Session;

const CART: &str = "cart";

/// The cart of a visitor, in his session.
pub struct Cart<'session> {
    session: &'session mut Session,
}

impl<'session> Cart<'session> {
    /// The cart in that session.
    pub fn of(session: &'session mut Session) -> Self {
        Self { session }
    }

    /// How many of which brand are in it.
    pub fn contents(&self) -> BTreeMap<String, u64> {
        let brands = self.session.get(CART).and_then(Value::as_object).into_iter().flatten();
        brands.filter_map(|(brand, count)| Some((brand.clone(), count.as_u64()?))).collect()
    }

    /// Puts that many of a brand into it, beside those that are there.
    pub fn add(&mut self, brand: &str, count: u64) -> RedisResult<()> {
        let mut contents = self.contents();
        *contents.entry(brand.to_owned()).or_default() += count;
        self.session.set(CART, Value::from_iter(contents))
    }

    /// Takes everything out.
    pub fn clear(&mut self) -> RedisResult<()> {
        self.session.set(CART, Value::Object(serde_json::Map::new()))
    }
}
